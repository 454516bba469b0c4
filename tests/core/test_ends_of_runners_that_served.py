"""The exit code of a runner that had a workflow job says nothing against the next one: a job
can bring it to any code.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Launch
from controller.core.backoff import MOST_BLAMED, POOL
from controller.core.lifecycle import Phase
from controller.core.memory import Memory
from controller.core.model import HFJob, Stage, WorkflowJob
from controller.core.outcomes import Exit
from controller.core.plan import Plan
from controller.core.reasons import Reason

from .build import (
    NOW,
    SERVER,
    SOURCE,
    hf_job,
    job,
    name_of,
    pool,
    remembering,
    run_plan,
    running,
    seen,
    snapshot,
)

P = pool()
NAME = name_of(P)
SEEN_WITH_A_JOB: dict[str, dict[str, Any]] = {
    "seen busy": {"phase": Phase.BUSY, "since": NOW - 90, "online_at": NOW - 100, "taken_at": NOW - 90},
    "seen busy, then offline": {
        "phase": Phase.FINISHED,
        "since": NOW - 10,
        "online_at": NOW - 100,
        "taken_at": NOW - 90,
    },
    "named by the queue": {
        "phase": Phase.IDLE,
        "since": NOW - 90,
        "online_at": NOW - 100,
        "workflow_job": running(1, NAME),
    },
}
CODES = [*(end.value for end in Exit if end), 1, 137, 255]


def ended(code: int, token: str = "aaaa") -> HFJob:
    message = f"Job failed with exit code: {code}. Reason: Error"
    times = {"started_at": SERVER - 100, "finished_at": SERVER - 2}
    return hf_job(P, token, stage=Stage.ERROR, message=message, **times)


def launches(done: Plan) -> int:
    return sum(isinstance(action, Launch) for action in done.actions)


def after_a_job_no_list_has_shown(code: int) -> Plan:
    """What the pass concludes that learns of the end."""
    memory = remembering(NAME, phase=Phase.STARTING, since=NOW - 20)
    return run_plan([P], snapshot(jobs=[job(2)], ended=[ended(code)]), memory=memory)


def next_pass(memory: Memory, *, queue: list[WorkflowJob], completed: WorkflowJob | None = None) -> Plan:
    view = snapshot(jobs=seen(queue, at=NOW + 3), registrations=seen(at=NOW + 3), hf_jobs=seen(at=NOW + 3))
    if completed is not None:
        view = replace(view, completed={SOURCE: (completed,)})
    return run_plan([P], view, memory=memory, now=NOW + 4)


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("track", SEEN_WITH_A_JOB.values(), ids=SEEN_WITH_A_JOB)
def test_no_code_makes_the_pool_back_off(track: dict[str, Any], code: int) -> None:
    done = run_plan([P], snapshot(jobs=[job(2)], ended=[ended(code)]), memory=remembering(NAME, **track))
    assert done.reports[P.uid].memory.backoffs == {}
    assert launches(done) == 1


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("track", SEEN_WITH_A_JOB.values(), ids=SEEN_WITH_A_JOB)
def test_no_code_says_that_it_was_idle_beside_jobs_that_wait(track: dict[str, Any], code: int) -> None:
    done = run_plan([P], snapshot(jobs=[job(2)], ended=[ended(code)]), memory=remembering(NAME, **track))
    assert done.reports[P.uid].memory.suspicions.spans == ()


def test_one_that_says_it_was_idle_and_had_no_job_is_believed() -> None:
    track: dict[str, Any] = {"phase": Phase.IDLE, "since": NOW - 90, "online_at": NOW - 90}
    done = run_plan([P], snapshot(jobs=[job(2)], ended=[ended(75)]), memory=remembering(NAME, **track))
    assert [span.runner for span in done.reports[P.uid].memory.suspicions.spans] == [NAME]


@pytest.mark.parametrize("code", [65, 67, 71, 72, 73, 78, 80, 82])
@pytest.mark.parametrize("how", ["running", "completed"])
def test_a_job_that_github_shows_later_takes_the_blame_away(code: int, how: str) -> None:
    before = after_a_job_no_list_has_shown(code)
    assert before.reports[P.uid].memory.backoffs[POOL].blamed == (NAME,)
    assert launches(before) == 0
    its_job = running(1, NAME)
    shown: dict[str, Any] = (
        {"queue": [job(2), its_job]} if how == "running" else {"queue": [job(2)], "completed": its_job}
    )
    done = next_pass(before.memory, **shown)
    assert done.reports[P.uid].memory.backoffs == {}
    assert launches(done) == 1


@pytest.mark.parametrize("other", [name_of(P, "bbbb"), None])
def test_a_job_of_another_runner_takes_nothing_away(other: str | None) -> None:
    before = after_a_job_no_list_has_shown(73)
    done = next_pass(before.memory, queue=[job(2)], completed=running(1, other) if other else None)
    assert done.reports[P.uid].memory.backoffs[POOL].failure.reason is Reason.RunnerVersionRefused
    assert launches(done) == 0


def test_the_blame_of_several_ends_is_kept_by_name_and_bounded() -> None:
    memory, tokens = Memory(), [f"r{number:03}" for number in range(40)]
    for number, token in enumerate(tokens):
        view = snapshot(jobs=[job(2)], ended=[ended(65, token)])
        memory = run_plan([P], view, memory=memory, now=NOW + number).memory
    kept = tuple(name_of(P, token) for token in tokens[-MOST_BLAMED:])
    assert memory.pools[P.uid].backoffs[POOL].blamed == kept
