"""What the recorder keeps, and for how long."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from controller.core.causes import Check
from controller.core.conditions import ConditionType
from controller.core.facts import Fact, Measure
from controller.core.hosts import DEFAULT_HOSTS
from controller.core.model import (
    Footprint,
    GitHubSource,
    HubAccount,
    Pool,
    PoolKey,
    SecretRef,
    Snapshot,
)
from controller.core.passed_over import Wanted
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.text import text
from controller.metrics.recorder import Metrics
from controller.metrics.series import FORGET_AFTER, MOST_GONE
from controller.ports import AccountSight, Alone, SourceSight
from tests.core.build import pool, run_plan, snapshot


class Time:
    def __init__(self) -> None:
        self.now = 1_000.0

    def wall(self) -> float:
        return 1.8e9 + self.now

    def mono(self) -> float:
        return self.now


class NoSights:
    """Observers that have seen nothing."""

    def sources(self) -> Sequence[SourceSight]:
        return ()

    def listed(self) -> Sequence[AccountSight]:
        return ()


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


def test_every_measure_has_a_metric_whose_labels_fit(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(clock=Time())
    several = {Measure.LAUNCH_FAILURE}
    plain = {
        Measure.QUEUE_TO_ONLINE,
        Measure.QUEUE_TO_START,
        Measure.RETRY,
        Measure.VERSION_REFUSED,
    }
    shared = {Measure.ORPHAN}
    for measure in Measure:
        labels = () if measure in plain else ("a", "b") if measure in several else ("a",)
        metrics.measured([Fact(measure, 1.0, None if measure in shared else PoolKey("ci", "t4"), labels)])
    assert caplog.messages == []


def series(metrics: Metrics) -> int:
    return sum(not line.startswith("#") for line in metrics.text().decode().splitlines())


def test_flavors_that_a_spec_no_longer_names_leave_nothing_behind() -> None:
    time = Time()
    metrics = Metrics(clock=time)
    counts = []
    for number in range(40):
        edited = pool(flavors=tuple(f"flavor-{number}-{index}" for index in range(16)))
        metrics.passed(planned(edited), 0.001)
        metrics.measured([Fact(Measure.LAUNCH, 1.0, edited.key, (edited.flavors[0],))])
        counts.append(series(metrics))
        time.now += FORGET_AFTER / 2
    assert max(counts[5:]) == counts[5]


def test_pools_that_come_and_go_faster_than_they_are_forgotten_do_not_fill_the_memory() -> None:
    metrics = Metrics(clock=Time())
    for start in range(0, 3 * MOST_GONE, 1_000):
        names = [PoolKey("mallory", f"p{number}") for number in range(start, start + 1_000)]
        metrics.measured([Fact(Measure.RETRY, 1.0, key) for key in names])
        metrics.passed(planned(), 0.001)
    assert metrics.text().decode().count('namespace="mallory"') == MOST_GONE


@pytest.mark.parametrize("odd", ["\ud800", "\x1b[2J", 'a"} 1\nhfrunners_leader 7', "\u202e", "n" * 5_000])
def test_no_label_makes_the_page_fail_or_says_what_is_not_so(odd: str) -> None:
    metrics = Metrics(clock=Time())
    mine = pool(key=PoolKey("ci", odd), flavors=(odd,))
    metrics.lead(Alone("alone"), NoSights())
    metrics.passed(planned(mine), 0.001)
    metrics.measured([Fact(Measure.LAUNCH, 1.0, mine.key, (odd,))])
    families = {f.name: f for f in text_string_to_metric_families(metrics.text().decode())}
    assert [one.value for one in families["hfrunners_leader"].samples] == [1.0]
    (launched,) = [s for s in families["hfrunners_launches"].samples if s.name.endswith("_total")]
    assert text(launched.labels["flavor"], 1_000) == launched.labels["flavor"]


def test_what_cannot_be_counted_of_one_pool_is_told_and_costs_the_others_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    metrics, bad, good = Metrics(clock=Time()), PoolKey("mallory", "bad"), PoolKey("ci", "t4")
    metrics.measured(
        [
            *(Fact(Measure.COST, -1.0, bad, ("t4-small",)) for _ in range(50)),
            Fact(Measure.COST, 2.0, good, ("t4-small",)),
        ]
    )
    page = metrics.text().decode()
    assert 'hfrunners_cost_usd_total{flavor="t4-small",namespace="ci",pool="t4"} 2.0' in page
    assert 'hfrunners_pool_errors_total{namespace="mallory",part="measure",pool="bad"} 1.0' in page
    assert "hfrunners_reconcile_errors_total 1.0" in page
    assert [one.__dict__["pool"] for one in caplog.records] == ["mallory/bad"]


def test_a_pool_whose_gauges_cannot_be_read_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    metrics, bad, good = Metrics(clock=Time()), own_pool(1), own_pool(2)
    metrics.lead(Alone("alone"), NoSights())
    done = planned(bad, good)
    broken = replace(done.reports[bad.uid], pool=replace(bad, max_runners="many"))  # type: ignore[arg-type]
    metrics.passed(replace(done, reports={**done.reports, bad.uid: broken}), 0.001)
    odd: Any = {ConditionType.READY: "no number"}
    metrics.judged({bad.key: odd, good.key: {ConditionType.READY: True}})
    page = metrics.text().decode()
    assert 'hfrunners_pool_max_runners{namespace="ci",pool="p2"} 4.0' in page
    shown = [line for line in page.splitlines() if line.startswith("hfrunners_pool_condition{")]
    assert shown == ['hfrunners_pool_condition{condition="Ready",namespace="ci",pool="p2"} 1.0']
    assert {one.__dict__["pool"] for one in caplog.records} == {str(bad.key)}


def test_statuses_that_no_standard_knows_share_one_series() -> None:
    metrics = Metrics(clock=Time())
    for status in range(100, 1_000):
        metrics.answered(pool().source, status)
        metrics.answered(pool().hub, status)
    page = metrics.text().decode()
    assert page.count('code="other"') == 2
    assert page.count('code="404"') == 2
    assert page.count("code=") < 200


class Broken:
    """Observers that fail in a way nobody foresaw."""

    def watch(self, pools: Sequence[Pool]) -> bool:
        return False

    def want(
        self,
        wanted: Mapping[GitHubSource, Sequence[Wanted]],
        checks: Mapping[GitHubSource, Sequence[Check]],
    ) -> None:
        """Read nothing."""

    def set_pace(
        self,
        busy: Mapping[Footprint, bool],
        repositories: Mapping[GitHubSource, set[str]],
        runs: Mapping[GitHubSource, set[int]],
    ) -> None:
        pass

    def acknowledge(self, snapshot: Snapshot, *, kept: Collection[tuple[HubAccount, str]] = ()) -> None:
        pass

    def snapshot(self) -> Snapshot:
        raise ZeroDivisionError


async def test_a_pass_that_fails_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    from controller.pools import PoolRegistry
    from controller.reconcile.loop import Reconciler

    metrics = Metrics(clock=Time())
    registry = PoolRegistry(hosts=DEFAULT_HOSTS, changed=lambda: None)
    reconciler = Reconciler(
        registry=registry,
        observatory=Broken(),
        executor=None,  # type: ignore[arg-type] # a pass does not get that far
        intents=None,  # type: ignore[arg-type]
        publisher=None,  # type: ignore[arg-type]
        connections=None,  # type: ignore[arg-type]
        leadership=Alone("alone"),
        clock=Time(),
        controller_id="test",
        token=lambda: "token",
        recorder=metrics,
        wake=asyncio.Event(),
        hosts=DEFAULT_HOSTS,
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
