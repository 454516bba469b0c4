"""What a pool knows of the jobs that wait for it, apart from the plan."""

from __future__ import annotations

from controller.core.demand import Demand, Room
from tests.core.build import NOW, SERVER, job


def test_the_longest_wait_counts_on_the_clock_of_github() -> None:
    demand = Demand(server_ahead=SERVER - NOW)
    waiting = [job(1, created_at=SERVER - 30), job(2, created_at=SERVER - 70)]
    assert demand.longest_wait(waiting, NOW) == 70
    assert demand.longest_wait([], NOW) == 0


def test_without_a_look_at_the_queue_nothing_is_known_to_wait() -> None:
    assert Demand().longest_wait([job(1)], NOW) == 0


def test_a_pool_of_which_nothing_is_said_has_no_room() -> None:
    assert (Room().free, Room().taken, Room().launches) == (0, [], 0)
