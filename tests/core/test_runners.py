"""How one pass joins what lists show with what our own launches were answered with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.lifecycle import Phase
from controller.core.reasons import Reason
from controller.core.runners import Runner
from tests.core.build import (
    NOW,
    hf_job,
    launching,
    name_of,
    pool,
    registration,
    remembering,
    run_plan,
    snapshot,
)

LAUNCHED = launching(pool(), settled_at=NOW - 2, hf_job=hf_job(pool()))


def joined(**track: Any) -> Runner:
    """The runner of an acknowledged launch whose HF Job no list shows."""
    memory = remembering(name_of(pool()), **track)
    view = snapshot(registrations=[registration(pool())])
    (runner,) = run_plan([pool()], view, in_flight=LAUNCHED, memory=memory).reports[pool().uid].runners
    return runner


def test_an_acknowledged_launch_has_its_hf_job_before_a_list_shows_it_and_is_as_old_as_it_is_known() -> None:
    runner = joined(phase=Phase.SCHEDULING, since=NOW - 7)
    assert runner.hf_job == hf_job(pool())
    assert runner.phase is Phase.SCHEDULING
    assert runner.age == pytest.approx(7.0)


def test_one_whose_end_was_seen_does_not_come_back_with_the_answer_to_its_launch() -> None:
    runner = joined(phase=Phase.FINISHED, since=NOW - 7, ended_at=NOW - 7, end=Reason.ImageUnsuitable)
    assert runner.hf_job is None
    assert runner.phase is Phase.FINISHED
    assert not runner.live


def test_only_a_launch_that_failed_without_an_answer_is_unconfirmed() -> None:
    for effect, unconfirmed in (
        ({"settled_at": NOW - 2}, True),
        ({"settled_at": None}, False),
        ({"settled_at": NOW - 2, "inherited": True}, False),
    ):
        in_flight = {name: replace(one, hf_job=None, **effect) for name, one in LAUNCHED.items()}
        done = run_plan([pool()], snapshot(registrations=[registration(pool())]), in_flight=in_flight)
        (runner,) = done.reports[pool().uid].runners
        assert runner.unconfirmed is unconfirmed
