"""What a spec says against itself is told with what to write instead."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.values import Instant
from controller.core.contradictions import contradictions, duration
from controller.core.model import Deadlines, Pool, PoolKey, RunnerTemplate
from tests.core.build import NOW, SERVER, pool, run_plan, snapshot

USUAL = Deadlines()


def within(**deadlines: float) -> Pool:
    return pool(deadlines=replace(USUAL, **deadlines))


def told(of: Pool) -> list[str]:
    return [".".join(one.at) for one in contradictions(of)]


@pytest.mark.parametrize(
    ("of", "at"),
    [
        (within(lifetime=300), ["spec.deadlines.lifetime"]),
        (within(lifetime=301), []),
        (within(lifetime=600, registration=900), ["spec.deadlines.lifetime"]),
        (within(idle=59), ["spec.deadlines.idle"]),
        (within(idle=60), []),
        (within(scheduling=59), ["spec.deadlines.scheduling"]),
        (within(scheduling=60), []),
        (within(registration=29), ["spec.deadlines.registration"]),
        (within(registration=30), []),
        (replace(within(lifetime=1_199), min_idle=1), ["spec.minIdle"]),
        (replace(within(lifetime=1_200), min_idle=1), []),
        (within(lifetime=1_199), []),
        (pool(labels=("linux", "self-hosted")), ["spec.labels"]),
        (pool(labels=("gpu", "linux", "self-hosted")), []),
        (pool(key=PoolKey("ci", "a" * 64)), ["metadata.name"]),
        (pool(key=PoolKey("ci", "a" * 63)), []),
        (pool(key=PoolKey("ci", "a.b")), ["metadata.name"]),
        (pool(template=RunnerTemplate(image="mcr.microsoft.com/windows/nanoserver:1809")), ["spec.image"]),
        (pool(template=RunnerTemplate(image="acme/windows-cross-compiler:1")), []),
        (within(idle=1, scheduling=1, registration=1, lifetime=1), [
            "spec.deadlines.scheduling",
            "spec.deadlines.registration",
            "spec.deadlines.idle",
            "spec.deadlines.lifetime",
        ]),
    ],
)  # fmt: skip
def test_each_contradiction_is_told_where_it_is_written(of: Pool, at: list[str]) -> None:
    assert told(of) == at


def test_the_price_of_warm_runners_is_told_in_launches() -> None:
    (one,) = contradictions(replace(within(lifetime=900), min_idle=2))
    assert "replaced every 7m30s" in one.message
    assert "384 launches a day" in one.message
    assert "20m or more" in one.message


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (90, "1m30s"), (600, "10m"), (5_400, "1h30m"), (86_400, "24h")]
)
def test_durations_are_written_as_pools_write_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def consistent(of: Pool) -> tuple[str, str, str]:
    now: Any = Instant(mono=NOW, wall=SERVER)
    report = run_plan([of], snapshot()).reports[of.uid]
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    (found,) = [one for one in status["conditions"] if one["type"] == "SpecConsistent"]
    return found["status"], found["reason"], found["message"]


def test_a_condition_names_what_the_api_server_took() -> None:
    assert consistent(pool())[:2] == ("True", "SpecConsistent")
    status, reason, message = consistent(within(lifetime=60))
    assert (status, reason) == ("False", "SpecContradiction")
    assert message.startswith("spec.deadlines.lifetime: 1m may be over before a runner is online")


def test_a_pool_that_contradicts_itself_is_served_all_the_same() -> None:
    of = within(lifetime=60)
    now = Instant(mono=NOW, wall=SERVER)
    report = run_plan([of], snapshot()).reports[of.uid]
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    assert [one["status"] for one in status["conditions"] if one["type"] == "Ready"] == ["True"]
