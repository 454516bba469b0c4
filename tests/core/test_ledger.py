"""What HF Jobs that ended have cost: each is booked once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.ledger import NOTHING, Bill, Ended, book
from controller.core.model import Stage
from tests.core.build import NOW, SERVER, pool, seen, started

USD = {"t4-small": 0.01}
LIST = seen()


def ended(token: str = "aaaa", *, seconds: float = 60.0, flavor: str = "t4-small", ago: float = 5.0) -> Ended:
    job = started(pool(), token, seconds_ago=seconds + ago)
    return replace(job, stage=Stage.COMPLETED, finished_at=SERVER - ago, flavor=flavor), LIST


def booked(*jobs: Ended, **changes: Any) -> Bill:
    base: dict[str, Any] = {
        "booked": frozenset(),
        "unpriced_seconds": {},
        "usd": USD,
        "flavors": ("t4-small",),
        "began": NOW - 1000,
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


def test_where_nothing_ended_and_nothing_waits_there_is_nothing_to_book() -> None:
    assert booked() is NOTHING
