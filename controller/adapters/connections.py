"""Clients by credentials: opened when first used, reopened when their Secret changes.

A pool names Secrets; everything else names pools' sources and accounts. Here the two meet, so that nobody else holds a
token, and a rotated Secret is picked up within :data:`FRESH_FOR` seconds, or at once after a 401. While something fails that a
person must mend, the observatory asks every few seconds whether it was (:meth:`SecretConnections.secret_changed`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Generic, TypeVar

from controller.core.endings import NO_ENDINGS, Endings
from controller.core.hosts import DEFAULT_HOSTS, Hosts, Service
from controller.core.model import (
    Admission,
    Failure,
    GitHubSource,
    HFJob,
    HubAccount,
    Observation,
    Registration,
    RunnerGroup,
    Scope,
    SecretRef,
    TokenEnd,
    WorkflowJob,
)
from controller.core.reasons import Reason
from controller.core.retry import RunRecord
from controller.ports import (
    Clock,
    GitHub,
    Hardware,
    Hub,
    JitConfig,
    JobRead,
    LaunchSpec,
    Meter,
    Quota,
    Removal,
    Repository,
    Run,
    Secret,
    Secrets,
    Unmetered,
    UpstreamError,
)

FRESH_FOR = 30.0
"""Seconds for which a Secret is not read again."""

UNUSED_FOR = 3600.0
"""Seconds after which a Secret that nobody reads any more is forgotten."""

CLOSING = 5.0
"""Seconds for one client to close: connections that are in the way are dropped by their other side in the end."""

_log = logging.getLogger(__name__)

_WITHHELD = frozenset({Reason.SecretMissing, Reason.SecretForbidden, Reason.KubernetesForbidden})
"""Answers to a read of a Secret that is gone, or whose namespace's roles and bindings are."""

_REFUSED = frozenset({Reason.GitHubUnauthorized, Reason.HubUnauthorized, Reason.AppNotInstalled})

ClientT = TypeVar("ClientT", GitHub, Hub)
R = TypeVar("R")


class SecretCache:
    """Secrets, each read at most once per :data:`FRESH_FOR` seconds, by one reader at a time."""

    def __init__(self, *, secrets: Secrets, clock: Clock) -> None:
        self._secrets = secrets
        self._clock = clock
        self._read: dict[SecretRef, tuple[float, Secret]] = {}
        self._locks: dict[SecretRef, asyncio.Lock] = {}
        self._used: dict[SecretRef, float] = {}
        self._held: frozenset[SecretRef] = frozenset()
        self._told: dict[SecretRef, Secret | Reason] = {}

    def hold(self, refs: Collection[SecretRef]) -> None:
        """Say which Secrets only pools name that are leaving: what these held last is used to end what was launched.

        1. Somebody deletes a namespace.  2. Its Secrets and roles go at once.  3. Its pools wait for their runners to end, and to end
        them takes the credentials that were there a moment ago. A pool that is to serve on gets none that were taken away.
        """
        self._held = frozenset(refs)

    async def read(self, ref: SecretRef) -> Secret:
        """Return a Secret; a failure is not kept, so that the next call asks again.

        While Kubernetes is out of reach, what was read last goes on being used: a running pool must not stop for it. So it does
        where a Secret is gone that :meth:`hold` names.
        """
        self._used[ref] = self._clock.mono()
        self._forget()
        async with self._locks.setdefault(ref, asyncio.Lock()):
            known = self._read.get(ref)
            if known is not None and self._clock.mono() - known[0] < FRESH_FOR:
                return known[1]
            try:
                found = await self._secrets.read(ref)
            except UpstreamError as error:
                reason = error.failure.reason
                held = ref in self._held and reason in _WITHHELD
                if known is not None and (held or reason is Reason.KubernetesUnavailable):
                    return known[1]
                if reason is not Reason.KubernetesUnavailable:
                    # So that `changed` sees at its first look that what is there now was not there before.
                    self._told[ref] = reason
                raise
            self._read[ref] = (self._clock.mono(), found)
            return found

    def _forget(self) -> None:
        """Drop what was not read for :data:`UNUSED_FOR` seconds: pools come and go, and their tokens must not stay in memory."""
        unused_since = self._clock.mono() - UNUSED_FOR
        for ref in [ref for ref, used in self._used.items() if used < unused_since]:
            if not self._locks[ref].locked():
                for known in (self._used, self._locks, self._read, self._told):
                    known.pop(ref, None)

    async def changed(self, ref: SecretRef) -> bool:
        """Read a Secret now, and return whether it is another than when it was read last, or was missing, or could not be read.

        What it holds now is used from then on. While Kubernetes cannot be asked, nothing has changed.
        """
        self._used[ref] = self._clock.mono()
        async with self._locks.setdefault(ref, asyncio.Lock()):
            known = self._read.get(ref)
            before = self._told.get(ref, known[1] if known is not None else None)
            found: Secret | Reason
            try:
                found = await self._secrets.read(ref)
            except UpstreamError as error:
                if error.failure.reason is Reason.KubernetesUnavailable:
                    return False
                found = error.failure.reason
            else:
                self._read[ref] = (self._clock.mono(), found)
            self._told[ref] = found
            return before is not None and (before != found or (known is not None and known[1] != found))

    def expire(self, ref: SecretRef) -> None:
        """Read a Secret again at the next call: what it held was refused."""
        known = self._read.get(ref)
        if known is not None:
            self._read[ref] = (float("-inf"), known[1])


