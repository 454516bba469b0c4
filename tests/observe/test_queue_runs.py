"""What lists of runs and jobs, read at different moments, say together: pure."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping

import pytest

from controller.core.demand import QUEUE_CAP_SECONDS, is_too_old
from controller.core.evidence import LIST_LAG
from controller.core.model import Disposition, Failure, JobStatus, Observation, WorkflowJob
from controller.core.reasons import Reason
from controller.observe.queue_runs import (
    BARREN_PATIENCE,
    DISBELIEF,
    READS_PER_LOOK,
    REREAD,
    SAFETY,
    RepositoryRuns,
)
from controller.observe.queue_schedule import ALL_STATUSES
from controller.ports import Run

SERVER = 1_790_000_000.0
BASIC = ("queued", "in_progress")


def run(run_id: int = 1, status: str = "queued", *, updated: str = "u0", attempt: int = 1) -> Run:
    return Run(id=run_id, attempt=attempt, status=status, created_at=SERVER, updated_at=updated)


def job(
    run_id: int = 1, status: JobStatus = JobStatus.QUEUED, *, number: int = 0, age: float = 0.0
) -> WorkflowJob:
    return WorkflowJob(
        id=run_id * 100 + number,
        run_id=run_id,
        run_attempt=1,
        repository="acme/lib",
        name="j",
        labels=("gpu",),
        status=status,
        created_at=SERVER - age,
    )


def _lists(
    *rows: Run, asked: tuple[str, ...] = BASIC, now: float = 0.0, failure: Failure | None = None
) -> Mapping[str, Observation[Run]]:
    return {
        status: Observation(
            items=tuple(r for r in rows if r.status == status),
            asked_at=now + n / 10,
            server_time=SERVER + now,
            failure=failure,
        )
        for n, status in enumerate(asked)
    }


class Look:
    """Feeds one repository's lists to it."""

    def __init__(self) -> None:
        self.runs = RepositoryRuns()

    def lists(self, now: float, *rows: Run, asked: tuple[str, ...] = BASIC, moved: bool = False) -> bool:
        failure = Failure(reason=Reason.GitHubListMoved, message="moved") if moved else None
        return self.runs.listed(_lists(*rows, asked=asked, now=now, failure=failure), now)

    def due(self, now: float, followed: tuple[int, ...] = ()) -> list[int]:
        return [r.id for r in self.runs.to_read(now, followed)[0]]

    def reads(
        self,
        until: float,
        one: Run,
        jobs: Callable[[float], list[WorkflowJob]],
        *,
        since: float = 0.0,
        followed: bool = True,
        row: Callable[[float], Run] | None = None,
    ) -> list[float]:
        """Look every dozen seconds and return when the jobs of a run were read."""
        found = []
        for now in range(int(since), int(until), 12):
            listed = row(now) if row else one
            self.lists(float(now), listed)
            if self.due(now, (one.id,) if followed else ()):
                self.read(float(now), listed, *jobs(now))
                found.append(float(now))
        return found

    def read(self, now: float, one: Run, *jobs: WorkflowJob) -> None:
        self.runs.read(one, Observation(items=jobs, asked_at=now, server_time=SERVER + now), now)

    def fail(self, now: float, one: Run, disposition: Disposition = Disposition.RETRY) -> None:
        failed = Failure(reason=Reason.GitHubUnavailable, message="down", disposition=disposition)
        self.runs.unreadable(one, failed, now)

    def shown(self) -> list[tuple[int, JobStatus]]:
        return [(j.run_id, j.status) for j in self.runs.observation().items]


def test_completed_jobs_are_no_news() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(
        0.5,
        run(),
        job(number=1),
        job(number=2, status=JobStatus.COMPLETED),
        job(number=3, status=JobStatus.WAITING),
    )
    assert look.shown() == [(1, JobStatus.QUEUED), (1, JobStatus.WAITING)]


QUEUED, RUNNING = JobStatus.QUEUED, JobStatus.IN_PROGRESS


