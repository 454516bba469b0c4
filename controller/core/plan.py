"""The planning pass: everything that is known in, everything to do out.

:func:`plan` is a pure function. It looks at all pools at once, because pools of one namespace share the jobs that they match,
and it acts only on evidence that is complete and newer than our own last effects.

Each pool is judged by the lists that its own credentials brought, and behind a guard of its own: what goes wrong with one
pool, for whatever its services answered, ends that pool's part of the pass and no other's (:attr:`Plan.faults`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from controller.core.demand import match_demand, running_jobs, view_queues
from controller.core.gc import Retire, StrayKey, find_strays, stray_retirements
from controller.core.lifecycle import Track
from controller.core.model import GitHubSource, HFJob, HubAccount, Observation, Pool, WorkflowJob
from controller.core.money import prices
from controller.core.naming import LABEL_POOL_UID, LABEL_RUNNER, label_value
from controller.core.ownership import Marked, find_marked, halves_of, is_of_pool
from controller.core.pool_pass import PoolPass, first_memory
from controller.core.report import Memory, Plan, PlanInput, PoolMemory, PoolReport, Result
from controller.core.runners import find_copies, join_runners


def plan(given: PlanInput) -> Plan:
    """Decide what to do now. Pure: equal inputs give equal plans."""
    usd = prices(given.snapshot.flavors)
    shared = _Shared(given, usd)
    passes: dict[str, PoolPass] = {}
    faults: dict[str, Exception] = {}

    def guarded(pool: Pool, step: Callable[[], None]) -> None:
        """Do one pool's part; a mistake in it ends its pass, and is told."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this pool alone
            faults[pool.uid] = error
            passes.pop(pool.uid, None)

    def learn(pool: Pool) -> None:
        one = shared.begin(pool)
        one.learn_all()
        passes[pool.uid] = one

    for pool in sorted(given.pools, key=lambda p: (p.created_at, p.uid)):
        guarded(pool, lambda pool=pool: learn(pool))  # type: ignore[misc]
    for ours in _by_namespace([one.pool for one in passes.values()]):
        try:
            shared.match(ours, passes)
        except Exception:  # noqa: BLE001 - found by asking each pool alone
            for pool in ours:
                guarded(pool, lambda pool=pool: shared.try_match(pool, passes))  # type: ignore[misc]
            rest = [pool for pool in ours if pool.uid in passes]
            try:
                shared.match(rest, passes)
            except Exception as error:  # noqa: BLE001 - only together do they fail: that concerns their namespace alone
                for pool in rest:
                    faults[pool.uid] = error
                    del passes[pool.uid]
    for one in list(passes.values()):
        guarded(one.pool, one.decide)
    reports: dict[str, PoolReport] = {}
    for uid, one in list(passes.items()):
        guarded(one.pool, lambda uid=uid, one=one: reports.__setitem__(uid, one.report()))  # type: ignore[misc]

    stray_actions, strays, strays_fault = shared.retire_strays()
    memories = {uid: known for uid, known in given.memory.pools.items() if uid in faults}
    memories |= {uid: one.memory for uid, one in passes.items()}
    return Plan(
        actions=[*(action for one in passes.values() for action in one.actions), *stray_actions],
        reports=reports,
        notices=[notice for one in passes.values() for notice in one.notices],
        memory=Memory(pools=memories, strays=strays),
        faults=faults,
        strays_fault=strays_fault,
        switch=given.switch,
    )


