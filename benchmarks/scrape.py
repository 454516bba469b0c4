"""What metrics cost: the page, the time to write it, and what a pass spends on measuring.

In milliseconds of processor time, which is what other work of the process waits for: the
page is written in one go.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.fleet import make_fleet
from benchmarks.report import Figure
from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import Instant
from controller.core.facts import Fact, Measure
from controller.core.measure import Chronicle
from controller.core.memory import Memory
from controller.core.plan import plan
from controller.metrics.recorder import Metrics

PASS_SECONDS = 5.0


class _Standing:
    """A clock that stands still."""

    def wall(self) -> float:
        return 0.0

    def mono(self) -> float:
        return 0.0


class _Leads:
    def holds(self) -> bool:
        return True


class _NoSights:
    def sources(self) -> list[None]:
        return []

    def listed(self) -> list[None]:
        return []


def figures(*, quick: bool) -> Iterator[Figure]:
    """Measure idle pools, and pools at work that have served jobs."""
    pools, runs = (10, 2) if quick else (1_000, 5)
    for runners, what in ((0, "idle pools"), (10, f"pools, {pools * 10:,} runners")):
        written, sizes, measured, recorded = _measure(pools, runners, runs)
        name = f"{pools:,} {what}"
        yield Figure(
            what=f"/metrics, {name}", unit="ms", values=written, note="one scrape; written in a thread"
        )
        yield Figure(what=f"/metrics, {name}, size", unit="MB", values=sizes)
        yield Figure(
            what=f"measuring, {name}",
            unit="ms",
            values=[a + b for a, b in zip(measured, recorded, strict=True)],
            note="a pass's facts, and their recording",
        )


def _measure(
    pools: int, runners: int, runs: int
) -> tuple[list[float], list[float], list[float], list[float]]:
    fleet = make_fleet(pools=pools, runners_per_pool=runners, queued_per_pool=2 if runners else 0)
    metrics, chronicle, memory = Metrics(clock=_Standing()), Chronicle(began=-1e9), Memory()
    metrics.lead(_Leads(), _NoSights())  # type: ignore[arg-type] # empty
    written, sizes, measured, recorded = [], [], [], []
    for number in range(runs + 1):
        given = fleet.input(number * PASS_SECONDS, memory)
        done = plan(given)
        memory = done.memory
        began = time.process_time()
        facts = chronicle.follow(given, done).facts
        followed = time.process_time()
        metrics.passed(done, 0.01)
        metrics.measured(facts)
        noted = time.process_time()
        now = Instant(mono=given.now, wall=given.wall)
        if number == 0:
            metrics.judged(
                {
                    report.pool.key: build_status(
                        report,
                        previous=RunnerPoolStatus(),
                        overlaps=(),
                        usd_per_second={},
                        start=now,
                        now=now,
                    ).truths()
                    for report in done.reports.values()
                }
            )
            if runners:
                metrics.measured(
                    [Fact(Measure.QUEUE_TO_START, 9.0, r.pool.key) for r in done.reports.values()]
                )
            continue  # the first pass makes all series
        asked = time.process_time()
        page = metrics.text()
        written.append((time.process_time() - asked) * 1000)
        sizes.append(len(page) / 1e6)
        measured.append((followed - began) * 1000)
        recorded.append((noted - followed) * 1000)
    return written, sizes, measured, recorded