@pytest.mark.parametrize("status", [QUEUED, RUNNING])
def test_a_run_whose_row_stays_the_same_is_read_for_as_long_as_lists_lag_and_then_every_five_minutes(
    status: JobStatus,
) -> None:
    reads = Look().reads(3_600, run(status=status.value), lambda _: [job(status=status)])
    after_the_lag = [at for at in reads if at > LIST_LAG]
    assert after_the_lag[0] <= LIST_LAG + REREAD
    assert all(SAFETY <= later - at < SAFETY + 12 for at, later in itertools.pairwise(after_the_lag))
    assert len(reads) - len(after_the_lag) == (6 if status is QUEUED else 2)


def test_a_row_that_changes_is_read_until_the_list_of_jobs_cannot_lag_behind_it_any_more() -> None:
    look, started = Look(), 1_200
    look.reads(started, run(), lambda _: [job()])
    reads = look.reads(
        started + 600,
        run(status="in_progress", updated="u1"),
        lambda now: [job(status=RUNNING if now >= started + 30 else QUEUED)],  # jobs half a minute late
        since=started,
    )
    assert reads[:4] == [started, started + 12, started + 24, started + 36]
    assert look.shown() == [(1, RUNNING)]


def test_a_run_with_several_unfinished_jobs_is_read_at_every_look_while_they_come_and_go() -> None:
    def matrix(now: float) -> list[WorkflowJob]:
        started = int(now // 120)
        return [job(number=n, status=RUNNING if n < started else QUEUED) for n in range(20)]

    reads = Look().reads(1_200, run(), matrix, row=lambda now: run(updated=f"u{now // 120}"))
    assert len(reads) == 100


def test_a_run_with_several_jobs_of_which_none_moves_is_read_ever_less_often() -> None:
    reads = Look().reads(7_200, run(), lambda _: [job(number=n) for n in range(20)])
    gaps = [later - at for at, later in itertools.pairwise(reads)]
    assert gaps == sorted(gaps)
    assert gaps[0] == 12
    assert SAFETY <= gaps[-1] < SAFETY + 12
    assert len(reads) < 70


def test_a_backlog_of_any_size_costs_no_more_than_a_read_in_two_seconds() -> None:
    look, rows, reads = Look(), [run(n) for n in range(1, 601)], 0
    for now in range(0, 7_200, 12):
        look.lists(float(now), *rows)
        for run_id in look.due(float(now)):
            look.read(float(now), rows[run_id - 1], job(run_id))
            reads += now >= 3_600
    assert reads <= 1_800


def test_several_jobs_that_no_runner_of_ours_may_take_are_read_every_five_minutes() -> None:
    reads = Look().reads(3_600, run(), lambda _: [job(number=n) for n in range(20)], followed=False)
    assert len([at for at in reads if at > LIST_LAG + 12]) <= 12


def test_a_row_that_keeps_silent_about_a_new_job_is_caught_and_no_row_is_believed_for_an_hour() -> None:
    look, frozen = Look(), run(status="in_progress")
    look.reads(590, frozen, lambda _: [job(status=RUNNING)])
    changed = look.reads(1_000, frozen, lambda _: [job(number=1)], since=600)
    assert changed[0] <= 600 + SAFETY
    later = look.reads(1_500, frozen, lambda _: [job(number=1)], since=1_008)
    assert len(later) == 41  # at every look
    believed = look.reads(8_000, frozen, lambda _: [job(number=1)], since=1_512)
    assert len([at for at in believed if at > changed[0] + DISBELIEF + 24]) in range(7, 13)


def test_a_row_that_follows_its_jobs_at_the_next_list_is_believed() -> None:
    look = Look()
    look.reads(590, run(), lambda _: [job(number=n) for n in range(2)])
    # The first job starts after the list of runs and before that of jobs.
    look.reads(612, run(), lambda _: [job(number=0, status=RUNNING), job(number=1)], since=600)
    reads = look.reads(
        3_000,
        run(updated="u1"),
        lambda _: [job(number=0, status=RUNNING), job(number=1)],
        since=612,
        followed=False,
    )
    assert len([at for at in reads if at > 612 + LIST_LAG + 12]) <= 8


def test_a_run_that_left_the_list_of_its_status_may_be_in_another_one() -> None:
    look = Look()
    look.lists(0.0, run(1), run(2, "in_progress"))
    assert not look.runs.lacks(_lists(run(1), asked=("queued",)))
    assert look.runs.lacks(_lists(asked=("queued",)))
    assert look.runs.lacks(_lists(run(1)))


def test_a_row_that_changed_is_read_at_once() -> None:
    look = Look()
    look.lists(0.0, run(status="in_progress"))
    look.read(0.0, run(status="in_progress"), job(status=JobStatus.IN_PROGRESS))
    look.lists(1.0, run(status="in_progress", updated="u1"))
    assert look.due(1.0) == [1]


def test_a_run_without_jobs_is_asked_ever_less_often_and_its_repository_cools() -> None:
    look = Look()
    now, reads = 0.0, []
    while now < 4 * 3_600:
        look.lists(now, run())
        if look.due(now):
            look.read(now, run())
            reads.append(now)
        now += 12
    assert reads[:4] == [0.0, 12.0, 36.0, 72.0]  # the second at once: jobs appear a moment after their run
    assert len(reads) < 15
    assert not look.runs.at_work
    assert look.shown() == []


def test_a_new_run_keeps_its_repository_at_work_until_it_is_known_to_be_barren() -> None:
    look = Look()
    look.lists(0.0, run())
    assert look.runs.at_work
    for n in range(BARREN_PATIENCE + 1):
        assert look.runs.at_work
        look.read(1_000.0 * n, run())
    assert not look.runs.at_work
    assert look.runs.statuses() == []


def test_a_barren_run_that_gets_a_job_is_demand_again() -> None:
    look = Look()
    look.lists(0.0, run())
    for n in range(10):
        look.read(float(n), run())
    look.lists(20.0, run(updated="u1"))
    assert look.due(20.0) == [1]
    look.read(20.0, run(updated="u1"), job())
    assert look.runs.at_work
    assert look.shown() == [(1, JobStatus.QUEUED)]


def test_a_job_counts_as_queued_since_the_look_that_saw_it_become_so() -> None:
    look, week = Look(), 7 * QUEUE_CAP_SECONDS
    look.lists(0.0, run())
    look.read(0.0, run(), job(status=JobStatus.WAITING, age=week))
    look.read(100.0, run(), job(age=week))
    look.read(200.0, run(), job(age=week))
    (found,) = look.runs.observation().items
    assert (found.waits_since, found.seen_queued_at) == (SERVER + 100.0, SERVER + 100.0)
    look.read(300.0, run(), job(age=week, status=JobStatus.IN_PROGRESS))
    (found,) = look.runs.observation().items
    assert found.waits_since == SERVER + 100.0


def test_a_job_that_was_approved_and_taken_between_two_looks_has_waited_since_the_first_of_them() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(50.0, run(), job(status=JobStatus.PENDING, age=9_000.0))
    look.read(62.0, run(), job(status=JobStatus.IN_PROGRESS, age=9_000.0))
    assert [one.waits_since for one in look.runs.observation().items] == [SERVER + 50.0]


def test_a_job_that_was_queued_when_it_was_first_seen_has_waited_since_it_was_made() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job(age=600.0))
    assert [one.waits_since for one in look.runs.observation().items] == [SERVER - 600.0]


