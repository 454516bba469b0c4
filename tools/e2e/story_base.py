"""What every act of the story has at hand: pools, workflow jobs, the release, and what is really so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controller.core.naming import origin
from tools.e2e.cluster import Helm, Kubectl, Manifest, StoryError, until
from tools.e2e.services import GITHUB_PORT, HUB_PORT, OWNER, Services, Truth

CHART = "charts/hf-runner-controller"
RELEASE = "hf-runner-controller"
SYSTEM, POOLS, SERVICES, OTHER = "hfrc-e2e", "hfrc-e2e-pools", "hfrc-e2e-services", "hfrc-e2e-other"
TENANT = "hfrc-e2e-tenant"
NAMESPACES = (SYSTEM, POOLS, SERVICES, OTHER, TENANT)
CRD = "runnerpools.hfrunners.dev"
REPOSITORIES = ("lib", "kernels", "train")
GITHUB_SECRET, HUB_SECRET = "github-app", "hf-token"
LABELS = f"app.kubernetes.io/instance={RELEASE}"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

MAX_RUNNERS = 3
_JOB_SECONDS = 6.0
FOREVER = 240.0
"""Patience for a queue to be served on two cores, a takeover of 15 seconds included."""


class StoryBase:
    """One cluster with one release, and the simulated services in it.

    More than 15 methods: what the acts do again and again is said here once, a few lines each.

    Args:
        kubectl: For the cluster.
        helms: Program and version of the Helm that most is done with, and of a second one that
            installs anew in the end.
        image: Name and tag of the product's image, which the node has.
        simulators: Of the image with the simulated services, which the node has too.
        say: Told what happens.
    """

    def __init__(
        self, *, kubectl: Kubectl, helms: list[str], image: str, simulators: str, say: Callable[[str], None]
    ) -> None:
        self._kubectl = kubectl
        self._programs = helms
        self._helm = self._release(helms[0])
        self._services = Services(kubectl=kubectl, namespace=SERVICES)
        self._image = image
        self._simulators = simulators
        self._say = say
        self._values: dict[str, Any] = {}
        self._queued = 0

    # -------------------------------------------------------------------------------------------------- pools
    def _spec(self, label: str, **spec: object) -> dict[str, Any]:
        return {
            "github": {
                "url": f"{self._services.origin(GITHUB_PORT)}/{OWNER}",
                "credentialsSecret": GITHUB_SECRET,
                "repositories": {"include": ["*"]},
            },
            "huggingface": {
                "namespace": OWNER,
                "tokenSecret": HUB_SECRET,
                "endpoint": self._services.origin(HUB_PORT),
            },
            "labels": [label],
            "flavors": ["t4-small"],
            "deadlines": {"idle": "10s"},
            **spec,
        }

    def _pool(self, name: str, *, namespace: str = POOLS, **spec: object) -> Manifest:
        return {
            "apiVersion": "hfrunners.dev/v1alpha1",
            "kind": "RunnerPool",
            "metadata": {"name": name, "namespace": namespace},
            "spec": merged(self._spec(name, maxRunners=MAX_RUNNERS), spec),
        }

    def _condition(self, pool: str, kind: str) -> Mapping[str, Any]:
        conditions = self._status(pool).get("conditions", ())
        found: Mapping[str, Any] = next((c for c in conditions if c["type"] == kind), {})
        return found

    def _status(self, pool: str) -> Mapping[str, Any]:
        status: Mapping[str, Any] = self._kubectl.json("-n", POOLS, "get", "rp", pool).get("status", {})
        return status

    def _wait(self, pool: str, condition: str, *, namespace: str = POOLS) -> None:
        self._kubectl("-n", namespace, "wait", f"--for=condition={condition}", f"rp/{pool}", "--timeout=60s")

    def _new_tenant(self, name: str, *, namespace: str = TENANT, **spec: object) -> None:
        """Make a pool in a namespace with Secrets of its own, for the same owner; the namespace is
        made where it is not there.
        """
        self._kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": RESTRICTED}}
        )
        app, _ = self._services.new_app(f"hf-runner-controller-{name}")
        self._kubectl.secret(namespace, GITHUB_SECRET, app)
        self._kubectl.secret(namespace, HUB_SECRET, self._services.new_token(f"hf_{name}"))
        self._kubectl.apply(self._pool(name, namespace=namespace, **spec))

    def _new_credentials(self, name: str, namespace: str = POOLS) -> None:
        app, self._installation = self._services.new_app(f"hf-runner-controller-{name}")
        self._token = f"hf_{name}"
        self._kubectl.secret(namespace, GITHUB_SECRET, app)
        self._kubectl.secret(namespace, HUB_SECRET, self._services.new_token(self._token))

    def _revoke(self) -> None:
        self._services.uninstall_app(self._installation)
        self._services.revoke_token(self._token)

    # --------------------------------------------------------------------------------------------------- jobs
    def _queue(self, *, seconds: float = _JOB_SECONDS, **jobs: int) -> None:
        for number, (label, count) in enumerate(jobs.items()):
            self._services.queue(
                REPOSITORIES[number % len(REPOSITORIES)], label, count=count, seconds=seconds
            )
            self._queued += count

    def _until(self, met: Callable[[Truth], bool], what: str) -> None:
        until(lambda: met(self._sound()), what, patience=FOREVER)

    def _served(self) -> None:
        self._until(lambda truth: truth.states["success"] == self._queued, "every job is done")

    def _sound(self) -> Truth:
        """Return the truth, in which no job may have come to harm: one whose runner is
        killed never succeeds.
        """
        truth = self._services.truth()
        if jobs := harmed(truth):
            raise StoryError(f"a job came to harm: {jobs[0]}")
        return truth

    def _makers(self, which: Callable[[Mapping[str, Any]], bool]) -> set[str]:
        """Return the controllers whose runners did some jobs, as the runners' names tell."""
        made_by = [origin(job["runner_name"]) for job in self._services.truth().jobs if which(job)]
        return {maker.controller for maker in made_by if maker is not None}

    def _nothing_left(self, truth: Truth) -> None:
        if truth.left:
            raise StoryError(f"left behind: {', '.join(truth.left)}")
        if running := [job for job in self._sound().jobs if job["status"] == "in_progress"]:
            raise StoryError(f"a runner was taken from under its job: {running[0]}")
        until(lambda: not self._pods(), "the pods are gone")
        kinds = "all,configmaps,secrets,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,leases"
        found = self._kubectl.names(f"{kinds},poddisruptionbudgets,networkpolicies", "-A", "-l", LABELS)
        if found:
            raise StoryError(f"left behind: {', '.join(found)}")

    # ------------------------------------------------------------------------------------------------ release
    def _release(self, program: str) -> Helm:
        return Helm(program, chart=CHART, release=RELEASE, namespace=SYSTEM)

    def _make_crd_older(self, field: str) -> None:
        """Put the CRD back to before a field came in, as an older chart would have installed it."""
        crd = self._kubectl.json("get", "crd", CRD)
        crd.pop("status")
        kept = ("name", "labels", "annotations")
        crd["metadata"] = {name: crd["metadata"][name] for name in kept if name in crd["metadata"]}
        schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        schema["properties"]["spec"]["properties"].pop(field, None)
        apply = ("apply", "--server-side", "--force-conflicts", "--field-manager=helm", "-f", "-")
        self._kubectl(*apply, stdin=json.dumps(crd))

    def _pods(self) -> set[str]:
        return set(self._kubectl.names("-n", SYSTEM, "pods", "-l", LABELS))

    def _rolled_out(self) -> None:
        self._kubectl("-n", SYSTEM, "rollout", "status", f"deployment/{RELEASE}", "--timeout=80s")

    def _leader(self) -> str:
        """Return the pod that holds the Lease; empty while none does."""
        lease = self._kubectl.json("-n", SYSTEM, "get", "lease", RELEASE)
        holder: str = lease["spec"].get("holderIdentity") or ""
        return holder.rpartition("_")[0]

    def _last_log(self) -> str:
        """Return what a pod of the release said before it ended, if one has."""
        for pod in self._kubectl.items("-n", SYSTEM, "get", "pods", "-l", LABELS):
            for container in pod["status"].get("containerStatuses", ()):
                for state in (container["state"], container["lastState"]):
                    if message := state.get("terminated", {}).get("message"):
                        return str(message).strip()
        return ""

    def _cold_start(self) -> float:
        """Return the seconds from a container's start until its pod was ready, the fastest
        of the replicas.
        """
        taken = []
        for pod in self._kubectl.items("-n", SYSTEM, "get", "pods", "-l", LABELS):
            ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
            for container in pod["status"]["containerStatuses"]:
                if ready["status"] == "True" and "running" in container["state"]:
                    began = container["state"]["running"]["startedAt"]
                    taken.append(_seconds(began, ready["lastTransitionTime"]))
        return min(taken)

    # ------------------------------------------------------------------------------------------------ telling
    def _done(self, text: str) -> None:
        self._say(text)

    def _quote(self, text: str) -> None:
        self._say(f"    {text}")


def harmed(truth: Truth) -> list[Mapping[str, Any]]:
    """Return the workflow jobs that ended without success: nothing but the loss of their
    runner ends any of these so.
    """
    return [job for job in truth.jobs if job["conclusion"] not in (None, "success")]


def image_values(image: str) -> dict[str, Any]:
    """Return the chart's values for an image, of which name and tag are given."""
    repository, _, tag = image.rpartition(":")
    return {"image": {"repository": repository, "tag": tag}}


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of nested values with others on top, as Helm merges them."""
    values = dict(base)
    for name, value in more.items():
        both = isinstance(value, Mapping) and isinstance(values.get(name), Mapping)
        values[name] = merged(values[name], value) if both else value
    return values


def _seconds(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
