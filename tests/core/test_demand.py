"""What a pool knows of the jobs that wait for it, apart from the plan."""

from __future__ import annotations

from dataclasses import replace

from controller.core.demand import Demand, Room, match_demand, view_queues
from tests.core.build import NOW, SERVER, job, pool, snapshot


def test_how_long_a_job_has_waited_counts_on_the_clock_of_github() -> None:
    demand = Demand(server_ahead=SERVER - NOW)
    assert demand.waited_since(SERVER - 70, NOW) == 70


def test_without_a_look_at_the_queue_nothing_is_known_to_wait() -> None:
    assert Demand().waited_since(SERVER - 70, NOW) == 0


def test_a_pool_of_which_nothing_is_said_has_no_room() -> None:
    assert (Room().free, Room().taken, Room().launches) == (0, [], 0)


def test_a_queue_that_was_never_read_keeps_the_demand_from_being_complete() -> None:
    assert view_queues(pool(), snapshot(), NOW).complete
    assert not view_queues(pool(), replace(snapshot(), queues={}), NOW).complete


def test_a_job_goes_to_a_pool_that_may_launch_rather_than_to_an_older_one_that_may_not() -> None:
    old, young = pool("old", created_at=1.0, paused=True), pool("young", created_at=2.0)
    view = snapshot(jobs=[job(1)])
    demand = {each.uid: view_queues(each, view, NOW) for each in (old, young)}
    match_demand([old, young], demand, view, room=lambda _: Room(), usd_per_second={})
    assert [len(demand[each.uid].queued) for each in (old, young)] == [0, 1]
