"""When a pool that leaves may go, and when a former place is left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.drained import (
    LONGEST,
    PATIENCE,
    Awaited,
    ends_by,
    is_left,
    note_empty,
    what_is_awaited,
)
from controller.core.evidence import LIST_LAG
from controller.core.model import Footprint, Pool, SecretRef, Snapshot
from controller.core.money import timeout_seconds
from controller.core.runners import Runner

from .build import (
    ACCOUNT,
    NOW,
    OUTAGE,
    REFUSED,
    SERVER,
    elsewhere,
    hf_job,
    pool,
    registration,
    run_plan,
    seen,
    snapshot,
)

LEAVING = pool(deleting=True)
HERE = LEAVING.footprint.place
TIMEOUT = timeout_seconds(LEAVING.deadlines) + LIST_LAG


def launched(of: Pool, at: float, *places: Footprint) -> Pool:
    """A pool that launched at its places, or at these, at a moment in epoch seconds."""
    by = ends_by(of, at)
    return replace(of, ends_by=tuple((where.place, by) for where in places or of.footprints))


def awaited(of: Pool = LEAVING, view: Snapshot | None = None, **changes: Any) -> list[Awaited]:
    facts: dict[str, Any] = {
        "since": NOW - 5,
        "runners": (),
        "open_places": (),
        "unlisted": False,
        "empty_since": {},
        "now": NOW,
        "wall": SERVER,
    }
    return list(what_is_awaited(of, view or snapshot(), **{**facts, **changes}))


def drained(of: Pool = LEAVING, view: Snapshot | None = None, **changes: Any) -> bool:
    return not awaited(of, view, **changes)


def runners_of(of: Pool) -> list[Runner]:
    """One runner, at the pool's place."""
    view = snapshot(registrations=[registration(of)], hf_jobs=[hf_job(of)])
    return list(run_plan([of], view).reports[of.uid].runners)


class TestWhileItsListsCanBeRead:
    def test_it_goes_when_lists_that_are_newer_than_its_leaving_show_nothing(self) -> None:
        assert drained(launched(LEAVING, SERVER - 60))

    @pytest.mark.parametrize("leaving", [{"deleting": True}, {"draining": True}], ids=["deleted", "drained"])
    def test_it_goes_whoever_asks(self, leaving: dict[str, Any]) -> None:
        assert drained(pool(**leaving))

    def test_a_pool_that_serves_is_never_called_drained(self) -> None:
        serving = pool()
        assert not run_plan([serving], snapshot()).reports[serving.uid].drained

    @pytest.mark.parametrize("late", ["registrations", "hf_jobs"])
    def test_it_stays_while_a_list_is_older_than_its_leaving(self, late: str) -> None:
        lists: dict[str, Any] = {late: seen(at=NOW - 6)}
        assert not drained(view=snapshot(**lists))

    def test_it_stays_while_it_has_a_runner_however_old_its_newest_launch_is(self) -> None:
        known = launched(LEAVING, SERVER - 10 * TIMEOUT)
        assert awaited(known, runners=runners_of(LEAVING)) == [Awaited(place=HERE)]

    def test_it_stays_while_a_launch_may_have_left_something_that_no_list_shows(self) -> None:
        assert not drained(open_places={HERE})

    def test_it_stays_while_lists_need_not_show_what_somebody_launched_without_writing_it_down(self) -> None:
        assert not drained(unlisted=True)


