"""A second tenant, a typo, and namespaces that are deleted under running jobs: everything can be deleted."""

from __future__ import annotations

from tools.e2e.cluster import StoryError, until
from tools.e2e.services import OWNER
from tools.e2e.stage import GITHUB_SECRET, HUB_SECRET, POOLS, RESTRICTED, SYSTEM, TENANT
from tools.e2e.upgrade import Upgrades

_RUNS = 15.0
"""Seconds of a workflow job that still runs when its namespace is deleted."""

_NOWHERE = "http://192.0.2.1:9"
"""An address where nobody ever is (RFC 5737)."""

_ENDS = 150.0
"""Seconds for a namespace to end: its running job, lists that show it, and the namespace controller, which looks again ever later."""


class Deletions(Upgrades):
    """The acts that delete what others would leave."""

    def _serve_a_second_tenant(self) -> None:
        """Another namespace has Secrets of its own, for the same owner, and shares nothing else with the first."""
        self._new_tenant("tenant")
        self._queue(declared=2, tenant=2)
        self._served()
        made = {launch.pool for launch in self._services.truth().launches}
        if f"{TENANT}_tenant" not in made:
            raise StoryError(f"the second tenant's pool launched nothing: {sorted(made)}")
        self._done("a second tenant is served with Secrets of its own beside the first")

    def _mend_a_typo(self) -> None:
        """The first pool that somebody writes has a mistake in it, is mended, and goes one day."""
        wrong = {"url": f"{_NOWHERE}/{OWNER}"}
        self._kubectl.apply(self._pool("mistyped", github=wrong))
        until(
            lambda: self._condition("mistyped", "Ready").get("reason") == "HostNotAllowed",
            "the pool says that nothing is sent to its host",
        )
        self._quote(self._condition("mistyped", "Ready")["message"])
        self._kubectl.apply(self._pool("mistyped"))
        self._queue(mistyped=1)
        self._served()
        if len(places := self._status("mistyped").get("places", ())) != 1:
            raise StoryError(f"a place where nothing was ever launched is kept: {places}")
        self._kubectl("-n", POOLS, "delete", "rp", "mistyped", "--timeout=60s")
        self._kubectl.apply(self._pool("mistyped", github=wrong))
        until(lambda: self._condition("mistyped", "Ready"), "the pool has been looked at")
        self._kubectl("-n", POOLS, "delete", "rp", "mistyped", "--timeout=60s")
        self._done(
            "a pool whose host was mistyped is mended, serves, and can be deleted; so can one that is not mended"
        )

    def _delete_a_namespace(self) -> None:
        """The controller serves all namespaces: it can read no Secret there any more, and keeps its rights."""
        self._end_tenant("tenant")
        self._done("a namespace was deleted under a running job: the job was done, and nothing is left of it")

    def _lose_a_watched_namespace(self) -> None:
        """The controller serves single namespaces: with one of them its rights there go, and the others are served on."""
        self._end_tenant("watched")
        self._queue(applied=1)
        self._served()
        if restarts := self._restarts():
            raise StoryError(f"the controller ended over a namespace that is gone: {restarts}")

    # ------------------------------------------------------------------------------------------------------------- tenants
    def _new_tenant(self, name: str) -> None:
        self._kubectl.apply(
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TENANT, "labels": RESTRICTED}}
        )
        app, _ = self._services.new_app(f"hf-runner-controller-{name}")
        self._kubectl.secret(TENANT, GITHUB_SECRET, app)
        self._kubectl.secret(TENANT, HUB_SECRET, self._services.new_token(f"hf_{name}"))
        self._kubectl.apply(self._pool(name, namespace=TENANT))

    def _end_tenant(self, name: str) -> None:
        self._queue(**{name: 1}, seconds=_RUNS)
        self._until(lambda truth: truth.states["in_progress"] >= 1, "its job runs")
        self._kubectl("delete", "namespace", TENANT, f"--timeout={_ENDS:.0f}s", seconds=_ENDS + 10)
        self._served()
        self._until(lambda truth: not truth.left, "nothing is left")

    def _restarts(self) -> list[str]:
        """Return the pods of the release that were started more than once, with how the last start ended."""
        return [
            f"{pod['metadata']['name']}: {container['lastState']}"
            for pod in self._kubectl.items("-n", SYSTEM, "get", "pods")
            for container in pod["status"].get("containerStatuses", ())
            if container["restartCount"]
        ]
