"""Gauges that are read when Prometheus asks: from the newest pass, and from whoever looks
at GitHub and the Hub.

A thousand idle pools cost a pass nothing this way, a pool that is gone leaves no series behind, and a replica
that does not lead shows none of another's.
"""

from __future__ import annotations

import logging
from collections import Counter as Tally
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from urllib.parse import urlsplit

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller import __version__
from controller.core.conditions import ConditionType
from controller.core.lifecycle import Phase
from controller.core.model import GitHubSource, HubAccount, PoolKey, SuspicionLevel
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.core.stop_switch import StopSwitch
from controller.core.text import text
from controller.metrics import catalog
from controller.metrics.catalog import Spec
from controller.ports import AccountSight, Clock, Leadership, Quota, RunnerRelease, Sights, SourceSight

log = logging.getLogger(__name__)

MOST_LABEL = 600
"""Characters of a label's value: the longest that people can configure, names of a namespace, a Secret
and a host, have fewer."""

_PHASES = tuple((phase, str(phase)) for phase in Phase)


@lru_cache(maxsize=4_096)
def credential(source: GitHubSource) -> str:
    """Return the label of a source's credentials: ``namespace/secret@host``."""
    return f"{source.secret}@{urlsplit(source.api_url).netloc}"


@lru_cache(maxsize=4_096)
def account(of: HubAccount) -> str:
    """Return the label of a Hub account: ``namespace/secret@hub-namespace``."""
    return f"{of.secret}@{of.namespace}"


@lru_cache(maxsize=16_384)
def label(value: str) -> str:
    """Return a label's value as a page can hold it: one lone surrogate among them would
    make the whole page fail.
    """
    return text(value, MOST_LABEL)


class _Families:
    """The metrics of one scrape."""

    def __init__(self) -> None:
        self._made: dict[str, GaugeMetricFamily] = {}

    def add(self, spec: Spec, labels: tuple[str, ...], value: float) -> None:
        family = self._made.get(spec.name)
        if family is None:
            family = self._made[spec.name] = GaugeMetricFamily(spec.name, spec.help, labels=spec.labels)
        family.add_metric(tuple(map(label, labels)), float(value))

    def all(self) -> Iterator[Metric]:
        yield from self._made.values()


class Newest(Collector):
    """What is so now."""

    def __init__(self, *, clock: Clock, release: RunnerRelease | None) -> None:
        """Build a collector of a process that follows.

        Args:
            clock: Time.
            release: Of actions/runner, that images without a runner download.
        """
        self._clock = clock
        self._release = release
        self.leadership: Leadership | None = None
        self.sights: Sights | None = None
        self._sources: tuple[SourceSight, ...] = ()
        self._accounts: tuple[AccountSight, ...] = ()
        self.plan: Plan | None = None
        self.plan_at = 0.0
        self.conditions: Mapping[PoolKey, Mapping[ConditionType, bool]] = {}

    def look(self) -> None:
        """Take down how old everything is; before :meth:`collect`, and in the event loop,
        whose observers it asks.
        """
        if self.sights is not None:
            self._sources, self._accounts = tuple(self.sights.sources()), tuple(self.sights.listed())

    def collect(self) -> Iterator[Metric]:
        """Yield every gauge that has a value now. May run in another thread: all that it reads is frozen."""
        found = _Families()
        leads = self.leadership is not None and self.leadership.holds()
        found.add(catalog.LEADER, (), float(leads))
        found.add(catalog.BUILD_INFO, (__version__,), 1.0)
        if self._release is not None and self._release.served_until is not None:
            found.add(catalog.VERSION_SERVED_UNTIL, (self._release.version,), self._release.served_until)
        if leads and self.plan is not None:
            found.add(catalog.LAST_PASS, (), self.plan_at)
            _add_switch(found, self.plan.switch)
            for report in self.plan.reports.values():
                try:
                    _add_pool(found, report, now=self._clock.mono())
                except Exception as error:  # noqa: BLE001 - told; one pool's gauges cost the others none
                    _left_out(report.pool.key, error)
            for key, conditions in self.conditions.items():
                try:
                    _add_conditions(found, key, conditions)
                except Exception as error:  # noqa: BLE001 - told, as above
                    _left_out(key, error)
        if leads:
            _add_sources(found, self._sources)
            _add_accounts(found, self._accounts)
        yield from found.all()