def test_a_job_that_is_older_than_github_lets_one_queue_became_queued_later_than_it_was_made() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job(age=QUEUE_CAP_SECONDS + 1))
    (found,) = look.runs.observation().items
    assert found.waits_since == SERVER
    assert not is_too_old(found, SERVER)


def test_a_job_that_was_seen_queued_for_more_than_a_day_is_shown_and_worth_no_look() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job(age=5.0))
    later = QUEUE_CAP_SECONDS + 1
    for n in range(BARREN_PATIENCE + 1):
        look.read(later + n, run(), job(age=5.0))
    seen = look.runs.observation()
    assert [is_too_old(one, SERVER + later) for one in seen.items] == [True]
    assert not look.runs.at_work
    assert look.due(later + BARREN_PATIENCE + 1) == []
    look.read(later + 200.0, run(), job(age=5.0, status=JobStatus.IN_PROGRESS))  # a job may run for five days
    assert look.runs.at_work


def test_a_run_that_ended_is_forgotten_when_its_jobs_say_so() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    assert look.lists(12.0) is True
    assert look.due(12.0) == [1]
    assert look.shown() == [(1, JobStatus.QUEUED)]  # kept until its jobs were asked
    look.read(12.0, run(), job(status=JobStatus.COMPLETED))
    assert look.shown() == []
    assert look.lists(24.0) is False
    assert look.due(24.0) == []