class _Reopening(Generic[ClientT]):
    """One client that follows its Secret.

    Args:
        ref: The Secret.
        cache: Reads it.
        open_client: Makes the client of its data.
        failed: Told why a call failed.
        refused: Returns why nothing may be asked there, before the Secret is even read; None where something may.
    """

    def __init__(
        self,
        *,
        ref: SecretRef,
        cache: SecretCache,
        open_client: Callable[[Mapping[str, str]], ClientT],
        failed: Callable[[Reason], None],
        refused: Callable[[], Failure | None],
    ) -> None:
        self._failed = failed
        self._refused = refused
        self._ref = ref
        self._cache = cache
        self._open: Callable[[Mapping[str, str]], ClientT] = open_client
        self._data: Mapping[str, str] | None = None
        self._client: ClientT | None = None
        self._former: ClientT | None = None

    async def call(self, use: Callable[[ClientT], Awaitable[R]]) -> R:
        """Use the client that belongs to the Secret as it is now.

        Credentials that are refused may have been replaced since the Secret was read: then the new ones are used at once, for
        a refusal has no effect. So whoever rotates a Secret before the old token is revoked sees no failure at all.
        """
        try:
            return await self._call(use)
        except UpstreamError as error:
            self._failed(error.failure.reason)
            raise

    async def _call(self, use: Callable[[ClientT], Awaitable[R]]) -> R:
        if (refused := self._refused()) is not None:
            raise UpstreamError(refused)
        data = (await self._cache.read(self._ref)).data
        try:
            return await use(await self._opened(data))
        except UpstreamError as error:
            if error.failure.reason not in _REFUSED:
                raise
            self._cache.expire(self._ref)
            newer = (await self._cache.read(self._ref)).data
            if newer == data:
                raise
        return await use(await self._opened(newer))

    async def _opened(self, data: Mapping[str, str]) -> ClientT:
        if self._client is None or data != self._data:
            opened = self._open(data)
            # Calls may still be under way through the client of the last Secret: it is closed one rotation later.
            spent, self._former = self._former, self._client
            self._client, self._data = opened, data
            if spent is not None:
                await _closed(spent)
        return self._client

    @property
    def client(self) -> ClientT | None:
        """The client, None before its first use."""
        return self._client

    async def close(self) -> None:
        """Close what is open."""
        for client in (self._former, self._client):
            if client is not None:
                await _closed(client)


