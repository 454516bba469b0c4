"""One pass after another: snapshot, plan, execute, publish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Protocol

from controller.api.status.build import build_status, faulted_status, rejected_status
from controller.api.status.changes import QUIET
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import Instant
from controller.core.actions import Launch
from controller.core.attention import busy_places, busy_repositories, served_runs, to_look_at
from controller.core.causes import Check
from controller.core.conditions import ConditionType
from controller.core.effects import find_shown
from controller.core.endings import endings
from controller.core.facts import Fact, Seen
from controller.core.hosts import Hosts
from controller.core.intents import unseen_launches
from controller.core.measure import Chronicle
from controller.core.memory import Memory
from controller.core.model import (
    Footprint,
    GitHubSource,
    HubAccount,
    Pool,
    PoolKey,
    Snapshot,
)
from controller.core.money import prices
from controller.core.moved import lives_to_note, note_moved, places_left, places_to_leave
from controller.core.overlap import Overlap, find_overlaps
from controller.core.passed_over import Wanted
from controller.core.plan import Plan, plan
from controller.core.restart import earlier_status_stands
from controller.core.retained import secrets_of_pools_that_leave, unaccounted
from controller.core.stop_switch import NO_SWITCH, StopSwitch
from controller.core.view import PlanInput
from controller.execute.executor import Executor
from controller.execute.intents import IntentLog
from controller.observe.pools import PoolRegistry
from controller.ports import Clock, Leadership
from controller.reconcile.publish import Publisher

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between passes when nothing wakes the loop: deadlines and back-offs are this exact."""

PAUSE = 0.1
"""Seconds between two passes at least, so that a storm of hints becomes one pass."""

Statuses = dict[str, tuple[PoolKey, RunnerPoolStatus]]
"""Statuses by pool uid."""


class Observatory(Protocol):
    """What the loop needs of the observers."""

    def watch(self, pools: Sequence[Pool]) -> bool:
        """Observe what these pools need, and nothing else; return whether that has changed."""

    def heat(
        self,
        busy: Mapping[Footprint, bool],
        repositories: Mapping[GitHubSource, set[str]],
        runs: Mapping[GitHubSource, set[int]],
    ) -> None:
        """Take a hint where to look more often."""

    def look(
        self,
        wanted: Mapping[GitHubSource, Sequence[Wanted]],
        checks: Mapping[GitHubSource, Sequence[Check]],
    ) -> None:
        """Say which workflow jobs should be read by their ids, and which causes looked up, and no others."""

    def snapshot(self) -> Snapshot:
        """Return everything that is known now."""

    def acknowledge(self, snapshot: Snapshot, *, kept: Collection[tuple[HubAccount, str]] = ()) -> None:
        """Drop what a pass has accounted: ended HF Jobs are handed over until then, those to be kept also after it."""


class Recorder(Protocol):
    """Where a pass is measured."""

    def passed(self, done: Plan, seconds: float) -> None:
        """Record one pass."""

    def measured(self, facts: Sequence[Fact]) -> None:
        """Count and time what a pass has seen happen."""

    def judged(self, conditions: Mapping[PoolKey, Mapping[ConditionType, bool]]) -> None:
        """Take over which conditions people see from now on."""

    def intended(self, pool: PoolKey, seconds: float) -> None:
        """Record how long it took to write launches down."""

    def failed_pass(self) -> None:
        """Count a pass, or a writing of statuses, that failed for a fault of ours."""

    def failed_pool(self, pool: PoolKey, part: str) -> None:
        """Count a pool that was left out of a ``part`` of a pass (plan, status or measure) for a fault of ours."""


