"""Owners: what they are is looked up once."""

from __future__ import annotations

from controller.adapters.github.client import Client
from controller.adapters.github.errors import GitHubError, NotFoundError
from controller.core.model import Disposition, Scope, ScopeKind
from controller.core.reasons import Reason


class Accounts:
    """Look-ups of one source, remembered."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._personal: dict[str, bool] = {}

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
        """Return a better error for a 404 of an organization's route: personal accounts have none of
        those.
        """
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
