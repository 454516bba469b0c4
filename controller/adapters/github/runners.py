"""Registrations: listing, making and removing self-hosted runners (github.md §3)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast

from controller.adapters.counted import counted
from controller.adapters.github.errors import GitHubError, NotFoundError, RejectedError
from controller.adapters.github.fields import Row, listed
from controller.adapters.github.part import Part
from controller.core.model import Observation, Registration, RunnerGroup, Scope
from controller.ports import JitConfig, Removal, UpstreamError

WORK_FOLDER = "_work"
"""GitHub's default."""


_VERSION = re.compile(r"[0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9}")

LONGEST_JIT_CONFIG = 65_536
"""Characters; GitHub's have about 4,500. They travel as an HF secret."""


class GitHubRunners(Part):
    """Implements :class:`controller.ports.Runners`."""

    @counted
    async def registrations(self, scope: Scope) -> Observation[Registration]:
        """List all registrations of a scope."""
        try:
            return await self._list_registrations(scope)
        except GitHubError as error:
            failed = error
        raise await self._accounts.explained(scope, failed)

    @counted
    async def runner_groups(self, scope: Scope) -> Observation[RunnerGroup]:
        """List the runner groups of an organization or enterprise."""
        try:
            return await self._groups.list(scope)
        except GitHubError as error:
            failed = error
        raise await self._accounts.explained(scope, failed)

    @counted
    async def find(self, scope: Scope, name: str) -> Registration | None:
        """Return the registration of exactly this name.

        GitHub filters by the exact name; an old server that does not is read to its end.

        Raises:
            UpstreamError: As any call; ``GitHubListMoved`` when absence could not be shown.
        """
        seen = await self._list_registrations(scope, name=name)
        found = next((r for r in seen.items if r.name == name), None)
        if found is None and seen.failure is not None:
            raise UpstreamError(seen.failure)
        return found

    @counted
    async def register(
        self, scope: Scope, *, name: str, labels: Sequence[str], group: str | None
    ) -> JitConfig:
        """Register a runner; see :meth:`controller.ports.Runners.register`.

        A 404 may mean that the remembered group is gone, and proves that there was no effect: the group is
        then looked up again, and the call repeated once.
        """
        failed: GitHubError
        try:
            return await self._register(scope, name=name, labels=labels, group=group)
        except NotFoundError as error:
            failed = error
        if self._groups.forget(scope):
            try:
                return await self._register(scope, name=name, labels=labels, group=group)
            except NotFoundError as error:
                failed = error
        raise await self._accounts.explained(scope, failed)

    @counted
    async def deregister(self, scope: Scope, runner_id: int) -> Removal:
        """Remove a registration; see :meth:`controller.ports.Runners.deregister`."""
        return await self._deregister(scope, runner_id)

    async def runner_version(self, scope: Scope) -> str | None:
        """Return the newest runner version that GitHub offers for Linux, such as ``2.336.0``, or None for
        none.

        Raises:
            GitHubError: As any call.
        """
        answer = await self._client.call(
            "GET", "{scope}/actions/runners/downloads", read=_linux_version, scope=scope.path
        )
        return cast("str | None", answer.value)

    async def _register(
        self, scope: Scope, *, name: str, labels: Sequence[str], group: str | None
    ) -> JitConfig:
        body = {
            "name": name,
            "runner_group_id": await self._groups.id_of(scope, group),
            "labels": list(labels),
            "work_folder": WORK_FOLDER,
        }
        return await self._client.value(
            "POST",
            "{scope}/actions/runners/generate-jitconfig",
            _jit_config,
            body=body,
            effect=True,
            registration=True,
            scope=scope.path,
        )

    async def _deregister(self, scope: Scope, runner_id: int) -> Removal:
        """Remove a registration.

        GitHub also answers 404 to who lost the right to see the scope, so a 404 counts only where the scope's
        list can be read, and by the same credentials:

        1. The removal is asked for by a token that lost its rights, and answered 404.  2. The Secret is
           rotated.  3. The new token may
        read the list. Taking that for gone would have a busy runner's job cancelled; so the removal is asked
        for again.
        """
        asked_with = await self._client.token()
        try:
            await self._client.call(
                "DELETE", "{scope}/actions/runners/{id}", effect=True, scope=scope.path, id=runner_id
            )
        except NotFoundError:
            pass
        except RejectedError as error:
            if error.status == 422 and _says_busy(error.github_message):
                return Removal.BUSY
            raise
        else:
            return Removal.DONE
        await self._client.call("GET", "{scope}/actions/runners?per_page=1", effect=True, scope=scope.path)
        if self._client.rotated_since(asked_with):
            return await self._deregister(scope, runner_id)
        return Removal.GONE

    async def _list_registrations(
        self, scope: Scope, *, name: str | None = None
    ) -> Observation[Registration]:
        return await self._client.listed(
            "{scope}/actions/runners",
            params={} if name is None else {"name": name},
            rows="runners",
            parse=_registration,
            key=lambda registration: registration.id,
            fresh=name is not None,
            scope=scope.path,
        )


def _says_busy(message: str) -> bool:
    """Tell "is currently running a job" and "is still running a job" (github.md §3.3) from other 422s."""
    return "running a job" in message.lower()


def _registration(row: Row) -> Registration:
    return Registration(
        id=row.id(),
        name=row.name(),
        online=row.word("status") == "online",
        busy=row.flag("busy"),
        labels=row.labels(),
        version=_version(row.name_or_none("version") or ""),
    )


def _version(told: str) -> str:
    """Return a runner's version, which becomes part of paths; empty for anything else."""
    return told if _VERSION.fullmatch(told) else ""


def _jit_config(found: Row) -> JitConfig:
    encoded = found.secret("encoded_jit_config", most=LONGEST_JIT_CONFIG)
    return JitConfig(registration=_registration(found.row("runner")), encoded=encoded)


def _linux_version(found: Any) -> str | None:  # noqa: ANN401 -- JSON
    for row in map(Row, listed(found, "downloads")):
        if (row.word("os"), row.word("architecture")) == ("linux", "x64"):
            version = re.search(r"-([0-9]{1,9}\.[0-9]{1,9}\.[0-9]{1,9})\.tar\.gz\Z", row.name("filename"))
            return version[1] if version else None
    return None
