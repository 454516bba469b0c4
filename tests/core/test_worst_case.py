"""What a pool can still cost if the controller never looks again, as its status tells at every moment."""

from __future__ import annotations

from typing import Any

import pytest

from tests.core.build import hf_job, job, launching, pool, registration, run_plan, snapshot

T4 = 0.0067 / 60
TIMEOUT = 600 + 3600 + 60


def told(**view: Any) -> float:
    found = run_plan([pool()], snapshot(**view))
    return found.reports[pool().uid].worst_case_usd


def test_a_launch_counts_from_the_pass_that_decides_it() -> None:
    assert told(jobs=[job(1), job(2)]) == pytest.approx(2 * TIMEOUT * T4)


def test_a_launch_that_is_under_way_counts() -> None:
    found = run_plan([pool()], snapshot(jobs=[job()]), in_flight=launching(pool()))
    report = found.reports[pool().uid]
    assert report.launching == 0
    assert report.worst_case_usd == pytest.approx(TIMEOUT * T4)


def test_a_registration_alone_costs_nothing() -> None:
    # Its HF Job has ended, or was never made: nothing of it can be billed.
    of = pool()
    assert told(registrations=[registration(of)]) == 0


def test_a_listed_runner_counts_once() -> None:
    of = pool()
    worst = told(jobs=[job()], registrations=[registration(of)], hf_jobs=[hf_job(of)])
    assert worst == pytest.approx(TIMEOUT * T4)


def test_an_hf_job_of_which_the_hub_tells_no_timeout_can_cost_as_much_as_a_new_one() -> None:
    of = pool()
    worst = told(registrations=[registration(of)], hf_jobs=[hf_job(of, timeout=None)])
    assert worst == pytest.approx(TIMEOUT * T4)
