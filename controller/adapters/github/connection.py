"""One source's GitHub, put together."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable

import httpx

from controller.adapters.github.accounts import Accounts
from controller.adapters.github.auth import Credentials
from controller.adapters.github.client import Client
from controller.adapters.github.groups import Groups
from controller.adapters.github.inspection import GitHubInspection
from controller.adapters.github.limits import MAX_IN_FLIGHT, POINTS_PER_MINUTE, Shares
from controller.adapters.github.queue import GitHubQueue
from controller.adapters.github.runners import GitHubRunners
from controller.adapters.github.runs import GitHubRuns
from controller.adapters.github.wire import Meter
from controller.adapters.offloop import Workers
from controller.core.hosts import DEFAULT_HOSTS, Hosts
from controller.core.model import GitHubSource
from controller.ports import Clock


class GitHubConnection(GitHubQueue, GitHubRunners, GitHubRuns, GitHubInspection):
    """Implements :class:`controller.ports.GitHub` for one source, and what ``check`` asks beside; needs no start, and :meth:`close` at its end.

    Args:
        source: Host and owner.
        credentials: From :func:`.auth.credentials_from_secret`; a rotated Secret needs a new connection.
        clock: Time.
        transport: Where requests go instead of the network, for simulators; closed with the connection.
        tls: Shared between connections, since making one costs 16 ms and a megabyte; None makes one.
        shares: Limits of accounts, shared between connections: two Secrets of one installation have one quota. None shares with
            nobody.
        workers: Parse large answers; None takes the process's own, or works at once where ``transport`` is given.
        points_per_minute: Bound of the account's pace: 900 on github.com; None where the server has no limits, as a GitHub Enterprise
            Server unless its administrator wants them.
        max_in_flight: Requests of the account at a time.
        hosts: To which hosts requests may go; one to any other fails with ``HostNotAllowed``, unsent.
        may_end: Returns whether requests that only end what was launched may go to the source's host although it is not among them.
        meter: Told of every answer and the seconds that it took.
        before_send: Awaited before each request; what it raises keeps the request from being sent.
    """

    def __init__(
        self,
        *,
        source: GitHubSource,
        credentials: Credentials,
        clock: Clock,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        shares: Shares | None = None,
        workers: Workers | None = None,
        points_per_minute: int | None = POINTS_PER_MINUTE,
        max_in_flight: int = MAX_IN_FLIGHT,
        hosts: Hosts = DEFAULT_HOSTS,
        may_end: Callable[[], bool] = lambda: False,
        meter: Meter | None = None,
        before_send: Callable[[httpx.Request], Awaitable[None]] | None = None,
    ) -> None:
        client = Client(
            source=source,
            credentials=credentials,
            clock=clock,
            transport=transport,
            tls=tls,
            shares=shares,
            workers=workers,
            points_per_minute=points_per_minute,
            max_in_flight=max_in_flight,
            hosts=hosts,
            may_end=may_end,
            meter=meter,
            before_send=before_send,
        )
        accounts, groups = Accounts(client), Groups(client)
        GitHubQueue.__init__(self, client, accounts)
        GitHubRunners.__init__(self, client, accounts, groups)
        GitHubRuns.__init__(self, client)
        GitHubInspection.__init__(self, client, accounts, groups)

    async def close(self) -> None:
        """Close connections. Idempotent."""
        await self._client.close()
