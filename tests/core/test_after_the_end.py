"""Runners whose HF Job ended: what lists still say of them, and whose doing the end was."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.core.actions import Result, Retire
from controller.core.effects import Effect
from controller.core.evidence import LIST_LAG
from controller.core.lifecycle import Phase
from controller.core.losses import LOOK_AFTER
from controller.core.memory import Memory
from controller.core.model import Failure, HFJob, Stage
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.retire.why import LOST_GRACE
from controller.core.retry import Rerun

from .build import (
    NOW,
    OUTAGE,
    SERVER,
    hf_job,
    job,
    launching,
    name_of,
    pool,
    registration,
    remembering,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)

P = pool(max_runners=1)
NAME = name_of(P)
AT_WORK: dict[str, Any] = {
    "phase": Phase.BUSY,
    "since": NOW - 60,
    "online_at": NOW - 90,
    "taken_at": NOW - 60,
}


def ended(code: int = 0, **changes: Any) -> HFJob:
    message = f"Job failed with exit code: {code}. Reason: Error" if code else None
    stage = Stage.ERROR if code else Stage.COMPLETED
    times = {"started_at": SERVER - 100, "finished_at": SERVER - 2}
    return hf_job(P, **{"stage": stage, "message": message, **times, **changes})


def after(
    before: Plan, later: float, *, busy: bool = False, queue: Any = (), memory: Memory | None = None
) -> Plan:
    """A pass later on, in which the registration still shows."""
    at = NOW + later
    view = snapshot(
        jobs=seen(queue, at=at - 1),
        registrations=seen([registration(P, busy=busy)], at=at - 1),
        hf_jobs=seen(at=at - 1),
    )
    return run_plan([P], view, memory=memory or before.memory, now=at)


def end(job_ended: HFJob, *, busy: bool = True, queue: Any = (), memory: Memory | None = None) -> Plan:
    """The pass that learns of the end; its other lists are older."""
    view = snapshot(jobs=queue, registrations=[registration(P, online=busy, busy=busy)], ended=[job_ended])
    return run_plan([P], view, memory=memory or remembering(NAME, **AT_WORK))


def phase(done: Plan) -> Phase:
    (runner,) = done.reports[P.uid].runners
    return runner.phase


def retired(done: Plan) -> list[Reason]:
    return [action.reason for action in done.actions if isinstance(action, Retire)]


class TestANormalEnd:
    def test_it_is_finished_although_lists_still_call_it_busy(self) -> None:
        done = end(ended(), queue=[running(1, NAME)])
        assert (phase(done), retired(done), list(done.notices)) == (Phase.FINISHED, [], [])

    def test_it_leaves_its_place_to_the_next_job_at_once(self) -> None:
        done = end(ended(), queue=[running(1, NAME), job(2)])
        assert [type(action).__name__ for action in done.actions] == ["Launch"]

    @pytest.mark.parametrize("code", [75, 82])
    def test_one_that_its_own_deadline_ended_is_finished_too(self, code: int) -> None:
        assert phase(end(ended(code))) is Phase.FINISHED

    def test_github_is_asked_only_when_a_list_that_is_a_lag_younger_still_shows_it(self) -> None:
        done = end(ended())
        for later in (5, 30, LIST_LAG + 1):
            done = after(done, later)
            assert (phase(done), retired(done)) == (Phase.FINISHED, [])
        done = after(done, LIST_LAG + 2)
        assert retired(done) == [Reason.OrphanedRegistration]

    def test_one_that_github_calls_busy_a_lag_later_is_lost_and_not_asked_for_before_its_lease_is_over(
        self,
    ) -> None:
        done = after(end(ended()), LIST_LAG + 2, busy=True)
        assert (phase(done), retired(done), list(done.notices)) == (Phase.LOST, [], [])

    def test_github_is_not_asked_again_before_lists_can_show_what_it_answered(self) -> None:
        done = after(end(ended()), LIST_LAG + 2)
        view = snapshot(registrations=seen([registration(P)], at=NOW + 70), hf_jobs=seen(at=NOW + 70))
        gone = Result(name=NAME, pool_uid=P.uid, effect=Effect.RETIRE)
        done = run_plan([P], view, memory=done.memory, results=[gone], now=NOW + 71)
        asked = {later: retired(done := after(done, later)) for later in (80, 71 + LIST_LAG)}
        assert asked == {80: [], 71 + LIST_LAG: [Reason.OrphanedRegistration]}

    def test_a_list_that_fails_is_no_younger_one(self) -> None:
        view = snapshot(registrations=seen([registration(P)], at=NOW + 200, failure=OUTAGE), hf_jobs=seen())
        done = run_plan([P], view, memory=end(ended()).memory, now=NOW + 201)
        assert (phase(done), retired(done)) == (Phase.FINISHED, [])

    @pytest.mark.parametrize("change", [{"deleting": True}, {"labels": ("other",)}], ids=str)
    def test_an_edited_or_deleted_pool_asks_no_sooner(self, change: dict[str, Any]) -> None:
        done = end(ended())
        changed = replace(P, **change)
        view = snapshot(registrations=seen([registration(P)], at=NOW + 4), hf_jobs=seen(at=NOW + 4))
        for later in (5, LIST_LAG + 10):
            assert retired(run_plan([changed], view, memory=done.memory, now=NOW + later)) == []

    def test_an_hf_job_that_shows_itself_again_lives(self) -> None:
        view = snapshot(registrations=[registration(P)], hf_jobs=[started(P)])
        booting = remembering(NAME, phase=Phase.STARTING, since=NOW - 30)
        done = run_plan([P], view, memory=end(ended(65), busy=False, memory=booting).memory, now=NOW + 5)
        assert done.reports[P.uid].runners[0].live
        assert after(done, 6).reports[P.uid].runners[0].live  # until its end is seen anew

    @pytest.mark.parametrize("stage", [Stage.UNKNOWN, Stage.DELETED])
    def test_one_that_the_hub_merely_shows_no_more_keeps_its_place(self, stage: Stage) -> None:
        done = end(ended(stage=stage, finished_at=None), busy=False, memory=Memory(), queue=[job(2)])
        assert [type(action).__name__ for action in done.actions] == []


class TestALostRunner:
    def test_it_is_lost_as_soon_as_its_job_shows_and_github_is_not_asked_before_it_can_agree(self) -> None:
        done = end(ended(137), queue=[running(1, NAME)])
        assert phase(done) is Phase.LOST
        assert [notice.reason for notice in done.notices] == [Reason.RunnerLost]
        for later in (5, 60, 300, LOST_GRACE):
            done = after(done, later, busy=True, queue=[running(1, NAME)])
            assert (phase(done), retired(done), list(done.notices)) == (Phase.LOST, [], [])

    def test_its_registration_is_removed_once_github_has_failed_its_job(self) -> None:
        done = after(end(ended(137), queue=[running(1, NAME)]), 620)
        assert retired(done) == [Reason.OrphanedRegistration]

    def test_one_that_github_calls_busy_for_ever_is_asked_for_in_the_end(self) -> None:
        done = after(end(ended(137), queue=[running(1, NAME)]), LOST_GRACE + 1, busy=True)
        assert retired(done) == [Reason.OrphanedRegistration]

    @pytest.mark.parametrize("code", [0, 82, 137])
    def test_a_job_that_is_named_only_after_the_end_is_lost_unless_github_heard_of_the_end(
        self, code: int
    ) -> None:
        """1. It dies. 2. The queue is read, and lags: no job. 3. The queue names its job,
        and goes on doing so.
        """
        p = replace(P, retry_interrupted=1)
        idle: dict[str, Any] = {"phase": Phase.IDLE, "since": NOW - 60, "online_at": NOW - 60}
        view = snapshot(registrations=[registration(P, online=True)], ended=[ended(code)])
        done = run_plan([p], view, memory=remembering(NAME, **idle))
        told = [notice.reason for notice in done.notices]
        reruns = 0
        for later in (30.0, 60.0, 120.0, 130.0, 120.0 + LOOK_AFTER + 2, 300.0):
            view = snapshot(
                jobs=seen([running(1, NAME)], at=NOW + later - 1),
                registrations=seen([registration(P, busy=True)], at=NOW + later - 1),
                hf_jobs=seen(at=NOW + later - 1),
            )
            done = run_plan([p], view, memory=done.memory, now=NOW + later)
            told += [notice.reason for notice in done.notices]
            reruns += sum(isinstance(action, Rerun) for action in done.actions)
        assert told.count(Reason.RunnerLost) == (code == 137)
        assert bool(reruns) is (code == 137)


class TestWhatWeAskedFor:
    """An HF Job that ends because we retired its runner, however the Hub words it."""

    BOOTING: dict[str, Any] = {"phase": Phase.STARTING, "since": NOW - 30}  # noqa: RUF012
    ENDS = (
        ended(71),
        ended(72),
        ended(137),
        ended(77),
        ended(stage=Stage.CANCELED, cancel_reason="BY_REQUEST"),
    )

    def result(self, **changes: Any) -> Result:
        return Result(name=NAME, pool_uid=P.uid, effect=Effect.RETIRE, **changes)

    def assert_no_failure(self, done: Plan) -> None:
        assert list(done.notices) == []
        assert done.reports[P.uid].memory.backoffs == {}

    @pytest.mark.parametrize("over", ENDS, ids=lambda over: over.message or over.stage)
    def test_is_no_failure_while_it_is_under_way(self, over: HFJob) -> None:
        flight = launching(P, effect=Effect.RETIRE)
        view = snapshot(registrations=[registration(P)], ended=[over])
        self.assert_no_failure(
            run_plan([P], view, memory=remembering(NAME, **self.BOOTING), in_flight=flight)
        )

    @pytest.mark.parametrize("over", ENDS, ids=lambda over: over.message or over.stage)
    @pytest.mark.parametrize("later", [0, 300])
    def test_is_no_failure_however_long_the_hub_takes(self, over: HFJob, later: float) -> None:
        memory, result = remembering(NAME, **self.BOOTING), self.result(deregistered=True)
        if later:
            live = snapshot(hf_jobs=[started(P)])
            memory = run_plan([P], live, memory=memory, results=[result]).memory
        view = snapshot(ended=[over])
        results = [] if later else [result]
        self.assert_no_failure(run_plan([P], view, memory=memory, results=results, now=NOW + later))

    @pytest.mark.parametrize(
        "result",
        [
            {"busy": True},
            {"failure": Failure(reason=Reason.GitHubForbidden, message="no")},
        ],
        ids=["busy", "refused"],
    )
    def test_a_retirement_that_had_no_effect_explains_no_end(self, result: dict[str, Any]) -> None:
        live = snapshot(registrations=[registration(P)], hf_jobs=[started(P)])
        memory = remembering(NAME, **self.BOOTING)
        memory = run_plan([P], live, memory=memory, results=[self.result(**result)]).memory
        view = snapshot(registrations=[registration(P)], ended=[ended(65)])
        done = run_plan([P], view, memory=memory, now=NOW + 5)
        assert [notice.reason for notice in done.notices] == [Reason.ImageUnsuitable]

    def test_a_job_that_was_lost_while_github_was_asked_is_told_all_the_same(self) -> None:
        flight = launching(P, effect=Effect.RETIRE)
        view = snapshot(jobs=[running(1, NAME)], registrations=[registration(P)], ended=[ended(137)])
        done = run_plan([P], view, memory=remembering(NAME, **AT_WORK), in_flight=flight)
        assert [notice.reason for notice in done.notices] == [Reason.RunnerLost]

    def test_a_runner_that_was_deregistered_is_no_capacity_however_long_its_hf_job_shows(self) -> None:
        memory = remembering(NAME, **self.BOOTING)
        for later in (0, 90, 900):
            at = NOW + later
            view = snapshot(
                jobs=seen([job()], at=at - 1),
                registrations=seen(at=at - 1),
                hf_jobs=seen([started(P)], at=at - 1),
            )
            results = [self.result(deregistered=True)] if not later else []
            done = run_plan([replace(P, max_runners=2)], view, memory=memory, results=results, now=at)
            memory = done.memory
            launched = [action for action in done.actions if not isinstance(action, Retire)]
            assert len(launched) == (1 if later else 0)

    def test_a_runner_that_was_deregistered_costs_no_other_one_its_place(self) -> None:
        gone = remembering(NAME, phase=Phase.FINISHED, since=NOW - 30, deregistered=True, asked_to_end=True)
        other: dict[str, Any] = {
            "registrations": [registration(P, "bbbb")],
            "hf_jobs": [started(P), started(P, "bbbb")],
        }
        assert retired(run_plan([P], snapshot(jobs=[job()], **other), memory=gone)) == []

    def test_its_hf_job_is_cancelled_again_without_asking_github_to_remove_what_it_has_removed(self) -> None:
        memory = run_plan(
            [P],
            snapshot(registrations=[registration(P)], hf_jobs=[started(P)]),
            memory=remembering(NAME, **self.BOOTING),
            results=[self.result(deregistered=True)],
        ).memory
        for later, again in ((5, False), (30, False), (70, True)):
            at = NOW + later
            view = snapshot(
                registrations=seen([registration(P)], at=at - 1), hf_jobs=seen([started(P)], at=at - 1)
            )
            done = run_plan([P], view, memory=memory, now=at)
            memory = done.memory
            asked = [action for action in done.actions if isinstance(action, Retire)]
            assert [action.registration_id for action in asked] == ([None] if again else [])


class TestDeadlines:
    """They conclude nothing from lists that are older than the moment, or not complete."""

    LATE = started(P, seconds_ago=300 + 2 * LIST_LAG)

    @pytest.mark.parametrize(
        ("registrations", "late"),
        [
            (seen([registration(P)]), True),
            (seen([registration(P)], at=NOW - LIST_LAG - 5), False),
            (seen([registration(P)], failure=OUTAGE), False),
        ],
        ids=["new", "older than the deadline", "GitHub is down"],
    )
    def test_a_runner_that_cannot_be_seen_is_not_late(self, registrations: Any, late: bool) -> None:
        view = snapshot(jobs=[job()], registrations=registrations, hf_jobs=[self.LATE])
        done = run_plan([P], view)
        assert retired(done) == ([Reason.RegistrationDeadline] if late else [])
        assert [notice.reason for notice in done.notices] == ([Reason.RegistrationDeadline] if late else [])

    @pytest.mark.parametrize(
        ("hf_jobs", "late"),
        [
            (seen([hf_job(P, created_at=SERVER - 601)]), True),
            (seen([hf_job(P, created_at=SERVER - 590)], at=NOW - 30), False),
            (seen([hf_job(P, created_at=SERVER - 700)], failure=OUTAGE), False),
        ],
        ids=["new", "older than the deadline", "the Hub is down"],
    )
    def test_an_hf_job_that_may_have_started_since_has_not_waited_too_long(
        self, hf_jobs: Any, late: bool
    ) -> None:
        view = snapshot(jobs=[job()], registrations=[registration(P)], hf_jobs=hf_jobs)
        assert retired(run_plan([P], view)) == ([Reason.SchedulingDeadline] if late else [])

    def test_an_hf_job_that_waited_long_for_its_machine_has_all_its_time_to_come_online(self) -> None:
        long = replace(started(P, seconds_ago=20), created_at=SERVER - 5_000)
        assert (
            retired(run_plan([P], snapshot(jobs=[job()], registrations=[registration(P)], hf_jobs=[long])))
            == []
        )

    @pytest.mark.parametrize("failure", [None, OUTAGE], ids=["known", "GitHub is down"])
    def test_a_runner_that_may_have_taken_a_job_since_was_not_passed_over(
        self, failure: Failure | None
    ) -> None:
        idle: dict[str, Any] = {"phase": Phase.IDLE, "since": NOW - 200, "online_at": NOW - 200}
        registrations = seen(
            [registration(P, online=True)], at=NOW - (1 if failure else 100), failure=failure
        )
        view = snapshot(
            jobs=[job(created_at=SERVER - 600)],
            registrations=registrations,
            hf_jobs=[started(P, seconds_ago=210)],
        )
        done = run_plan([P], view, memory=remembering(NAME, **idle))
        assert (retired(done), list(done.notices)) == ([], [])
