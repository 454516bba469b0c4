"""Clients by credentials: opened when first named, and kept while a pool needs them.

A pool names Secrets; everything else names pools' sources and accounts. Here the two meet, so that nobody
else holds a token. A client follows its Secret by itself (:mod:`controller.adapters.credential`): a rotation
is picked up within :data:`controller.adapters.secret_cache.FRESH_FOR` seconds, or at once after a 401.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import httpx
import httpx2

from controller.adapters.credential import Credential, SecretCredential
from controller.adapters.github.client import Client
from controller.adapters.github.connection import GitHubConnection
from controller.adapters.github.credentials import Credentials, credentials_from_secret
from controller.adapters.github.limits import POINTS_PER_MINUTE, Shares
from controller.adapters.huggingface.account import token_from_secret
from controller.adapters.huggingface.flavors import HubHardware
from controller.adapters.huggingface.jobs import HubJobs
from controller.adapters.huggingface.session import open_session
from controller.adapters.secret_cache import SecretCache
from controller.core.endings import NO_ENDINGS, Endings
from controller.core.hosts import DEFAULT_HOSTS, Hosts, Service
from controller.core.model import GitHubSource, HubAccount, SecretRef
from controller.ports import Clock, GitHub, Hardware, Hub, Meter, Secret, Secrets, Unmetered

CLOSING = 5.0
"""Seconds for one client to close: connections that are in the way are dropped by their other side in the
end."""

_log = logging.getLogger(__name__)

OpenGitHub = Callable[[GitHubSource, Credential[Credentials]], GitHub]
OpenHub = Callable[[HubAccount, Credential[str]], Hub]


class SecretConnections:
    """Implements :class:`controller.ports.Connections` over Kubernetes Secrets.

    Args:
        cache: Reads Secrets.
        open_github: Makes the client of a source, which follows its credential.
        open_hub: Likewise, of an account.
        open_hardware: Makes the client of an endpoint, which needs no Secret.
        hosts: To which hosts credentials may be sent: for others no Secret is read. What is sent is judged by
            the clients.
        close_rest: Closes what the clients share, after all of them.
    """

    def __init__(
        self,
        *,
        cache: SecretCache,
        open_github: OpenGitHub,
        open_hub: OpenHub,
        open_hardware: Callable[[str], Hardware],
        hosts: Hosts = DEFAULT_HOSTS,
        close_rest: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._cache = cache
        self._open_github = open_github
        self._open_hub = open_hub
        self._open_hardware = open_hardware
        self._hosts = hosts
        self._close_rest = close_rest
        self._endings = NO_ENDINGS
        self._github: dict[GitHubSource, GitHub] = {}
        self._hub: dict[HubAccount, Hub] = {}

    def github(self, source: GitHubSource) -> GitHub:
        """Return the client of one source."""
        if source not in self._github:
            credential: Credential[Credentials] = SecretCredential(
                ref=source.secret,
                cache=self._cache,
                read=lambda data: credentials_from_secret(data, ref=source.secret),
                refused=lambda: self._hosts.refuses(
                    Service.GITHUB, source.api_url, ending=self.may_end(source)
                ),
            )
            self._github[source] = self._open_github(source, credential)
        return self._github[source]

    def hub(self, account: HubAccount) -> Hub:
        """Return the client of one account."""
        if account not in self._hub:
            credential: Credential[str] = SecretCredential(
                ref=account.secret,
                cache=self._cache,
                read=lambda data: token_from_secret(data, ref=account.secret),
                refused=lambda: self._hosts.refuses(
                    Service.HUB, account.endpoint, ending=self.may_end(account)
                ),
            )
            self._hub[account] = self._open_hub(account, credential)
        return self._hub[account]

    def hardware(self, endpoint: str) -> Hardware:
        """Return the list of one endpoint's hardware."""
        return self._open_hardware(endpoint)

    async def secret(self, ref: SecretRef) -> Secret:
        """Read a Secret."""
        return await self._cache.read(ref)

    def hold(self, secrets: Collection[SecretRef]) -> None:
        """See :class:`controller.ports.Connections`."""
        self._cache.hold(secrets)

    def let_end(self, endings: Endings) -> None:
        """See :class:`controller.ports.Connections`."""
        self._endings = endings

    def may_end(self, whose: GitHubSource | HubAccount) -> bool:
        """Return whether credentials may end, at this moment, what was launched with them at a host that is
        not allowed.
        """
        return whose in self._endings.sources or whose in self._endings.accounts

    async def secret_changed(self, ref: SecretRef) -> bool:
        """See :class:`controller.ports.Connections`."""
        return await self._cache.changed(ref)

    async def keep(self, sources: Collection[GitHubSource], accounts: Collection[HubAccount]) -> None:
        """See :class:`controller.ports.Connections`."""
        gone: list[GitHub | Hub] = [
            *(self._github.pop(source) for source in sorted(set(self._github).difference(sources))),
            *(self._hub.pop(account) for account in sorted(set(self._hub).difference(accounts))),
        ]
        await asyncio.gather(*(_closed(client.close) for client in gone))

    async def close(self) -> None:
        """Close every client, and then what they share. Idempotent."""
        await self.keep((), ())
        if self._close_rest is not None:
            await _closed(self._close_rest)


