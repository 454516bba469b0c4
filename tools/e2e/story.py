"""One story in acts, from an empty cluster to an empty cluster; every act checks what it claims."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tools.e2e.cluster import Helm, StoryError, until
from tools.e2e.deletion import Deletions
from tools.e2e.services import GITHUB_PORT, HUB_PORT, manifests
from tools.e2e.story_base import (
    CHART,
    CRD,
    GITHUB_SECRET,
    LABELS,
    MAX_RUNNERS,
    NAMESPACES,
    OTHER,
    POOLS,
    RELEASE,
    REPOSITORIES,
    RESTRICTED,
    SERVICES,
    SYSTEM,
    TENANT,
    image_values,
    merged,
)


class Story(Deletions):
    """The whole story."""

    def play(self) -> None:
        """Play all acts.

        Raises:
            StoryError: Something is not as it should be.
        """
        for act in self.acts():
            act()

    def acts(self) -> list[Callable[[], None]]:
        """Return the acts in their order."""
        return [
            self._begin,
            self._refuse_wrong_values,
            self._install_without_secrets,
            self._add_secrets,
            *self._acts_of_versions(),
            self._serve_while_the_leader_dies,
            self._upgrade_under_load,
            self._rotate_secrets,
            self._judge_pools_by_helm,
            self._serve_a_second_tenant,
            self._mend_a_typo,
            self._delete_a_namespace,
            self._refuse_a_second_release,
            self._refuse_an_older_crd,
            self._uninstall_under_load,
            self._install_two_side_by_side,
            self._end,
        ]

    # --------------------------------------------------------------------------------------------------- acts
    def _begin(self) -> None:
        """Make the namespaces and start the services in the cluster."""
        labelled = [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": RESTRICTED}}
            for name in NAMESPACES
        ]
        self._kubectl.apply(*labelled)
        self._kubectl.apply(*manifests(SERVICES, self._simulators))
        self._services.wait()
        self._services.set_up(REPOSITORIES)
        self._values = {
            **image_values(self._image),
            "controller": {
                "allowHttp": True,
                "githubHosts": [self._services.origin(GITHUB_PORT)],
                "hubEndpoints": [self._services.origin(HUB_PORT)],
                "githubPollSeconds": 3,  # workflow jobs of seconds, not of minutes
                "hubPollSeconds": 2,
                "runner": self._services.runner(),
            },
            "poolDefaults": {"namespace": POOLS, "spec": self._spec("unused", maxRunners=MAX_RUNNERS)},
            "pools": {"declared": {"spec": {"labels": ["declared"]}}},
            "rbac": {"secrets": {"namespaces": [POOLS]}},
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
            output = self._helm.refused("install", merged(self._values, wrong))
            if path not in output and path.strip("/").replace("/", ".") not in output:
                raise StoryError(f"helm does not name {path}:\n{output}")
            self._quote(output.splitlines()[-1])
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
        output = self._helm.refused(
            "upgrade", merged(self._values, {"extraObjects": [bad]}), "--wait", "--timeout=90s"
        )
        if "nobody" not in output:
            raise StoryError(f"helm does not say why the pool failed:\n{output}")
        self._quote(output.splitlines()[-1])
        self._helm.upgrade(self._values, "--wait")
        until(lambda: not self._kubectl.names("-n", POOLS, "rp", "judged"), "the pool went with its upgrade")
        self._done("helm --wait waits for a pool to be ready, and fails with what the pool says")

    def _refuse_a_second_release(self) -> None:
        other = Helm(self._programs[0], chart=CHART, release="other", namespace=OTHER)
        values = merged({**self._values, "pools": {}, "rbac": {}}, {"crds": {"enabled": False}})
        for where in ([], [POOLS]):
            output = other.refused("install", merged(values, {"watch": {"namespaces": where}}))
            if RELEASE not in output or SYSTEM not in output:
                raise StoryError(f"helm does not name the release that is there:\n{output}")
            self._quote(output.splitlines()[-1])
        if self._kubectl.names("-n", OTHER, "pods"):
            raise StoryError("the refused release has pods")
        self._done("a second release that would serve the same pools is refused, with the first one's name")

    def _refuse_an_older_crd(self) -> None:
        self._make_crd_older("ssh")
        self._kubectl(
            "-n", SYSTEM, "delete", "pods", "-l", f"{LABELS},app.kubernetes.io/component=controller"
        )
        output = until(self._last_log, "a replica refuses to run")
        if "helm upgrade" not in output or "spec.ssh" not in output:
            raise StoryError(f"the operator does not say how to mend an older CRD: {output}")
        self._quote(output.splitlines()[-1])
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
        """Each serves namespaces of its own, with rights there and nowhere else; one of them is
        deleted under a running job.
        """
        waiting = {job["id"] for job in self._services.truth().jobs if job["status"] == "queued"}
        self._new_tenant("watched")
        self._helm = self._release(self._programs[-1])
        self._values["rbac"] = {}  # the namespaces that are watched are those whose Secrets are read
        self._helm.install(merged(self._values, {"watch": {"namespaces": [POOLS, TENANT]}}))
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
        self._lose_a_watched_namespace()
        other.uninstall()
        self._helm.uninstall()
        self._nothing_left(self._services.truth())
        self._done(
            f"Helm {self._helm.version} installed it over the kept CRD, for two namespaces, beside a release for another: "
            "what was queued is served, each by its own; one namespace was deleted under a running job, and nothing left"
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
