"""When a pool that leaves may go."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.drained import is_drained
from controller.core.model import Footprint, Pool, SecretRef, Snapshot
from controller.core.money import timeout_seconds
from controller.core.report import PoolReport

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
TIMEOUT = timeout_seconds(LEAVING.deadlines)


def drained(of: Pool = LEAVING, view: Snapshot | None = None, **changes: Any) -> bool:
    facts: dict[str, Any] = {
        "since": NOW - 5,
        "runners": (),
        "launches_open": False,
        "now": NOW,
        "wall": SERVER,
    }
    return is_drained(of, view or snapshot(), **{**facts, **changes})


def report(of: Pool) -> PoolReport:
    """A pool with one runner."""
    view = snapshot(registrations=[registration(of)], hf_jobs=[hf_job(of)])
    return run_plan([of], view).reports[of.uid]


def test_it_goes_when_lists_that_are_newer_than_its_leaving_show_nothing() -> None:
    assert drained()


@pytest.mark.parametrize("leaving", [{"deleting": True}, {"draining": True}], ids=["deleted", "drained"])
def test_it_goes_whoever_asks(leaving: dict[str, bool]) -> None:
    assert drained(pool(**leaving))


def test_a_pool_that_serves_is_never_called_drained() -> None:
    assert not drained(pool())


def test_it_stays_in_the_pass_that_first_sees_it_leave() -> None:
    assert not drained(since=None)


@pytest.mark.parametrize("late", ["registrations", "hf_jobs"])
def test_it_stays_while_a_list_is_older_than_its_leaving(late: str) -> None:
    assert not drained(view=snapshot(**{late: seen(at=NOW - 6)}))


@pytest.mark.parametrize("failing", ["registrations", "hf_jobs"])
def test_it_stays_while_a_list_cannot_be_read(failing: str) -> None:
    assert not drained(view=snapshot(**{failing: seen(failure=OUTAGE)}), wall=SERVER + 10 * TIMEOUT)


@pytest.mark.parametrize("missing", ["registrations", "hf_jobs"])
def test_it_stays_while_a_list_was_never_read(missing: str) -> None:
    assert not drained(view=snapshot(**{missing: None}), wall=SERVER + 10 * TIMEOUT)


def test_it_stays_while_it_has_a_runner() -> None:
    assert not drained(runners=report(LEAVING).runners)


def test_it_stays_while_a_launch_may_have_left_something_that_no_list_shows() -> None:
    assert not drained(launches_open=True)


class TestFormerPlaces:
    moved = pool(deleting=True, former=(elsewhere(LEAVING),))

    def view(self, **former: Any) -> Snapshot:
        base = snapshot()
        return replace(base, hf_jobs={**base.hf_jobs, **former})

    def test_each_of_them_must_be_seen_empty(self) -> None:
        where = elsewhere(LEAVING).account
        assert not drained(self.moved, self.view())
        assert not drained(self.moved, self.view())
        assert drained(self.moved, replace(snapshot(), hf_jobs={ACCOUNT: seen(), where: seen()}))

    def test_what_another_secret_shows_of_the_same_place_proves_nothing(self) -> None:
        other = replace(ACCOUNT, secret=SecretRef("team-b", "hf-token"))
        view = replace(snapshot(hf_jobs=None), hf_jobs={other: seen()})
        assert not drained(view=view)

    def test_a_former_place_in_both_services_counts_for_both(self) -> None:
        place = Footprint(LEAVING.footprint.registrations, elsewhere(LEAVING).account)
        there = replace(snapshot(), hf_jobs={ACCOUNT: seen(), place.account: seen(failure=OUTAGE)})
        assert not drained(replace(self.moved, former=(place,)), there)


class TestCredentialsAreGone:
    view = snapshot(registrations=seen(failure=REFUSED))

    @pytest.mark.parametrize(
        ("launched", "gone"), [(SERVER - TIMEOUT - 1, True), (SERVER - TIMEOUT + 1, False), (None, True)]
    )
    def test_it_goes_when_everything_it_launched_has_met_the_hubs_timeout(
        self, launched: float | None, gone: bool
    ) -> None:
        assert drained(replace(LEAVING, last_launch_at=launched), self.view) is gone

    def test_one_that_never_launched_stays_while_something_of_it_shows(self) -> None:
        assert not drained(view=self.view, runners=report(LEAVING).runners)


class TestAHostIsGoneForGood:
    view = snapshot(registrations=seen(failure=OUTAGE))

    @pytest.mark.parametrize(("leaving_for", "gone"), [(TIMEOUT - 1, False), (TIMEOUT + 1, True)])
    def test_it_goes_when_it_has_been_leaving_for_longer_than_anything_it_launched_can_live(
        self, leaving_for: float, gone: bool
    ) -> None:
        known = report(LEAVING).runners
        assert drained(view=self.view, runners=known, since=NOW - leaving_for) is gone

    def test_it_stays_while_a_place_that_answers_shows_a_runner(self) -> None:
        moved = replace(LEAVING, former=(elsewhere(LEAVING),))
        known = report(LEAVING).runners
        assert not drained(moved, runners=known, since=NOW - 10 * TIMEOUT)
