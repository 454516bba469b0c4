"""Jobs that GitHub gives to nobody: when suspicion falls on whom, what may be started, and what clears it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from controller.core.allowance import (
    PAUSES,
    READ_WITHIN,
    count_starts,
    in_question,
    next_start,
    not_started,
    started,
)
from controller.core.causes import Check, find_causes, note_causes, to_check
from controller.core.evidence import LIST_LAG
from controller.core.model import (
    Admission,
    JobLook,
    JobStatus,
    PastSuspicion,
    RegistrationScope,
    Scope,
    ScopeKind,
    Snapshot,
    SuspicionLevel,
    WorkflowJob,
)
from controller.core.passed_over import GONE_KEPT, HAND_OUT, MOST_READ, READ_AGAIN, SPAN_KEPT, Wanted, learn
from controller.core.suspicion import (
    HOUR,
    MOST_SUSPICIONS,
    REMEMBERED,
    Group,
    Span,
    Start,
    Suspicion,
    Suspicions,
    clear,
    divide,
    recall,
)
from tests.core.build import NOW, SOURCE, job, pool

JOB, REPOSITORY, POOL = SuspicionLevel.JOB, SuspicionLevel.REPOSITORY, SuspicionLevel.POOL
IDLE = 120.0
LIB, APP = "acme/lib", "acme/app"


class Lists:
    """What one pool's lists show as time passes; the pool's runners are online from the start."""

    def __init__(self, *jobs: WorkflowJob, idle: Iterable[str] = ("r1",), read_at_once: bool = True) -> None:
        self.now, self.began, self.listed = NOW, NOW, True
        self.jobs, self.idle, self.read_at_once = list(jobs), list(idle), read_at_once
        self.known = Suspicions()
        self.looks: dict[int, JobLook] = {}
        self.wanted: Sequence[Wanted] = ()

    def look(self, job_id: int, status: JobStatus = JobStatus.QUEUED) -> None:
        self.looks[job_id] = JobLook(status=status, asked_at=self.now)

    def passes(self, seconds: float = 0.0, **more: Any) -> Suspicions:
        """Let time pass, and learn what is seen then; jobs that should be read are read
        before the next pass.
        """
        self.now += seconds
        spans = [Span(runner=n, labels=("hf-t4",), since=self.began, until=self.now) for n in self.idle]
        given = {
            "jobs": self.jobs,
            "idle": spans,
            "looks": self.looks,
            "listed_at": {one.repository: self.now - 5 for one in self.jobs} if self.listed else {},
            "whole": True,
            "idle_deadline": IDLE,
            "now": self.now,
        }
        self.known, self.wanted = learn(self.known, **{**given, **more})
        if self.read_at_once:
            for one in self.wanted:
                self.look(one.job_id)
        return self.known

    def judge(self) -> list[tuple[SuspicionLevel, str, int]]:
        """Let the runners idle for long enough, read what is to be read, and say on whom suspicion falls."""
        self.passes()
        self.passes(HAND_OUT)
        return found(self.passes(1))


def found(known: Suspicions) -> list[tuple[SuspicionLevel, str, int]]:
    return [(one.level, one.repository, one.job_id) for one in known.held]


def suspicion(level: SuspicionLevel = POOL, **changes: Any) -> Suspicion:
    base = Suspicion(
        level=level,
        repository="" if level is POOL else LIB,
        job_id=1 if level is JOB else 0,
        since=NOW,
        starts=(NOW,),
        newest=100,
        seen_at=NOW,
    )
    return replace(base, **changes)


def in_app(number: int) -> WorkflowJob:
    return job(number, repository=APP)


class TestWhatIsPassedOver:
    def test_a_job_that_stays_queued_beside_an_idle_runner_comes_under_suspicion(self) -> None:
        assert Lists(job(1)).judge() == [(JOB, LIB, 1)]

    def test_seconds_beside_an_idle_runner_are_none(self) -> None:
        lists = Lists(*(job(n) for n in range(1, 200)), idle=[f"r{n}" for n in range(50)])
        lists.passes()
        lists.passes(HAND_OUT - 1)
        assert (lists.wanted, lists.known.held) == ([], ())

    def test_without_an_idle_runner_nobody_is_suspected(self) -> None:
        assert Lists(job(1), idle=()).judge() == []

    def test_a_runner_that_lacks_one_of_its_labels_says_nothing_about_a_job(self) -> None:
        assert Lists(job(1, labels=("hf-t4", "cuda"))).judge() == []

    def test_a_job_is_read_by_its_id_only_after_the_runner_has_idled_for_long_enough(self) -> None:
        lists = Lists(job(1), read_at_once=False)
        lists.passes()
        lists.look(1)
        assert found(lists.passes(HAND_OUT)) == []
        assert [(one.job_id, one.after) for one in lists.wanted] == [(1, NOW + HAND_OUT)]
        lists.look(1)
        assert found(lists.passes(1)) == [(JOB, LIB, 1)]

    @pytest.mark.parametrize("status", [JobStatus.IN_PROGRESS, JobStatus.COMPLETED])
    def test_a_job_that_has_started_meanwhile_was_not_passed_over(self, status: JobStatus) -> None:
        lists = Lists(job(1), read_at_once=False)
        lists.passes()
        lists.passes(HAND_OUT)
        lists.look(1, status)
        assert found(lists.passes(300)) == []

    def test_a_job_that_cannot_be_read_is_judged_by_a_list_that_must_show_it_as_it_was_then(self) -> None:
        lists = Lists(job(1), read_at_once=False)
        lists.passes()
        assert found(lists.passes(HAND_OUT + LIST_LAG + 4)) == []
        assert found(lists.passes(1)) == [(JOB, LIB, 1)]

    def test_a_job_that_nobody_could_read_or_list_since_is_not_judged(self) -> None:
        lists = Lists(job(1), read_at_once=False)
        lists.listed = False
        lists.passes()
        assert found(lists.passes(300)) == []

    def test_a_job_that_was_queued_a_moment_ago_was_not_passed_over_by_a_runner_that_idles_for_long(
        self,
    ) -> None:
        lists = Lists()
        lists.passes()
        lists.passes(500)
        lists.jobs.append(job(1))
        lists.passes()
        assert lists.wanted == []
        lists.passes(HAND_OUT)
        assert [one.job_id for one in lists.wanted] == [1]

    def test_a_short_idle_deadline_shortens_the_time_that_must_pass(self) -> None:
        lists = Lists(job(1))
        lists.passes(idle_deadline=30.0)
        lists.passes(15, idle_deadline=30.0)
        assert found(lists.passes(1, idle_deadline=30.0)) == [(JOB, LIB, 1)]

    def test_a_runner_that_has_ended_meanwhile_still_counts_for_a_while(self) -> None:
        lists = Lists(job(1), read_at_once=False)
        lists.passes()
        lists.passes(HAND_OUT)
        lists.idle.clear()
        lists.passes(SPAN_KEPT / 2)
        lists.look(1)
        assert found(lists.passes(1)) == [(JOB, LIB, 1)]

    def test_a_runner_that_has_taken_another_job_meanwhile_counts_no_more(self) -> None:
        lists = Lists(job(1), read_at_once=False)
        lists.passes()
        lists.passes(HAND_OUT)
        lists.idle.clear()
        lists.known = clear(lists.known, [Start(runner="r1", at=lists.now)])
        lists.look(1)
        assert found(lists.passes(1)) == []

    def test_nothing_is_launched_for_a_job_that_is_about_to_be_read_but_not_for_ever(self) -> None:
        lists = Lists(job(1), read_at_once=False)
        lists.listed = False
        lists.passes()
        known = lists.passes(HAND_OUT)
        assert list(in_question(known, lists.now)) == [1]
        assert list(in_question(lists.passes(READ_WITHIN), lists.now)) == []

    def test_few_jobs_are_read_and_two_of_each_repository(self) -> None:
        jobs = [job(n, repository=f"acme/r{n % 30:02}") for n in range(1, 201)]
        lists = Lists(*jobs, read_at_once=False)
        lists.passes()
        lists.passes(HAND_OUT)
        assert len(lists.wanted) == MOST_READ
        lists = Lists(*(job(n) for n in range(1, 201)), read_at_once=False)
        lists.passes()
        lists.passes(HAND_OUT)
        assert [one.job_id for one in lists.wanted] == [1, 2]

    def test_a_job_under_suspicion_is_read_again_now_and_then(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        assert lists.wanted == []
        lists.passes(READ_AGAIN + 1)
        assert [one.job_id for one in lists.wanted] == [1]


class TestOnWhomItFalls:
    def test_two_jobs_of_a_repository_bring_it_on_the_repository(self) -> None:
        assert Lists(job(1), job(2), job(3)).judge()[0] == (REPOSITORY, LIB, 0)

    def test_jobs_of_two_repositories_bring_it_on_the_pool(self) -> None:
        assert Lists(job(1), in_app(2)).judge()[0] == (POOL, "", 0)

    def test_what_is_wider_has_the_newest_starts_of_what_is_narrower(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        first = lists.now
        lists.jobs.append(job(2))
        lists.judge()
        assert lists.known.held[0].starts == (first, lists.now)

    def test_two_jobs_do_not_weigh_on_a_repository_that_had_a_start_between_them(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        lists.known = clear(lists.known, [Start(runner="r9", at=lists.now, repository=LIB, job_id=7)])
        lists.jobs.append(job(2))
        assert lists.judge() == [(JOB, LIB, 1), (JOB, LIB, 2)]

    def test_two_repositories_do_not_weigh_on_a_pool_that_had_a_start_between_them(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        lists.known = clear(lists.known, [Start(runner="r9", at=lists.now, repository=APP, job_id=7)])
        lists.jobs.append(in_app(2))
        assert lists.judge() == [(JOB, APP, 2), (JOB, LIB, 1)]

    def test_a_repository_is_not_trusted_for_the_start_of_another_ones_job(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        lists.known = clear(lists.known, [Start(runner="r9", at=lists.now, repository=APP, job_id=7)])
        lists.jobs.append(job(2))
        assert lists.judge()[0] == (REPOSITORY, LIB, 0)

    def test_the_widest_suspicion_governs_a_job_and_others_are_trusted(self) -> None:
        known = Suspicions(held=(suspicion(REPOSITORY), suspicion(JOB)))
        divided = divide(known, [job(1), job(2), in_app(3)])
        assert [one.id for one in divided.trusted] == [3]
        assert [(g.suspicion.level, [one.id for one in g.jobs]) for g in divided.groups] == [
            (REPOSITORY, [1, 2])
        ]

    def test_there_is_a_bound_on_what_is_kept(self) -> None:
        lists = Lists(*(job(n) for n in range(1, 3 * MOST_SUSPICIONS)))
        lists.known = Suspicions(
            held=tuple(suspicion(JOB, job_id=n, rises_to=JOB) for n in range(1, 3 * MOST_SUSPICIONS))
        )
        assert len(lists.passes().held) == MOST_SUSPICIONS


class TestWhatClearsIt:
    START = Start(runner="r9", at=NOW + 100, repository=LIB, job_id=7)

    def test_any_start_clears_the_pool(self) -> None:
        assert clear(Suspicions(held=(suspicion(POOL),)), [Start(runner="r9", at=NOW + 1)]).held == ()

    def test_a_start_of_the_repository_clears_it_and_that_of_another_one_does_not(self) -> None:
        known = Suspicions(held=(suspicion(REPOSITORY),))
        assert clear(known, [self.START]).held == ()
        assert found(clear(known, [replace(self.START, repository=APP)])) == [(REPOSITORY, LIB, 0)]

    def test_only_its_own_start_clears_a_job(self) -> None:
        known = Suspicions(held=(suspicion(JOB),))
        assert found(clear(known, [self.START])) == [(JOB, LIB, 1)]
        assert clear(known, [replace(self.START, job_id=1)]).held == ()

    def test_a_job_that_has_been_running_since_before_clears_nothing(self) -> None:
        known = Suspicions(held=(suspicion(POOL),))
        assert clear(known, [replace(self.START, at=NOW - LIST_LAG - 1)]).held == known.held

    def test_once_the_repository_is_cleared_each_of_its_jobs_has_one_start_free(self) -> None:
        jobs = tuple(suspicion(JOB, job_id=n) for n in (1, 2, 3))
        known = clear(Suspicions(held=(suspicion(REPOSITORY), *jobs)), [replace(self.START, job_id=3)])
        divided = divide(known, [job(1), job(2)])
        assert count_starts(divided, spare=0, idle=False, now=NOW + 100) == 2
        again = divide(started(known, divided, "r10", NOW + 100), [job(1), job(2)])
        assert count_starts(again, spare=0, idle=False, now=NOW + 101) <= 1

    def test_a_job_that_goes_takes_its_suspicion_with_it_in_an_hour_and_a_repository_keeps_its_own_for_a_day(
        self,
    ) -> None:
        lists = Lists(job(1), job(2))
        lists.judge()
        lists.jobs.clear()
        lists.idle.clear()
        assert found(lists.passes(GONE_KEPT - 1)) == [(REPOSITORY, LIB, 0), (JOB, LIB, 1), (JOB, LIB, 2)]
        assert found(lists.passes(1)) == [(REPOSITORY, LIB, 0)]
        assert found(lists.passes(REMEMBERED)) == []

    def test_a_job_that_was_cancelled_when_it_was_passed_over_counts_against_its_repository(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        lists.jobs[:] = [job(2)]
        assert found(lists.passes(1)) == [(JOB, LIB, 1)]
        assert (REPOSITORY, LIB, 0) in lists.judge()

    def test_a_job_that_another_pool_is_to_serve_for_a_while_stays_under_suspicion(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        known = lists.passes(1, jobs=[], lent=[job(1)])
        assert found(known) == [(JOB, LIB, 1)]
        assert found(lists.passes(GONE_KEPT, jobs=[], lent=[job(1)])) == [(JOB, LIB, 1)]

    def test_of_too_many_those_go_whose_jobs_wait_no_more(self) -> None:
        gone = tuple(
            suspicion(JOB, repository=f"a/{n}", job_id=n, rises_to=JOB) for n in range(MOST_SUSPICIONS)
        )
        waits = suspicion(JOB, repository="z/z", job_id=99, rises_to=JOB)
        lists = Lists(job(99, repository="z/z"), idle=())
        lists.known = Suspicions(held=(*gone, waits))
        assert (JOB, "z/z", 99) in found(lists.passes(1))

    def test_a_job_that_a_queue_lacks_which_was_not_read_to_its_end_stays_under_suspicion(self) -> None:
        lists = Lists(job(1))
        lists.judge()
        lists.jobs.clear()
        assert found(lists.passes(1, whole=False)) == [(JOB, LIB, 1)]


class TestWhatMayBeStarted:
    def play(self, hours: float, *, alive: float, hint_every: float | None = None) -> list[float]:
        """Return when runners are started for jobs that nobody gets, each of which idles
        beside them for a while.
        """
        known, starts, now = Suspicions(held=(suspicion(POOL),)), [NOW], NOW
        newest = 100
        while now < NOW + hours * HOUR:
            now += 5
            if hint_every is not None and (now - NOW) % hint_every == 0:
                newest += 1
            divided = divide(known, [job(newest)])
            idle = now - starts[-1] < alive
            if count_starts(divided, spare=0, idle=idle, now=now):
                known = started(known, divided, f"r{now}", now)
                starts.append(now)
        return starts

    @pytest.mark.parametrize("alive", [5.0, 60.0, 300.0])
    @pytest.mark.parametrize("hint_every", [None, 5.0, 300.0])
    def test_at_most_four_in_the_first_hour_and_two_in_any_hour_after(
        self, alive: float, hint_every: float | None
    ) -> None:
        starts = self.play(12, alive=alive, hint_every=hint_every)
        assert len([at for at in starts if at < NOW + HOUR]) <= 4
        later = [at for at in starts if at >= NOW + HOUR]
        assert all(len([at for at in starts if first - HOUR < at <= first]) <= 2 for first in later)

    def test_a_suspicion_goes_on_being_tried(self) -> None:
        starts = self.play(12, alive=120.0)
        assert len(starts) >= 4 + 10
        assert max(b - a for a, b in pairwise(starts)) <= PAUSES[-1] + 5

    def test_the_first_retry_follows_at_once_and_the_next_ones_wait(self) -> None:
        one = suspicion(since=NOW, starts=(NOW,))
        assert next_start(one) == NOW
        assert next_start(replace(one, starts=(NOW, NOW + 100))) == NOW + 100 + PAUSES[1]

    def test_a_new_job_is_tried_at_once_while_the_allowance_has_starts_left(self) -> None:
        known = Suspicions(held=(suspicion(REPOSITORY, starts=(NOW, NOW + 100), newest=5),))
        old, new = divide(known, [job(5)]), divide(known, [job(5), job(6)])
        assert count_starts(old, spare=0, idle=False, now=NOW + 200) == 0
        assert count_starts(new, spare=0, idle=False, now=NOW + 200) == 1
        spent = Suspicions(held=(suspicion(REPOSITORY, starts=tuple(NOW + n for n in range(4)), newest=5),))
        assert count_starts(divide(spent, [job(6)]), spare=0, idle=False, now=NOW + 200) == 0

    def test_a_runner_that_idles_or_is_on_its_way_is_the_probe(self) -> None:
        divided = divide(Suspicions(held=(suspicion(POOL),)), [job(n) for n in range(1, 50)])
        assert count_starts(divided, spare=1, idle=True, now=NOW + 10) == 0
        assert count_starts(divided, spare=1, idle=False, now=NOW + 10) == 0
        assert count_starts(divided, spare=0, idle=False, now=NOW + 10) == 1

    def test_many_suspicions_share_one_probe(self) -> None:
        held = tuple(suspicion(JOB, job_id=n, rises_to=JOB) for n in range(1, 9))
        divided = divide(Suspicions(held=held), [job(n) for n in range(1, 9)])
        assert count_starts(divided, spare=0, idle=False, now=NOW + 10) == 1

    def test_a_launch_that_failed_is_no_start(self) -> None:
        known = Suspicions(held=(suspicion(POOL),))
        tried = started(known, divide(known, [job(1)]), "r9", NOW + 10)
        assert tried.held[0].starts == (NOW, NOW + 10)
        assert not_started(tried, "another").held == tried.held
        assert not_started(tried, "r9").held[0].starts == (NOW,)


class TestOverARestart:
    def test_what_the_status_tells_counts_on(self) -> None:
        told = PastSuspicion(level=POOL, since=5_000.0, starts=(5_000.0, 5_100.0), rises_to=POOL)
        known = recall(pool(suspicions=(told,)), launching=False, now=NOW, wall=5_200.0)
        assert known.held == (
            suspicion(POOL, since=NOW - 200, starts=(NOW - 200, NOW - 100), newest=0, seen_at=NOW),
        )

    def test_a_launch_that_no_status_tells_of_counts_as_a_start(self) -> None:
        told = PastSuspicion(level=POOL, since=5_000.0, starts=(5_000.0,))
        known = recall(pool(suspicions=(told,)), launching=True, now=NOW, wall=5_200.0)
        assert known.held[0].starts == (NOW - 200, NOW)
        known = recall(pool(suspicions=(told,)), launching=True, now=NOW, wall=5_010.0)
        assert known.held[0].starts == (NOW - 10,)

    def test_a_status_from_the_future_or_of_long_ago_is_bounded(self) -> None:
        told = [
            PastSuspicion(level=JOB, repository=LIB, job_id=1, since=9e9, starts=(9e9,)),
            PastSuspicion(level=POOL, since=0.0, starts=(0.0,)),
        ]
        known = recall(pool(suspicions=tuple(told)), launching=False, now=NOW, wall=5e8)
        assert [(one.level, one.since) for one in known.held] == [
            (POOL, NOW - 2 * REMEMBERED),
            (JOB, NOW),
        ]

    def test_a_pool_whose_status_tells_of_none_has_none(self) -> None:
        assert recall(pool(), launching=True, now=NOW, wall=0.0) == Suspicions()


class TestCauses:
    SCOPE = RegistrationScope(SOURCE, Scope(kind=ScopeKind.ORGANIZATION, owner="acme"))
    CHECK = Check(scope=SCOPE, group="gpu", repositories=(LIB,), versions=("2.330.0",))
    GROUP = Group(suspicion=suspicion(REPOSITORY), jobs=(job(1),))

    def seen(
        self,
        admission: Admission | None = None,
        *,
        ended: bool | None = False,
        look: JobLook | None = None,
    ) -> Snapshot:
        return Snapshot(
            admissions={} if admission is None else {(self.SCOPE, "gpu", LIB): admission},
            versions_ended={} if ended is None else {(self.SCOPE, "2.330.0"): ended},
            looks={} if look is None else {(SOURCE, 1): look},
        )

    @pytest.mark.parametrize(
        ("snapshot", "words"),
        [
            ({"admission": Admission(group="gpu", excluded=True)}, "does not admit acme/lib"),
            ({"admission": Admission(group="gpu", refuses_public=True)}, "acme/lib is public"),
            ({"admission": Admission(group="gpu", workflows=("a.yaml@main",))}, "a.yaml@main"),
            ({"ended": True}, "serves version 2.330.0"),
            (
                {"look": JobLook(status=JobStatus.QUEUED, asked_at=NOW, run_ended="cancelled")},
                "run 1 has ended",
            ),
            ({"look": JobLook(status=JobStatus.QUEUED, asked_at=NOW, spaced=True)}, "a space"),
        ],
    )
    def test_what_was_found_is_said_as_a_fact(self, snapshot: dict[str, Any], words: str) -> None:
        (found,), _ = find_causes(self.CHECK, self.GROUP, self.seen(**snapshot))
        assert words in found

    def test_what_is_in_order_or_could_not_be_looked_up_is_not_said(self) -> None:
        assert find_causes(self.CHECK, self.GROUP, self.seen(Admission(group="gpu"))) == ([], True)
        assert find_causes(self.CHECK, self.GROUP, self.seen(ended=None)) == ([], False)
        assert find_causes(self.CHECK, self.GROUP, self.seen(Admission(group="gpu"), ended=None)) == (
            [],
            False,
        )

    def test_a_repository_has_no_groups_to_be_looked_up(self) -> None:
        divided = divide(Suspicions(held=(suspicion(),)), [job(1)])
        check = to_check(pool(), divided, ("2.330.0",))
        assert check is not None
        assert (check.repositories, check.versions) == ((), ("2.330.0",))
        assert to_check(pool(), divide(Suspicions(), [job(1)]), ()) is None

    def test_once_the_cause_is_mended_the_next_start_need_not_wait_but_is_counted(self) -> None:
        known = Suspicions(held=(suspicion(REPOSITORY, starts=(NOW, NOW + 100), newest=1),))
        divided = divide(known, [job(1)])

        def due(known: Suspicions, at: float) -> int:
            return count_starts(divide(known, [job(1)]), spare=0, idle=False, now=at)

        bad = note_causes(known, divided, self.CHECK, self.seen(Admission(group="gpu", excluded=True)))
        assert due(bad, NOW + 200) == 0
        unknown = note_causes(bad, divided, self.CHECK, self.seen())
        assert due(unknown, NOW + 200) == 0
        good = note_causes(unknown, divided, self.CHECK, self.seen(Admission(group="gpu")))
        assert due(good, NOW + 200) == 1
        tried = started(good, divide(good, [job(1)]), "r9", NOW + 200)
        again = note_causes(tried, divided, self.CHECK, self.seen(Admission(group="gpu")))
        assert due(again, NOW + 300) == 0
