"""Owners and runner groups: what rarely changes, and is looked up once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from controller.adapters.github.client import Client
from controller.adapters.github.errors import GitHubError, NotFoundError
from controller.adapters.github.pages import parsed
from controller.core.model import Disposition, Failure, Scope, ScopeKind
from controller.core.reasons import Reason
from controller.ports import UpstreamError

GROUPS_AGE = 600.0
"""Seconds for which looked-up runner groups are believed; a group that turns out to be gone is looked up at once."""

REPOSITORY_GROUP = 1
"""Repositories have one group, and this is its id (github.md §3.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    id: int
    name: str
    default: bool


class Accounts:
    """Look-ups of one source, remembered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._personal: dict[str, bool] = {}
        self._groups: dict[Scope, tuple[float, tuple[_Group, ...]]] = {}

    async def is_personal(self, owner: str) -> bool:
        """Return whether an owner is a personal account.

        Raises:
            GitHubError: As any call.
        """
        if owner not in self._personal:
            answer = await self._client.call("GET", "users/{owner}", owner=owner)
            self._personal[owner] = parsed(answer, lambda found: bool(found["type"] == "User"))
        return self._personal[owner]

    async def explained(self, scope: Scope, error: GitHubError) -> GitHubError:
        """Return a better error for a 404 of an organization's route: personal accounts have none of those."""
        if scope.kind is not ScopeKind.ORGANIZATION or not isinstance(error, NotFoundError):
            return error
        try:
            personal = await self.is_personal(scope.owner)
        except UpstreamError:
            return error
        if not personal:
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
        groups = await self._known_groups(scope)
        for group in groups:
            if group.default if name is None else group.name == name:
                return group.id
        for group in groups:  # GitHub keeps names apart by case; people don't
            if name is not None and group.name.lower() == name.lower():
                return group.id
        names = ", ".join(sorted(group.name for group in groups)) or "none"
        raise _missing(f"{scope} has no runner group {name or 'by default'!r}; the credentials see: {names}")

    async def _known_groups(self, scope: Scope) -> tuple[_Group, ...]:
        now = self._client.clock.mono()
        looked_at, groups = self._groups.get(scope, (0.0, ()))
        if scope in self._groups and now - looked_at < GROUPS_AGE:
            return groups
        seen = await self._client.listed(
            "{scope}/actions/runner-groups",
            params={},
            rows="runner_groups",
            parse=_group,
            key=lambda group: group.id,
            fresh=True,
            scope=scope.path,
        )
        self._groups[scope] = now, seen.items
        return seen.items


def _group(row: Any) -> _Group:  # noqa: ANN401 -- JSON
    return _Group(id=int(row["id"]), name=str(row["name"]), default=bool(row.get("default")))


def _missing(message: str) -> UpstreamError:
    return UpstreamError(
        Failure(
            reason=Reason.RunnerGroupMissing,
            message=f"{message[0].upper()}{message[1:]}.",
            disposition=Disposition.PERSON,
        )
    )