async def _closed(client: GitHub | Hub) -> None:
    """Close a client; one that does not close is said, and costs nobody else anything."""
    try:
        async with asyncio.timeout(CLOSING):
            await client.close()
    except Exception as error:  # noqa: BLE001 -- whatever it is, the client is not used again
        _log.warning("A client could not be closed", extra={"detail": type(error).__name__})


class SourceClient(GitHub):
    """A source's client behind its Secret."""

    def __init__(self, behind: _Reopening[GitHub]) -> None:
        self._behind = behind

    async def repositories(self, owner: str) -> Observation[Repository]:
        """See :class:`controller.ports.Queue`."""
        return await self._behind.call(lambda github: github.repositories(owner))

    async def runs(self, repository: str, status: str) -> Observation[Run]:
        """See :class:`controller.ports.Queue`."""
        return await self._behind.call(lambda github: github.runs(repository, status))

    async def jobs(self, repository: str, run: Run) -> Observation[WorkflowJob]:
        """See :class:`controller.ports.Queue`."""
        return await self._behind.call(lambda github: github.jobs(repository, run))

    async def job(self, repository: str, job_id: int) -> JobRead:
        """See :class:`controller.ports.Jobs`."""
        return await self._behind.call(lambda github: github.job(repository, job_id))

    async def admission(self, scope: Scope, group: str | None, repository: str) -> Admission:
        """See :class:`controller.ports.Causes`."""
        return await self._behind.call(lambda github: github.admission(scope, group, repository))

    async def version_ended(self, scope: Scope, version: str) -> bool:
        """See :class:`controller.ports.Causes`."""
        return await self._behind.call(lambda github: github.version_ended(scope, version))

    def quota(self) -> Quota | None:
        """See :class:`controller.ports.Queue`."""
        return self._behind.client.quota() if self._behind.client else None

    def token_end(self) -> TokenEnd | None:
        """See :class:`controller.ports.Queue`."""
        return self._behind.client.token_end() if self._behind.client else None

    async def registrations(self, scope: Scope) -> Observation[Registration]:
        """See :class:`controller.ports.Runners`."""
        return await self._behind.call(lambda github: github.registrations(scope))

    async def runner_groups(self, scope: Scope) -> Observation[RunnerGroup]:
        """See :class:`controller.ports.Runners`."""
        return await self._behind.call(lambda github: github.runner_groups(scope))

    async def find(self, scope: Scope, name: str) -> Registration | None:
        """See :class:`controller.ports.Runners`."""
        return await self._behind.call(lambda github: github.find(scope, name))

    async def register(
        self, scope: Scope, *, name: str, labels: Sequence[str], group: str | None
    ) -> JitConfig:
        """See :class:`controller.ports.Runners`."""
        return await self._behind.call(
            lambda github: github.register(scope, name=name, labels=labels, group=group)
        )

    async def deregister(self, scope: Scope, runner_id: int) -> Removal:
        """See :class:`controller.ports.Runners`."""
        return await self._behind.call(lambda github: github.deregister(scope, runner_id))

    async def run(self, repository: str, run_id: int) -> RunRecord | None:
        """See :class:`controller.ports.Runs`."""
        return await self._behind.call(lambda github: github.run(repository, run_id))

    async def rerun_failed(self, repository: str, run_id: int) -> bool:
        """See :class:`controller.ports.Runs`."""
        return await self._behind.call(lambda github: github.rerun_failed(repository, run_id))

    async def close(self) -> None:
        """Close the client behind."""
        await self._behind.close()