def test_a_run_that_slipped_between_two_lists_stays_and_is_found_again() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    assert (
        look.lists(12.0) is True
    )  # it was in progress when "queued" was read, and queued when "in_progress" was
    look.read(12.0, run(), job())
    assert look.shown() == [(1, JobStatus.QUEUED)]
    assert look.lists(24.0, run(), asked=ALL_STATUSES) is False
    assert look.shown() == [(1, JobStatus.QUEUED)]


def test_a_run_that_became_pending_is_looked_for_in_every_status() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    assert look.lists(12.0) is True
    look.read(12.0, run(), job())
    assert look.lists(24.0, run(status="pending"), asked=ALL_STATUSES) is False
    assert look.shown() == [(1, JobStatus.QUEUED)]
    assert look.runs.statuses() == ["pending"]


def test_a_job_that_stays_queued_in_a_completed_run_is_no_demand() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    assert look.lists(12.0) is True
    look.read(12.0, run(), job())  # it never learnt that its run failed to start
    assert look.lists(24.0, asked=ALL_STATUSES) is False
    assert look.shown() == []


def test_a_single_sweep_that_lacks_a_run_is_not_believed() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    assert look.lists(12.0, asked=ALL_STATUSES) is True
    assert look.shown() == [(1, JobStatus.QUEUED)]


def test_nothing_is_missing_from_a_list_that_moved() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    for now in (12.0, 24.0, 36.0):
        assert look.lists(now, run(2), asked=ALL_STATUSES, moved=True) is False
        look.read(now, run(2), job(2))
    assert look.shown() == [(1, JobStatus.QUEUED), (2, JobStatus.QUEUED)]


def test_a_run_of_a_status_that_was_not_asked_for_is_not_missing() -> None:
    look = Look()
    look.lists(0.0, run(status="pending"), asked=ALL_STATUSES)
    look.read(0.0, run(status="pending"), job())
    assert look.lists(12.0) is False
    assert look.shown() == [(1, JobStatus.QUEUED)]


def test_a_new_attempt_is_read_for_itself() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job(number=1))
    look.lists(12.0, run(attempt=2, updated="u1"))
    (due,) = look.runs.to_read(12.0)[0]
    assert due.attempt == 2


def test_one_repository_reads_a_bounded_number_of_job_lists_and_those_longest_unread_first() -> None:
    look = Look()
    rows = [run(n) for n in range(1, READS_PER_LOOK + 51)]
    look.lists(0.0, *rows)
    reading, more = look.runs.to_read(0.0)
    assert (len(reading), more) == (READS_PER_LOOK, True)
    for one in reading:
        look.read(0.5, one, job(one.id))
    reading, more = look.runs.to_read(1.0)
    assert [r.id for r in reading[:50]] == list(range(READS_PER_LOOK + 1, READS_PER_LOOK + 51))


