"""Runners that the lists do not show in full yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from controller.core.evidence import LIST_LAG
from controller.core.gc import is_left
from controller.core.lifecycle import Phase
from controller.core.money import timeout_seconds

from .build import (
    NOW,
    REFUSED,
    elsewhere,
    hf_job,
    name_of,
    pool,
    registration,
    remembering,
    run_plan,
    seen,
    snapshot,
    started,
)


def test_a_runner_whose_registration_is_not_listed_yet_is_not_ended() -> None:
    p = pool(deleting=True)
    view = snapshot(hf_jobs=[started(p)])
    assert not run_plan([p], view).actions


def test_it_is_ended_once_the_lists_prove_that_there_is_none() -> None:
    p = pool(deleting=True)
    gap = {"alone_since": NOW - 3 * LIST_LAG, "alone_at": NOW - LIST_LAG - 2, "gone_at": NOW - LIST_LAG - 2}
    memory = remembering(name_of(p), phase=Phase.ORPHANED, since=NOW - 100, **gap)
    done = run_plan([p], snapshot(hf_jobs=[started(p)]), memory=memory)
    assert len(done.actions) == 1


def test_surplus_is_given_back_only_where_the_registration_shows() -> None:
    p = pool(max_runners=3)
    view = snapshot(
        registrations=[registration(p, "listed")], hf_jobs=[hf_job(p, "listed"), hf_job(p, "unlisted")]
    )
    assert [action.name for action in run_plan([p], view).actions] == [name_of(p, "listed")]


class TestAFormerPlace:
    """A place from which a pool has moved, at :data:`NOW`."""

    def left(self, *, registrations: Any, hf_jobs: Any, seconds: float, runners: Any = ()) -> bool:
        here = pool()
        there = elsewhere(here)
        view = snapshot(registrations=registrations, hf_jobs=None)
        view = replace(view, hf_jobs={there.account: hf_jobs})
        return is_left(here, there, runners, view, moved_at=NOW, now=NOW + seconds)

    def test_it_is_left_once_lists_that_are_a_lag_younger_show_nothing(self) -> None:
        for later, left in ((LIST_LAG - 1, False), (LIST_LAG + 1, True)):
            lists = {"registrations": seen(at=NOW + later), "hf_jobs": seen(at=NOW + later)}
            assert self.left(**lists, seconds=later + 1) is left

    def test_it_is_not_left_while_a_runner_is_there(self) -> None:
        moved = replace(pool("moved"), hub=elsewhere(pool()).account)
        view = snapshot(registrations=[registration(moved)], hf_jobs={})
        runners = run_plan([moved], view).reports[moved.uid].runners
        lists = {"registrations": seen(at=NOW + 99), "hf_jobs": seen(at=NOW + 99)}
        assert not self.left(**lists, seconds=100, runners=runners)

    def test_where_nothing_can_be_read_any_more_it_is_left_when_all_that_was_launched_there_has_timed_out(
        self,
    ) -> None:
        whole = timeout_seconds(pool().deadlines) + LIST_LAG
        for seconds, left in ((3600, False), (whole + 1, True)):
            gone = {"registrations": seen(at=NOW + seconds - 1), "hf_jobs": seen(failure=REFUSED)}
            assert self.left(**gone, seconds=seconds) is left