def _add_switch(found: _Families, switch: StopSwitch) -> None:
    found.add(catalog.SWITCH_READ, (), float(switch.known and not switch.trouble))
    for account in sorted({stop.account for stop in switch.stops}):
        found.add(catalog.STOPPED, (account or "*",), 1.0)


def _add_pool(found: _Families, report: PoolReport, *, now: float) -> None:
    pool = report.pool
    labels = (pool.key.namespace, pool.key.name)
    phases = Tally(runner.phase for runner in report.runners)
    for phase, name in _PHASES:
        found.add(catalog.RUNNERS, (*labels, name), phases[phase])
    # By the word, not by the entry: several entries may have the same reason.
    counts = {str(Reason.RunnerStarting): 0}
    oldest = {str(Reason.RunnerStarting): 0.0}
    for one in report.waiting:
        reason = str(one.reason)
        counts[reason] = counts.get(reason, 0) + one.count
        oldest[reason] = max(oldest.get(reason, 0.0), one.oldest_wait)
    for reason, count in counts.items():
        found.add(catalog.QUEUE_JOBS, (*labels, reason), count)
        found.add(catalog.QUEUE_OLDEST_WAIT, (*labels, reason), oldest[reason])
    suspected = Tally(str(group.suspicion.level) for group in report.suspected)
    for level in SuspicionLevel:
        found.add(catalog.SUSPICIONS, (*labels, str(level)), suspected[str(level)])
    found.add(catalog.MAX_RUNNERS, labels, pool.max_runners)
    if report.memory.draining_since is not None:
        found.add(catalog.DRAINING, labels, max(0.0, now - report.memory.draining_since))
    found.add(catalog.USD_PER_HOUR, labels, report.usd_per_hour)
    found.add(catalog.WORST_CASE, labels, report.worst_case_usd)


def _left_out(pool: PoolKey, error: Exception) -> None:
    """Tell of a pool whose gauges are not on the page, or not all of them."""
    about = {"pool": str(pool), "reason": str(Reason.InternalError)}
    log.error("gauges of a pool are not shown", exc_info=error, extra=about)


def _add_conditions(found: _Families, pool: PoolKey, conditions: Mapping[ConditionType, bool]) -> None:
    for type_ in ConditionType:
        if type_ in conditions:
            found.add(catalog.CONDITION, (pool.namespace, pool.name, type_), conditions[type_])


def _add_sources(found: _Families, sights: Iterable[SourceSight]) -> None:
    """Add what concerns credentials: of several owners with the same ones, what is worst."""
    ages: dict[str, float] = {}
    quotas: dict[str, Quota] = {}
    ends: dict[str, float] = {}
    for one in sights:
        label = credential(one.source)
        ages[label] = max(ages.get(label, 0.0), one.poll_age)
        if one.token_end is not None:
            ends[label] = min(ends.get(label, one.token_end.at), one.token_end.at)
        if one.quota is not None and (label not in quotas or _share(one.quota) < _share(quotas[label])):
            quotas[label] = one.quota
    for label, age in ages.items():
        found.add(catalog.POLL_AGE, (label,), age)
    for label, end in ends.items():
        found.add(catalog.TOKEN_END, (label,), end)
    for label, quota in quotas.items():
        found.add(catalog.QUOTA_REMAINING, (label,), quota.remaining)
        found.add(catalog.QUOTA_LIMIT, (label,), quota.limit)
        found.add(catalog.QUOTA_RESET, (label,), quota.resets_at)


def _share(quota: Quota) -> float:
    return quota.remaining / quota.limit if quota.limit > 0 else 1.0


def _add_accounts(found: _Families, sights: Iterable[AccountSight]) -> None:
    ages: dict[str, float] = {}
    for one in sights:
        label = account(one.account)
        ages[label] = max(ages.get(label, 0.0), one.list_age)
    for label, age in ages.items():
        found.add(catalog.LIST_AGE, (label,), age)
