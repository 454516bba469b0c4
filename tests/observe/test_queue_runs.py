"""What lists of runs and jobs, read at different moments, say together: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from controller.core.model import Disposition, Failure, JobStatus, Observation, WorkflowJob
from controller.core.reasons import Reason
from controller.observe.queue_runs import BARREN_PATIENCE, QUEUE_CAP, READS_PER_LOOK, REREAD, RepositoryRuns
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


class Look:
    """Feeds one repository's lists to it."""

    def __init__(self) -> None:
        self.runs = RepositoryRuns()

    def lists(self, now: float, *rows: Run, asked: tuple[str, ...] = BASIC, moved: bool = False) -> bool:
        failure = Failure(reason=Reason.GitHubListMoved, message="moved") if moved else None
        lists: Mapping[str, Observation[Run]] = {
            status: Observation(
                items=tuple(r for r in rows if r.status == status),
                asked_at=now + n / 10,
                server_time=SERVER + now,
                failure=failure,
            )
            for n, status in enumerate(asked)
        }
        return self.runs.listed(lists, now)

    def due(self, now: float) -> list[int]:
        return [r.id for r in self.runs.to_read(now)[0]]

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


def test_queued_jobs_are_read_at_every_look_and_running_ones_now_and_then() -> None:
    look = Look()
    rows = [run(1), run(2, "in_progress")]
    look.lists(0.0, *rows)
    assert look.due(0.0) == [1, 2]
    look.read(0.0, rows[0], job(1))
    look.read(0.0, rows[1], job(2, JobStatus.IN_PROGRESS))
    look.lists(12.0, *rows)
    assert look.due(12.0) == [1]
    assert look.due(REREAD) == [1, 2]


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
    assert look.runs.barren == 1
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


def test_a_job_queued_for_more_than_a_day_is_no_demand_by_githubs_own_clock() -> None:
    look = Look()
    look.lists(0.0, run())
    look.read(0.0, run(), job(number=1, age=QUEUE_CAP - 1), job(number=2, age=QUEUE_CAP + 1))
    assert [j.id for j in look.runs.observation().items] == [101]
    look.read(0.0, run(), job(number=3, age=3 * QUEUE_CAP, status=JobStatus.IN_PROGRESS))
    assert [j.id for j in look.runs.observation().items] == [103]  # a job may run for five days


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


def test_the_view_is_as_old_as_its_oldest_queued_job() -> None:
    look = Look()
    look.lists(0.0, run(1), run(2, "in_progress"))
    look.read(1.0, run(1), job(1))
    look.read(1.0, run(2, "in_progress"), job(2, JobStatus.IN_PROGRESS))
    look.lists(20.0, run(1), run(2, "in_progress"))
    assert (look.runs.observation().asked_at, look.runs.observation().server_time) == (1.0, SERVER + 1)
    look.read(21.0, run(1), job(1))
    assert (look.runs.observation().asked_at, look.runs.observation().server_time) == (20.0, SERVER + 20)


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


# -------------------------------------------------------------------------------------------------------- unreadable runs
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
    assert look.runs.unread == 1


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
