"""Counts and times what happens; one :class:`Metrics` per process, so that tests and replicas share nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
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
from controller.core.measure import Fact, Measure
from controller.core.model import GitHubSource, HubAccount, PoolKey
from controller.core.reasons import Reason
from controller.core.report import Plan, PoolReport
from controller.metrics import catalog
from controller.metrics.catalog import Spec, Type
from controller.metrics.collected import Newest, account, credential
from controller.ports import Clock, Leadership, Release, Sights

FORGET_AFTER = 900.0
"""Seconds for which the counters of a pool, or of credentials, that are gone are still shown: long enough for Prometheus to
see their last values, and an end, so that pools that come and go do not fill the memory."""

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
        Measure.NOTICE: catalog.NOTICES,
        Measure.BILLED: catalog.BILLED_SECONDS,
        Measure.COST: catalog.COST,
    }
)

_DEADLINES = ("scheduling", "registration", "idle", "lifetime")
_LOST_BECAUSE = (
    Reason.PlatformCancelled,
    Reason.RunnerFailed,
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
    Reason.SecretMalformed,
)
_HUB_FAILS_BY = (
    Reason.HubUnauthorized,
    Reason.HubForbidden,
    Reason.HubPaymentRequired,
    Reason.HubRateLimited,
    Reason.HubUnavailable,
    Reason.SecretMissing,
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
        self._series: dict[PoolKey | str, set[tuple[str, tuple[str, ...]]]] = {}
        self._gone_since: dict[PoolKey | str, float] = {}
        self._welcomed: dict[PoolKey, tuple[tuple[str, ...], bool]] = {}
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
        return await asyncio.to_thread(generate_latest, self._registry)

    # ------------------------------------------------------------------------------------------------------------- the passes
    def passed(self, done: Plan, seconds: float) -> None:
        """Record one pass that took ``seconds``."""
        self._newest.plan, self._newest.plan_at = done, self._clock.wall()
        self._add(catalog.PASS_DURATION, (), seconds)
        for report in done.reports.values():
            self._welcome(report)
        self._forget(_owners(done))

    def measured(self, facts: Iterable[Fact]) -> None:
        """Count and time what a pass has seen happen."""
        for fact in facts:
            labels = (fact.pool.namespace, fact.pool.name, *fact.labels) if fact.pool else fact.labels
            self._add(_COUNTED[fact.measure], labels, fact.value, owner=fact.pool)

    def judged(self, statuses: Mapping[str, tuple[PoolKey, Mapping[str, Any]]]) -> None:
        """Take over the statuses, by pool uid, whose conditions are shown."""
        self._newest.statuses = statuses

    def intended(self, pool: PoolKey, seconds: float) -> None:
        """Record that launches of a pool were written down, ``seconds`` after they had been decided on."""
        self._add(catalog.INTENT, (pool.namespace, pool.name), seconds, owner=pool)

    def failed_pass(self) -> None:
        """Count a pass, or a writing of statuses, that failed for a fault of ours."""
        self._add(catalog.RECONCILE_ERRORS, (), 1.0)

    # -------------------------------------------------------------------------------------------------------------- the calls
    def answered(self, who: GitHubSource | HubAccount, status: int) -> None:
        """Count an answer."""
        if isinstance(who, GitHubSource):
            self._add(catalog.GITHUB_REQUESTS, (credential(who), str(status)), 1.0, owner=credential(who))
        else:
            self._add(catalog.HUB_REQUESTS, (account(who), str(status)), 1.0, owner=account(who))

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
        if owner is not None:
            self._series.setdefault(owner, set()).add((spec.name, labels))
        child = instrument.labels(*labels) if labels else instrument
        if isinstance(child, Histogram):
            child.observe(value)
        else:
            child.inc(value)

    def _show(self, owner: PoolKey | str, spec: Spec, labels: tuple[str, ...]) -> None:
        """Let a series appear with 0."""
        self._series.setdefault(owner, set()).add((spec.name, labels))
        self._instruments[spec.name].labels(*labels)

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
        for deadline in _DEADLINES:
            self._show(key, catalog.STUCK, (*labels, deadline))
        for reason in _LOST_BECAUSE:
            self._show(key, catalog.LOST, (*labels, str(reason)))
        for flavor in flavors:
            for reason in _LAUNCHES_FAIL_BY:
                self._show(key, catalog.LAUNCH_FAILURES, (*labels, flavor, str(reason)))

    def _forget(self, present: Collection[PoolKey | str]) -> None:
        """Drop the series of whoever has been gone for :data:`FORGET_AFTER`."""
        now = self._clock.mono()
        for owner in [owner for owner in self._series if owner not in present]:
            if now - self._gone_since.setdefault(owner, now) >= FORGET_AFTER:
                for name, labels in self._series.pop(owner):
                    self._instruments[name].remove(*labels)
                del self._gone_since[owner]
                if isinstance(owner, PoolKey):
                    self._welcomed.pop(owner, None)
        for owner in [owner for owner in self._gone_since if owner in present]:
            del self._gone_since[owner]


def _owners(done: Plan) -> set[PoolKey | str]:
    found: set[PoolKey | str] = set()
    for report in done.reports.values():
        pool = report.pool
        found.add(pool.key)
        for place in (pool.footprint, *pool.former):
            found.add(credential(place.registrations.source))
            found.add(account(place.account))
    return found
