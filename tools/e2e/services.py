"""GitHub and the Hub in the cluster, whose runners are real processes of the real bootstrap.

Both are the command ``sim`` in the product's image with the simulators on top (``simulators/Dockerfile``).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from controller.core.naming import LABEL_POOL, LABEL_RUNNER
from controller.execute.bootstrap import RUNNER_VERSION
from tools.e2e.cluster import Kubectl, Manifest, StoryError

OWNER = "acme"
NAME = "simulators"
GITHUB_PORT, HUB_PORT = 8801, 8802
HURRY = {"scheduling_seconds": 1.0, "boot_seconds": 0.5, "cancel_seconds": 0.5, "stage_lag_seconds": 0.2}
"""A Hub in a hurry: the real one takes 30 to 90 seconds to start a runner."""

RIGHTS = {"actions": "read", "metadata": "read", "organization_self_hosted_runners": "write"}
"""Of the GitHub App: what examples/secrets.example.yaml asks for, and nothing else."""

_CHECKSUM = "from hf_runner_simulators.github.archive import Archives; print(Archives().build({version!r}, {arch!r}).sha256)"


def manifests(namespace: str, image: str) -> list[Manifest]:
    """Return the Service and the Deployment, which the Pod Security level ``restricted`` admits."""
    labels = {"app.kubernetes.io/name": NAME}
    arguments = ["sim", "--github", f"0.0.0.0:{GITHUB_PORT}", "--hub", f"0.0.0.0:{HUB_PORT}"]
    container = {
        "name": NAME,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": arguments,
        "readinessProbe": {"tcpSocket": {"port": GITHUB_PORT}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # where the runners live
    }
    pod = {
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    metadata = {"name": NAME, "namespace": namespace}
    deployment = {
        "selector": {"matchLabels": labels},
        "strategy": {"type": "Recreate"},  # a second one would know nothing of the first one's runners
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    ports = [{"name": "github", "port": GITHUB_PORT}, {"name": "hub", "port": HUB_PORT}]
    service = {"selector": labels, "ports": ports}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": deployment},
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """An HF Job, alive or not. Times are epoch seconds.

    Attributes:
        runner: Its name.
        pool: Namespace and name, as the HF Job's label has them.
        began: When the Hub was asked for it.
        ended: When nothing was left of it but the record; None while it is alive.
    """

    runner: str
    pool: str
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What the services say, which is what the story is judged by.

    Attributes:
        jobs: Every workflow job that was ever queued.
        live: HF Jobs that are alive.
        registrations: The runners that GitHub knows, by name, with the epoch seconds of their registration.
        bugs: Of the services themselves.
        launches: Every HF Job that there ever was.
    """

    jobs: Sequence[Mapping[str, Any]]
    live: Sequence[str]
    registrations: Mapping[str, float]
    bugs: Sequence[str]
    launches: Sequence[Launch] = ()

    @property
    def states(self) -> Counter[str]:
        """How many workflow jobs are ``queued``, ``in_progress``, or what they concluded as."""
        return Counter(job["conclusion"] or job["status"] for job in self.jobs)

    @property
    def left(self) -> list[str]:
        """What exists that costs money or takes work."""
        return [f"HF Job {job}" for job in self.live] + [
            f"registration {name}" for name in self.registrations
        ]


