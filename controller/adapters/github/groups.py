"""Runner groups of organizations and enterprises: who may use a runner is decided by the group that it
joins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from controller.adapters.github.answer import LONGEST_MESSAGE
from controller.adapters.github.client import Client
from controller.adapters.github.errors import GitHubError
from controller.adapters.github.fields import Row
from controller.core.groups import named_group
from controller.core.model import Disposition, Failure, Observation, RunnerGroup, Scope, ScopeKind
from controller.core.reasons import Reason
from controller.core.text import text
from controller.ports import UpstreamError

GROUPS_AGE = 600.0
"""Seconds for which looked-up runner groups are believed; a group that turns out to be gone is looked up at
once."""

MISSING_AGE = 30.0
"""Seconds after which a group that was not among them is looked for again."""

REPOSITORY_GROUP = 1
"""Repositories have one group, and this is its id (github.md §3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    credential: int
    looked_at: float
    groups: tuple[RunnerGroup, ...]


class Groups:
    """The runner groups of one source's scopes, remembered for the credentials that saw them."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[Scope, _Known] = {}
        self._looking_up: dict[Scope, asyncio.Lock] = {}

    async def list(self, scope: Scope, *, fresh: bool = False) -> Observation[RunnerGroup]:
        """List the groups of an organization or enterprise: the one place that asks GitHub for them.

        Args:
            scope: Whose.
            fresh: Ask for the whole answer although an unchanged one is known.

        Raises:
            GitHubError: As any call.
        """
        # Asked first: should they be replaced while the list is read, it is looked up once more.
        token, now = await self._client.token(), self._client.clock.mono()
        seen = await self._client.listed(
            "{scope}/actions/runner-groups",
            params={},
            rows="runner_groups",
            parse=_group,
            key=lambda group: group.id,
            fresh=fresh,
            scope=scope.path,
        )
        if seen.complete:
            self._known[scope] = _Known(credential=token.credential, looked_at=now, groups=seen.items)
        return seen

    def forget(self, scope: Scope) -> bool:
        """Drop what is remembered of a scope's groups; return whether anything was."""
        return self._known.pop(scope, None) is not None

    async def id_of(self, scope: Scope, name: str | None) -> int:
        """Return the id of a runner group, or of the default group for None.

        Raises:
            UpstreamError: ``RunnerGroupMissing``, or as any call.
        """
        if scope.kind is ScopeKind.REPOSITORY:
            if name is not None and name.lower() != "default":
                raise _missing(
                    f"a repository has no runner groups, so none called {name!r}: use the owner's URL"
                )
            return REPOSITORY_GROUP
        return (await self.find(scope, name)).id

    async def find(self, scope: Scope, name: str | None, *, younger_than: float = GROUPS_AGE) -> RunnerGroup:
        """Return a runner group of an organization or enterprise, or the default one for None, as it was so
        many seconds ago at most.

        Raises:
            UpstreamError: ``RunnerGroupMissing``, or as any call.
        """
        # One look-up for a whole burst of registrations.
        async with self._looking_up.setdefault(scope, asyncio.Lock()):
            found = named_group(await self._remembered(scope, younger_than=younger_than), name)
            if found is None:  # somebody may have made it since
                groups = await self._remembered(scope, younger_than=MISSING_AGE)
                found = named_group(groups, name)
                if found is None:
                    raise _missing(_none_such(scope, name, groups))
        return found

    async def _remembered(self, scope: Scope, *, younger_than: float) -> Sequence[RunnerGroup]:
        known = self._known.get(scope)
        if known is not None and known.credential != (await self._client.token()).credential:
            known = None  # the new ones may see others
        if known is not None and self._client.clock.mono() - known.looked_at < younger_than:
            return known.groups
        try:
            seen = await self.list(scope, fresh=True)
        except GitHubError:
            if known is None or not known.groups:
                raise
            return known.groups  # old ones do: a registration with a wrong group is refused without an effect
        return seen.items


def _none_such(scope: Scope, name: str | None, groups: Sequence[RunnerGroup]) -> str:
    names = text(", ".join(sorted(group.name for group in groups)), LONGEST_MESSAGE) or "none"
    what = f"runner group {name!r}" if name else "default runner group"
    return f"{scope.kind.value.lower()} {scope.owner} has no {what}; the credentials see: {names}"


def _group(row: Row) -> RunnerGroup:
    restricted = row.flag("restricted_to_workflows", otherwise=False)
    return RunnerGroup(
        id=row.id(),
        name=row.name(),
        default=row.flag("default", otherwise=False),
        visibility=row.word_or_none("visibility") or "",
        allows_public_repositories=row.flag("allows_public_repositories", otherwise=False),
        restricted_to_workflows=restricted,
        workflows=row.names("selected_workflows") if restricted else (),
    )


def _missing(message: str) -> UpstreamError:
    return UpstreamError(
        Failure(
            reason=Reason.RunnerGroupMissing,
            message=f"{message[0].upper()}{message[1:]}.",
            disposition=Disposition.PERSON,
        )
    )
