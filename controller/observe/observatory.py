"""All observers: one per source, scope, account and endpoint, shared by every pool that needs it.

Work per tick grows with what is observed, not with the number of pools. Each observer runs in a task of its own, so that
one that hangs or fails keeps only what it observes in the dark.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from controller.core.model import (
    Footprint,
    GitHubSource,
    HFJob,
    HubAccount,
    Observation,
    Pool,
    RegistrationScope,
    ScopeKind,
    SecretEnv,
    SecretRef,
    Snapshot,
)
from controller.core.naming import ours
from controller.core.reasons import Reason
from controller.core.suspicion import Check, Wanted
from controller.observe.hub import INTERVAL, FlavorObserver, HubObserver
from controller.observe.looks import LookObserver
from controller.observe.queue import Patterns, QueueObserver
from controller.observe.queue_schedule import Cadence
from controller.observe.scopes import GroupObserver, RegistrationObserver
from controller.observe.variables import VariableObserver
from controller.ports import AccountSight, Clock, Connections, SourceSight

log = logging.getLogger(__name__)

GITHUB_INTERVAL, HUB_INTERVAL = Cadence().hot, INTERVAL
"""Seconds between two looks where there is work."""

RESTART_AFTER = 5.0
"""Seconds before an observer that failed in a way nobody foresaw is started again."""

SECRET_INTERVAL = 5.0
"""Seconds between two reads of a Secret while something fails that a person must mend, perhaps by changing it."""

MOST_SECRETS = 20
"""Secrets that are read in such an interval; of more, those that were not read for the longest."""

_SECRETS = "Secrets"

K = TypeVar("K")


class Observatory:
    """Observes what the pools need, and hands out snapshots."""

    def __init__(
        self,
        *,
        connections: Connections,
        clock: Clock,
        controller_id: str,
        pools_known: Callable[[], bool],
        changed: Callable[[], None],
        github_interval: float = GITHUB_INTERVAL,
        hub_interval: float = HUB_INTERVAL,
    ) -> None:
        """Build an observatory that observes nothing yet.

        Args:
            connections: Clients by credentials.
            clock: Time.
            controller_id: Whose HF Jobs are ours.
            pools_known: Whether every pool of the cluster has been seen.
            changed: Called when something new was seen.
            github_interval: Seconds between two looks at a repository or scope where there is work.
            hub_interval: Seconds between two lists of an account where something lives.
        """
        self._cadence = Cadence(hot=github_interval)
        self._hub_interval = hub_interval
        self._connections = connections
        self._clock = clock
        self._labels = ours(controller_id)
        self._pools_known = pools_known
        self._changed = changed
        self.queues: dict[GitHubSource, QueueObserver] = {}
        self.registrations: dict[RegistrationScope, RegistrationObserver] = {}
        self.groups: dict[RegistrationScope, GroupObserver] = {}
        self.accounts: dict[HubAccount, HubObserver] = {}
        self.endpoints: dict[str, FlavorObserver] = {}
        self.single: dict[GitHubSource, LookObserver] = {}
        self.variables: dict[str, VariableObserver] = {}
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._watched: tuple[object, ...] = ()
        self._secrets_read_at: dict[SecretRef, float] = {}

    # ------------------------------------------------------------------------------------------------- what is observed
    def watch(self, pools: Sequence[Pool]) -> bool:
        """Observe what these pools need, and nothing else; return whether that has changed. Idempotent, and then cheap."""
        basis = tuple(
            (
                *(p.uid, p.footprint, p.footprints, p.include, p.exclude, p.runner_group, p.flavors),
                _variables(p),
            )
            for p in pools
        )
        if basis == self._watched:
            return False
        # What could not be followed is tried again in the next pass; taken for followed, it would be nobody's for ever.
        self._watched = basis if self._follow(pools) else ()
        return True

    def _follow(self, pools: Sequence[Pool]) -> bool:
        """Follow what the pools need; return whether all of it is. What cannot be followed costs its own pools alone.

        Of a pool whose hosts are refused that is where something of it may live, and nothing else.
        """
        places = [place for pool in pools for place in pool.footprints]
        pools = [pool for pool in pools if pool.refused is None]
        sources = sorted({pool.source for pool in pools})
        whole = self._keep(self.queues, sources, self._open_queue)
        whole &= self._keep(self.single, sources, self._open_single)
        patterns: dict[GitHubSource, list[Patterns]] = defaultdict(list)
        for pool in pools:
            patterns[pool.source].append(_patterns(pool))
        for source in sources:
            if source in self.queues:
                self.queues[source].want(patterns[source])
        scopes = sorted({p.registrations for p in places})
        whole &= self._keep(self.registrations, scopes, self._open_registrations)
        whole &= self._follow_groups(pools)
        accounts = sorted({p.account for p in places})
        whole &= self._keep(self.accounts, accounts, self._open_account)
        whole &= self._keep(
            self.endpoints, sorted({pool.hub.endpoint for pool in pools}), self._open_endpoint
        )
        for endpoint, hardware in self.endpoints.items():
            hardware.want({flavor for p in pools if p.hub.endpoint == endpoint for flavor in p.flavors})
        whole &= self._follow_variables(pools)
        if _SECRETS not in self._tasks:
            follow = _supervised(self._follow_secrets, "Secrets")
            self._tasks[_SECRETS] = asyncio.create_task(follow, name="observe:Secrets")
        return whole

    async def _follow_secrets(self) -> None:
        """See at once when a Secret changes that may be why something fails: whoever corrects one waits for it."""
        while True:
            await asyncio.sleep(SECRET_INTERVAL)
            await self.look_at_secrets()

    async def look_at_secrets(self) -> None:
        """Read the Secrets of whatever needs a person, and ask again at once where one has changed."""
        troubled = self._troubled()
        self._secrets_read_at = {ref: self._secrets_read_at.get(ref, -math.inf) for ref in troubled}
        for ref in sorted(troubled, key=lambda ref: (self._secrets_read_at[ref], ref))[:MOST_SECRETS]:
            self._secrets_read_at[ref] = self._clock.mono()
            if await self._connections.secret_changed(ref):
                for observer in self._users(ref):
                    observer.retry()

    def _troubled(self) -> set[SecretRef]:
        failing = {source.secret for source, queue in self.queues.items() if queue.needs_a_person}
        failing |= {w.source.secret for w, seen in self.registrations.items() if _lasting(seen.observation)}
        failing |= {w.source.secret for w, seen in self.groups.items() if _lasting(seen.observation)}
        return failing | {
            account.secret for account, seen in self.accounts.items() if _lasting(seen.observation)
        }

    def _users(
        self, ref: SecretRef
    ) -> list[QueueObserver | RegistrationObserver | GroupObserver | HubObserver]:
        return [
            *(queue for source, queue in self.queues.items() if source.secret == ref),
            *(scope for where, scope in self.registrations.items() if where.source.secret == ref),
            *(scope for where, scope in self.groups.items() if where.source.secret == ref),
            *(hub for account, hub in self.accounts.items() if account.secret == ref),
        ]

    def _follow_variables(self, pools: Sequence[Pool]) -> bool:
        """Look at the Secrets that runners of these pools get, by namespace; a pool that leaves starts none."""
        wanted: dict[str, set[SecretEnv]] = defaultdict(set)
        for pool in pools:
            if _variables(pool):
                wanted[pool.key.namespace].update(_variables(pool))
        whole = self._keep(self.variables, sorted(wanted), self._open_variables)
        for namespace, variables in wanted.items():
            if namespace in self.variables:
                self.variables[namespace].want(variables)
        return whole

    def _follow_groups(self, pools: Sequence[Pool]) -> bool:
        """Look at the runner groups where pools launch now; a repository has none to look at."""
        named: dict[RegistrationScope, set[str]] = defaultdict(set)
        for pool in pools:
            if pool.scope.kind is not ScopeKind.REPOSITORY:
                names = named[pool.footprint.registrations]  # for the default group too, which needs no name
                if pool.runner_group is not None:
                    names.add(pool.runner_group)
        whole = self._keep(self.groups, sorted(named), self._open_groups)
        for where, names in named.items():
            if where in self.groups:
                self.groups[where].want(names)
        return whole

    def _keep(self, known: dict[K, Any], wanted: Iterable[K], opened: Callable[[K], Any]) -> bool:
        """Open what is wanted and close the rest; return whether everything that is wanted is open."""
        whole = True
        keys = dict.fromkeys(
            wanted
        )  # in their order, and found at once: a thousand of each are nothing special
        for key in [key for key in known if key not in keys]:
            del known[key]
            self._tasks.pop((id(known), key)).cancel()
        for key in keys:
            if key not in known:
                try:
                    known[key] = opened(key)
                except Exception:
                    log.exception("cannot be observed", extra={"reason": "InternalError", "detail": str(key)})
                    whole = False
                    continue
                task = asyncio.create_task(_supervised(known[key].run, str(key)), name=f"observe:{key}")
                self._tasks[id(known), key] = task
        return whole

    def _open_queue(self, source: GitHubSource) -> QueueObserver:
        return QueueObserver(
            source=source,
            queue=self._connections.github(source),
            clock=self._clock,
            changed=self._changed,
            cadence=self._cadence,
        )

    def _open_single(self, source: GitHubSource) -> LookObserver:
        return LookObserver(github=self._connections.github(source), clock=self._clock, changed=self._changed)

    def _open_registrations(self, where: RegistrationScope) -> RegistrationObserver:
        return RegistrationObserver(
            where=where,
            runners=self._connections.github(where.source),
            clock=self._clock,
            changed=self._changed,
            hot_interval=self._cadence.hot,
        )

    def _open_groups(self, where: RegistrationScope) -> GroupObserver:
        return GroupObserver(
            where=where,
            runners=self._connections.github(where.source),
            clock=self._clock,
            changed=self._changed,
        )

    def _open_account(self, account: HubAccount) -> HubObserver:
        return HubObserver(
            hub=self._connections.hub(account),
            labels=self._labels,
            clock=self._clock,
            interval=self._hub_interval,
            changed=self._changed,
        )

    def _open_endpoint(self, endpoint: str) -> FlavorObserver:
        hardware = self._connections.hardware(endpoint)
        return FlavorObserver(source=hardware, clock=self._clock, changed=self._changed)

    def _open_variables(self, _: str) -> VariableObserver:
        return VariableObserver(connections=self._connections, clock=self._clock, changed=self._changed)

    async def close(self) -> None:
        """Stop observing."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------------------- what is seen
    def snapshot(self) -> Snapshot:
        """Return everything that is known now."""
        return Snapshot(
            queues={
                (source, repository): seen
                for source, observer in self.queues.items()
                for repository, seen in observer.observations().items()
            },
            registrations=_seen(self.registrations),
            groups=_seen(self.groups),
            hf_jobs=_seen(self.accounts),
            ended={account: observer.ended() for account, observer in self.accounts.items()},
            completed={source: jobs for source, queue in self.queues.items() if (jobs := queue.completed())},
            flavors=_seen(self.endpoints),
            repositories={
                source: seen
                for source, observer in self.queues.items()
                if (seen := observer.repositories()) is not None
            },
            looks={
                (source, job): look
                for source, observer in self.single.items()
                for job, look in observer.looks().items()
            },
            admissions={k: v for one in self.single.values() for k, v in one.admissions().items()},
            versions_ended={k: v for one in self.single.values() for k, v in one.versions_ended().items()},
            variables={ref: s for one in self.variables.values() for ref, s in one.observation.items()},
            token_ends={
                source: end
                for source, observer in self.queues.items()
                if (end := observer.token_end()) is not None
            },
            pools_known=self._pools_known(),
        )

    def acknowledge(self, snapshot: Snapshot, *, kept: Collection[tuple[HubAccount, str]] = ()) -> None:
        """Drop ended HF Jobs, but for these by account and id, and completed workflow jobs, that a pass has accounted."""
        for account, jobs in snapshot.ended.items():
            if account in self.accounts:
                self.accounts[account].acknowledge(job.id for job in jobs if (account, job.id) not in kept)
        for source, completed in snapshot.completed.items():
            if source in self.queues:
                self.queues[source].acknowledge(job.id for job in completed)

    def sources(self) -> list[SourceSight]:
        """Return how well each source is seen at this moment (``Sights``)."""
        return [
            SourceSight(
                source=source,
                poll_age=observer.poll_age(),
                quota=observer.quota(),
                token_end=observer.token_end(),
            )
            for source, observer in self.queues.items()
        ]

    def listed(self) -> list[AccountSight]:
        """Return how old each account's list is at this moment (``Sights``)."""
        return [
            AccountSight(account=account, list_age=observer.list_age())
            for account, observer in self.accounts.items()
        ]

    # ---------------------------------------------------------------------------------------------------- what it is told
    def launched(self, account: HubAccount, job: HFJob) -> None:
        """Take in an HF Job that was just launched, so that its end is not missed between two lists."""
        if account in self.accounts:
            self.accounts[account].note(job)

    def look(
        self,
        wanted: Mapping[GitHubSource, Sequence[Wanted]],
        checks: Mapping[GitHubSource, Sequence[Check]],
    ) -> None:
        """Say which workflow jobs should be read by their ids, and which causes looked up, and no others."""
        for source, observer in self.single.items():
            observer.want(wanted.get(source, ()), checks.get(source, ()))

    def heat(
        self,
        busy: Mapping[Footprint, bool],
        repositories: Mapping[GitHubSource, set[str]],
        runs: Mapping[GitHubSource, set[int]],
    ) -> None:
        """Say where something of ours may live or is wanted: there it pays to look more often. Hints only.

        Args:
            busy: Whether something lives or is wanted, by place.
            repositories: Those where something waits for us or runs on our runners, by source.
            runs: Ids of runs whose queued jobs a runner that is there, or comes, may take, by source.
        """
        for source, queue in self.queues.items():
            queue.follow(runs.get(source, ()))
        for source, names in repositories.items():
            if source in self.queues:
                self.queues[source].keep_hot(sorted(names))
        scopes: dict[RegistrationScope, bool] = {}
        accounts: dict[HubAccount, bool] = {}
        for place, hot in busy.items():
            scopes[place.registrations] = scopes.get(place.registrations, False) or hot
            accounts[place.account] = accounts.get(place.account, False) or hot
        for scope, hot in scopes.items():
            if scope in self.registrations:
                self.registrations[scope].heat(hot=hot)
        for account, hot in accounts.items():
            if account in self.accounts:
                self.accounts[account].heat(hot=hot)


def _lasting(seen: Observation[Any] | None) -> bool:
    """Return whether a person must mend something, perhaps in a Secret."""
    failure = seen.failure if seen is not None else None
    return failure is not None and failure.lasting and failure.reason is not Reason.HostNotAllowed


def _variables(pool: Pool) -> tuple[SecretEnv, ...]:
    return () if pool.leaving else pool.template.secret_env


def _patterns(pool: Pool) -> Patterns:
    if pool.scope.kind is ScopeKind.REPOSITORY:
        return Patterns((f"{pool.scope.owner}/{pool.scope.repository}",))
    return Patterns(pool.include, pool.exclude)


def _seen(observers: Mapping[K, Any]) -> dict[K, Any]:
    return {key: seen for key, observer in observers.items() if (seen := observer.observation) is not None}


async def _supervised(run: Callable[[], Coroutine[Any, Any, None]], name: str) -> None:
    """Run an observer for ever: a bug in one must not stop it for good, nor anybody else at all."""
    while True:
        try:
            await run()
        except Exception:
            log.exception("observer failed", extra={"observer": name, "reason": "InternalError"})
        await asyncio.sleep(RESTART_AFTER)
