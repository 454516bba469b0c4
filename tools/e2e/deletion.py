"""A second tenant, a typo, and namespaces that are deleted under running jobs: everything can be deleted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from tools.e2e.cluster import StoryError, until
from tools.e2e.services import OWNER
from tools.e2e.story_base import POOLS, SYSTEM, TENANT, merged
from tools.e2e.upgrade import Upgrades

_RUNS = 15.0
"""Seconds of a workflow job that still runs when its namespace is deleted."""

_NOWHERE = "http://192.0.2.1:9"
"""An address where nobody ever is (RFC 5737)."""

_ENDS = 150.0
"""Seconds for a namespace to end: its running job, lists that show it, and the namespace controller, which
looks again ever later."""


class Deletions(Upgrades):
    """The acts that delete what others would leave."""

    def _serve_a_second_tenant(self) -> None:
        """Another namespace has Secrets of its own, for the same owner, and shares nothing
        else with the first.

        The controller may not read them until the command that the pool names was run there.
        """
        self._values = merged(self._values, {"rbac": {"secrets": {"clusterWide": False}}})
        self._helm.upgrade(self._values, "--wait")
        self._new_tenant("tenant")
        self._run_what_the_pool_says("tenant")
        self._queue(declared=2, tenant=2)
        self._served()
        made = {launch.pool for launch in self._services.truth().launches}
        if f"{TENANT}_tenant" not in made:
            raise StoryError(f"the second tenant's pool launched nothing: {sorted(made)}")
        self._done(
            "a second tenant is served with Secrets of its own beside the first, once its namespace let the controller read them"
        )

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
        """The controller serves all namespaces: it can read no Secret there any more, and
        keeps its rights.
        """
        self._end_tenant("tenant")
        self._done("a namespace was deleted under a running job: the job was done, and nothing is left of it")

    def _lose_a_watched_namespace(self) -> None:
        """The controller serves single namespaces: with one of them its rights there go, and
        the others are served on.
        """
        self._end_tenant("watched")
        self._queue(applied=1)
        self._served()
        if restarts := self._restarts():
            raise StoryError(f"the controller ended over a namespace that is gone: {restarts}")

    # ------------------------------------------------------------------------------------------------ tenants
    def _run_what_the_pool_says(self, name: str) -> None:
        """Do as somebody does who reads why the pool is not ready: paste the command."""

        def current_message() -> str:
            status = self._kubectl.json("-n", TENANT, "get", "rp", name).get("status", {})
            conditions: Sequence[Mapping[str, Any]] = status.get("conditions", ())
            ready = next((one for one in conditions if one["type"] == "Ready"), {})
            return str(ready["message"]) if ready.get("reason") == "SecretForbidden" else ""

        message = until(current_message, "the pool says that its Secrets may not be read")
        self._quote(message)
        program, *words = shlex.split(message.rpartition("run: ")[2])
        if program != "kubectl":
            raise StoryError(
                f"the pool names no command that lets the controller read its Secrets: {message}"
            )
        self._kubectl(*words)
        self._kubectl("-n", TENANT, "wait", "--for=condition=Ready", f"rp/{name}", "--timeout=60s")

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
