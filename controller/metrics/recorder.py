"""Counts and times what happens; one :class:`Metrics` per process, so that tests and
replicas share nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from prometheus_client import CollectorRegistry, disable_created_metrics, generate_latest

from controller.core.conditions import ConditionType
from controller.core.describe import describe
from controller.core.facts import OTHER, Fact, Measure
from controller.core.model import GitHubSource, HubAccount, PoolKey
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.metrics import catalog
from controller.metrics.catalog import Spec
from controller.metrics.collected import Newest, account, credential
from controller.metrics.first_values import FirstValues
from controller.metrics.series import Owner, Series
from controller.ports import Clock, Leadership, RunnerRelease, Sights

log = logging.getLogger(__name__)

_CODES = frozenset(map(int, HTTPStatus))

_COUNTED: Mapping[Measure, Spec] = MappingProxyType(
    {
        Measure.QUEUE_TO_ONLINE: catalog.QUEUE_TO_ONLINE,
        Measure.QUEUE_TO_START: catalog.QUEUE_TO_START,
        Measure.HF_SCHEDULING: catalog.HF_SCHEDULING,
        Measure.RUNNER_BOOT: catalog.RUNNER_BOOT,
        Measure.LAUNCH: catalog.LAUNCHES,
        Measure.LAUNCH_FAILURE: catalog.LAUNCH_FAILURES,
        Measure.FALLBACK: catalog.FALLBACKS,
        Measure.RETRY: catalog.RETRIES,
        Measure.LOST: catalog.LOST,
        Measure.STUCK: catalog.STUCK,
        Measure.VERSION_REFUSED: catalog.VERSION_REFUSED,
        Measure.ORPHAN: catalog.ORPHANS,
        Measure.RETIREMENT: catalog.RETIREMENTS,
        Measure.NOTICE: catalog.NOTICES,
        Measure.BILLED: catalog.BILLED_SECONDS,
        Measure.COST: catalog.COST,
        Measure.FAULT: catalog.POOL_ERRORS,
    }
)


class Metrics:
    """What is measured of one process.

    Implements :class:`controller.reconcile.protocols.Recorder` and :class:`controller.ports.Meter`.
    """

    def __init__(self, *, clock: Clock, release: RunnerRelease | None = None) -> None:
        """Build the metrics of a process that follows.

        Args:
            clock: Time.
            release: Of actions/runner, that images without a runner download.
        """
        disable_created_metrics()  # type: ignore[no-untyped-call] # one more series for every counter, and nothing here asks for it
        self._clock = clock
        self._registry = CollectorRegistry()
        self._newest = Newest(clock=clock, release=release)
        self._registry.register(self._newest)
        self._series = Series(clock=clock, registry=self._registry)
        self._first_values = FirstValues(self._series)
        # A thread of its own, and one only: however many ask, the others that the process has stay
        # free for their work.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
        for kind in ("registration", "hf_job"):
            self._series.add(catalog.ORPHANS, (kind,), 0.0)

    # -------------------------------------------------------------------------------------------- the process
    def lead(self, leadership: Leadership, sights: Sights) -> None:
        """Show the gauges of a term, for as long as it lasts."""
        self._newest.leadership, self._newest.sights = leadership, sights

    def plan(self) -> dict[str, Any]:
        """Return the newest plan for ``/debug/plan``; a follower has none."""
        newest = self._newest
        return describe(newest.plan, age=self._clock.wall() - newest.plan_at)

    def text(self) -> bytes:
        """Return the page for Prometheus."""
        self._newest.look()
        return generate_latest(self._registry)

    async def page(self) -> bytes:
        """Return the same, written in a thread: with a thousand pools at work it takes most of a second."""
        self._newest.look()
        return await asyncio.get_running_loop().run_in_executor(self._writer, generate_latest, self._registry)

    # --------------------------------------------------------------------------------------------- the passes
    def passed(self, done: Plan, seconds: float) -> None:
        """Record one pass that took ``seconds``."""
        self._newest.plan, self._newest.plan_at = done, self._clock.wall()
        self._series.add(catalog.PASS_DURATION, (), seconds)
        for report in done.reports.values():
            try:
                self._first_values.welcome(report)
            except Exception as error:  # noqa: BLE001 - told; one pool's series cost the others none
                self._left_out({report.pool.key: error})
        for owner in self._series.forget(_owners(done)):
            self._first_values.forget(owner)

    def measured(self, facts: Iterable[Fact]) -> None:
        """Count and time what a pass has seen happen; a fact that cannot be costs its own pool this
        one, and nobody else any.
        """
        failed: dict[PoolKey | None, Exception] = {}
        for fact in facts:
            labels = (fact.pool.namespace, fact.pool.name, *fact.labels) if fact.pool else fact.labels
            try:
                self._series.add(_COUNTED[fact.measure], labels, fact.value, owner=fact.pool)
            except Exception as error:  # noqa: BLE001 - told once for each pool, below
                failed[fact.pool] = error
            if fact.measure is Measure.FAULT:
                self.failed_pass()
        self._left_out(failed)

    def _left_out(self, failed: Mapping[PoolKey | None, Exception]) -> None:
        """Tell of pools that could not be measured, or not wholly."""
        for pool, error in failed.items():
            about = {"pool": str(pool or ""), "reason": str(Reason.InternalError)}
            log.error("not measured", exc_info=error, extra=about)
            if pool is None:
                self.failed_pass()
            else:
                self.failed_pool(pool, "measure")

    def judged(self, conditions: Mapping[PoolKey, Mapping[ConditionType, bool]]) -> None:
        """Take over the conditions that are shown; those of which nothing is known are not among them."""
        self._newest.conditions = conditions

    def intended(self, pool: PoolKey, seconds: float) -> None:
        """Record that launches of a pool were written down, ``seconds`` after they had been decided on."""
        self._series.add(catalog.INTENT, (pool.namespace, pool.name), seconds, owner=pool)

    def failed_pass(self) -> None:
        """Count a pass, or a writing of statuses, that failed for a fault of ours."""
        self._series.add(catalog.RECONCILE_ERRORS, (), 1.0)

    def failed_pool(self, pool: PoolKey, part: str) -> None:
        """Count a pool that was left out of a ``part`` of a pass (plan, status or measure)
        for a fault of ours.
        """
        self.measured([Fact(Measure.FAULT, 1.0, pool, (part,))])

    # ---------------------------------------------------------------------------------------------- the calls
    def answered(self, who: GitHubSource | HubAccount, status: int) -> None:
        """Count an answer."""
        if isinstance(who, GitHubSource):
            self._series.add(
                catalog.GITHUB_REQUESTS, (credential(who), _code(status)), 1.0, owner=credential(who)
            )
        else:
            self._series.add(catalog.HUB_REQUESTS, (account(who), _code(status)), 1.0, owner=account(who))

    def failed(self, who: GitHubSource | HubAccount, reason: Reason) -> None:
        """Count a call that failed."""
        if isinstance(who, GitHubSource):
            self._series.add(
                catalog.GITHUB_ERRORS, (credential(who), str(reason)), 1.0, owner=credential(who)
            )
        else:
            self._series.add(catalog.HUB_ERRORS, (account(who), str(reason)), 1.0, owner=account(who))


def _code(status: int) -> str:
    """Return the label of an HTTP status: a server may answer with any three digits."""
    return str(status) if status in _CODES else "other"


def _owners(done: Plan) -> set[Owner]:
    found: set[Owner] = set()
    for report in done.reports.values():
        pool = report.pool
        found.add(pool.key)
        found.update((pool.key, flavor) for flavor in (*pool.flavors, OTHER))
        for place in (pool.footprint, *pool.former):
            found.add(credential(place.registrations.source))
            found.add(account(place.account))
    return found
