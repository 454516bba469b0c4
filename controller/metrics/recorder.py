"""Counts and times what happens; one :class:`Metrics` per process, so that tests and replicas share nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

from controller.core.describe import describe
from controller.core.facts import DEADLINES, OTHER, Fact, Measure
from controller.core.model import GitHubSource, HubAccount, PoolKey
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.metrics import catalog
from controller.metrics.catalog import Spec, Type
from controller.metrics.collected import Newest, account, credential, label
from controller.ports import Clock, Leadership, Release, Sights

log = logging.getLogger(__name__)

FORGET_AFTER = 900.0
"""Seconds for which the counters of a pool, or of credentials, that are gone are still shown: long enough for Prometheus to
see their last values, and an end, so that pools that come and go do not fill the memory."""

MOST_GONE = 2_000
"""Owners of series that are gone and still shown; of more, those that went first are shown no longer."""

Owner = PoolKey | tuple[PoolKey, str] | str
"""Whose a series is: a pool's, a pool's flavor's (which ends when the spec no longer names it), or a credential's or account's by
its label."""

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


_LOST_BECAUSE = (
    Reason.PlatformCancelled,
    Reason.Terminated,
    Reason.RunnerFailed,
    Reason.EndedAfterJob,
    Reason.EndedUnseen,
    Reason.TimedOut,
    Reason.RunnerLost,
)
_LAUNCHES_FAIL_BY = (
    Reason.FlavorOutOfCapacity,
    Reason.SchedulingDeadline,
    Reason.RegistrationDeadline,
    Reason.RunnerFailed,
)
_GITHUB_FAILS_BY = (
    Reason.GitHubUnauthorized,
    Reason.AppNotInstalled,
    Reason.AppSuspended,
    Reason.PermissionMissing,
    Reason.GitHubRateLimited,
    Reason.GitHubSecondaryLimit,
    Reason.GitHubUnavailable,
    Reason.SecretMissing,
    Reason.SecretForbidden,
    Reason.SecretMalformed,
)
_HUB_FAILS_BY = (
    Reason.HubUnauthorized,
    Reason.HubForbidden,
    Reason.HubPaymentRequired,
    Reason.HubRateLimited,
    Reason.HubUnavailable,
    Reason.SecretMissing,
    Reason.SecretForbidden,
    Reason.SecretMalformed,
)
"""What is shown as 0 from the beginning: a rate misses the increase that makes a series appear."""


class Metrics:
    """What is measured of one process.

    Implements :class:`controller.reconcile.loop.Recorder` and :class:`controller.ports.Meter`.
    """

    def __init__(self, *, clock: Clock, release: Release | None = None) -> None:
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
        self._instruments: dict[str, Counter | Histogram] = {}
        for spec in catalog.ALL:
            match spec.type:
                case Type.COUNTER:
                    self._instruments[spec.name] = Counter(
                        spec.name, spec.help, spec.labels, registry=self._registry
                    )
                case Type.HISTOGRAM:
                    self._instruments[spec.name] = Histogram(
                        spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=self._registry
                    )
                case Type.GAUGE:
                    pass  # collected when asked for
        self._series: dict[Owner, set[tuple[str, tuple[str, ...]]]] = {}
        self._gone_since: dict[Owner, float] = {}
        self._welcomed: dict[PoolKey, tuple[tuple[str, ...], bool]] = {}
        # A thread of its own, and one only: however many ask, the others that the process has stay free for their work.
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="metrics")
        for kind in ("registration", "hf_job"):
            self._add(catalog.ORPHANS, (kind,), 0.0)

    # ----------------------------------------------------------------------------------------------------------- the process
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

    # ------------------------------------------------------------------------------------------------------------- the passes
    def passed(self, done: Plan, seconds: float) -> None:
        """Record one pass that took ``seconds``."""
        self._newest.plan, self._newest.plan_at = done, self._clock.wall()
        self._add(catalog.PASS_DURATION, (), seconds)
        for report in done.reports.values():
            try:
                self._welcome(report)
            except Exception as error:  # noqa: BLE001 - told; one pool's series cost the others none
                self._left_out({report.pool.key: error})
        self._forget(_owners(done))

    def measured(self, facts: Iterable[Fact]) -> None:
        """Count and time what a pass has seen happen; a fact that cannot be costs its own pool this one, and nobody else any."""
        failed: dict[PoolKey | None, Exception] = {}
        for fact in facts:
            labels = (fact.pool.namespace, fact.pool.name, *fact.labels) if fact.pool else fact.labels
            try:
                self._add(_COUNTED[fact.measure], labels, fact.value, owner=fact.pool)
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

    def judged(self, statuses: Mapping[str, tuple[PoolKey, Mapping[str, Any]]]) -> None:
        """Take over the statuses, by pool uid, whose conditions are shown."""
        self._newest.statuses = statuses

    def intended(self, pool: PoolKey, seconds: float) -> None:
        """Record that launches of a pool were written down, ``seconds`` after they had been decided on."""
        self._add(catalog.INTENT, (pool.namespace, pool.name), seconds, owner=pool)

    def failed_pass(self) -> None:
        """Count a pass, or a writing of statuses, that failed for a fault of ours."""
        self._add(catalog.RECONCILE_ERRORS, (), 1.0)

    def failed_pool(self, pool: PoolKey, part: str) -> None:
        """Count a pool that was left out of a ``part`` of a pass (plan, status or measure) for a fault of ours."""
        self.measured([Fact(Measure.FAULT, 1.0, pool, (part,))])

    # -------------------------------------------------------------------------------------------------------------- the calls
    def answered(self, who: GitHubSource | HubAccount, status: int) -> None:
        """Count an answer."""
        if isinstance(who, GitHubSource):
            self._add(catalog.GITHUB_REQUESTS, (credential(who), _code(status)), 1.0, owner=credential(who))
        else:
            self._add(catalog.HUB_REQUESTS, (account(who), _code(status)), 1.0, owner=account(who))

    def failed(self, who: GitHubSource | HubAccount, reason: Reason) -> None:
        """Count a call that failed."""
        if isinstance(who, GitHubSource):
            self._add(catalog.GITHUB_ERRORS, (credential(who), str(reason)), 1.0, owner=credential(who))
        else:
            self._add(catalog.HUB_ERRORS, (account(who), str(reason)), 1.0, owner=account(who))

    # ----------------------------------------------------------------------------------------------------------------- series
    def _add(
        self, spec: Spec, labels: tuple[str, ...], value: float, *, owner: PoolKey | str | None = None
    ) -> None:
        instrument = self._instruments[spec.name]
        child = instrument.labels(*self._named(owner, spec, labels)) if labels else instrument
        if isinstance(child, Histogram):
            child.observe(value)
        else:
            child.inc(value)

    def _show(self, owner: PoolKey | str, spec: Spec, labels: tuple[str, ...]) -> None:
        """Let a series appear with 0."""
        self._instruments[spec.name].labels(*self._named(owner, spec, labels))

    def _named(self, owner: PoolKey | str | None, spec: Spec, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return labels as they are shown, and note whose series they name."""
        shown = tuple(map(label, labels))
        whose: Owner | None = owner
        if isinstance(owner, PoolKey) and "flavor" in spec.labels:
            whose = (owner, labels[spec.labels.index("flavor")])
        if whose is not None:
            self._series.setdefault(whose, set()).add((spec.name, shown))
        return shown

    def _welcome(self, report: PoolReport) -> None:
        """Show what a pool counts before it counts anything: little while it is idle, the rest from its first runner on."""
        pool = report.pool
        key, labels = pool.key, (pool.key.namespace, pool.key.name)
        known = self._welcomed.get(key)
        active = bool(report.runners or report.launching) or (known is not None and known[1])
        if known == (pool.flavors, active):
            return
        self._welcomed[key] = (pool.flavors, active)
        for flavor in pool.flavors:
            for spec in (catalog.LAUNCHES, catalog.FALLBACKS, catalog.BILLED_SECONDS, catalog.COST):
                self._show(key, spec, (*labels, flavor))
        github, hub = credential(pool.source), account(pool.hub)
        for reason in _GITHUB_FAILS_BY:
            self._show(github, catalog.GITHUB_ERRORS, (github, str(reason)))
        for reason in _HUB_FAILS_BY:
            self._show(hub, catalog.HUB_ERRORS, (hub, str(reason)))
        if active:
            self._welcome_runners(key, pool.flavors)

    def _welcome_runners(self, key: PoolKey, flavors: Iterable[str]) -> None:
        labels = (key.namespace, key.name)
        for spec in (
            catalog.QUEUE_TO_ONLINE,
            catalog.QUEUE_TO_START,
            catalog.RETRIES,
            catalog.VERSION_REFUSED,
        ):
            self._show(key, spec, labels)
        for deadline in DEADLINES.values():
            self._show(key, catalog.STUCK, (*labels, deadline))
        for reason in _LOST_BECAUSE:
            self._show(key, catalog.LOST, (*labels, str(reason)))
        for flavor in flavors:
            for reason in _LAUNCHES_FAIL_BY:
                self._show(key, catalog.LAUNCH_FAILURES, (*labels, flavor, str(reason)))

    def _forget(self, present: Collection[Owner]) -> None:
        """Drop the series of whoever has been gone for :data:`FORGET_AFTER`."""
        now = self._clock.mono()
        gone = [owner for owner in self._series if owner not in present]
        for owner in gone:
            self._gone_since.setdefault(owner, now)
        gone.sort(key=self._gone_since.__getitem__)
        for index, owner in enumerate(gone):
            if now - self._gone_since[owner] >= FORGET_AFTER or index < len(gone) - MOST_GONE:
                for name, labels in self._series.pop(owner):
                    self._instruments[name].remove(*labels)
                del self._gone_since[owner]
                if isinstance(owner, PoolKey):
                    self._welcomed.pop(owner, None)
        for owner in [owner for owner in self._gone_since if owner in present]:
            del self._gone_since[owner]


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
