"""What a pool has, and room for more."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.core.backoff import Backoff, Limit
from controller.core.capacity import (
    idle_for,
    offer_of,
    ready_to_launch,
    room_of,
    space,
    to_replace,
    unlisted,
    wanted_warm,
)
from controller.core.intents import MOST_INTENTS, Blocked, PoolIntents
from controller.core.lifecycle import Phase
from controller.core.model import Snapshot
from controller.core.reasons import Reason
from controller.core.runners import Runner
from tests.core.build import NOW, OUTAGE, name_of, pool, seen, snapshot
from tests.core.stages import having, runner, view_of


@pytest.mark.parametrize(
    ("one", "usable", "live", "staying"),
    [
        (runner("aaaa", Phase.REGISTERED, hf_job=None), 1, 1, 0),
        (runner("aaaa", Phase.SCHEDULING), 1, 1, 1),
        (runner("aaaa", Phase.IDLE), 1, 1, 1),
        (runner("aaaa", Phase.BUSY), 0, 1, 1),
        (runner("aaaa", Phase.FINISHED), 0, 1, 1),
        (runner("aaaa", Phase.FINISHED, hf_job=None), 0, 0, 0),
        (runner("aaaa", Phase.IDLE, retiring=True), 0, 1, 0),
        (runner("aaaa", Phase.REGISTERED, hf_job=None, unconfirmed=True), 0, 1, 0),
    ],
    ids=[
        "whose launch is under way",
        "that is scheduled",
        "that idles",
        "that works",
        "that finishes",
        "whose HF Job is gone",
        "that is being ended",
        "whose launch is in doubt",
    ],
)
def test_what_counts_of_a_runner(one: Runner, usable: int, live: int, staying: int) -> None:
    found = having([one])
    assert (len(found.usable), found.live, found.staying) == (usable, live, staying)


def test_what_is_ended_leaves_the_capacity_and_stays_live() -> None:
    one, other = runner("aaaa", Phase.IDLE), runner("bbbb", Phase.IDLE)
    left = having([one, other]).without([one])
    assert (list(left.usable), left.live, left.staying) == ([other.name], 2, 1)
    assert left.without([]) is left


def test_the_one_that_has_idled_for_the_longest_comes_first() -> None:
    runners = [runner(f"aaa{n}", Phase.IDLE, since=NOW - idled) for n, idled in enumerate((50, 200, 90))]
    found = idle_for(having(runners), 60.0, NOW)
    assert [one.name for one in found] == [runners[1].name, runners[2].name]


def test_only_where_warm_runners_are_wanted_are_old_ones_replaced() -> None:
    capacity = having([runner("aaaa", Phase.IDLE, since=NOW - 3_000)])
    assert len(to_replace(pool(min_idle=1), capacity, 0.0, NOW)) == 1
    assert to_replace(pool(min_idle=0), capacity, 0.0, NOW) == ()
    assert wanted_warm(pool(min_idle=2, paused=True)) == 0


@pytest.mark.parametrize(
    ("flavors", "offered", "may_launch", "unknown"),
    [
        (("t4-small", "a10g"), ("a10g", "t4-small"), ("t4-small", "a10g"), False),
        (("t4-small", "t4-smal"), ("t4-small",), ("t4-small",), True),
        (("h100",), ("t4-small",), (), True),
        (("h100",), (), ("h100",), False),
    ],
    ids=["all are offered", "one is not", "none is", "nobody knows"],
)
def test_flavors_that_may_be_launched_where(
    flavors: tuple[str, ...], offered: tuple[str, ...], may_launch: tuple[str, ...], unknown: bool
) -> None:
    offer = offer_of(pool(flavors=flavors), offered)
    assert offer.flavors == may_launch
    assert (offer.unknown is not None) is unknown


@pytest.mark.parametrize(
    ("view", "intents", "ready"),
    [
        (snapshot(), PoolIntents(), True),
        (snapshot(hf_jobs=None), PoolIntents(), False),
        (snapshot(hf_jobs=seen(failure=OUTAGE)), PoolIntents(), False),
        (snapshot(registrations=None), PoolIntents(), False),
        (snapshot(registrations=seen(failure=OUTAGE)), PoolIntents(), True),
        (snapshot(), PoolIntents(blocked=Blocked(failure=OUTAGE, since=NOW, until=NOW + 5)), False),
        (snapshot(), PoolIntents(blocked=Blocked(failure=OUTAGE, since=NOW - 9, until=NOW - 5)), True),
        (snapshot(), PoolIntents(lists_after=NOW), False),
        (snapshot(), PoolIntents(lists_after=NOW - 60), True),
    ],
    ids=[
        "all lists are there",
        "HF Jobs were never listed",
        "HF Jobs cannot be listed now",
        "registrations were never listed",
        "registrations cannot be listed now",
        "no intent can be written",
        "the next try to write is due",
        "somebody launched without writing it down",
        "lists show what that was",
    ],
)
def test_a_pool_may_launch_or_not_where(view: Snapshot, intents: PoolIntents, ready: bool) -> None:
    known = view_of(view, intents={pool().uid: intents})
    assert ready_to_launch(known) is ready
    assert unlisted(known) is (intents.lists_after == NOW)


@pytest.mark.parametrize(
    ("live", "limit", "more"),
    [
        (1, None, 3),
        (5, None, -1),
        (1, Limit(running=1, extra=1, at=NOW), 1),
        (2, Limit(running=1, extra=1, at=NOW), 0),
    ],
    ids=["maxRunners", "fewer than there are", "the Hub's limit", "the Hub's limit is met"],
)
def test_how_many_more_are_allowed_by(live: int, limit: Limit | None, more: int) -> None:
    assert space(view_of(snapshot()), live, limit) == more


def test_no_more_is_launched_than_the_status_has_room_for() -> None:
    of = pool(max_runners=5_000)
    waiting = frozenset(name_of(of, f"x{number}") for number in range(MOST_INTENTS - 1))
    known = view_of(snapshot(), of=of, intents={of.uid: PoolIntents(open=waiting)})
    assert space(known, 0, None) == 1


def test_a_pool_that_leaves_has_no_room_and_one_that_backs_off_launches_nothing() -> None:
    capacity, offer = having([runner("aaaa", Phase.IDLE)]), offer_of(pool(), ())
    known = view_of(snapshot())
    room = room_of(known, capacity, offer, {}, None)
    assert (room.free, room.launches) == (1, 3)
    held = {
        "": Backoff(failures=1, until=NOW + 9, at=NOW, failure=replace(OUTAGE, reason=Reason.RunnerFailed))
    }
    assert room_of(known, capacity, offer, held, None).launches == 0
    leaving = view_of(snapshot(), of=pool(deleting=True))
    room = room_of(leaving, capacity, offer, {}, None)
    assert (room.free, room.launches) == (0, 0)