class Services:
    """Both, reached by the API server's own proxy, so that no port of the cluster has to be open."""

    def __init__(self, *, kubectl: Kubectl, namespace: str) -> None:
        self._kubectl = kubectl
        self._namespace = namespace

    def wait(self) -> None:
        """Wait until they answer."""
        self._kubectl("-n", self._namespace, "rollout", "status", f"deployment/{NAME}", "--timeout=60s")

    def origin(self, port: int) -> str:
        """Return where one of them is for pods: by address, which holds without a cluster DNS."""
        service = self._kubectl.json("-n", self._namespace, "get", "service", NAME)
        return f"http://{service['spec']['clusterIP']}:{port}"

    def runner(self) -> Mapping[str, Any]:
        """Return the chart's values for the runner that the simulated GitHub offers: a
        stand-in of the pinned version.

        Its checksum is asked of the image, since another zlib may pack other bytes.
        """
        sums = {}
        for arch in ("x64", "arm64"):
            script = _CHECKSUM.format(version=RUNNER_VERSION, arch=arch)
            asked = ["exec", f"deployment/{NAME}", "--", "python3", "-c", script]
            sums[arch] = self._kubectl("-n", self._namespace, *asked).strip()
        return {"version": RUNNER_VERSION, "sha256": sums, "baseUrl": self.origin(GITHUB_PORT)}

    def set_up(self, repositories: Sequence[str]) -> None:
        """Make the organization and its repositories, and make the Hub hurry."""
        rows = [{"full_name": f"{OWNER}/{name}"} for name in repositories]
        self._post("github", "setup", {"organizations": [{"login": OWNER}], "repositories": rows})
        self._post("hub", "knobs", HURRY)
        self._post("hub", "setup", {"namespaces": {OWNER: {"type": "org", "credits": 100}}})

    def new_app(self, slug: str) -> tuple[dict[str, str], int]:
        """Make a GitHub App that is installed on the owner; return a Secret's contents and
        the installation's id.
        """
        app = {"slug": slug, "permissions": RIGHTS, "installations": [{"account": OWNER}]}
        made = self._post("github", "setup", {"apps": [app]})["apps"][0]
        return {"appId": str(made["id"]), "privateKey": made["private_key"]}, made["installations"][0]["id"]

    def uninstall_app(self, installation: int) -> None:
        """Uninstall an App: its tokens are good for nothing more."""
        self._post("github", f"installations/{installation}", {"remove": True})

    def new_token(self, value: str) -> dict[str, str]:
        """Make a token of the Hub; return a Secret's contents."""
        access = {"user": "robot", "namespaces": {OWNER: "write"}, "plan": "team"}
        self._post("hub", "setup", {"tokens": {value: access}})
        return {"token": value}

    def revoke_token(self, value: str) -> None:
        """Revoke a token of the Hub."""
        self._post("hub", "setup", {"tokens": {value: None}})

    def queue(self, repository: str, label: str, *, count: int, seconds: float) -> None:
        """Queue workflow jobs, each with so many seconds of work."""
        wanted = {
            "repository": f"{OWNER}/{repository}",
            "labels": [label],
            "count": count,
            "seconds": seconds,
        }
        self._post("github", "jobs", wanted)

    def truth(self) -> Truth:
        """Return what is really so."""
        github, hub = self._report("github"), self._report("hub")
        return Truth(
            jobs=github["jobs"],
            live=hub["live"],
            registrations={row["name"]: row["created_at"] for row in github["registrations"]},
            bugs=[*github["bugs"], *hub["bugs"]],
            launches=[_launch(row) for row in hub["jobs"]],
        )

    def check(self) -> None:
        """Make sure that the services are still those that the story began with, and sound.

        Raises:
            StoryError: They were started anew, so that what they knew is gone, or failed by themselves.
        """
        for pod in self._kubectl.items("-n", self._namespace, "get", "pods"):
            for container in pod["status"].get("containerStatuses", ()):
                if container["restartCount"]:
                    raise StoryError(f"the simulated services were restarted: {container['lastState']}")
        if bugs := self.truth().bugs:
            raise StoryError(f"the simulated services failed: {bugs[0]}")

    def _report(self, site: str) -> Any:  # noqa: ANN401 - JSON
        return json.loads(self._kubectl("get", "--raw", self._path(site, "report")))

    def _post(self, site: str, what: str, body: object) -> Any:  # noqa: ANN401 - JSON
        path = self._path(site, what)
        answer = self._kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))
        return json.loads(answer) if answer.strip() else None

    def _path(self, site: str, what: str) -> str:
        return f"/api/v1/namespaces/{self._namespace}/services/{NAME}:{site}/proxy/_sim/{what}"


def _launch(row: Mapping[str, Any]) -> Launch:
    labels = row["labels"]
    return Launch(
        runner=labels[LABEL_RUNNER],
        pool=labels[LABEL_POOL],
        began=datetime.fromisoformat(row["createdAt"]).timestamp(),
        ended=datetime.fromisoformat(row["endedAt"]).timestamp() if row["endedAt"] else None,
    )
