"""Prometheus metrics of one process, in a registry of its own. Label sets are bounded: never a job's or a runner's id.

What a pool is like now is read from the newest plan when Prometheus asks, so a thousand idle pools cost a pass nothing and a
pool that is gone leaves no series behind.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from controller import __version__
from controller.core.lifecycle import Phase
from controller.core.plan import Launch, Plan

POOL = ("namespace", "pool")


class _NewestPlan(Collector):
    """Gauges of the newest plan."""

    def __init__(self) -> None:
        self.plan: Plan | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield gauges by pool."""
        queue = GaugeMetricFamily(
            "hfrunners_queue_jobs",
            "Queued workflow jobs by the reason that they wait.",
            labels=(*POOL, "reason"),
        )
        runners = GaugeMetricFamily("hfrunners_runners", "Runners by phase.", labels=(*POOL, "phase"))
        rate = GaugeMetricFamily(
            "hfrunners_cost_usd_per_hour", "Estimated cost per hour of billed runners.", labels=POOL
        )
        worst = GaugeMetricFamily(
            "hfrunners_worst_case_usd",
            "What live HF Jobs can still cost if the controller never looks again.",
            labels=POOL,
        )
        reports = self.plan.reports.values() if self.plan else ()
        for report in reports:
            labels = (report.pool.key.namespace, report.pool.key.name)
            phases = Tally(runner.phase for runner in report.runners)
            for phase in Phase:
                runners.add_metric((*labels, str(phase)), phases[phase])
            waiting: Tally[str] = Tally()
            for one in report.waiting:
                waiting[str(one.reason)] += one.count
            for reason, count in sorted(waiting.items()):
                queue.add_metric((*labels, reason), count)
            rate.add_metric(labels, report.usd_per_hour)
            worst.add_metric(labels, report.worst_case_usd)
        yield from (queue, runners, rate, worst)


class Metrics:
    """What is measured; one instance per process, so that tests and replicas share nothing."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._newest = _NewestPlan()
        self._registry.register(self._newest)
        self._pass_seconds = Histogram(
            "hfrunners_pass_duration_seconds",
            "Duration of planning passes in seconds.",
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5),
            registry=self._registry,
        )
        self._launches = Counter(
            "hfrunners_launches_total",
            "Launches that were started.",
            (*POOL, "flavor"),
            registry=self._registry,
        )
        self._notices = Counter(
            "hfrunners_notices_total",
            "Things that people were told, by reason.",
            (*POOL, "reason"),
            registry=self._registry,
        )
        self._registry.register(_Build())

    def passed(self, done: Plan, seconds: float) -> None:
        """Record one pass that took ``seconds``."""
        self._newest.plan = done
        self._pass_seconds.observe(seconds)
        for action in done.actions:
            if isinstance(action, Launch):
                key = action.pool.key
                self._launches.labels(key.namespace, key.name, action.flavor).inc()
        for notice in done.notices:
            report = done.reports.get(notice.pool_uid)
            if report is not None:
                key = report.pool.key
                self._notices.labels(key.namespace, key.name, str(notice.reason)).inc()

    def text(self) -> bytes:
        """Return the page for Prometheus."""
        return generate_latest(self._registry)


class _Build(Collector):
    """Which version runs."""

    def collect(self) -> Iterator[Metric]:
        """Yield the version."""
        yield InfoMetricFamily(
            "hfrunners_build", "Version of the controller.", value={"version": __version__}
        )
