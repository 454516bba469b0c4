"""Owners and runner groups: what rarely changes, and is looked up once."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass

from controller.adapters.github.answer import LONGEST_MESSAGE
from controller.adapters.github.client import Client
from controller.adapters.github.errors import GitHubError, NotFoundError
from controller.adapters.github.fields import Row
from controller.core.model import Disposition, Failure, Scope, ScopeKind
from controller.core.reasons import Reason
from controller.core.text import text
from controller.ports import UpstreamError

GROUPS_AGE = 600.0
"""Seconds for which looked-up runner groups are believed; a group that turns out to be gone is looked up at once."""

MISSING_AGE = 30.0
"""Seconds after which a group that was not among them is looked for again."""

REPOSITORY_GROUP = 1
"""Repositories have one group, and this is its id (github.md §3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerGroup:
    """A runner group, and who may use its runners.

    Attributes:
        id: GitHub's.
        name: As written.
        default: Runners join it when no group is named.
        selected: Only those that were selected may.
        public: Public repositories may use it too.
        workflows: ``owner/repo/path@ref`` that alone may use it; None for any.
    """

    id: int
    name: str
    default: bool = False
    selected: bool = False
    public: bool = False
    workflows: tuple[str, ...] | None = None


class Accounts:
    """Look-ups of one source, remembered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._personal: dict[str, bool] = {}
        self._groups: dict[Scope, tuple[float, tuple[RunnerGroup, ...]]] = {}
        self._looking_up: dict[Scope, asyncio.Lock] = {}

    def known_personal(self, owner: str) -> bool:
        """Return whether an owner turned out to be a personal account, without asking."""
        return self._personal.get(owner, False)

    async def is_personal(self, owner: str, *, otherwise: GitHubError) -> bool:
        """Return whether an owner is a personal account; asked once, as an account does not change its kind.

        Args:
            owner: Login.
            otherwise: The 404 that made us ask: it is what counts when this cannot be told either.

        Raises:
            GitHubError: ``otherwise``.
        """
        if owner not in self._personal:
            try:
                self._personal[owner] = await self._client.value(
                    "GET", "users/{owner}", lambda found: found.word("type") == "User", owner=owner
                )
            except GitHubError:
                unknown = True
            else:
                unknown = False
            if unknown:
                raise otherwise
        return self._personal[owner]

    async def explained(self, scope: Scope, error: GitHubError) -> GitHubError:
        """Return a better error for a 404 of an organization's route: personal accounts have none of those."""
        if scope.kind is not ScopeKind.ORGANIZATION or not isinstance(error, NotFoundError):
            return error
        if not await self.is_personal(scope.owner, otherwise=error):
            return error
        return NotFoundError(
            f"{scope.owner} is a personal account and has no organization runners: "
            f"use the URL of one repository, such as …/{scope.owner}/NAME.",
            method=error.method,
            url=error.url,
            reason=Reason.PersonalAccount,
            disposition=Disposition.PERSON,
        )

    def forget_groups(self, scope: Scope) -> bool:
        """Drop what is remembered of a scope's groups; return whether anything was."""
        return self._groups.pop(scope, None) is not None

    async def group_id(self, scope: Scope, name: str | None) -> int:
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
        return (await self.group(scope, name)).id

    async def group(self, scope: Scope, name: str | None, *, younger_than: float = GROUPS_AGE) -> RunnerGroup:
        """Return a runner group of an organization or enterprise, or the default one for None, as it was so many seconds ago at most.

        Raises:
            UpstreamError: ``RunnerGroupMissing``, or as any call.
        """
        # One look-up for a whole burst of registrations.
        async with self._looking_up.setdefault(scope, asyncio.Lock()):
            found = _pick(await self._known_groups(scope, younger_than=younger_than), name)
            if found is None:  # somebody may have made it since
                groups = await self._known_groups(scope, younger_than=MISSING_AGE)
                found = _pick(groups, name)
                if found is None:
                    names = text(", ".join(sorted(group.name for group in groups)), LONGEST_MESSAGE) or "none"
                    what = f"runner group {name!r}" if name else "default runner group"
                    raise _missing(f"{scope} has no {what}; the credentials see: {names}")
        return found

    async def _known_groups(self, scope: Scope, *, younger_than: float) -> tuple[RunnerGroup, ...]:
        now = self._client.clock.mono()
        looked_at, groups = self._groups.get(scope, (-math.inf, ()))
        if now - looked_at < younger_than:
            return groups
        try:
            seen = await self._client.listed(
                "{scope}/actions/runner-groups",
                params={},
                rows="runner_groups",
                parse=_group,
                key=lambda group: group.id,
                fresh=True,
                scope=scope.path,
            )
        except GitHubError:
            if not groups:
                raise
            return groups  # old ones do: a registration with a wrong group is refused without an effect
        self._groups[scope] = now, seen.items
        return seen.items


def _pick(groups: Sequence[RunnerGroup], name: str | None) -> RunnerGroup | None:
    """Return the group of this name, the default one for None; case decides only between several."""
    if name is None:
        return next((group for group in groups if group.default), None)
    exact = [group for group in groups if group.name == name]
    alike = [group for group in groups if group.name.lower() == name.lower()]
    return next(iter(exact + alike), None)


def _group(row: Row) -> RunnerGroup:
    visibility = row.word_or_none("visibility")
    restricted = row.flag("restricted_to_workflows", otherwise=False)
    return RunnerGroup(
        id=row.id(),
        name=row.name(),
        default=row.flag("default", otherwise=False),
        selected=visibility == "selected",
        public=row.flag("allows_public_repositories", otherwise=False) and visibility != "private",
        workflows=row.names("selected_workflows") if restricted else None,
    )


def _missing(message: str) -> UpstreamError:
    return UpstreamError(
        Failure(
            reason=Reason.RunnerGroupMissing,
            message=f"{message[0].upper()}{message[1:]}.",
            disposition=Disposition.PERSON,
        )
    )
