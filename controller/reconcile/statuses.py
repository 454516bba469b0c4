"""The statuses that follow from one pass: built, counted, and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from controller.api.status.build import build_status, faulted_status, rejected_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import Instant
from controller.core.model import PoolKey, Snapshot
from controller.core.money import prices
from controller.core.overlap import Overlap, find_overlaps
from controller.core.plan import Plan
from controller.core.restart import earlier_status_stands
from controller.pools import PoolRegistry
from controller.ports import Clock
from controller.reconcile.faults import log_left_out
from controller.reconcile.protocols import Recorder
from controller.reconcile.publish import Publisher

Statuses = dict[str, tuple[PoolKey, RunnerPoolStatus]]
"""Statuses by pool uid."""


class StatusRound:
    """Builds and writes statuses, one pass after the other.

    Args:
        registry: Pools, and objects whose spec is not followed.
        publisher: Writes what is due.
        recorder: Takes over which conditions people see.
        clock: Time.
        start: When this process began.
    """

    def __init__(
        self,
        *,
        registry: PoolRegistry,
        publisher: Publisher,
        recorder: Recorder,
        clock: Clock,
        start: Instant,
    ) -> None:
        self._registry = registry
        self._publisher = publisher
        self._recorder = recorder
        self._clock = clock
        self._start = start
        self._overlaps: tuple[object, dict[str, tuple[Overlap, ...]]] = (None, {})

    async def publish(self, done: Plan, snapshot: Snapshot) -> None:
        """Build the status of every pool, and write those that are due. Takes as long as
        the API server likes.
        """
        now = Instant(mono=self._clock.mono(), wall=self._clock.wall())
        statuses = self._of_reports(done, snapshot, now) | self._of_objects(done, now)
        early = {
            uid
            for uid, report in done.reports.items()
            if earlier_status_stands(
                report,
                generation=self._publisher.previous(uid).observed_generation,
                written=self._publisher.has_published(uid),
                running_for=now.mono - self._start.mono,
            )
        }
        self._recorder.judged(
            {
                key: (self._publisher.previous(uid) if uid in early else status).truths()
                for uid, (key, status) in statuses.items()
            }
        )
        await self._publisher.publish(statuses, later=early)

    def _of_reports(self, done: Plan, snapshot: Snapshot, now: Instant) -> Statuses:
        """Build the statuses of the pools that were planned."""
        usd = prices(snapshot.flavors)
        overlaps = self._find_overlaps(done, usd)
        statuses: Statuses = {}
        for uid, report in done.reports.items():
            status = self._built(
                report.pool.key,
                partial(
                    build_status,
                    report,
                    previous=self._publisher.previous(uid),
                    overlaps=overlaps.get(uid, ()),
                    usd_per_second=usd.get(report.pool.hub.endpoint, {}),
                    start=self._start,
                    now=now,
                ),
            )
            if status is None:  # what it said before may be what is wrong with it
                status = faulted_status(report.pool, previous=RunnerPoolStatus(), wall=now.wall)
            statuses[uid] = (report.pool.key, status)
        return statuses

    def _of_objects(self, done: Plan, now: Instant) -> Statuses:
        """Build the statuses of pools whose plan failed, and of objects whose spec is not followed."""
        statuses: Statuses = {}
        for pool in self._registry.pools:
            if pool.uid in done.faults:
                previous = self._publisher.previous(pool.uid)
                build = partial(faulted_status, pool, previous=previous, wall=now.wall)
                if (status := self._built(pool.key, build)) is not None:
                    statuses[pool.uid] = (pool.key, status)
        for rejected in self._registry.rejected:
            status = self._built(
                rejected.key,
                partial(
                    rejected_status,
                    generation=rejected.generation,
                    message=rejected.message,
                    previous=self._publisher.previous(rejected.uid),
                    deleting=rejected.deleting,
                    wall=now.wall,
                    report=done.reports.get(rejected.uid),
                ),
            )
            if status is not None:
                statuses[rejected.uid] = (rejected.key, status)
        return statuses

    def _built(self, key: PoolKey, build: Callable[[], RunnerPoolStatus]) -> RunnerPoolStatus | None:
        """Build one status; whatever goes wrong with it keeps nobody else's from being written."""
        try:
            return build()
        except Exception as fault:  # noqa: BLE001
            self._recorder.failed_pool(key, "status")
            log_left_out(key, "status", fault)
            return None

    def _find_overlaps(
        self, done: Plan, usd: Mapping[str, Mapping[str, float]]
    ) -> dict[str, tuple[Overlap, ...]]:
        """Compare pools only when pools, their repositories or prices changed: it is
        quadratic in the worst case.
        """
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