@pytest.mark.parametrize("broken", ["registrations", "hf_jobs"])
@pytest.mark.parametrize("how", [None, seen(failure=OUTAGE), seen(failure=REFUSED)], ids=str)
class TestWhileAListCannotBeRead:
    """Whatever the cause: a host that is gone, a Secret that is, a token that is refused,
    or no answer at all.
    """

    @staticmethod
    def after(seconds: float, of: Pool, broken: str, how: Any, **more: Any) -> list[Awaited]:
        return awaited(of, snapshot(**{broken: how}), since=NOW - seconds, **more)

    def test_a_pool_that_never_launched_goes_within_a_minute(self, broken: str, how: Any) -> None:
        assert not self.after(PATIENCE + 1, LEAVING, broken, how)
        assert PATIENCE < 45

    def test_so_does_one_whose_launches_have_all_met_their_timeout(self, broken: str, how: Any) -> None:
        old = launched(LEAVING, SERVER - TIMEOUT - 1)
        assert not self.after(PATIENCE + 1, old, broken, how)

    def test_even_if_an_old_list_still_shows_a_runner(self, broken: str, how: Any) -> None:
        old = launched(LEAVING, SERVER - TIMEOUT - 1)
        assert not self.after(PATIENCE + 1, old, broken, how, runners=runners_of(LEAVING))

    def test_what_was_launched_lately_is_waited_for_and_it_is_said_until_when(
        self, broken: str, how: Any
    ) -> None:
        at = SERVER - TIMEOUT + 100
        (one,) = self.after(PATIENCE + 1, launched(LEAVING, at), broken, how)
        assert (one.place, one.until) == (HERE, SERVER + 100)
        assert one.failure == (how and how.failure)

    def test_what_was_seen_alive_is_waited_for_although_nobody_knows_of_its_launch(
        self, broken: str, how: Any
    ) -> None:
        (known,) = runners_of(LEAVING)
        (one,) = self.after(PATIENCE + 1, LEAVING, broken, how, runners=[known._replace(age=500.0)])
        assert one.until == ends_by(LEAVING, SERVER - 500)

    def test_a_time_that_somebody_wrote_into_the_status_keeps_it_no_longer_than_anything_can_live(
        self, broken: str, how: Any
    ) -> None:
        for_ever = replace(LEAVING, ends_by=((HERE, SERVER * 3),))
        assert self.after(LONGEST - 1, for_ever, broken, how)
        assert not self.after(LONGEST + 1, for_ever, broken, how)

    def test_a_change_of_the_deadlines_after_the_launch_ends_no_wait_early(
        self, broken: str, how: Any
    ) -> None:
        before = launched(LEAVING, SERVER - 600)
        shorter = replace(before, deadlines=replace(before.deadlines, scheduling=10, lifetime=10))
        assert self.after(300, shorter, broken, how)


class TestWhatWasProvedBefore:
    """Lists have shown nothing, and then fail."""

    known = launched(LEAVING, SERVER - 600)
    view = snapshot(registrations=seen(at=NOW - 100, failure=REFUSED), hf_jobs=seen(at=NOW - 90))

    @pytest.mark.parametrize(("first", "goes"), [(LIST_LAG + 1, True), (LIST_LAG - 1, False)])
    def test_counts_where_they_had_shown_nothing_for_longer_than_they_may_lag(
        self, first: float, goes: bool
    ) -> None:
        assert drained(self.known, self.view, empty_since={HERE: NOW - 100 - first}) is goes

    def test_does_not_count_while_a_launch_may_show_there(self) -> None:
        known = {HERE: NOW - 1_000}
        assert not drained(self.known, self.view, empty_since=known, open_places={HERE})

    def test_is_noted_from_the_first_list_on_that_shows_nothing(self) -> None:
        first = note_empty(LEAVING, snapshot(), runners=(), open_places=(), known={})
        assert first == {HERE: NOW - 1}
        later = snapshot(registrations=seen(at=NOW + 50), hf_jobs=seen(at=NOW + 50))
        assert note_empty(LEAVING, later, runners=(), open_places=(), known=first) is first
        failing = snapshot(registrations=seen(at=NOW + 50, failure=OUTAGE))
        assert note_empty(LEAVING, failing, runners=(), open_places=(), known=first) is first

    def test_is_forgotten_when_something_shows_or_is_launched(self) -> None:
        first = {HERE: NOW - 1_000}
        with_runner = note_empty(
            LEAVING, snapshot(), runners=runners_of(LEAVING), open_places=(), known=first
        )
        assert with_runner == {}
        assert note_empty(LEAVING, snapshot(), runners=(), open_places={HERE}, known=first) == {}

    def test_begins_with_no_list_that_fails(self) -> None:
        view = snapshot(registrations=seen(failure=OUTAGE))
        assert note_empty(LEAVING, view, runners=(), open_places=(), known={}) == {}

    def test_reaches_from_one_pass_to_the_next(self) -> None:
        p = pool()
        first = run_plan([p], snapshot())
        gone = replace(launched(p, SERVER), deleting=True)
        view = snapshot(
            registrations=seen(at=NOW + LIST_LAG + 5, failure=REFUSED), hf_jobs=seen(at=NOW + LIST_LAG + 5)
        )
        done = run_plan([gone], view, memory=first.memory, now=NOW + LIST_LAG + 6)
        assert done.reports[p.uid].drained


