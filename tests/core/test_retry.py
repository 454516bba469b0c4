"""Workflow jobs whose HF Job ended under them: who is run again, when, and who never."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.stored import interruptions, read_status
from controller.api.status.values import Instant
from controller.core.losses import ASK_A_PERSON, AWAITED, LOOK_AFTER, LOOK_AT_LEAST, NAMED_WITHIN, TOLD
from controller.core.memory import Memory
from controller.core.model import Disposition, Failure, HFJob, Interruption, Pool, RerunState, Stage
from controller.core.notices import Notice
from controller.core.plan import Plan, plan
from controller.core.reasons import Reason
from controller.core.retry import (
    JobRecord,
    Rerun,
    RerunAnswer,
    RerunResult,
    RunRecord,
    as_the_hub_says,
    judge,
)
from controller.core.view import PlanInput

from .build import (
    CONTROLLER,
    NOW,
    SERVER,
    hf_job,
    name_of,
    pool,
    registration,
    running,
    seen,
    snapshot,
    started,
)

RERUN = "acme/lib/7/1"


def ended(of: Pool, **changes: Any) -> HFJob:
    died = {"stage": Stage.ERROR, "message": "Job failed with exit code: 137. Reason: OOMKilled"}
    return hf_job(of, **{**died, "started_at": SERVER - 100, "finished_at": SERVER - 40, **changes})


class Passes:
    """Passes over one pool, each with the memory of the last one."""

    def __init__(self, **spec: Any) -> None:
        self.pool = pool(**{"retry_interrupted": 1, **spec})
        self.done: Plan | None = None
        self.notices: list[Notice] = []

    def step(self, at: float, *reruns: RerunResult, wall: float | None = None, **view: Any) -> Plan:
        given = PlanInput(
            pools=[self.pool],
            snapshot=snapshot(**view),
            reruns=reruns,
            now=NOW + at,
            wall=SERVER + at if wall is None else wall,
            controller_id=CONTROLLER,
            entropy="a pass",
            memory=self.done.memory if self.done else Memory(),
        )
        self.done = plan(given)
        self.notices += self.done.notices
        return self.done

    def lose(self, *, attempt: int = 1, **end: Any) -> Plan:
        """The HF Job ends while workflow job 7 runs on it."""
        view: dict[str, Any] = {
            "jobs": [replace(running(7, name_of(self.pool)), run_attempt=attempt)],
            "registrations": [registration(self.pool, online=True, busy=True)],
        }
        return self.step(0, **view, ended=[ended(self.pool, **end)])

    def looks(self, at: float, *reruns: RerunResult) -> list[str]:
        done = self.step(at, *reruns)
        return [action.name for action in done.actions if isinstance(action, Rerun)]

    def answered(
        self, answer: RerunAnswer = RerunAnswer.LATER, failure: Failure | None = None
    ) -> RerunResult:
        return RerunResult(pool_uid=self.pool.uid, name=RERUN, answer=answer, failure=failure)

    def reasons(self) -> list[Reason]:
        return [notice.reason for notice in self.notices]

    def status(self, at: float) -> dict[str, Any]:
        assert self.done is not None
        now = Instant(mono=NOW + at, wall=SERVER + at)
        report = self.done.reports[self.pool.uid]
        return build_status(
            report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
        ).to_object()

    def uninterrupted(self, at: float) -> tuple[str, str, str]:
        conditions = self.status(at)["conditions"]
        (found,) = [c for c in conditions if c["type"] == "JobsUninterrupted"]
        return found["status"], found["reason"], found["message"]

    def state(self, at: float) -> list[str]:
        return [one["rerun"] for one in self.status(at).get("interruptions", ())]


def test_a_run_that_lost_a_job_is_looked_at_until_it_has_ended_and_then_left_alone() -> None:
    passes = Passes()
    passes.lose()
    assert passes.looks(LOOK_AFTER - 1) == []
    assert passes.looks(LOOK_AFTER) == [RERUN]
    assert passes.looks(LOOK_AFTER + 1) == []
    assert passes.looks(2 * LOOK_AFTER, passes.answered()) == [RERUN]
    assert passes.state(120) == ["Pending"]
    assert passes.looks(3 * LOOK_AFTER, passes.answered(RerunAnswer.DONE)) == []
    assert passes.reasons() == [Reason.RunnerLost, Reason.JobsRerun]
    assert "attempt 2" in passes.notices[-1].message
    assert passes.state(180) == ["Done"]
    assert passes.looks(1000) == []


def test_a_run_that_takes_hours_is_looked_at_less_often() -> None:
    passes = Passes()
    passes.lose()
    looks = [at for at in range(0, 20_000, 5) if passes.looks(at)]
    assert looks[:9] == [60 * n for n in range(1, 10)]
    assert {later - sooner for sooner, later in zip(looks[-9:-1], looks[-8:], strict=True)} == {LOOK_AT_LEAST}


@pytest.mark.parametrize(
    ("allowed", "attempt", "again"), [(0, 1, 0), (1, 1, 1), (1, 2, 0), (3, 3, 1), (3, 4, 0)]
)
def test_no_run_is_run_again_more_often_than_the_pool_says(allowed: int, attempt: int, again: int) -> None:
    passes = Passes(retry_interrupted=allowed)
    passes.lose(attempt=attempt)
    assert len(passes.looks(LOOK_AFTER)) == again
    assert passes.state(60) == [["Off"], ["Pending"]][again]


@pytest.mark.parametrize(
    "end",
    [
        {"stage": Stage.CANCELED, "message": None},
        {"message": "Job timeout"},
        {"message": "Job failed with exit code: 82. Reason: Error"},
    ],
    ids=["cancelled by hand", "the Hub's timeout", "deadlines.lifetime"],
)
def test_an_end_that_somebody_meant_is_not_run_again(end: dict[str, Any]) -> None:
    passes = Passes()
    passes.lose(**end)
    assert passes.looks(LOOK_AFTER) == []


def test_a_platform_that_cancels_is_no_person() -> None:
    passes = Passes()
    passes.lose(stage=Stage.CANCELED, cancel_reason="NO_CREDITS")
    assert passes.looks(LOOK_AFTER) == [RERUN]


def test_a_signal_to_an_hf_job_that_nobody_cancelled_is_no_person_either() -> None:
    passes = Passes()
    passes.lose(message="Job failed with exit code: 77. Reason: Error")
    assert passes.looks(LOOK_AFTER) == [RERUN]


def test_a_job_that_failed_by_itself_is_no_loss() -> None:
    passes = Passes()
    passes.lose(stage=Stage.COMPLETED, message=None)
    assert passes.looks(LOOK_AFTER) == []
    assert passes.uninterrupted(60)[0] == "True"


def test_a_loss_whose_job_the_queue_names_only_later_is_followed_up_all_the_same() -> None:
    passes = Passes()
    busy = [registration(passes.pool, online=True, busy=True)]
    passes.step(0, registrations=busy, ended=[ended(passes.pool)])
    assert passes.uninterrupted(0)[:2] == ("False", "RunnerLost")
    passes.step(30, registrations=busy, jobs=[running(7, name_of(passes.pool))])
    assert passes.looks(LOOK_AFTER) == [RERUN]


def test_a_loss_that_the_queue_never_names_is_forgotten() -> None:
    passes = Passes()
    busy = [registration(passes.pool, online=True, busy=True)]
    passes.step(0, registrations=busy, ended=[ended(passes.pool)])
    passes.step(NAMED_WITHIN)
    passes.step(NAMED_WITHIN + 1, jobs=[running(7, name_of(passes.pool))])
    assert passes.looks(NAMED_WITHIN + LOOK_AFTER) == []
    assert passes.uninterrupted(NAMED_WITHIN)[0] == "True"


def test_jobs_of_one_attempt_are_one_loss() -> None:
    passes = Passes()
    jobs = [
        replace(running(n, name_of(passes.pool, token)), run_id=7) for n, token in ((7, "aaaa"), (8, "bbbb"))
    ]
    passes.step(0, jobs=jobs, ended=[ended(passes.pool), ended(passes.pool, token="bbbb")])
    assert passes.looks(LOOK_AFTER) == [RERUN]


def test_what_the_status_kept_is_followed_up_after_a_restart() -> None:
    first = Passes()
    first.lose()
    (told,) = first.status(0)["interruptions"]
    kept = Interruption(
        repository=told["repository"],
        run_id=told["runId"],
        attempt=told["attempt"],
        job_id=told["jobId"],
        at=SERVER,
        rerun=RerunState(told["rerun"]),
    )
    second = Passes(interruptions=(kept,))
    assert second.looks(30) == []
    assert second.state(30) == ["Pending"]
    assert second.looks(30 + LOOK_AFTER) == [RERUN]
    assert second.uninterrupted(30 + LOOK_AFTER)[0] == "False"


@pytest.mark.parametrize("wall", [SERVER - 1e9, SERVER + 1e9])
def test_a_wall_clock_that_is_far_off_neither_holds_a_loss_for_ever_nor_breaks_anything(wall: float) -> None:
    kept = Interruption(
        repository="acme/lib", run_id=7, attempt=1, job_id=7, at=SERVER, rerun=RerunState.PENDING
    )
    passes = Passes(interruptions=(kept,))
    passes.step(0, wall=wall)
    passes.step(AWAITED)
    passes.step(AWAITED + TOLD)
    assert passes.state(AWAITED + TOLD) == []


def test_a_run_that_does_not_end_within_a_day_is_given_up_and_people_are_told() -> None:
    passes = Passes()
    passes.lose()
    assert passes.looks(AWAITED - 1) == [RERUN]
    assert passes.looks(AWAITED) == []
    assert passes.reasons() == [Reason.RunnerLost, Reason.RerunRefused]


def test_a_pool_that_is_edited_or_deleted_meanwhile_runs_nothing_again() -> None:
    edited, deleted = Passes(), Passes()
    for passes, change in ((edited, {"retry_interrupted": 0}), (deleted, {"deleting": True})):
        passes.lose()
        passes.pool = replace(passes.pool, **change)
        assert passes.looks(LOOK_AFTER) == []
    assert edited.state(60) == ["Off"]


def test_a_request_in_doubt_that_took_effect_is_told_as_done() -> None:
    passes = Passes()
    passes.lose()
    lost = Failure(reason=Reason.GitHubUnavailable, message="no answer", in_doubt=True)
    passes.looks(LOOK_AFTER)
    assert passes.looks(2 * LOOK_AFTER, passes.answered(failure=lost)) == [RERUN]
    plan = passes.step(2 * LOOK_AFTER + 1, passes.answered(RerunAnswer.MOVED))
    assert passes.reasons() == [Reason.RunnerLost, Reason.JobsRerun]
    assert plan.notices[-1].message.endswith(Reason.JobsRerun.meaning), "what is not known is not told"


@pytest.mark.parametrize("answer", [RerunAnswer.MOVED, RerunAnswer.NOT_NEEDED])
def test_what_somebody_else_did_is_no_news(answer: RerunAnswer) -> None:
    passes = Passes()
    passes.lose()
    assert passes.looks(2 * LOOK_AFTER, passes.answered(answer)) == []
    assert passes.reasons() == [Reason.RunnerLost]


def test_a_missing_permission_is_told_once_shown_and_tried_again_slowly() -> None:
    passes = Passes()
    passes.lose()
    missing = Failure(
        reason=Reason.PermissionMissing, message="grant actions=write", disposition=Disposition.PERSON
    )
    passes.looks(LOOK_AFTER)
    assert passes.looks(70, passes.answered(failure=missing)) == []
    assert passes.uninterrupted(70)[:2] == ("False", "PermissionMissing")
    assert "actions=write" in passes.uninterrupted(70)[2]
    assert passes.looks(69 + ASK_A_PERSON) == []
    assert passes.looks(70 + ASK_A_PERSON) == [RERUN]
    passes.looks(80 + ASK_A_PERSON, passes.answered(failure=missing))
    assert passes.reasons() == [Reason.RunnerLost, Reason.PermissionMissing]


def test_one_404_proves_little_and_the_second_ends_it() -> None:
    passes = Passes()
    passes.lose()
    gone = Failure(reason=Reason.GitHubNotFound, message="404", disposition=Disposition.GONE)
    assert passes.looks(LOOK_AFTER) == [RERUN]
    assert passes.looks(2 * LOOK_AFTER, passes.answered(failure=gone)) == [RERUN]
    assert passes.looks(3 * LOOK_AFTER, passes.answered(failure=gone)) == []
    assert passes.reasons() == [Reason.RunnerLost, Reason.RerunRefused]


def test_a_refusal_for_good_is_told_and_not_repeated() -> None:
    passes = Passes()
    passes.lose()
    never = Failure(reason=Reason.RerunRefused, message="over a month ago", disposition=Disposition.GONE)
    assert passes.looks(LOOK_AFTER) == [RERUN]
    assert passes.looks(2 * LOOK_AFTER, passes.answered(failure=never)) == []
    assert "over a month ago" in passes.notices[-1].message
    assert passes.state(120) == ["Refused"]


def test_the_condition_holds_again_an_hour_after_the_last_loss() -> None:
    passes = Passes()
    passes.step(-5)
    assert passes.uninterrupted(-5)[:2] == ("True", "JobsUninterrupted")
    passes.lose()
    status, reason, message = passes.uninterrupted(0)
    assert (status, reason) == ("False", "RunnerLost")
    assert "/actions/runs/7/job/7" in message
    passes.step(TOLD, passes.answered(RerunAnswer.NOT_NEEDED))
    assert passes.uninterrupted(TOLD)[0] == "True"


# -------------------------------------------------------------------------------------------------- the judge
LOST = Interruption(repository="acme/lib", run_id=7, attempt=1, job_id=7, at=SERVER)


def run(conclusion: str | None, *jobs: str | None, attempt: int = 1) -> RunRecord:
    """A run; its first job is the lost one, and no job tells when it ended."""
    records = [JobRecord(id=7 + n, conclusion=job) for n, job in enumerate(jobs)]
    return RunRecord(attempt=attempt, conclusion=conclusion, jobs=records)


def ended_at(**jobs: float | None) -> RunRecord:
    """A failed run whose jobs ended so (``failure``, ``cancelled``, ``failure_2``) at these seconds;
    the first is the lost one.
    """
    records = [
        JobRecord(
            id=7 + n, conclusion=how.partition("_")[0], completed_at=None if at is None else SERVER + at
        )
        for n, (how, at) in enumerate(jobs.items())
    ]
    return RunRecord(attempt=1, conclusion="failure", jobs=records)


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        (run("failure", "failure"), None),
        (run("failure", "failure", "success", "failure", "skipped"), None),
        (run(None), RerunAnswer.LATER),
        (run("failure", None), RerunAnswer.LATER),
        (run("success", None), RerunAnswer.LATER),
        (run("failure", "failure", None), RerunAnswer.LATER),
        (run("failure"), RerunAnswer.LATER),
        (run("success", "success"), RerunAnswer.NOT_NEEDED),
        (run("success", "failure"), RerunAnswer.NOT_NEEDED),
        (run("failure", "success", "failure"), RerunAnswer.NOT_NEEDED),
        (run("cancelled", "failure"), RerunAnswer.NOT_NEEDED),
        (run("cancelled", "cancelled"), RerunAnswer.NOT_NEEDED),
        (run("failure", "cancelled", "failure"), RerunAnswer.NOT_NEEDED),
        (replace(run("failure"), jobs=[JobRecord(id=8, conclusion="failure")]), RerunAnswer.LATER),
        (
            RunRecord(
                attempt=1,
                conclusion="failure",
                jobs=[JobRecord(id=6, conclusion="success"), JobRecord(id=7, conclusion="failure")],
            ),
            None,
        ),
        (run("failure", "failure", attempt=2), RerunAnswer.MOVED),
        (run(None, attempt=2), RerunAnswer.MOVED),
    ],
)
def test_run_and_job_must_both_have_failed_in_the_attempt_that_lost_the_job(
    seen: RunRecord, answer: RerunAnswer | None
) -> None:
    assert judge(LOST, seen).against is answer


@pytest.mark.parametrize(
    ("seen", "answer"),
    [
        (ended_at(failure=600, cancelled=601), None),
        (ended_at(failure=600, cancelled=600), None),
        (ended_at(failure=600, cancelled=596), None),  # two services' seconds
        (ended_at(failure=600, cancelled=1_200), None),
        (ended_at(failure=600, cancelled=590), RerunAnswer.NOT_NEEDED),
        (ended_at(failure=600, cancelled=1_201), RerunAnswer.NOT_NEEDED),
        (ended_at(failure=600, cancelled=1_201, failure_2=1_190), None),
        (ended_at(failure=600, cancelled=620, cancelled_2=10), RerunAnswer.NOT_NEEDED),
        (ended_at(failure=600, cancelled=None), None),
        (ended_at(failure=None, cancelled=620), None),
    ],
)
def test_a_job_that_was_cancelled_when_none_had_just_failed_was_cancelled_by_somebody(
    seen: RunRecord, answer: RerunAnswer | None
) -> None:
    assert judge(LOST, seen).against is answer


def test_what_github_does_not_tell_is_said() -> None:
    assert judge(LOST, ended_at(failure=600)).note == ""
    assert "GitHub does not tell" in judge(LOST, ended_at(failure=600, cancelled=620)).note
    assert "somebody meant it" in judge(LOST, ended_at(failure=600, cancelled=10)).note


def test_a_doubt_is_told_with_the_request_and_kept_in_the_status() -> None:
    passes = Passes()
    passes.lose()
    note = judge(LOST, ended_at(failure=600, cancelled=620)).note
    passes.looks(2 * LOOK_AFTER, replace(passes.answered(RerunAnswer.DONE), note=note))
    assert "GitHub does not tell" in passes.notices[-1].message
    (told,) = passes.status(120)["interruptions"]
    assert (told["rerun"], told["note"]) == ("Done", note)


def test_a_run_that_is_left_alone_for_a_job_that_somebody_cancelled_is_told() -> None:
    passes = Passes()
    passes.lose()
    note = judge(LOST, ended_at(failure=600, cancelled=10)).note
    passes.looks(2 * LOOK_AFTER, replace(passes.answered(RerunAnswer.NOT_NEEDED), note=note))
    assert passes.reasons() == [Reason.RunnerLost, Reason.RerunRefused]
    assert not passes.notices[-1].warning
    assert note in passes.notices[-1].message
    assert passes.state(120) == ["NotNeeded"]


@pytest.mark.parametrize(
    ("by_hub", "reported", "conclusion", "answer"),
    [
        (True, True, "cancelled", None),
        (True, True, "failure", None),
        (True, False, "cancelled", RerunAnswer.NOT_NEEDED),
        (False, True, "cancelled", RerunAnswer.NOT_NEEDED),
    ],
    ids=[
        "its runner was told to stop",
        "and GitHub calls the run failed",
        "somebody cancelled it, since nothing came any more",
        "nobody knows who ended the HF Job",
    ],
)
def test_a_job_that_its_runner_reported_cancelled_because_the_hub_took_the_machine_is_run_again(
    by_hub: bool, reported: bool, conclusion: str, answer: RerunAnswer | None
) -> None:
    lost, seen_run = replace(LOST, by_hub=by_hub), run(conclusion, "cancelled", "success")
    mine = replace(seen_run.jobs[0], reported=reported)
    told = as_the_hub_says(lost, replace(seen_run, jobs=[mine, *seen_run.jobs[1:]]))
    assert judge(lost, told).against is answer


def test_another_job_that_was_cancelled_beside_it_is_still_somebodys_wish() -> None:
    lost = replace(LOST, by_hub=True)
    jobs = [
        JobRecord(id=7 + n, conclusion="cancelled", completed_at=SERVER + at, reported=True)
        for n, at in enumerate((600, 10))
    ]
    told = as_the_hub_says(lost, RunRecord(attempt=1, conclusion="cancelled", jobs=jobs))
    assert judge(lost, told).against is RerunAnswer.NOT_NEEDED


@pytest.mark.parametrize(
    ("end", "by_hub"),
    [
        ({"stage": Stage.CANCELED, "cancel_reason": "NODE_PREEMPTED"}, True),
        ({"message": "Job failed with exit code: 77. Reason: Error"}, True),
        ({"message": "Job failed with exit code: 137. Reason: OOMKilled"}, False),
    ],
    ids=["reclaimed", "signalled", "out of memory"],
)
def test_who_ended_an_hf_job_is_kept_over_a_restart(end: dict[str, Any], by_hub: bool) -> None:
    passes = Passes()
    passes.lose(**end)
    (kept,) = interruptions(read_status(passes.status(0)))
    assert kept.by_hub is by_hub


# ------------------------------------------------------------------------------------- losses that nobody saw
def left_behind(of: Pool, at: float, *, workflow_job: bool = True) -> dict[str, Any]:
    """Lists of this moment that show a busy registration without an HF Job."""
    return {
        "jobs": seen([running(7, name_of(of))] if workflow_job else [], at=NOW + at),
        "registrations": seen([registration(of, busy=True)], at=NOW + at),
        "hf_jobs": seen(at=NOW + at),
    }


def test_a_loss_while_no_controller_watched_is_told_once_and_followed_up() -> None:
    passes = Passes()
    for at in range(0, 90, 10):
        passes.step(at, **left_behind(passes.pool, at))
    assert passes.reasons() == [Reason.RunnerLost]
    assert passes.state(90) == ["Pending"]
    assert passes.looks(90 + LOOK_AFTER) == [RERUN]


def test_what_the_queue_said_earlier_proves_no_loss() -> None:
    passes = Passes()
    for at in range(0, 300, 10):
        view = left_behind(passes.pool, at)
        passes.step(at, **{**view, "jobs": seen([running(7, name_of(passes.pool))], at=NOW)})
    assert passes.reasons() == []


def test_a_runner_that_was_seen_at_work_is_judged_by_how_its_hf_job_ended() -> None:
    passes = Passes()
    passes.step(0, **{**left_behind(passes.pool, 0), "hf_jobs": [started(passes.pool)]})
    well = ended(passes.pool, stage=Stage.COMPLETED, message=None)
    passes.step(10, **left_behind(passes.pool, 10), ended=[well])
    for at in range(20, 300, 10):
        passes.step(at, **left_behind(passes.pool, at))
    assert passes.reasons() == []
