"""What the recorder keeps, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from controller.core.measure import Fact, Measure
from controller.core.model import Footprint, GitHubSource, Pool, PoolKey, SecretRef, Snapshot
from controller.core.reasons import Reason
from controller.core.report import Plan
from controller.metrics.recorder import FORGET_AFTER, Metrics
from tests.core.build import pool, run_plan, snapshot


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def wall(self) -> float:
        return 1.8e9 + self.now

    def mono(self) -> float:
        return self.now


def planned(*pools: Pool) -> Plan:
    return run_plan(pools, snapshot())


def own_pool(number: int) -> Pool:
    """A pool with credentials of its own."""
    base = pool(f"p{number}")
    source = GitHubSource(
        api_url="https://api.github.com", secret=SecretRef("ci", f"app-{number}"), owner="acme"
    )
    return pool(f"p{number}", source=source, hub=base.hub)


def test_a_thousand_pools_that_come_and_go_leave_nothing_behind() -> None:
    time = Time()
    metrics = Metrics(clock=time)
    metrics.passed(planned(), 0.001)
    empty = metrics.text()
    for start in range(0, 1_000, 50):
        pools = [own_pool(number) for number in range(start, start + 50)]
        metrics.passed(planned(*pools), 0.001)
        for one in pools:
            metrics.measured(
                [Fact(Measure.QUEUE_TO_START, 9.0, one.key), Fact(Measure.NOTICE, 1, one.key, ("X",))]
            )
            metrics.answered(one.source, 200)
            metrics.failed(one.source, Reason.GitHubUnavailable)
        time.now += FORGET_AFTER / 2
    assert len(metrics.text()) > 3 * len(empty)
    metrics.passed(planned(), 0.001)
    time.now += FORGET_AFTER
    metrics.passed(planned(), 0.001)
    left = {
        line.split("{")[0]
        for line in metrics.text().decode().splitlines()
        if 'pool="' in line or "app-" in line
    }
    assert left == set()
    assert len(metrics.text().splitlines()) == len(empty.splitlines())


def test_a_pool_that_comes_back_in_time_keeps_its_counts() -> None:
    time = Time()
    metrics = Metrics(clock=time)
    mine = pool()
    for present in (True, False, True, False, True):
        metrics.passed(planned(*([mine] if present else [])), 0.001)
        metrics.measured([Fact(Measure.LAUNCH, 1.0, mine.key, ("t4-small",))] if present else [])
        time.now += FORGET_AFTER * 0.9
    assert (
        'hfrunners_launches_total{flavor="t4-small",namespace="ci",pool="t4"} 3.0' in metrics.text().decode()
    )


def test_every_measure_has_a_metric_whose_labels_fit() -> None:
    metrics = Metrics(clock=Time())
    several = {Measure.LAUNCH_FAILURE}
    plain = {
        Measure.QUEUE_TO_ONLINE,
        Measure.QUEUE_TO_START,
        Measure.RETRY,
        Measure.VERSION_REFUSED,
    }
    shared = {Measure.HF_SCHEDULING, Measure.RUNNER_BOOT, Measure.ORPHAN}
    for measure in Measure:
        labels = () if measure in plain else ("a", "b") if measure in several else ("a",)
        metrics.measured([Fact(measure, 1.0, None if measure in shared else PoolKey("ci", "t4"), labels)])


class Broken:
    """Observers that fail in a way nobody foresaw."""

    def watch(self, pools: Sequence[Pool]) -> None:
        pass

    def heat(self, busy: Mapping[Footprint, bool], repositories: Mapping[GitHubSource, set[str]]) -> None:
        pass

    def acknowledge(self, snapshot: Snapshot) -> None:
        pass

    def snapshot(self) -> Snapshot:
        raise ZeroDivisionError


async def test_a_pass_that_fails_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    from controller.observe.pools import PoolRegistry
    from controller.reconcile.loop import Reconciler
    from controller.sim.engine import AlwaysLeads

    metrics = Metrics(clock=Time())
    registry = PoolRegistry(allow_http=False, changed=lambda: None)
    reconciler = Reconciler(
        registry=registry,
        observatory=Broken(),
        executor=None,  # type: ignore[arg-type] # a pass does not get that far
        intents=None,  # type: ignore[arg-type]
        publisher=None,  # type: ignore[arg-type]
        leadership=AlwaysLeads("alone"),
        clock=Time(),
        controller_id="test",
        token=lambda: "",
        recorder=metrics,
        wake=asyncio.Event(),
    )
    passes = asyncio.create_task(reconciler.run())
    await asyncio.sleep(0)
    passes.cancel()
    await asyncio.wait({passes})
    assert "hfrunners_reconcile_errors_total 1.0" in metrics.text().decode()
    assert "pass failed" in caplog.text


async def test_a_page_may_be_written_while_passes_go_on() -> None:
    time = Time()
    metrics = Metrics(clock=time)
    pages = []
    for number in range(20):
        pages.append(asyncio.create_task(metrics.page()))
        await asyncio.sleep(0)
        metrics.passed(planned(*(own_pool(n) for n in range(number * 10, number * 10 + 10))), 0.001)
        time.now += FORGET_AFTER / 3
    for page in pages:
        assert b"hfrunners_pass_duration_seconds_count" in await page