def test_the_view_is_as_old_as_its_oldest_unfinished_job() -> None:
    look = Look()
    look.lists(0.0, run(1), run(2, "in_progress"))
    look.read(1.0, run(1), job(1))
    look.read(2.0, run(2, "in_progress"), job(2, JobStatus.IN_PROGRESS))
    look.lists(20.0, run(1), run(2, "in_progress"))
    assert (look.runs.observation().asked_at, look.runs.observation().server_time) == (1.0, SERVER + 1)
    look.read(21.0, run(1), job(1))
    assert (look.runs.observation().asked_at, look.runs.observation().server_time) == (2.0, SERVER + 2)
    look.read(21.0, run(2, "in_progress"), job(2, JobStatus.IN_PROGRESS))
    assert (look.runs.observation().asked_at, look.runs.observation().server_time) == (20.0, SERVER + 20)


def test_the_view_is_no_younger_than_the_older_of_the_two_lists_that_name_running_jobs() -> None:
    look = Look()
    look.lists(0.0)
    look.lists(12.0, asked=("queued",))
    assert look.runs.observation().asked_at == pytest.approx(0.1)  # the list of runs in progress


def test_its_oldest_part_is_the_run_that_was_read_longest_ago_whatever_its_jobs_do() -> None:
    look, busy = Look(), run(2, "in_progress")
    look.lists(0.0)
    assert look.runs.observation().oldest_part_at == 0.0
    look.lists(1.0, run(1), busy)
    assert look.runs.observation().oldest_part_at == -math.inf
    look.read(2.0, busy, job(2, JobStatus.IN_PROGRESS))
    look.read(3.0, run(1), job(1))
    look.lists(20.0, run(1), busy)
    look.read(21.0, run(1), job(1))
    assert look.runs.observation().oldest_part_at == 2.0
    for now in (30.0, 60.0, 200.0):
        look.fail(now, busy)
        look.read(now, run(1), job(1))
    assert look.runs.observation().oldest_part_at == 2.0


# -------------------------------------------------------------------------------------------- unreadable runs
def test_one_run_that_cannot_be_read_hides_no_other() -> None:
    look = Look()
    rows = [run(n) for n in (1, 2, 3)]
    look.lists(0.0, *rows)
    for one in rows:
        look.read(0.0, one, job(one.id))
    for now in (12.0, 60.0, 200.0):
        look.fail(now, rows[0])
        assert look.runs.blocked() is None
    assert [run_id for run_id, _ in look.shown()] == [2, 3]


def test_its_last_jobs_count_for_some_time() -> None:
    look = Look()
    rows = [run(n) for n in (1, 2, 3)]
    look.lists(0.0, *rows)
    for one in rows:
        look.read(0.0, one, job(one.id))
    look.fail(12.0, rows[0])
    assert [run_id for run_id, _ in look.shown()] == [1, 2, 3]
    assert look.due(13.0) == [2, 3]
    assert look.due(12.0 + 15) == [1, 2, 3]


def test_where_nothing_can_be_read_nothing_is_concluded_however_long_it_lasts() -> None:
    look = Look()
    rows = [run(n) for n in (1, 2)]
    look.lists(0.0, *rows)
    for one in rows:
        look.read(0.0, one, job(one.id))
    for n in range(1, 10):
        for one in rows:
            look.fail(100.0 * n, one)
        blocked = look.runs.blocked()
        assert blocked is not None
        assert blocked.reason is Reason.GitHubUnavailable
    look.read(2_000.0, rows[0], job(1))
    look.read(2_000.0, rows[1], job(2))
    assert look.runs.blocked() is None


def test_a_deleted_run_is_forgotten() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    look.lists(12.0)
    look.fail(12.0, run(), Disposition.GONE)
    assert look.runs.blocked() is None
    assert look.shown() == []


def test_a_listed_run_whose_jobs_answer_404_once_keeps_them() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job())
    look.lists(12.0, run())
    look.fail(12.0, run(), Disposition.GONE)
    assert look.runs.blocked() is not None
    assert look.shown() == [(1, JobStatus.QUEUED)]
