"""All observers: one per source, scope, account and endpoint, shared by every pool that needs it.

Work per look grows with what is observed, not with the number of pools.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

from controller.core.causes import Check
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
    Snapshot,
)
from controller.core.naming import ours
from controller.core.passed_over import Wanted
from controller.core.reasons import Reason
from controller.observe.flavors import FlavorObserver
from controller.observe.hub import INTERVAL, HubObserver
from controller.observe.looks import LookObserver
from controller.observe.observers import Observers
from controller.observe.queue import QueueObserver
from controller.observe.queue_discovery import Patterns
from controller.observe.queue_schedule import Cadence
from controller.observe.scopes import GroupObserver, RegistrationObserver
from controller.observe.secrets import SecretWatch, User
from controller.observe.variables import VariableObserver
from controller.ports import AccountSight, Clock, Connections, SourceSight

GITHUB_INTERVAL, HUB_INTERVAL = Cadence().hot, INTERVAL
"""Seconds between two looks where there is work."""

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
        self._pools_known = pools_known
        cadence, labels = Cadence(hot=github_interval), ours(controller_id)
        self.queues: Observers[GitHubSource, QueueObserver] = Observers(
            lambda source: QueueObserver(
                source=source,
                queue=connections.github(source),
                clock=clock,
                changed=changed,
                cadence=cadence,
            )
        )
        self.single: Observers[GitHubSource, LookObserver] = Observers(
            lambda source: LookObserver(github=connections.github(source), clock=clock, changed=changed)
        )
        self.registrations: Observers[RegistrationScope, RegistrationObserver] = Observers(
            lambda where: RegistrationObserver(
                where=where,
                runners=connections.github(where.source),
                clock=clock,
                changed=changed,
                hot_interval=cadence.hot,
            )
        )
        self.groups: Observers[RegistrationScope, GroupObserver] = Observers(
            lambda where: GroupObserver(
                where=where, runners=connections.github(where.source), clock=clock, changed=changed
            )
        )
        self.accounts: Observers[HubAccount, HubObserver] = Observers(
            lambda account: HubObserver(
                hub=connections.hub(account),
                labels=labels,
                clock=clock,
                interval=hub_interval,
                changed=changed,
            )
        )
        self.endpoints: Observers[str, FlavorObserver] = Observers(
            lambda endpoint: FlavorObserver(
                source=connections.hardware(endpoint), clock=clock, changed=changed
            )
        )
        self.variables: Observers[str, VariableObserver] = Observers(
            lambda _: VariableObserver(connections=connections, clock=clock, changed=changed)
        )
        self.secrets = SecretWatch(connections=connections, clock=clock, users=self._users_of_secrets)
        self._secret_watch: Observers[str, SecretWatch] = Observers(lambda _: self.secrets)
        self._watched: tuple[object, ...] = ()

    # --------------------------------------------------------------------------------------- what is observed
    def watch(self, pools: Sequence[Pool]) -> bool:
        """Observe what these pools need, and nothing else; return whether that has changed.
        Idempotent, and then cheap.
        """
        basis = tuple(
            (
                *(p.uid, p.footprint, p.footprints, p.include, p.exclude, p.runner_group, p.flavors),
                _variables(p),
            )
            for p in pools
        )
        if basis == self._watched:
            return False
        # What could not be followed is tried again in the next pass; taken for followed, it would be
        # nobody's for ever.
        self._watched = basis if self._follow(pools) else ()
        return True

    def _follow(self, pools: Sequence[Pool]) -> bool:
        """Follow what the pools need; return whether all of it is. What cannot be followed
        costs its own pools alone.

        Of a pool whose hosts are refused that is where something of it may live, and nothing else.
        """
        places = [place for pool in pools for place in pool.footprints]
        pools = [pool for pool in pools if pool.refused is None]
        sources = sorted({pool.source for pool in pools})
        whole = self.queues.observe_only(sources)
        whole &= self.single.observe_only(sources)
        patterns: dict[GitHubSource, list[Patterns]] = defaultdict(list)
        for pool in pools:
            patterns[pool.source].append(_patterns(pool))
        for source in sources:
            if source in self.queues:
                self.queues[source].want(patterns[source])
        scopes = sorted({p.registrations for p in places})
        whole &= self.registrations.observe_only(scopes)
        whole &= self._follow_groups(pools)
        accounts = sorted({p.account for p in places})
        whole &= self.accounts.observe_only(accounts)
        whole &= self.endpoints.observe_only(sorted({pool.hub.endpoint for pool in pools}))
        for endpoint, hardware in self.endpoints.items():
            hardware.want({flavor for p in pools if p.hub.endpoint == endpoint for flavor in p.flavors})
        whole &= self._follow_variables(pools)
        whole &= self._secret_watch.observe_only(("Secrets",))
        return whole

    def _users_of_secrets(self) -> list[User]:
        """Return who uses which Secret for lists; a person mends what is wrong with one, and
        waits for that to be seen.
        """
        return [
            *(User(source.secret, queue, queue.needs_a_person) for source, queue in self.queues.items()),
            *(User(w.source.secret, one, _lasting(one.observation)) for w, one in self.registrations.items()),
            *(User(w.source.secret, one, _lasting(one.observation)) for w, one in self.groups.items()),
            *(User(account.secret, one, _lasting(one.observation)) for account, one in self.accounts.items()),
        ]

    def _follow_variables(self, pools: Sequence[Pool]) -> bool:
        """Look at the Secrets that runners of these pools get, by namespace; a pool that
        leaves starts none.
        """
        wanted: dict[str, set[SecretEnv]] = defaultdict(set)
        for pool in pools:
            if _variables(pool):
                wanted[pool.key.namespace].update(_variables(pool))
        whole = self.variables.observe_only(sorted(wanted))
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
        whole = self.groups.observe_only(sorted(named))
        for where, names in named.items():
            if where in self.groups:
                self.groups[where].want(names)
        return whole

    async def close(self) -> None:
        """Stop observing."""
        kinds: tuple[Observers[Any, Any], ...] = (
            self._secret_watch,
            self.queues,
            self.single,
            self.registrations,
            self.groups,
            self.accounts,
            self.endpoints,
            self.variables,
        )
        tasks = [task for kind in kinds for task in kind.cancel()]
        await asyncio.gather(*tasks, return_exceptions=True)

    # ------------------------------------------------------------------------------------------- what is seen
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
        """Drop ended HF Jobs, but for these by account and id, and completed workflow jobs,
        that a pass has accounted.
        """
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

    # ---------------------------------------------------------------------------------------- input
    def launched(self, account: HubAccount, job: HFJob) -> None:
        """Take in an HF Job that was just launched, so that its end is not missed between two lists."""
        if account in self.accounts:
            self.accounts[account].note(job)

    def want(
        self,
        wanted: Mapping[GitHubSource, Sequence[Wanted]],
        checks: Mapping[GitHubSource, Sequence[Check]],
    ) -> None:
        """Set which workflow jobs are read by their ids and which causes are looked up, and no others."""
        for source, observer in self.single.items():
            observer.want(wanted.get(source, ()), checks.get(source, ()))

    def set_pace(
        self,
        busy: Mapping[Footprint, bool],
        repositories: Mapping[GitHubSource, set[str]],
        runs: Mapping[GitHubSource, set[int]],
    ) -> None:
        """Set where lists are asked for more often: where runners may live or are wanted. Only hints.

        Args:
            busy: Whether something lives or is wanted, by place.
            repositories: Those where something waits for us or runs on our runners, by source.
            runs: Ids of runs whose queued jobs a runner that is there, or comes, may take, by source.
        """
        for source, queue in self.queues.items():
            queue.follow(runs.get(source, ()))
        for source, names in repositories.items():
            if source in self.queues:
                self.queues[source].mark_hot(sorted(names))
        scopes: dict[RegistrationScope, bool] = {}
        accounts: dict[HubAccount, bool] = {}
        for place, hot in busy.items():
            scopes[place.registrations] = scopes.get(place.registrations, False) or hot
            accounts[place.account] = accounts.get(place.account, False) or hot
        for scope, hot in scopes.items():
            if scope in self.registrations:
                self.registrations[scope].set_hot(hot=hot)
        for account, hot in accounts.items():
            if account in self.accounts:
                self.accounts[account].set_hot(hot=hot)


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
