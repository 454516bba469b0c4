"""A Hub that runs fewer HF Jobs at a time than ``maxRunners``: launches go on as fast as those
that wait there are started.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Launch
from controller.core.backoff import LIMIT_KEPT, Backoff, Limit, after_look, after_unscheduled
from controller.core.lifecycle import Phase, Track
from controller.core.memory import Memory, PoolMemory
from controller.core.model import Pool
from controller.core.plan import Plan
from controller.core.reasons import Reason
from tests.core.build import (
    NOW,
    SERVER,
    hf_job,
    job,
    name_of,
    pool,
    registration,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)


class TestTheLimit:
    def test_it_is_how_many_ran_while_others_were_not_scheduled(self) -> None:
        assert after_unscheduled(None, 20, NOW) == Limit(running=20, at=NOW)
        assert after_unscheduled(Limit(running=20, at=NOW), 18, NOW + 9) == Limit(running=20, at=NOW + 9)

    def test_where_nothing_runs_there_is_none(self) -> None:
        assert after_unscheduled(None, 0, NOW) is None

    def test_it_grows_ever_faster_with_what_runs_beyond_it(self) -> None:
        limit = after_look(Limit(running=20, at=NOW), 21, NOW + 1)
        assert limit == Limit(running=21, extra=2, at=NOW)
        assert after_look(limit, 23, NOW + 2) == Limit(running=23, extra=4, at=NOW)
        assert after_look(limit, 20, NOW + 2) == limit

    def test_it_is_forgotten_when_it_was_not_met_for_long(self) -> None:
        assert after_look(Limit(running=20, at=NOW), 3, NOW + LIMIT_KEPT + 1) is None

    @pytest.mark.parametrize(("live", "space"), [(0, 21), (20, 1), (21, 0), (40, 0)])
    def test_one_may_wait_beside_those_that_run(self, live: int, space: int) -> None:
        assert Limit(running=20, at=NOW).space(live) == space


def busy_and_unscheduled(p: Pool, **memory: Any) -> Plan:
    """One runner works, one has met ``deadlines.scheduling``, and more jobs wait."""
    tracks = {
        name_of(p, "aaaa"): Track(phase=Phase.BUSY, since=NOW - 700, online_at=NOW - 700, taken_at=NOW - 700),
        name_of(p, "bbbb"): Track(phase=Phase.SCHEDULING, since=NOW - 700),
    }
    view = snapshot(
        jobs=[running(1, name_of(p, "aaaa")), *(job(n) for n in range(2, 9))],
        registrations=[registration(p, "aaaa", online=True, busy=True), registration(p, "bbbb")],
        hf_jobs=seen([started(p, "aaaa", seconds_ago=700), hf_job(p, "bbbb", created_at=SERVER - 700)]),
    )
    kept = PoolMemory(tracks=tracks, **memory)
    return run_plan([p], view, memory=Memory(pools={p.uid: kept}))


def test_a_runner_that_is_not_scheduled_while_others_run_says_nothing_against_the_flavor() -> None:
    p = pool(max_runners=8)
    done = busy_and_unscheduled(p)
    memory = done.reports[p.uid].memory
    assert (memory.backoffs, memory.limit) == ({}, Limit(running=1, at=NOW))
    assert [notice.reason for notice in done.notices] == [Reason.AtHubLimit]
    assert sum(isinstance(action, Launch) for action in done.actions) == 0
    assert {one.reason: one.count for one in done.reports[p.uid].waiting} == {Reason.AtHubLimit: 7}


def test_the_limit_is_told_once() -> None:
    assert busy_and_unscheduled(pool(max_runners=8), limit=Limit(running=1, at=NOW - 700)).notices == []


def test_another_flavor_is_tried_before_the_hub_is_taken_for_full() -> None:
    p = pool(max_runners=8, flavors=("t4-small", "t4-medium"))
    done = busy_and_unscheduled(p)
    memory = done.reports[p.uid].memory
    assert (list(memory.backoffs), memory.limit) == (["t4-small"], None)
    failing = memory.backoffs["t4-small"]
    held = {"t4-medium": replace(failing, until=NOW + 60)}
    assert isinstance(failing, Backoff)
    assert busy_and_unscheduled(p, backoffs=held).reports[p.uid].memory.limit is not None
