"""Clients for the credentials that pools name."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from controller.core.endings import Endings
from controller.core.model import GitHubSource, HubAccount, SecretRef
from controller.ports.github import GitHub
from controller.ports.hub import Hardware, Hub
from controller.ports.kubernetes import Secret


class Connections(Protocol):
    """Clients for whatever credentials a pool names.

    Returned clients read the Secret when they are used, notice when it changed, and raise
    :class:`~controller.ports.errors.UpstreamError` with ``SecretMissing``, ``SecretForbidden`` or
    ``SecretMalformed`` like any other failure: a rotated Secret needs no restart.
    """

    def github(self, source: GitHubSource) -> GitHub:
        """Return the client of one source; the same object each time, so that token, quota
        and cache are shared.
        """

    def hub(self, account: HubAccount) -> Hub:
        """Return the client of one account; the same object each time."""

    def hardware(self, endpoint: str) -> Hardware:
        """Return the list of one endpoint's hardware."""

    async def secret(self, ref: SecretRef) -> Secret:
        """Read a Secret, at most some seconds old."""

    def hold(self, secrets: Collection[SecretRef]) -> None:
        """Go on using what these Secrets, and no others, held last if they can be read no more: only
        pools that leave name them.
        """

    def let_end(self, endings: Endings) -> None:
        """Let these credentials, and no others, end what was launched with them at hosts that
        are not allowed any more.
        """

    async def secret_changed(self, ref: SecretRef) -> bool:
        """Read a Secret now, and return whether it has changed since it was read last; all
        clients use what it holds now.
        """

    async def close_all_except(
        self, sources: Collection[GitHubSource], accounts: Collection[HubAccount]
    ) -> None:
        """Close and forget all other clients, which are opened anew when somebody needs them. Idempotent."""
