"""One pass after another: snapshot, plan, execute, publish."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from controller.api.status.changes import QUIET
from controller.api.status.values import Instant
from controller.core.actions import Launch
from controller.core.attention import busy_places, busy_repositories, served_runs, to_look_at
from controller.core.effects import find_shown
from controller.core.endings import endings
from controller.core.facts import Seen
from controller.core.hosts import Hosts
from controller.core.intents import unseen_launches
from controller.core.measure import Chronicle
from controller.core.memory import Memory
from controller.core.model import (
    Footprint,
    Snapshot,
)
from controller.core.moved import lives_to_note, note_moved, places_left, places_to_leave
from controller.core.plan import Plan, plan
from controller.core.retained import secrets_of_pools_that_leave, unaccounted
from controller.core.stop_switch import NO_SWITCH, StopSwitch
from controller.core.view import PlanInput
from controller.execute.executor import Executor
from controller.execute.intents import IntentLog
from controller.pools import PoolRegistry
from controller.ports import Clock, Connections, Leadership
from controller.reconcile.faults import log_left_out
from controller.reconcile.protocols import Recorder, SnapshotSource
from controller.reconcile.publish import Publisher
from controller.reconcile.statuses import StatusRound

log = logging.getLogger(__name__)

INTERVAL = 5.0
"""Seconds between passes when nothing wakes the loop: deadlines and back-offs are this exact."""

PAUSE = 0.1
"""Seconds between two passes at least, so that a storm of hints becomes one pass."""


class Reconciler:
    """Runs passes while this process leads."""

    def __init__(
        self,
        *,
        registry: PoolRegistry,
        observatory: SnapshotSource,
        executor: Executor,
        intents: IntentLog,
        publisher: Publisher,
        connections: Connections,
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
        self._connections = connections
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
        self._statuses = StatusRound(
            registry=registry, publisher=publisher, recorder=recorder, clock=clock, start=self._start
        )
        self._publishing: asyncio.Task[None] | None = None
        self.last_plan: Plan | None = None
        self.last_pass_at: float | None = None

    async def run(self) -> None:
        """Pass for ever. A pass that fails is logged and followed by the next one: nothing
        is lost with it.
        """
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
        """Make one pass: take in what is known, plan, and carry it out."""
        given = self._take_in()
        done = plan(given)
        # From here on the pass counts: what it accounted must not be accounted again by the next one.
        self._memory = done.memory
        self._log_faults(given, done)
        self._carry_out(given, done)
        others = self._look_for(done)
        self.last_plan, self.last_pass_at = done, self._clock.mono()
        self._recorder.passed(done, self._clock.mono() - given.now)
        # Statuses take as long as the API server likes, a thousand first ones half a minute; no pass waits
        # for them. What changes meanwhile is written by the pass that follows them.
        if self._publishing is None or self._publishing.done():
            self._publishing = asyncio.create_task(self._publish(done, given.snapshot), name="publish")
        await self._publisher.report(done.notices, {uid: r.pool.key for uid, r in done.reports.items()})
        # Last, so that a mistake in measuring costs figures and nothing else.
        self._record_facts(self._chronicle.follow(given, done))
        if others:
            await self._close_unneeded_clients()
        return done

    def _take_in(self) -> PlanInput:
        """Freeze everything that is known for one plan, without what the lists have proved by now."""
        began = self._clock.mono()
        pools = self._registry.pools
        snapshot = self._observatory.snapshot()
        self._intents.begin(self._registry.terms)
        self._intents.update_pools(pools, self._registry.written_at_first_sight)
        self._executor.forget(find_shown(self._executor.in_flight, snapshot, pools))
        self._executor.look_for(unseen_launches(self._executor.in_flight, snapshot, pools))
        self._executor.forget(self._intents.review(self._executor.in_flight, snapshot))
        self._intents.tidy()
        return PlanInput(
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

    def _log_faults(self, given: PlanInput, done: Plan) -> None:
        for pool in given.pools:
            if (fault := done.faults.get(pool.uid)) is not None:
                self._recorder.failed_pool(pool.key, "plan")
                log_left_out(pool.key, "plan", fault)
        if done.strays_fault is not None:
            self._recorder.failed_pass()
            log.error(
                "strays left out of a pass",
                exc_info=done.strays_fault,
                extra={"reason": "InternalError"},
            )

    def _carry_out(self, given: PlanInput, done: Plan) -> None:
        """Begin the effects; note what was accounted, launched and ended, and what may be
        used to end the rest.
        """
        self._observatory.acknowledge(given.snapshot, kept=unaccounted(done, given.snapshot, given.pools))
        self._executor.submit(done.actions)
        for action in done.actions:
            if isinstance(action, Launch):
                self._registry.note_launch(action.pool.uid, self._clock.wall())
        self._note_endings(done, given.snapshot)
        self._connections.hold(secrets_of_pools_that_leave(self._registry.pools, done))
        self._connections.let_end(
            endings(self._registry.pools, self._hosts, began=self._start.wall, wall=self._clock.wall())
        )

    def _look_for(self, done: Plan) -> bool:
        """Let observers look where it pays from now on; return whether others are needed than before."""
        others = self._observatory.watch(self._registry.pools)
        self._observatory.set_pace(busy_places(done), busy_repositories(done), served_runs(done))
        self._observatory.want(*to_look_at(done))
        return others

    async def _close_unneeded_clients(self) -> None:
        """Close the clients that neither pools nor effects under way need, so that pools
        which go leave nothing open.
        """
        places = {place for pool in self._registry.pools for place in pool.footprints}
        places |= {e.footprint for e in self._executor.in_flight.values() if e.footprint is not None}
        await self._connections.close_all_except(
            {place.registrations.source for place in places}, {place.account for place in places}
        )

    def _record_facts(self, seen: Seen) -> None:
        self._recorder.measured(seen.facts)
        for pool, fault in seen.faults.items():  # counted among the facts
            log_left_out(pool, "measure", fault)
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
            await self._statuses.publish(done, snapshot)
        except Exception:
            self._recorder.failed_pass()
            log.exception("statuses not written", extra={"reason": "InternalError"})