class _Shared:
    """What all pools of a pass need: the lists sorted once, and nothing that one pool's lists say of another's runners."""

    def __init__(self, given: PlanInput, usd: Mapping[str, Mapping[str, float]]) -> None:
        self.given, self.usd = given, usd
        self.running = running_jobs(given.snapshot)
        self.marked: Marked = find_marked(given.snapshot, given.in_flight, given.controller_id)
        self._results: dict[str, list[Result]] = defaultdict(list)
        for result in given.results:
            self._results[result.pool_uid].append(result)
        self._ended: dict[tuple[HubAccount, str], list[HFJob]] = defaultdict(list)
        for account, jobs in given.snapshot.ended.items():
            for job in jobs:
                self._ended[account, job.labels.get(LABEL_POOL_UID, "")].append(job)
        self._completed = {
            source: {job.runner_name: job for job in jobs if job.runner_name}
            for source, jobs in given.snapshot.completed.items()
        }

    def begin(self, pool: Pool) -> PoolPass:
        """Return a pool's pass, with its runners joined from its own lists."""
        given = self.given
        memory = given.memory.pools.get(pool.uid) or first_memory(given, pool)
        pool = replace(pool, stopped=given.switch.stops_for(pool.hub.namespace))
        pool, memory = _heed_drain_request(pool, memory, given.now)
        halves = halves_of(pool, self.marked)
        running, served = _of_own_sources(pool, self.running), self._completed_of(pool)
        ended = self._ended_of(pool, memory)
        runners = join_runners(
            pool,
            halves,
            given.snapshot,
            running=running,
            served=served,
            tracks=memory.tracks,
            ended={job.labels[LABEL_RUNNER]: job for job, _ in ended},
            copies=memory.copies,
            now=given.now,
        )
        return PoolPass(
            given,
            pool,
            memory,
            runners=runners,
            running=running,
            completed=served,
            ended=ended,
            copies=find_copies(halves, runners),
            results=self._results.get(pool.uid, ()),
            usd=self.usd.get(pool.hub.endpoint, {}),
        )

    def _completed_of(self, pool: Pool) -> Mapping[str, WorkflowJob]:
        if not self._completed:
            return {}
        if not pool.former:
            return self._completed.get(pool.source, {})
        found: dict[str, WorkflowJob] = {}
        for source in dict.fromkeys(footprint.registrations.source for footprint in pool.footprints):
            found.update(self._completed.get(source, {}))
        return found

    def _ended_of(self, pool: Pool, memory: PoolMemory) -> list[tuple[HFJob, Observation[HFJob] | None]]:
        """Return the pool's HF Jobs that ended since the last pass, with the newest list of the account of each.

        The end of a copy says nothing about its runner.
        """
        found = []
        for account in dict.fromkeys(footprint.account for footprint in pool.footprints):
            view = self.given.snapshot.hf_jobs.get(account)
            for job in self._ended.get((account, label_value(pool.uid)), ()):
                if job.id in memory.copies or not is_of_pool(job, pool.uid):
                    continue
                track = memory.tracks.get(job.labels[LABEL_RUNNER])
                if track is None or track.hf_job_id in ("", job.id):
                    found.append((job, view))
        return found

    def match(self, pools: Sequence[Pool], passes: Mapping[str, PoolPass]) -> None:
        """Share the queued jobs of one namespace out among its pools; may be called again, with fewer of them."""
        for pool in pools:
            passes[pool.uid].demand = view_queues(pool, self.given.snapshot, self.given.now)
        match_demand(
            pools,
            {pool.uid: passes[pool.uid].demand for pool in pools},
            self.given.snapshot,
            room=lambda pool: passes[pool.uid].room(),
            usd_per_second=self.usd,
        )

    def try_match(self, pool: Pool, passes: Mapping[str, PoolPass]) -> None:
        """Ask one pool everything that :meth:`match` asks it among others; raises whatever is wrong with it."""
        self.match([pool], passes)
        passes[pool.uid].room()

    def retire_strays(self) -> tuple[Sequence[Retire], Mapping[StrayKey, Track], Exception | None]:
        """Decide about runners that no pool claims; what goes wrong with them may cost no pool its pass."""
        given = self.given
        try:
            actions, tracks = stray_retirements(
                find_strays(given.pools, self.marked),
                given.snapshot,
                given.memory.strays,
                running=self.running,
                in_flight=self.effects_without_pool(),
                now=given.now,
            )
        except Exception as error:  # noqa: BLE001
            return (), given.memory.strays, error
        return actions, tracks, None

    def effects_without_pool(self) -> set[str]:
        """Return the runners with an effect under way whose pool does not exist."""
        known = {pool.uid for pool in self.given.pools}
        return {
            name for uid, effects in self.marked.in_flight.items() if uid not in known for name in effects
        }


def _by_namespace(pools: Sequence[Pool]) -> list[list[Pool]]:
    found: dict[str, list[Pool]] = defaultdict(list)
    for pool in pools:
        found[pool.key.namespace].append(pool)
    return [found[namespace] for namespace in sorted(found)]


def _of_own_sources(
    pool: Pool, running: Mapping[GitHubSource, Mapping[str, WorkflowJob]]
) -> Mapping[str, WorkflowJob]:
    """Return running jobs by runner, as the pool's own credentials show them, at its former places too."""
    if not pool.former:
        return running.get(pool.source, {})
    found: dict[str, WorkflowJob] = {}
    for footprint in reversed(pool.footprints):
        found.update(running.get(footprint.registrations.source, {}))
    return found


DRAIN_REQUEST_SECONDS = 60.0
"""How long a request to drain a pool holds after it was first seen; who wants more renews it (``hf-runner-controller drain``).

A request that ends by itself cannot keep a pool from serving after whoever asked is gone, and counting from first sight asks no
clock but our own.
"""


def _heed_drain_request(pool: Pool, memory: PoolMemory, now: float) -> tuple[Pool, PoolMemory]:
    """Mark a pool that somebody asks to drain, and remember since when."""
    if not pool.drain_request:
        return pool, memory
    if memory.drain_request != pool.drain_request:
        memory = replace(memory, drain_request=pool.drain_request, drain_requested_at=now)
    asked = now - memory.drain_requested_at < DRAIN_REQUEST_SECONDS
    return (replace(pool, draining=True) if asked else pool), memory
