"""Jobs under suspicion within the plan: what is launched, kept and told. The rules themselves
are in test_suspicion.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from controller.api.status.build import build_status
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.stored import read_status, suspicions
from controller.api.status.values import Instant
from controller.core.actions import Launch, Result, Retire
from controller.core.backoff import POOL as WHOLE_POOL
from controller.core.backoff import Backoff
from controller.core.effects import Effect
from controller.core.lifecycle import Phase, Track
from controller.core.memory import Memory, PoolMemory
from controller.core.model import (
    HFJob,
    JobLook,
    JobStatus,
    Pool,
    Registration,
    Stage,
    SuspicionLevel,
)
from controller.core.plan import Plan
from controller.core.reasons import Reason
from controller.core.suspicion import MOST_STARTS, MOST_SUSPICIONS, Suspicion, Suspicions
from tests.core.build import (
    NOW,
    OUTAGE,
    REPO,
    SERVER,
    SOURCE,
    job,
    name_of,
    pool,
    registration,
    run_plan,
    running,
    seen,
    snapshot,
    started,
)

JOB, REPOSITORY, POOL = SuspicionLevel.JOB, SuspicionLevel.REPOSITORY, SuspicionLevel.POOL


def suspicion(level: SuspicionLevel = POOL, **changes: Any) -> Suspicion:
    base = Suspicion(
        level=level,
        repository="" if level is POOL else REPO,
        job_id=1 if level is JOB else 0,
        since=NOW - 600,
        starts=(NOW - 700, NOW - 5),
        newest=100,
        seen_at=NOW,
    )
    return replace(base, **changes)


def remembering(*held: Suspicion, tracks: dict[str, Track] | None = None, **more: Any) -> Memory:
    kept = PoolMemory(suspicions=Suspicions(held=held), tracks=tracks or {}, **more)
    return Memory(pools={pool().uid: kept})


def launches(done: Plan) -> int:
    return sum(isinstance(action, Launch) for action in done.actions)


def retired(done: Plan) -> dict[str, Reason]:
    return {action.name: action.reason for action in done.actions if isinstance(action, Retire)}


def held(done: Plan) -> list[SuspicionLevel]:
    return [one.level for one in done.reports[pool().uid].memory.suspicions.held]


def idle(of: Pool, token: str = "aaaa", *, for_seconds: float = 90.0) -> tuple[Registration, HFJob, Track]:
    since = NOW - for_seconds
    track = Track(phase=Phase.IDLE, since=since, online_at=since)
    return registration(of, token, online=True), started(of, token, seconds_ago=for_seconds + 10), track


def conditions(done: Plan) -> dict[str, tuple[str, str]]:
    now = Instant(mono=NOW, wall=SERVER)
    report = done.reports[pool().uid]
    status = build_status(
        report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
    ).to_object()
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}


class TestWhatIsLaunched:
    def test_nothing_more_for_jobs_under_suspicion_until_the_next_start_is_due(self) -> None:
        view = snapshot(jobs=[job(n) for n in range(1, 5)])
        assert launches(run_plan([pool()], view, memory=remembering(suspicion()))) == 0
        due = remembering(suspicion(starts=(NOW - 700,)))
        assert launches(run_plan([pool()], view, memory=due)) == 1

    def test_a_job_of_another_repository_is_served_at_full_pace(self) -> None:
        p = pool(include=("acme/*",), exclude=())
        others = [job(n, repository="acme/app") for n in (10, 11, 12)]
        memory = remembering(suspicion(REPOSITORY))
        view = snapshot(jobs=[job(1), job(2), *others])
        done = run_plan([p], view, memory=memory)
        assert launches(done) == 3
        told = {one.reason: one.count for one in done.reports[p.uid].waiting}
        assert told == {Reason.RunnerStarting: 3, Reason.NotPickedUp: 2}

    def test_a_runner_that_idles_beside_them_is_the_probe(self) -> None:
        p = pool()
        listed, live, track = idle(p, for_seconds=10)
        view = snapshot(jobs=[job(1)], registrations=[listed], hf_jobs=[live])
        memory = remembering(suspicion(starts=(NOW - 700,)), tracks={name_of(p): track})
        assert launches(run_plan([p], view, memory=memory)) == 0

    def test_a_pool_that_backs_off_for_its_image_starts_no_probe(self) -> None:
        backs_off = Backoff(failures=1, until=NOW + 60, at=NOW, failure=OUTAGE)
        memory = remembering(suspicion(starts=(NOW - 700,)), backoffs={WHOLE_POOL: backs_off})
        assert launches(run_plan([pool()], snapshot(jobs=[job(1)]), memory=memory)) == 0

    def test_a_launch_that_failed_is_no_start_under_a_suspicion(self) -> None:
        failed = Result(
            name=name_of(pool()), pool_uid=pool().uid, effect=Effect.LAUNCH, flavor="t4-small", failure=OUTAGE
        )
        memory = remembering(suspicion(probe=name_of(pool())))
        done = run_plan([pool()], snapshot(jobs=[job(1)]), memory=memory, results=[failed])
        assert done.reports[pool().uid].memory.suspicions.held[0].starts == (NOW - 700,)


class TestWhatIsLearnt:
    def test_a_job_beside_a_runner_that_has_idled_for_long_is_to_be_read_and_waits_for_that(self) -> None:
        p = pool(max_runners=4)
        listed, live, track = idle(p)
        view = snapshot(jobs=[job(1)], registrations=[listed], hf_jobs=[live])
        known = Suspicions(queued_since={1: NOW - 90})
        memory = Memory(pools={p.uid: PoolMemory(suspicions=known, tracks={name_of(p): track})})
        done = run_plan([p], view, memory=memory)
        assert [one.job_id for one in done.reports[p.uid].to_read] == [1]
        look = JobLook(status=JobStatus.QUEUED, asked_at=NOW - 1)
        done = run_plan([p], replace(view, looks={(SOURCE, 1): look}), memory=memory)
        assert held(done) == [JOB]

    @pytest.mark.parametrize("reads", [JobStatus.COMPLETED, JobStatus.IN_PROGRESS])
    def test_a_job_that_was_read_otherwise_is_no_demand(self, reads: JobStatus) -> None:
        look = JobLook(status=reads, asked_at=NOW - 1)
        view = snapshot(jobs=seen([job(1)], at=NOW), looks={(SOURCE, 1): look})
        assert launches(run_plan([pool()], view)) == 0

    def test_a_job_that_was_given_back_to_the_queue_long_after_is_demand_again(self) -> None:
        look = JobLook(status=JobStatus.IN_PROGRESS, asked_at=NOW - 100)
        view = snapshot(jobs=seen([job(1)], at=NOW), looks={(SOURCE, 1): look})
        assert launches(run_plan([pool()], view)) == 1

    def test_what_another_credential_read_says_nothing(self) -> None:
        look = JobLook(status=JobStatus.COMPLETED, asked_at=NOW - 1)
        view = snapshot(jobs=[job(1)], looks={(replace(SOURCE, owner="another"), 1): look})
        assert launches(run_plan([pool()], view)) == 1

    @pytest.mark.parametrize(
        ("exit_code", "was_online"),
        [(75, True), (75, False), (82, True)],
        ids=["idle", "idle, and no list showed it", "lifetime"],
    )
    def test_a_runner_that_ends_at_a_deadline_without_a_job_counts(
        self, exit_code: int, was_online: bool
    ) -> None:
        p = pool()
        track = Track(
            phase=Phase.IDLE if was_online else Phase.STARTING,
            since=NOW - 130,
            online_at=NOW - 130 if was_online else None,
        )
        end = replace(started(p), message=f"Job failed with exit code: {exit_code}", finished_at=SERVER)
        end = replace(end, stage=Stage.ERROR)
        look = JobLook(status=JobStatus.QUEUED, asked_at=NOW - 1)
        known = Suspicions(queued_since={1: NOW - 200})
        memory = Memory(pools={p.uid: PoolMemory(suspicions=known, tracks={name_of(p): track})})
        view = snapshot(jobs=[job(1)], ended=[end], looks={(SOURCE, 1): look})
        assert held(run_plan([p], view, memory=memory)) == [JOB]

    def test_a_runner_that_comes_online_clears_failed_boots_and_no_suspicion(self) -> None:
        p = pool()
        backs_off = Backoff(failures=3, until=NOW + 60, at=NOW, failure=OUTAGE)
        track = Track(phase=Phase.STARTING, since=NOW - 20)
        memory = remembering(suspicion(), tracks={name_of(p): track}, backoffs={WHOLE_POOL: backs_off})
        view = snapshot(jobs=[job(1)], registrations=[registration(p, online=True)], hf_jobs=[started(p)])
        done = run_plan([p], view, memory=memory)
        assert done.reports[p.uid].memory.backoffs == {}
        assert held(done) == [POOL]

    def test_a_job_that_starts_on_a_runner_clears_it_and_everything_is_launched(self) -> None:
        p = pool(max_runners=10)
        listed, live, track = idle(p)
        memory = remembering(suspicion(REPOSITORY), tracks={name_of(p): track})
        view = snapshot(
            jobs=[running(1, name_of(p)), *(job(n) for n in range(2, 8))],
            registrations=[replace(listed, busy=True)],
            hf_jobs=[live],
        )
        done = run_plan([p], view, memory=memory)
        assert (held(done), launches(done)) == ([], 6)

    def test_a_job_that_was_running_before_this_process_began_clears_nothing(self) -> None:
        p = pool()
        old = replace(running(9, name_of(p)), started_at=SERVER - 5_000)
        view = snapshot(
            jobs=[old, job(1)],
            registrations=[registration(p, online=True, busy=True)],
            hf_jobs=[started(p, seconds_ago=5_100)],
        )
        assert held(run_plan([p], view, memory=remembering(suspicion()))) == [POOL]


class TestWhatEnds:
    def test_a_probe_is_kept_for_its_idle_deadline_and_slows_no_launch_of_others(self) -> None:
        p = pool()
        listed, live, track = idle(p, for_seconds=p.deadlines.idle - 1)
        view = snapshot(jobs=[job(1, created_at=SERVER - 900)], registrations=[listed], hf_jobs=[live])
        memory = remembering(suspicion(), tracks={name_of(p): track})
        assert retired(run_plan([p], view, memory=memory)) == {}
        later = replace(
            view,
            registrations={key: replace(one, asked_at=NOW + 2) for key, one in view.registrations.items()},
        )
        done = run_plan([p], later, memory=memory, now=NOW + 2)
        assert retired(done) == {name_of(p): Reason.NotPickedUp}
        assert done.reports[p.uid].memory.backoffs == {}

    def test_a_warm_runner_is_not_replaced_for_the_sake_of_a_job_that_nobody_gets(self) -> None:
        p = pool(min_idle=1)
        listed, live, track = idle(p, for_seconds=p.deadlines.idle + 30)
        view = snapshot(jobs=[job(1, created_at=SERVER - 900)], registrations=[listed], hf_jobs=[live])
        memory = remembering(suspicion(), tracks={name_of(p): track})
        done = run_plan([p], view, memory=memory)
        assert (retired(done), launches(done)) == ({}, 0)


class TestWhatIsTold:
    def test_a_pool_whose_every_job_is_under_suspicion_is_not_ready(self) -> None:
        done = run_plan([pool()], snapshot(jobs=[job(1)]), memory=remembering(suspicion()))
        assert conditions(done)["Ready"] == ("False", "NotPickedUp")
        assert conditions(done)["LaunchesSucceed"] == ("False", "NotPickedUp")

    def test_a_pool_that_serves_others_is_ready_and_says_what_is_wrong(self) -> None:
        memory = remembering(suspicion(JOB, starts=(NOW - 700, NOW - 5)))
        done = run_plan([pool()], snapshot(jobs=[job(1), job(2)]), memory=memory)
        assert conditions(done)["Ready"] == ("True", "Serving")
        assert conditions(done)["LaunchesSucceed"] == ("False", "NotPickedUp")

    def test_a_pool_without_a_queue_is_ready(self) -> None:
        done = run_plan([pool()], snapshot(), memory=remembering(suspicion()))
        assert conditions(done)["Ready"] == ("True", "Serving")

    def test_what_is_told_is_read_back_by_the_next_process(self) -> None:
        told = (suspicion(POOL), suspicion(REPOSITORY), suspicion(JOB, rises_to=JOB))
        done = run_plan([pool()], snapshot(jobs=[job(1)]), memory=remembering(*told))
        now = Instant(mono=NOW, wall=SERVER)
        report = done.reports[pool().uid]
        status = build_status(
            report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
        ).to_object()
        again = run_plan([pool(suspicions=suspicions(read_status(status)))], snapshot(jobs=[job(1)]))
        kept = again.reports[pool().uid].memory.suspicions.held
        assert [replace(one, newest=100) for one in kept] == list(told)
        assert launches(again) == 0

    def test_there_is_a_bound_on_what_is_told(self) -> None:
        many = tuple(suspicion(JOB, job_id=n, starts=(NOW - 9,) * 9) for n in range(2 * MOST_SUSPICIONS))
        done = run_plan([pool()], snapshot(jobs=[job(1)]))
        report = done.reports[pool().uid]
        report = replace(report, memory=replace(report.memory, suspicions=Suspicions(held=many)))
        now = Instant(mono=NOW, wall=SERVER)
        shown = build_status(
            report, previous=RunnerPoolStatus(), overlaps=(), usd_per_second={}, start=now, now=now
        ).to_object()
        assert len(shown["suspicions"]) == MOST_SUSPICIONS
        assert {len(one["starts"]) for one in shown["suspicions"]} == {MOST_STARTS}

    def test_a_status_that_somebody_has_changed_stops_nothing(self) -> None:
        odd = [{"level": "Galaxy"}, 7, {"level": "Pool", "since": "never", "starts": []}]
        good = {"level": "Pool", "since": "2026-11-28T10:00:00Z", "starts": ["x", "2026-11-28T10:01:00Z"]}
        (read,) = suspicions(read_status({"suspicions": [*odd, good]}))
        assert (read.level, len(read.starts)) == (POOL, 1)
        assert suspicions(read_status({"suspicions": "none"})) == ()