class AccountClient(Hub):
    """An account's client behind its Secret."""

    def __init__(self, behind: _Reopening[Hub]) -> None:
        self._behind = behind

    async def live(self, labels: Mapping[str, str]) -> Observation[HFJob]:
        """See :class:`controller.ports.Hub`."""
        return await self._behind.call(lambda hub: hub.live(labels))

    async def find(self, labels: Mapping[str, str]) -> Sequence[HFJob]:
        """See :class:`controller.ports.Hub`."""
        return await self._behind.call(lambda hub: hub.find(labels))

    async def inspect(self, job_id: str) -> HFJob | None:
        """See :class:`controller.ports.Hub`."""
        return await self._behind.call(lambda hub: hub.inspect(job_id))

    async def launch(self, spec: LaunchSpec) -> HFJob:
        """See :class:`controller.ports.Hub`."""
        return await self._behind.call(lambda hub: hub.launch(spec))

    async def cancel(self, job_id: str) -> None:
        """See :class:`controller.ports.Hub`."""
        await self._behind.call(lambda hub: hub.cancel(job_id))

    async def close(self) -> None:
        """Close the client behind."""
        await self._behind.close()


class SecretConnections:
    """Implements :class:`controller.ports.Connections` over Kubernetes Secrets."""

    def __init__(
        self,
        *,
        cache: SecretCache,
        open_github: Callable[[GitHubSource, Mapping[str, str]], GitHub],
        open_hub: Callable[[HubAccount, Mapping[str, str]], Hub],
        open_hardware: Callable[[str], Hardware],
        hosts: Hosts = DEFAULT_HOSTS,
        meter: Meter | None = None,
    ) -> None:
        """Build the directory.

        Args:
            cache: Reads Secrets.
            open_github: Makes a client from a Secret's data; raises ``SecretMalformed``.
            open_hub: Likewise.
            open_hardware: Makes the client of an endpoint, which needs no Secret.
            hosts: To which hosts credentials may be sent: for others no Secret is read. What is sent is judged by the clients.
            meter: Told of every call that fails.
        """
        self._meter = meter or Unmetered()
        self._cache = cache
        self._open_github = open_github
        self._open_hub = open_hub
        self._open_hardware = open_hardware
        self._hosts = hosts
        self._endings = NO_ENDINGS
        self._github: dict[GitHubSource, SourceClient] = {}
        self._hub: dict[HubAccount, AccountClient] = {}

    def github(self, source: GitHubSource) -> GitHub:
        """Return the client of one source."""
        if source not in self._github:
            behind: _Reopening[GitHub] = _Reopening(
                ref=source.secret,
                cache=self._cache,
                open_client=lambda data: self._open_github(source, data),
                failed=lambda reason: self._meter.failed(source, reason),
                refused=lambda: self._hosts.refuses(
                    Service.GITHUB, source.api_url, ending=self.may_end(source)
                ),
            )
            self._github[source] = SourceClient(behind)
        return self._github[source]

    def hub(self, account: HubAccount) -> Hub:
        """Return the client of one account."""
        if account not in self._hub:
            behind: _Reopening[Hub] = _Reopening(
                ref=account.secret,
                cache=self._cache,
                open_client=lambda data: self._open_hub(account, data),
                failed=lambda reason: self._meter.failed(account, reason),
                refused=lambda: self._hosts.refuses(
                    Service.HUB, account.endpoint, ending=self.may_end(account)
                ),
            )
            self._hub[account] = AccountClient(behind)
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
        """Return whether credentials may end, at this moment, what was launched with them at a host that is not allowed."""
        return whose in self._endings.sources or whose in self._endings.accounts

    async def secret_changed(self, ref: SecretRef) -> bool:
        """See :class:`controller.ports.Connections`."""
        return await self._cache.changed(ref)

    async def keep(self, sources: Collection[GitHubSource], accounts: Collection[HubAccount]) -> None:
        """See :class:`controller.ports.Connections`."""
        gone: list[SourceClient | AccountClient] = [
            *(self._github.pop(source) for source in sorted(set(self._github).difference(sources))),
            *(self._hub.pop(account) for account in sorted(set(self._hub).difference(accounts))),
        ]
        await asyncio.gather(*(client.close() for client in gone))

    async def close(self) -> None:
        """Close every client."""
        await self.keep((), ())