class Reconciler:
    """Runs passes while this process leads."""

    def __init__(
        self,
        *,
        registry: PoolRegistry,
        observatory: Observatory,
        executor: Executor,
        intents: IntentLog,
        publisher: Publisher,
        leadership: Leadership,
        clock: Clock,
        controller_id: str,
        token: Callable[[], str],
        recorder: Recorder,
        wake: asyncio.Event,
        hosts: Hosts,
        switch: Callable[[], StopSwitch] = lambda: NO_SWITCH,
    ) -> None:
        self._registry = registry
        self._hosts = hosts
        self._switch = switch
        self._observatory = observatory
        self._executor = executor
        self._intents = intents
        self._publisher = publisher
        self._leadership = leadership
        self._clock = clock
        self._controller_id = controller_id
        self._token = token
        self._recorder = recorder
        self._wake = wake
        self._memory = Memory()
        self._start = Instant(mono=clock.mono(), wall=clock.wall())
        self._chronicle = Chronicle(began=self._start.mono)
        self._moved_at: Mapping[tuple[str, Footprint], float] = {}
        self._overlaps: tuple[object, dict[str, tuple[Overlap, ...]]] = (None, {})
        self._publishing: asyncio.Task[None] | None = None
        self.last_plan: Plan | None = None
        self.last_pass_at: float | None = None

    async def run(self) -> None:
        """Pass for ever. A pass that fails is logged and followed by the next one: nothing is lost with it."""
        try:
            while True:
                if self._leadership.holds():
                    try:
                        await self.step()
                    except Exception:
                        self._recorder.failed_pass()
                        log.exception("pass failed", extra={"reason": "InternalError"})
                else:
                    self._stop_publishing()
                await self._rest()
        finally:
            self._stop_publishing()

    async def _rest(self) -> None:
        """Wait for something new, or for the time that nothing may wait longer than."""
        await asyncio.sleep(PAUSE)
        try:
            async with asyncio.timeout(QUIET if self._publisher.pending else INTERVAL):
                await self._wake.wait()
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def step(self) -> Plan:
        """Make one pass."""
        began = self._clock.mono()
        pools = self._registry.pools
        snapshot = self._observatory.snapshot()
        self._intents.begin(self._registry.terms)
        self._intents.keep(pools, self._registry.written_at_first_sight)
        self._executor.forget(find_shown(self._executor.in_flight, snapshot, pools))
        self._executor.look_for(unseen_launches(self._executor.in_flight, snapshot, pools))
        self._executor.forget(self._intents.review(self._executor.in_flight, snapshot))
        self._intents.tidy()
        given = PlanInput(
            pools=pools,
            snapshot=snapshot,
            in_flight=self._executor.in_flight,
            intents=self._intents.for_plan(),
            results=self._executor.take_results(),
            reruns=self._executor.take_reruns(),
            memory=self._memory,
            switch=self._switch(),
            now=began,
            began=self._start.mono,
            wall=self._clock.wall(),
            controller_id=self._controller_id,
            entropy=self._token(),
        )
        done = plan(given)
        # From here on the pass counts: what it accounted must not be accounted again by the next one.
        self._memory = done.memory
        for pool in pools:
            if (fault := done.faults.get(pool.uid)) is not None:
                self._leave_out(pool.key, "plan", fault)
        if done.strays_fault is not None:
            self._recorder.failed_pass()
            log.error(
                "strays left out of a pass",
                exc_info=done.strays_fault,
                extra={"reason": "InternalError"},
            )
        self._observatory.acknowledge(snapshot, kept=unaccounted(done, snapshot, pools))
        self._executor.submit(done.actions)
        for action in done.actions:
            if isinstance(action, Launch):
                self._registry.note_launch(action.pool.uid, self._clock.wall())
        self._note_endings(done, snapshot)
        self._executor.hold(secrets_of_pools_that_leave(self._registry.pools, done))
        self._executor.let_end(
            endings(self._registry.pools, self._hosts, began=self._start.wall, wall=self._clock.wall())
        )
        others = self._observatory.watch(self._registry.pools)
        self._observatory.heat(busy_places(done), busy_repositories(done), served_runs(done))
        self._observatory.look(*to_look_at(done))
        self.last_plan, self.last_pass_at = done, self._clock.mono()
        self._recorder.passed(done, self._clock.mono() - began)
        # The words about it take as long as the API server likes, a thousand first statuses half a minute; no pass waits for
        # them. What changes meanwhile is told by the pass that follows them.
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish(done, snapshot), name="publish")
        await self._publisher.tell(done.notices, {uid: r.pool.key for uid, r in done.reports.items()})
        # Last, so that a mistake in measuring costs figures and nothing else.
        self._tell_what_happened(self._chronicle.follow(given, done))
        if others:
            await self._let_go()
        return done

    async def _let_go(self) -> None:
        """Close what only pools needed that are gone or have moved."""
        places = {place for pool in self._registry.pools for place in pool.footprints}
        await self._executor.keep(places)

    def _leave_out(self, pool: PoolKey, part: str, fault: Exception) -> None:
        """Say that a mistake of ours left a pool out of a part of the pass."""
        self._recorder.failed_pool(pool, part)
        _say_left_out(pool, part, fault)

    def _tell_what_happened(self, seen: Seen) -> None:
        self._recorder.measured(seen.facts)
        for pool, fault in seen.faults.items():  # counted among the facts
            _say_left_out(pool, "measure", fault)
        for start in seen.starts:
            log.info(
                "workflow job started",
                extra={
                    "pool": str(start.pool),
                    "runner": start.runner,
                    "hf_job": start.hf_job_id,
                    "workflow_job": start.workflow_job.id,
                    "repository": start.workflow_job.repository,
                    "waited_seconds": start.waited,
                },
            )

    def _stop_publishing(self) -> None:
        if self._publishing is not None:
            self._publishing.cancel()

    def _note_endings(self, done: Plan, snapshot: Snapshot) -> None:
        """Release what is empty: deleted pools, and footprints of pools that moved."""
        now = Instant(mono=self._clock.mono(), wall=self._clock.wall())
        self._moved_at = note_moved(self._moved_at, [r.pool for r in done.reports.values()], now.mono)
        for uid, report in done.reports.items():
            self._registry.mark_drained(uid, drained=report.drained)
            for place, at in lives_to_note(report, now.wall):
                self._registry.note_life(uid, place, at)
            for place in places_left(
                report,
                snapshot,
                in_flight=self._executor.in_flight.values(),
                open_places={p for p in places_to_leave(report.pool) if self._intents.reaches(uid, p)},
                moved_at=self._moved_at,
                now=now.mono,
                wall=now.wall,
            ):
                self._registry.leave_footprint(uid, place)

    async def _publish(self, done: Plan, snapshot: Snapshot) -> None:
        try:
            await self._publish_statuses(done, snapshot)
        except Exception:
            self._recorder.failed_pass()
            log.exception("statuses not written", extra={"reason": "InternalError"})

    async def _publish_statuses(self, done: Plan, snapshot: Snapshot) -> None:
        usd = prices(snapshot.flavors)
        overlaps = self._find_overlaps(done, usd)
        now = Instant(mono=self._clock.mono(), wall=self._clock.wall())
        statuses: Statuses = {}

        def add(key: PoolKey, uid: str, build: Callable[[RunnerPoolStatus], RunnerPoolStatus]) -> bool:
            """Build one status on the previous one; whatever goes wrong with it keeps nobody else's from being written."""
            try:
                statuses[uid] = (key, build(self._publisher.previous(uid)))
            except Exception as fault:  # noqa: BLE001
                self._leave_out(key, "status", fault)
                return False
            return True

        for uid, report in done.reports.items():
            build = partial(
                build_status,
                report,
                overlaps=overlaps.get(uid, ()),
                usd_per_second=usd.get(report.pool.hub.endpoint, {}),
                start=self._start,
                now=now,
            )
            if not add(report.pool.key, uid, lambda previous, build=build: build(previous=previous)):  # type: ignore[misc]
                # What it said before may be what is wrong with it.
                statuses[uid] = (
                    report.pool.key,
                    faulted_status(report.pool, previous=RunnerPoolStatus(), wall=now.wall),
                )
        for pool in self._registry.pools:
            if pool.uid in done.faults:
                add(
                    pool.key,
                    pool.uid,
                    lambda previous, pool=pool: faulted_status(pool, previous=previous, wall=now.wall),  # type: ignore[misc]
                )
        early = {
            uid
            for uid, report in done.reports.items()
            if earlier_status_stands(
                report,
                generation=self._publisher.previous(uid).observed_generation,
                written=self._publisher.has_spoken(uid),
                running_for=now.mono - self._start.mono,
            )
        }
        for rejected in self._registry.rejected:
            add(
                rejected.key,
                rejected.uid,
                lambda previous, rejected=rejected: rejected_status(  # type: ignore[misc]
                    generation=rejected.generation,
                    message=rejected.message,
                    previous=previous,
                    deleting=rejected.deleting,
                    wall=now.wall,
                    report=done.reports.get(rejected.uid),
                ),
            )
        self._recorder.judged(
            {
                key: (self._publisher.previous(uid) if uid in early else status).truths()
                for uid, (key, status) in statuses.items()
            }
        )
        await self._publisher.publish(statuses, later=early)

    def _find_overlaps(
        self, done: Plan, usd: Mapping[str, Mapping[str, float]]
    ) -> dict[str, tuple[Overlap, ...]]:
        """Compare pools only when pools, their repositories or prices changed: it is quadratic in the worst case."""
        reach = {uid: report.demand.reach for uid, report in done.reports.items()}
        shown = {uid: report.demand.shown for uid, report in done.reports.items()}
        basis = (
            tuple((r.pool.uid, r.pool.generation) for r in done.reports.values()),
            tuple(reach.values()),
            tuple(shown.values()),
            usd,
        )
        if self._overlaps[0] != basis:
            found = find_overlaps([report.pool for report in done.reports.values()], reach, shown, usd)
            self._overlaps = (basis, found)
        return self._overlaps[1]


def _say_left_out(pool: PoolKey, part: str, fault: Exception) -> None:
    about = {"pool": str(pool), "part": part, "reason": "InternalError"}
    log.error("pool left out of a pass", exc_info=fault, extra=about)