class TestFormerPlacesOfAPoolThatLeaves:
    moved = launched(pool(deleting=True, former=(elsewhere(LEAVING),)), SERVER - 60)

    def test_each_of_them_must_be_seen_empty(self) -> None:
        where = elsewhere(LEAVING).account
        assert not drained(self.moved)
        assert drained(self.moved, replace(snapshot(), hf_jobs={ACCOUNT: seen(), where: seen()}))

    def test_what_another_secret_shows_of_the_same_place_proves_nothing(self) -> None:
        other = replace(ACCOUNT, secret=SecretRef("team-b", "hf-token"))
        view = replace(snapshot(hf_jobs=None), hf_jobs={other: seen()})
        assert not drained(view=view)

    def test_a_former_place_in_both_services_counts_for_both(self) -> None:
        place = Footprint(LEAVING.footprint.registrations, elsewhere(LEAVING).account)
        there = replace(snapshot(), hf_jobs={ACCOUNT: seen(), place.account: seen(failure=OUTAGE)})
        assert not drained(replace(self.moved, former=(place,)), there)

    def test_a_place_that_answers_and_shows_a_runner_is_waited_for_whatever_the_others_bounds(self) -> None:
        old = launched(self.moved, SERVER - 10 * TIMEOUT)
        view = replace(
            snapshot(), hf_jobs={ACCOUNT: seen(), elsewhere(LEAVING).account: seen(failure=OUTAGE)}
        )
        assert awaited(old, view, runners=runners_of(LEAVING), since=NOW - 100) == [Awaited(place=HERE)]


class TestAFormerPlaceOfAPoolThatServes:
    """A place from which a pool has moved, at :data:`NOW`."""

    here = pool()
    there = elsewhere(here)

    def left(
        self,
        *,
        registrations: Any,
        hf_jobs: Any,
        seconds: float,
        launched_at: float | None = SERVER,
        runners: Any = (),
        empty_since: Any = None,
    ) -> bool:
        view = replace(
            snapshot(registrations=registrations, hf_jobs=None), hf_jobs={self.there.account: hf_jobs}
        )
        of = self.here if launched_at is None else launched(self.here, launched_at, self.there)
        return is_left(
            of,
            self.there,
            view,
            runners=runners,
            empty_since=empty_since or {},
            moved_at=NOW,
            now=NOW + seconds,
            wall=SERVER + seconds,
        )

    def test_it_is_left_once_lists_that_are_a_lag_younger_show_nothing(self) -> None:
        for later, left in ((LIST_LAG - 1, False), (LIST_LAG + 1, True)):
            lists: dict[str, Any] = {"registrations": seen(at=NOW + later), "hf_jobs": seen(at=NOW + later)}
            assert self.left(**lists, seconds=later + 1) is left

    def test_it_is_not_left_while_a_runner_is_there(self) -> None:
        moved = replace(pool("moved"), hub=self.there.account)
        view = snapshot(registrations=[registration(moved)], hf_jobs={})
        runners = run_plan([moved], view).reports[moved.uid].runners
        lists: dict[str, Any] = {"registrations": seen(at=NOW + 99), "hf_jobs": seen(at=NOW + 99)}
        assert not self.left(**lists, seconds=100, runners=runners)

    def test_where_it_cannot_be_read_any_more_it_is_left_when_all_that_was_launched_there_has_timed_out(
        self,
    ) -> None:
        for seconds, left in ((3600, False), (TIMEOUT + 1, True)):
            gone: dict[str, Any] = {
                "registrations": seen(at=NOW + seconds - 1),
                "hf_jobs": seen(failure=REFUSED),
            }
            assert self.left(**gone, seconds=seconds) is left

    def test_the_bound_counts_from_the_newest_launch_and_not_from_the_move(self) -> None:
        gone: dict[str, Any] = {"registrations": seen(at=NOW + 9), "hf_jobs": seen(failure=REFUSED)}
        assert self.left(**gone, seconds=10, launched_at=SERVER - TIMEOUT)

    def test_one_where_nothing_was_launched_is_left_at_once_if_it_cannot_be_read(self) -> None:
        gone: dict[str, Any] = {"registrations": seen(at=NOW + 1), "hf_jobs": seen(failure=REFUSED)}
        assert self.left(**gone, seconds=2, launched_at=None)

    def test_one_that_was_proved_empty_before_it_failed_is_left(self) -> None:
        gone: dict[str, Any] = {"registrations": seen(at=NOW + 1), "hf_jobs": seen(failure=REFUSED)}
        assert self.left(**gone, seconds=2, empty_since={self.there.place: NOW - LIST_LAG - 2})
