"""Places that a pool has moved away from."""

from __future__ import annotations

from dataclasses import replace

from controller.core.effects import InFlight
from controller.core.evidence import LIST_LAG
from controller.core.model import Disposition, Failure, Footprint, Pool
from controller.core.moved import lives_to_note, note_moved, places_left, places_to_leave
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from tests.core.build import (
    NOW,
    REPO,
    SERVER,
    SOURCE,
    elsewhere,
    launched,
    launching,
    name_of,
    pool,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)
from tests.core.stages import view_of

REFUSED = Failure(reason=Reason.HostNotAllowed, message="not allowed", disposition=Disposition.PERSON)
THERE = elsewhere(pool())
LATER = NOW + LIST_LAG + 5


def moved() -> Pool:
    """A pool that was edited to launch in another namespace."""
    return replace(launched(replace(pool(), former=(THERE,)), SERVER), generation=2)


def left(of: Pool, *, in_flight: InFlight | None = None, open_places: tuple[Footprint, ...] = ()) -> object:
    """Ask, a lag after the move, with lists that show nothing anywhere."""
    empty = seen(at=LATER - 1)
    view = snapshot(registrations=empty, hf_jobs=empty)
    view = replace(view, hf_jobs={**view.hf_jobs, THERE.account: empty})
    report = run_plan([of], view, now=LATER).reports[of.uid]
    return places_left(
        report,
        view,
        in_flight=() if in_flight is None else (in_flight,),
        open_places=open_places,
        moved_at={(of.uid, place): NOW for place in places_to_leave(of)},
        now=LATER,
        wall=SERVER + LATER - NOW,
    )


def test_a_former_place_is_left_once_lists_a_lag_younger_than_the_move_show_nothing() -> None:
    assert left(moved()) == [THERE]


def test_it_is_not_left_while_an_effect_of_ours_is_under_way_there() -> None:
    (effect,) = launching(moved(), footprint=THERE).values()
    assert left(moved(), in_flight=effect) == []


def test_an_effect_elsewhere_or_of_another_pool_keeps_no_place() -> None:
    (here,) = launching(moved()).values()
    assert left(moved(), in_flight=here) == [THERE]
    assert left(moved(), in_flight=replace(here, footprint=THERE, pool_uid="another")) == [THERE]
    assert left(moved(), in_flight=replace(here, footprint=None)) == [THERE]


def test_it_is_not_left_while_a_launch_that_was_written_down_may_still_show_there() -> None:
    assert left(moved(), open_places=(THERE,)) == []


def test_only_former_places_are_left_unless_the_hosts_are_refused() -> None:
    of = moved()
    assert places_to_leave(of) == (THERE,)
    assert places_to_leave(replace(of, refused=REFUSED)) == (of.footprint, THERE)


def test_a_move_counts_from_when_it_was_first_seen() -> None:
    of = moved()
    first = note_moved({}, [of], NOW)
    assert note_moved(first, [of], NOW + 100) == first == {(of.uid, THERE): NOW}


def test_a_pool_that_came_back_and_moves_again_has_moved_anew() -> None:
    of = moved()
    back = note_moved(note_moved({}, [of], NOW), [replace(of, former=())], NOW + 50)
    assert back == {}
    assert note_moved(back, [of], NOW + 100) == {(of.uid, THERE): NOW + 100}


def living(of: Pool) -> PoolReport:
    """A report of a pool that has one runner, whose HF Job runs for 20 s after 5 s of scheduling."""
    return run_plan([of], snapshot(hf_jobs=[started(of, seconds_ago=20)])).reports[of.uid]


def test_a_runner_that_shows_where_the_status_tells_of_no_launch_is_noted_with_its_age() -> None:
    of = pool()
    ((place, at),) = lives_to_note(living(of), SERVER)
    assert place == of.footprint
    assert at == SERVER - 20 - 1  # the list was asked for a second ago


def test_nothing_is_noted_where_a_launch_was_written_down() -> None:
    assert lives_to_note(living(launched(pool(), SERVER)), SERVER) == []


def test_a_runner_at_a_former_place_has_the_job_that_the_credentials_of_that_place_show() -> None:
    of, before = pool(), replace(SOURCE, owner="before")
    there = replace(of.footprint, registrations=replace(of.footprint.registrations, source=before))
    view = replace(snapshot(), queues={(before, REPO): seen([running(1, name_of(of))])})
    assert list(view_of(view, of=replace(of, former=(there,))).running) == [name_of(of)]
    assert list(view_of(view, of=of).running) == []
