"""What HF Jobs that ended have cost: each is booked once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.ledger import NOTHING, Bill, Booked, Ended, book
from controller.core.model import Stage
from controller.core.money import booked_seconds
from tests.core.build import NOW, SERVER, pool, seen, started

USD = {"t4-small": 0.01}
LIST = seen()


def ended(token: str = "aaaa", *, seconds: float = 60.0, flavor: str = "t4-small", ago: float = 5.0) -> Ended:
    job = started(pool(), token, seconds_ago=seconds + ago)
    return replace(job, stage=Stage.COMPLETED, finished_at=SERVER - ago, flavor=flavor), LIST


def booked(*jobs: Ended, **changes: Any) -> Bill:
    base: dict[str, Any] = {
        "booked": {},
        "unpriced_seconds": {},
        "usd": USD,
        "flavors": ("t4-small",),
        "began": NOW - 1000,
        "now": NOW,
    }
    return book(jobs, **{**base, **changes})


def test_what_ended_costs_its_seconds_times_the_price() -> None:
    bill = booked(ended("aaaa"), ended("bbbb", seconds=30))
    assert [charge.seconds for charge in bill.charges] == [60, 30]
    assert bill.usd == {"t4-small": pytest.approx(0.9)}
    assert bill.unpriced_seconds == {}


def test_an_end_that_is_reported_again_is_not_booked_again() -> None:
    first = booked(ended())
    again = booked(ended(), booked=first.booked)
    assert (again.charges, again.usd) == ([], {})
    assert again.booked == first.booked


def test_an_end_that_two_accounts_report_in_one_pass_is_booked_once() -> None:
    bill = booked(ended(), ended())
    assert [charge.seconds for charge in bill.charges] == [60]
    assert bill.usd == {"t4-small": pytest.approx(0.6)}


def test_an_end_that_another_account_reports_some_passes_later_is_not_booked_again() -> None:
    first = booked(ended())
    between = booked(booked=first.booked, now=NOW + 30)
    assert booked(ended(), booked=between.booked, now=NOW + 60).charges == []


def test_what_was_booked_is_forgotten_once_no_list_can_report_it_any_more() -> None:
    first = booked(ended())
    assert booked(booked=first.booked, now=NOW + 900).booked == first.booked
    assert booked(booked=first.booked, now=NOW + 901).booked == {}


def test_a_later_report_that_states_a_later_end_adds_the_difference() -> None:
    first = booked(ended(seconds=60))
    longer = booked(ended(seconds=90), booked=first.booked, now=NOW + 10)
    assert [charge.seconds for charge in longer.charges] == [30]
    shorter = booked(ended(seconds=20), booked=longer.booked, now=NOW + 20)
    assert shorter.charges == []
    assert shorter.booked == {"hf-aaaa": Booked(seconds=90, at=NOW + 20)}


def test_a_later_report_without_an_end_adds_nothing() -> None:
    first = booked(ended())
    job, _ = ended()
    later = replace(LIST, server_time=LIST.server_time + 500)
    assert booked((replace(job, finished_at=None), later), booked=first.booked).charges == []


def test_what_ended_before_this_process_began_was_booked_by_the_one_before() -> None:
    assert booked(ended(ago=40), began=NOW - 30).charges == []
    assert booked(ended(ago=20), began=NOW - 30).charges != []


def test_seconds_wait_for_a_price_and_are_priced_together() -> None:
    first = booked(ended(), usd={})
    assert (first.usd, first.unpriced_seconds) == ({}, {"t4-small": 60})
    second = booked(ended("bbbb"), usd={}, unpriced_seconds=first.unpriced_seconds)
    assert second.unpriced_seconds == {"t4-small": 120}
    third = booked(unpriced_seconds=second.unpriced_seconds)
    assert (third.usd, third.unpriced_seconds) == ({"t4-small": pytest.approx(1.2)}, {})


def test_a_flavor_that_nobody_named_and_that_has_no_price_is_not_waited_for() -> None:
    bill = booked(ended(flavor="made-up"))
    assert [charge.seconds for charge in bill.charges] == [60]
    assert (bill.usd, bill.unpriced_seconds) == ({}, {})


def test_a_flavor_that_nobody_named_counts_where_its_price_is_known() -> None:
    assert booked(ended(flavor="other"), usd={"other": 1.0}).usd == {"other": 60.0}


def test_an_hf_job_that_never_ran_is_free() -> None:
    job, _ = ended()
    assert booked((replace(job, started_at=None), LIST)).charges == []


def test_one_that_tells_no_end_is_booked_whenever_this_process_began() -> None:
    job, _ = ended()
    assert booked((replace(job, finished_at=None), LIST), began=NOW + 1000).charges != []


def test_what_ended_within_the_second_that_a_date_header_leaves_open_is_left_to_the_process_before() -> None:
    # The list is a second old: what ended 5 s before it ended 6 s before NOW.
    assert booked(ended(ago=5), began=NOW - 6.5).charges == []
    assert booked(ended(ago=5), began=NOW - 7.5).charges != []


def test_one_that_tells_neither_what_was_billed_nor_when_it_was_seen_is_free() -> None:
    job, _ = ended()
    assert booked((replace(job, finished_at=None), None)).charges == []


def test_the_seconds_of_an_end_that_nobody_saw_are_none() -> None:
    job, _ = ended()
    assert booked_seconds(replace(job, finished_at=None), None) == 0.0


def test_where_nothing_ended_and_nothing_waits_there_is_nothing_to_book() -> None:
    assert booked() is NOTHING