async def _closed(close: Callable[[], Awaitable[None]]) -> None:
    """Close something; what does not close is logged, and costs nobody else anything."""
    try:
        async with asyncio.timeout(CLOSING):
            await close()
    except Exception as error:  # noqa: BLE001 -- whatever it is, the client is not used again
        _log.warning("A client could not be closed", extra={"detail": type(error).__name__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Transports:
    """What takes the place of the network, for simulations.

    Attributes:
        github: Makes the transport of one source; closed with its client.
        hub: The one of all accounts; closed with the connections.
    """

    github: Callable[[], httpx.AsyncBaseTransport]
    hub: httpx2.AsyncBaseTransport


def open_connections(
    *,
    secrets: Secrets,
    clock: Clock,
    hosts: Hosts = DEFAULT_HOSTS,
    before_send: Callable[[Any], Awaitable[None]],
    meter: Meter | None = None,
    points: Callable[[str], int | None] = lambda _: POINTS_PER_MINUTE,
    transports: Transports | None = None,
) -> SecretConnections:
    """Return the clients for whatever pools name; closing them closes everything that is opened here.

    Args:
        secrets: Reads Secrets.
        clock: Time.
        hosts: To which hosts credentials may be sent.
        before_send: Awaited before each request, of either library; what it raises keeps the request from
            being sent.
        meter: Told of every answer, and of every call of a port that fails.
        points: GitHub's secondary limit per credential at a REST base, in points a minute; None where there
            is none.
        transports: Take the place of the network.
    """
    counts = meter or Unmetered()
    session = open_session(transport=transports.hub if transports else None, before_send=before_send)
    # Shared: making one costs 16 ms and a megabyte.
    tls = None if transports else ssl.create_default_context()
    shares = Shares()  # of GitHub's limits, between Secrets that lead to one installation

    def open_github(source: GitHubSource, credential: Credential[Credentials]) -> GitHub:
        client = Client(
            source=source,
            credential=credential,
            clock=clock,
            transport=transports.github() if transports else None,
            tls=tls,
            shares=shares,
            points_per_minute=points(source.api_url),
            hosts=hosts,
            may_end=lambda: connections.may_end(source),
            meter=lambda answer: counts.answered(source, answer.status),
            failed=lambda reason: counts.failed(source, reason),
            before_send=before_send,
        )
        return GitHubConnection(client)

    def open_hub(account: HubAccount, credential: Credential[str]) -> Hub:
        return HubJobs(
            account=account,
            credential=credential,
            session=session,
            clock=clock,
            meter=lambda status: counts.answered(account, status),
            failed=lambda reason: counts.failed(account, reason),
            hosts=hosts,
            may_end=lambda: connections.may_end(account),
        )

    connections = SecretConnections(
        cache=SecretCache(secrets=secrets, clock=clock),
        open_github=open_github,
        open_hub=open_hub,
        open_hardware=lambda endpoint: HubHardware(
            session=session, endpoint=endpoint, clock=clock, hosts=hosts
        ),
        hosts=hosts,
        close_rest=session.aclose,
    )
    return connections
