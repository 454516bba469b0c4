"""Which queues a pool's demand is read from, and which of several pools gets a job that none has room for."""

from __future__ import annotations

from typing import Any

import pytest

from controller.core.demand import Demand, Room, match_demand, view_queues
from controller.core.model import Pool
from controller.core.pool_plan import observed
from tests.core.build import NOW, OUTAGE, SERVER, job, pool, seen, snapshot
from tests.core.stages import view_of


@pytest.mark.parametrize(
    ("queue", "complete", "unreadable"),
    [(seen(), True, 0), (None, False, 0), (seen(failure=OUTAGE), False, 1)],
    ids=["its queue was read", "never", "it cannot be read now"],
)
def test_what_a_pool_is_wanted_for_is_known_when(queue: Any, complete: bool, unreadable: int) -> None:
    found = view_queues(pool(), snapshot(jobs=queue), NOW)
    assert (found.complete, len(found.unreadable)) == (complete, unreadable)


@pytest.mark.parametrize(
    ("demand", "expected"),
    [
        (Demand(complete=True), True),
        (Demand(complete=False, unreadable=[("acme/lib", OUTAGE)]), True),
        (Demand(complete=False), False),
    ],
    ids=["all queues were read", "one cannot be read, and people are told", "one was not asked for yet"],
)
def test_everything_about_a_pool_was_seen_when(demand: Demand, expected: bool) -> None:
    assert observed(view_of(snapshot()), demand) is expected


def test_a_job_that_no_pool_has_room_for_waits_for_one_that_may_launch() -> None:
    """Even if another one is cheaper and older: that one launches nothing until a person acts."""
    held, works = pool("held", paused=True, created_at=1.0), pool("works", created_at=900.0)
    assert given_to(held, works) == ["works"]


def test_how_long_a_job_has_waited_counts_on_the_clock_of_github() -> None:
    assert Demand(server_ahead=SERVER - NOW).waited_since(SERVER - 70, NOW) == 70
    assert Demand().waited_since(SERVER - 70, NOW) == 0


def test_a_pool_of_which_nothing_is_said_has_no_room() -> None:
    assert (Room().free, Room().taken, Room().launches) == (0, [], 0)


def given_to(*pools: Pool) -> list[str]:
    view = snapshot(jobs=[job()])
    demand = {one.uid: view_queues(one, view, NOW) for one in pools}
    match_demand(pools, demand, view, room=lambda _: Room(), usd_per_second={})
    return [one.key.name for one in pools if demand[one.uid].queued]
