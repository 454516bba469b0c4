"""One story in acts, from an empty cluster to an empty cluster; every act checks what it claims."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from controller.core.naming import origin
from tools.e2e.cluster import Helm, Kubectl, Manifest, StoryError, until
from tools.e2e.services import GITHUB_PORT, HUB_PORT, OWNER, Services, Truth, manifests

CHART = "charts/hf-runner-controller"
RELEASE = "hf-runner-controller"
SYSTEM, POOLS, SERVICES, OTHER = "hfrc-e2e", "hfrc-e2e-pools", "hfrc-e2e-services", "hfrc-e2e-other"
NAMESPACES = (SYSTEM, POOLS, SERVICES, OTHER)
CRD = "runnerpools.hfrunners.dev"
REPOSITORIES = ("lib", "kernels", "train")
GITHUB_SECRET, HUB_SECRET = "github-app", "hf-token"
LABELS = f"app.kubernetes.io/instance={RELEASE}"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

_JOB_SECONDS = 6.0
_FOREVER = 240.0
"""Patience for a queue to be served on two cores, a takeover of 15 seconds included."""


class Story:
    """The whole story.

    Args:
        kubectl: For the cluster.
        helms: Program and version of the Helm that most is done with, and of a second one that installs anew in the end.
        image: Name and tag of the image, which the node has.
        say: Told what happens.
    """

    def __init__(self, *, kubectl: Kubectl, helms: list[str], image: str, say: Callable[[str], None]) -> None:
        self._kubectl = kubectl
        self._programs = helms
        self._helm = self._release(helms[0])
        self._services = Services(kubectl=kubectl, namespace=SERVICES)
        self._image = image
        self._say = say
        self._values: dict[str, Any] = {}
        self._queued = 0

    def tell(self) -> None:
        """Play all acts.

        Raises:
            StoryError: Something is not as it should be.
        """
        self._begin()
        self._refuse_wrong_values()
        self._install_without_secrets()
        self._add_secrets()
        self._serve_while_the_leader_dies()
        self._upgrade_under_load()
        self._rotate_secrets()
        self._judge_pools_by_helm()
        self._refuse_a_second_release()
        self._refuse_an_older_crd()
        self._uninstall_under_load()
        self._install_two_side_by_side()
        self._end()

    # ------------------------------------------------------------------------------------------------------------- acts
    def _begin(self) -> None:
        """Make the namespaces and start the services in the cluster."""
        labelled = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
            for name in NAMESPACES
        ]
        self._kubectl.apply(*labelled)
        self._kubectl.apply(*manifests(SERVICES, self._image))
        self._services.wait()
        self._services.set_up(REPOSITORIES)
        repository, _, tag = self._image.rpartition(":")
        self._values = {
            "image": {"repository": repository, "tag": tag},
            "controller": {
                "allowHttp": True,
                "githubPollSeconds": 3,  # workflow jobs of seconds, not of minutes
                "hubPollSeconds": 2,
                "runner": self._services.runner(),
            },
            "poolDefaults": {"namespace": POOLS, "spec": self._spec("unused", maxRunners=3)},
            "pools": {"declared": {"spec": {"labels": ["declared"]}}},
        }
        self._done("GitHub and the Hub answer in the cluster")

    def _refuse_wrong_values(self) -> None:
        for wrong, path in (
            ({"replicaCount": "two"}, "/replicaCount"),
            ({"controller": {"logLevle": "debug"}}, "/controller"),
            (
                {"pools": {"declared": {"spec": {"labels": ["declared"], "maxRunners": -1}}}},
                "/pools/declared",
            ),
        ):
            said = self._helm.refused("install", merged(self._values, wrong))
            if path not in said and path.strip("/").replace("/", ".") not in said:
                raise StoryError(f"helm does not name {path}:\n{said}")
            self._quote(said.splitlines()[-1])
        if self._kubectl.names("-n", SYSTEM, "secrets,deployments") or self._kubectl.names("crd", CRD):
            raise StoryError("something was installed with wrong values")
        self._done("wrong values are refused before anything is installed, each with its path")

    def _install_without_secrets(self) -> None:
        self._helm.install(self._values)
        self._rolled_out()
        self._kubectl.apply(self._pool("applied"))
        stalled: Mapping[str, Any] = {}
        for pool in ("declared", "applied"):
            self._wait(pool, "Stalled")
            stalled = self._condition(pool, "Stalled")
            if stalled["reason"] != "SecretMissing" or GITHUB_SECRET not in stalled["message"]:
                raise StoryError(f"pool {pool} does not say which Secret it lacks: {stalled}")
        self._quote(stalled["message"])
        seconds = self._cold_start()
        self._done(
            f"installed, a pod ready {seconds:.0f} s after its start; pools without Secrets say which they need"
        )

    def _add_secrets(self) -> None:
        self._new_credentials("first")
        for pool in ("declared", "applied"):
            self._wait(pool, "Ready")
        for line in self._kubectl("-n", POOLS, "get", "rp", "-o", "wide").splitlines():
            self._quote(line)
        self._done("with the Secrets there, kubectl wait --for=condition=Ready rp/... returns")

    def _serve_while_the_leader_dies(self) -> None:
        self._queue(declared=6, applied=6)
        self._until(lambda truth: truth.states["in_progress"] >= 3, "three jobs run at once")
        leader = self._leader()
        self._kubectl("-n", SYSTEM, "delete", "pod", leader, "--force", "--grace-period=0")
        until(lambda: self._leader() not in ("", leader), "another replica leads")
        self._until(lambda truth: truth.states["success"] >= self._queued // 2, "half of the jobs are done")
        second = self._leader()
        self._kubectl("-n", SYSTEM, "delete", "pod", second, "--wait=false")
        until(lambda: self._leader() not in ("", second), "another replica leads")
        self._served()
        self._rolled_out()
        self._done("a burst was served while the leading pod was killed once and deleted once")

    def _upgrade_under_load(self) -> None:
        before = self._pods()
        self._queue(declared=4, applied=4)
        self._until(lambda truth: truth.states["in_progress"] >= 2, "two jobs run at once")
        self._values = merged(self._values, {"controller": {"logFormat": "json"}})
        self._helm.upgrade(self._values, "--wait")
        self._served()
        until(lambda: not before & self._pods(), "no pod of the former revision is left")
        self._done("helm upgrade --wait replaced every pod under load")

    def _rotate_secrets(self) -> None:
        self._queue(declared=4)
        self._until(lambda truth: truth.states["in_progress"] >= 2, "two jobs run at once")
        self._revoke()
        self._new_credentials("second")
        self._queue(applied=4)
        self._served()
        for pool in ("declared", "applied"):
            self._wait(pool, "Ready")
        self._done("both Secrets rotated under load, the former credentials revoked")

    def _judge_pools_by_helm(self) -> None:
        if self._helm.major < 4:
            self._done(f"left out: Helm {self._helm.version} does not wait for custom resources; Helm 4 does")
            return
        good = self._pool("judged")
        self._helm.upgrade(merged(self._values, {"extraObjects": [good]}), "--wait", "--timeout=90s")
        if self._condition("judged", "Ready").get("status") != "True":
            raise StoryError("helm --wait came back before the pool was ready")
        bad = self._pool("judged", github={"credentialsSecret": "nobody"})
        said = self._helm.refused(
            "upgrade", merged(self._values, {"extraObjects": [bad]}), "--wait", "--timeout=90s"
        )
        if "nobody" not in said:
            raise StoryError(f"helm does not say why the pool failed:\n{said}")
        self._quote(said.splitlines()[-1])
        self._helm.upgrade(self._values, "--wait")
        until(lambda: not self._kubectl.names("-n", POOLS, "rp", "judged"), "the pool went with its upgrade")
        self._done("helm --wait waits for a pool to be ready, and fails with what the pool says")

    def _refuse_a_second_release(self) -> None:
        other = Helm(self._programs[0], chart=CHART, release="other", namespace=OTHER)
        values = merged({**self._values, "pools": {}}, {"crds": {"enabled": False}})
        for where in ([], [POOLS]):
            said = other.refused("install", merged(values, {"watch": {"namespaces": where}}))
            if RELEASE not in said or SYSTEM not in said:
                raise StoryError(f"helm does not name the release that is there:\n{said}")
            self._quote(said.splitlines()[-1])
        if self._kubectl.names("-n", OTHER, "pods"):
            raise StoryError("the refused release has pods")
        self._done("a second release that would serve the same pools is refused, with the first one's name")

    def _refuse_an_older_crd(self) -> None:
        self._make_crd_older("ssh")
        self._kubectl(
            "-n", SYSTEM, "delete", "pods", "-l", f"{LABELS},app.kubernetes.io/component=controller"
        )
        said = until(self._last_words, "a replica refuses to run")
        if "helm upgrade" not in said or "spec.ssh" not in said:
            raise StoryError(f"the operator does not say how to mend an older CRD: {said}")
        self._quote(said.splitlines()[-1])
        self._helm.upgrade(self._values)
        self._rolled_out()
        self._queue(declared=2)
        self._served()
        self._done("on an older CRD the operator refuses to run; the helm upgrade that it names mends it")

    def _uninstall_under_load(self) -> None:
        self._queue(declared=8, applied=8, seconds=15.0)
        self._until(lambda truth: truth.states["in_progress"] >= 3, "three jobs run at once")
        self._helm.uninstall()
        truth = self._services.truth()
        self._nothing_left(truth)
        if not truth.states["queued"]:
            raise StoryError("the queue was empty, so this uninstallation proves nothing")
        self._quote(f"{truth.states['success']} jobs done, {truth.states['queued']} still queued, none lost")
        if not self._kubectl.names("crd", CRD):
            raise StoryError("the CRD is gone, and with it every pool")
        if not self._kubectl.names("-n", POOLS, "rp", "applied"):
            raise StoryError("the pool that was applied by kubectl is gone")
        self._done(
            "helm uninstall under load left no HF Job, no registration and no pod; the CRD and the pools stay"
        )

    def _install_two_side_by_side(self) -> None:
        """Each serves a namespace of its own, with rights there and nowhere else."""
        waiting = {job["id"] for job in self._services.truth().jobs if job["status"] == "queued"}
        self._helm = self._release(self._programs[-1])
        self._helm.install(merged(self._values, {"watch": {"namespaces": [POOLS]}}))
        other = Helm(self._programs[0], chart=CHART, release="other", namespace=OTHER)
        apart = {"watch": {"namespaces": [OTHER]}, "crds": {"enabled": False}}
        other.install(merged({**self._values, "pools": {}}, apart))
        self._new_credentials("third", namespace=OTHER)
        self._kubectl.apply(self._pool("other", namespace=OTHER))
        self._queue(other=3)
        self._served()
        mine = self._makers(lambda job: job["id"] in waiting)
        others = self._makers(lambda job: job["labels"] == ["other"])
        if len(mine) != 1 or len(others) != 1 or mine == others:
            raise StoryError(f"not each release served its own namespace: {mine} and {others}")
        other.uninstall()
        self._helm.uninstall()
        self._nothing_left(self._services.truth())
        self._done(
            f"Helm {self._helm.version} installed it over the kept CRD, for one namespace, beside a release for another: "
            "what was queued is served, each by its own, and nothing left"
        )

    def _end(self) -> None:
        """A pool that nobody serves any more can be deleted: no finalizer holds it."""
        self._kubectl("-n", POOLS, "delete", "rp", "--all", "--timeout=30s")
        self._services.check()
        truth = self._services.truth()
        self._say(
            f"e2e: {self._queued} queued, {truth.states['success']} completed, "
            f"{self._queued - truth.states['success']} lost, {len(truth.live)} HF Jobs left, "
            f"{len(truth.registrations)} registrations left"
        )

    # ------------------------------------------------------------------------------------------------------------- pools
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

    def _pool(self, name: str, *, namespace: str = POOLS, **spec: Mapping[str, object]) -> Manifest:
        return {
            "apiVersion": "hfrunners.dev/v1alpha1",
            "kind": "RunnerPool",
            "metadata": {"name": name, "namespace": namespace},
            "spec": merged(self._spec(name, maxRunners=3), spec),
        }

    def _condition(self, pool: str, kind: str) -> Mapping[str, Any]:
        status = self._kubectl.json("-n", POOLS, "get", "rp", pool).get("status", {})
        found: Mapping[str, Any] = next((c for c in status.get("conditions", ()) if c["type"] == kind), {})
        return found

    def _wait(self, pool: str, condition: str) -> None:
        self._kubectl("-n", POOLS, "wait", f"--for=condition={condition}", f"rp/{pool}", "--timeout=60s")

    def _new_credentials(self, name: str, namespace: str = POOLS) -> None:
        app, self._installation = self._services.new_app(f"hf-runner-controller-{name}")
        self._token = f"hf_{name}"
        self._kubectl.secret(namespace, GITHUB_SECRET, app)
        self._kubectl.secret(namespace, HUB_SECRET, self._services.new_token(self._token))

    def _revoke(self) -> None:
        self._services.uninstall_app(self._installation)
        self._services.revoke_token(self._token)

    # --------------------------------------------------------------------------------------------------------------- jobs
    def _queue(self, *, seconds: float = _JOB_SECONDS, **jobs: int) -> None:
        for number, (label, count) in enumerate(jobs.items()):
            self._services.queue(
                REPOSITORIES[number % len(REPOSITORIES)], label, count=count, seconds=seconds
            )
            self._queued += count

    def _until(self, met: Callable[[Truth], bool], what: str) -> None:
        until(lambda: met(self._sound()), what, patience=_FOREVER)

    def _served(self) -> None:
        self._until(lambda truth: truth.states["success"] == self._queued, "every job is done")

    def _sound(self) -> Truth:
        """Return the truth, in which no job may have come to harm: one whose runner is killed never succeeds."""
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

    # ------------------------------------------------------------------------------------------------------------ release
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

    def _last_words(self) -> str:
        """Return what a pod of the release said before it ended, if one has."""
        for pod in self._kubectl.items("-n", SYSTEM, "get", "pods", "-l", LABELS):
            for container in pod["status"].get("containerStatuses", ()):
                for state in (container["state"], container["lastState"]):
                    if message := state.get("terminated", {}).get("message"):
                        return str(message).strip()
        return ""

    def _cold_start(self) -> float:
        """Return the seconds from a container's start until its pod was ready, the fastest of the replicas."""
        taken = []
        for pod in self._kubectl.items("-n", SYSTEM, "get", "pods", "-l", LABELS):
            ready = next(c for c in pod["status"]["conditions"] if c["type"] == "Ready")
            for container in pod["status"]["containerStatuses"]:
                if ready["status"] == "True" and "running" in container["state"]:
                    began = container["state"]["running"]["startedAt"]
                    taken.append(_seconds(began, ready["lastTransitionTime"]))
        return min(taken)

    # ------------------------------------------------------------------------------------------------------------ telling
    def _done(self, text: str) -> None:
        self._say(text)

    def _quote(self, text: str) -> None:
        self._say(f"    {text}")


def harmed(truth: Truth) -> list[Mapping[str, Any]]:
    """Return the workflow jobs that ended without success: nothing but the loss of their runner ends any of these so."""
    return [job for job in truth.jobs if job["conclusion"] not in (None, "success")]


def merged(base: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of nested values with others on top, as Helm merges them."""
    values = dict(base)
    for name, value in more.items():
        both = isinstance(value, Mapping) and isinstance(values.get(name), Mapping)
        values[name] = merged(values[name], value) if both else value
    return values


def _seconds(began: str, ended: str) -> float:
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()
