"""What is known of one repository's unfinished runs and their jobs: pure, fed by :mod:`controller.observe.queue`.

GitHub lists runs by status and jobs by run, at different moments. So a run can slip from one status to another between two
lists, be listed before its jobs are, stay listed without any, or leave its jobs "queued" when it is over (github.md §1.2,
§1.3). Demand is jobs, never runs; a run that yields no jobs is asked ever less often.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.demand import QUEUE_CAP_SECONDS, is_too_old
from controller.core.model import Disposition, Failure, JobStatus, Observation, WorkflowJob
from controller.core.naming import origin
from controller.observe.queue_schedule import ALL_STATUSES
from controller.ports import Run

REREAD = 30.0
"""Seconds after which the jobs of a run without queued ones are read again although its row did not change."""

BARREN_RETRY, BARREN_RETRY_AT_MOST = 15.0, 3_600.0
"""Seconds between looks at a run that has no jobs, doubled each time. The second look comes at once: a new run is listed
a moment before its jobs."""

BARREN_PATIENCE = 3
"""Looks without jobs after which a run is no sign of work any more."""

UNREADABLE_AFTER = 3
"""Failures in a row after which a run is left out, with its last jobs, where most others can be read."""

UNREADABLE_RETRY_AT_MOST = 120.0

READS_PER_LOOK = 100
"""Job lists read at one look: one repository with a thousand runs must not hold up all others."""


@dataclass(slots=True, kw_only=True)
class _Known:
    """A run.

    Attributes:
        run: As last listed.
        jobs: Unfinished ones, as last read.
        asked_at: When they were asked for, monotonic; -inf before the first time.
        server_time: GitHub's clock at that time.
        look_at: Not before this, unless the row changes.
        barren: Reads in a row that showed no job to wait for.
        failures: Reads in a row that failed.
        failure: Why the last of them did.
        changed: The row is another than at the last read.
        missed: Looks in a row whose lists lacked it although they had its status.
        told: Ids of jobs whose end was handed over.
    """

    run: Run
    jobs: tuple[WorkflowJob, ...] = ()
    asked_at: float = -math.inf
    server_time: float = 0.0
    look_at: float = -math.inf
    barren: int = 0
    failures: int = 0
    failure: Failure | None = None
    changed: bool = True
    missed: int = 0
    told: set[int] = field(default_factory=set)

    @property
    def active(self) -> Iterable[WorkflowJob]:
        """Its jobs but for those that GitHub should have ended: these are shown, and worth no look."""
        return (job for job in self.jobs if not is_too_old(job, self.server_time))

    @property
    def queued(self) -> bool:
        return any(job.status is JobStatus.QUEUED for job in self.active)

    def is_due(self, now: float) -> bool:
        if self.changed and not self.failures:
            return True
        if now < self.look_at:
            return False
        return self.queued or bool(self.barren or self.failures) or now - self.asked_at >= REREAD


class RepositoryRuns:
    """The unfinished runs of one repository."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._listed_at = -math.inf
        self._server_time = 0.0
        self._completed: list[WorkflowJob] = []

    # ----------------------------------------------------------------------------------------------------------- asking
    def statuses(self) -> list[str]:
        """Return the statuses of the runs that matter."""
        return sorted({k.run.status for k in self._known.values() if k.barren <= BARREN_PATIENCE})

    def listed(self, lists: Mapping[str, Observation[Run]], now: float) -> bool:
        """Take in the runs of some statuses; return whether a run is missing.

        A run that the lists lack is over, or has a status that was not asked for, or slipped by between two of them. Its
        jobs tell: they are read at once, and it is forgotten when none is unfinished. Else it is kept for one more look, at
        every status. Lacking then too, it is over, whatever its jobs say: one that stays "queued" is no demand.
        """
        rows = {run.id: run for seen in lists.values() for run in seen.items}
        first = min(lists.values(), key=lambda seen: seen.asked_at)
        self._listed_at, self._server_time = first.asked_at, first.server_time
        for run in rows.values():
            known = self._known.setdefault(run.id, _Known(run=run))
            known.missed = 0
            if known.run != run:
                known.run, known.changed, known.failures = run, True, 0
        if not all(seen.complete for seen in lists.values()):
            return False
        everywhere = set(lists) >= set(ALL_STATUSES)
        lacking = [k for i, k in self._known.items() if i not in rows and k.run.status in lists]
        for known in lacking:
            if known.missed and everywhere:
                del self._known[known.run.id]
            else:
                known.missed += 1
                known.changed, known.look_at = True, now
        return any(known.missed for known in self._known.values())

    def to_read(self, now: float) -> tuple[Sequence[Run], bool]:
        """Return the runs whose jobs to read now, longest unread first, and whether more are waiting."""
        ready = sorted(
            (k for k in self._known.values() if k.is_due(now)), key=lambda k: (k.asked_at, k.run.id)
        )
        return [k.run for k in ready[:READS_PER_LOOK]], len(ready) > READS_PER_LOOK

    # ---------------------------------------------------------------------------------------------------------- reading
    def read(self, run: Run, seen: Observation[WorkflowJob], now: float) -> None:
        """Take in the jobs of a run."""
        known = self._known.get(run.id)
        if known is None:
            return
        before = {job.id: job for job in known.jobs}
        dated = [_dated(job, before.get(job.id), known.server_time, seen.server_time) for job in seen.items]
        known.jobs = tuple(job for job in dated if job.status is not JobStatus.COMPLETED)
        for job in dated:
            if job.status is JobStatus.COMPLETED and job.id not in known.told and _by_ours(job):
                known.told.add(job.id)
                self._completed.append(job)
        known.asked_at, known.server_time = seen.asked_at, seen.server_time
        known.changed, known.failures, known.failure = False, 0, None
        if known.missed and not any(known.active):
            del self._known[run.id]
            return
        known.barren = 0 if any(known.active) else known.barren + 1
        known.look_at = now
        if known.barren > 1:
            known.look_at += min(BARREN_RETRY_AT_MOST, BARREN_RETRY * 2.0 ** min(known.barren - 2, 16))

    def unreadable(self, run: Run, failure: Failure, now: float) -> None:
        """Note that the jobs of a run could not be read; those of a deleted run are gone.

        A deleted run is not listed any more. One that is still listed, and whose jobs answer 404, may do so in passing: its
        jobs are kept, for taking them for gone would cost the runners that are on their way to them.
        """
        known = self._known.get(run.id)
        if known is None:
            return
        if failure.disposition is Disposition.GONE and known.missed:
            del self._known[run.id]
            return
        known.failures += 1
        known.failure = failure
        wait = min(UNREADABLE_RETRY_AT_MOST, BARREN_RETRY * 2.0 ** min(known.failures - 1, 16))
        known.look_at = now + max(wait, failure.retry_after or 0.0)

    # ---------------------------------------------------------------------------------------------------------- telling
    def blocked(self) -> Failure | None:
        """Return why the view is no whole one: at least half of the runs with jobs cannot be read.

        One run that cannot be read must not hide all the others; but where nothing can be read, no jobs seen are no sign of
        no jobs.
        """
        failed = [known.failure for known in self._known.values() if known.failure is not None]
        read = sum(known.failure is None and bool(known.jobs) for known in self._known.values())
        return failed[-1] if failed and len(failed) >= read else None

    def observation(self) -> Observation[WorkflowJob]:
        """Return the unfinished jobs, oldest first.

        It is as old as its oldest view of a queued job. Jobs that run may have been read up to :data:`REREAD` seconds
        before.
        """
        shown = [known for known in self._known.values() if known.failures < UNREADABLE_AFTER]
        views = [(known.asked_at, known.server_time) for known in shown if known.queued]
        asked_at, server_time = min([*views, (self._listed_at, self._server_time)])
        jobs = [job for known in shown for job in known.jobs]
        return Observation(
            items=tuple(sorted(jobs, key=lambda job: (job.waits_since, job.id))),
            asked_at=asked_at,
            server_time=server_time,
            oldest_part_at=min([known.asked_at for known in self._known.values()], default=self._listed_at),
        )

    def take_completed(self) -> Sequence[WorkflowJob]:
        """Hand over the jobs that were seen completed since the last call, each once, of runners named like ours."""
        taken, self._completed = self._completed, []
        return taken

    @property
    def at_work(self) -> bool:
        """Some job is queued, held back for a moment or running, or a new run may have one any moment."""
        return any(
            _any_active(known.active) if any(known.active) else known.barren <= BARREN_PATIENCE
            for known in self._known.values()
        )

    @property
    def waits(self) -> bool:
        """Some job waits for a person."""
        return any(any(known.active) for known in self._known.values())

    @property
    def barren(self) -> int:
        """How many runs are listed for long and have no jobs."""
        return sum(known.barren > BARREN_PATIENCE for known in self._known.values())

    @property
    def unread(self) -> int:
        """How many runs' jobs cannot be read."""
        return sum(known.failures >= UNREADABLE_AFTER for known in self._known.values())


def _any_active(jobs: Iterable[WorkflowJob]) -> bool:
    return any(job.status not in (JobStatus.WAITING, JobStatus.REQUESTED) for job in jobs)


def _by_ours(job: WorkflowJob) -> bool:
    return job.runner_name is not None and origin(job.runner_name) is not None


_HELD_BACK = frozenset({JobStatus.WAITING, JobStatus.PENDING, JobStatus.REQUESTED})
"""What a job may be before it is queued, for weeks: until somebody approves it, its timer ends, or its group has room."""


def _dated(job: WorkflowJob, before: WorkflowJob | None, last_time: float, server_time: float) -> WorkflowJob:
    """Return a job with the moment from which it counts as queued, as far as looks have shown it.

    Args:
        job: As listed now.
        before: As the last look showed it, None if that did not.
        last_time: GitHub's clock at that look.
        server_time: GitHub's clock now.
    """
    if job.status in _HELD_BACK:
        return job
    if before is not None and before.seen_queued_at is not None:
        return replace(job, queued_at=before.queued_at, seen_queued_at=before.seen_queued_at)
    held_back = before is not None and before.status in _HELD_BACK
    if job.status is JobStatus.QUEUED:
        made = job.created_at if server_time - job.created_at <= QUEUE_CAP_SECONDS else server_time
        return replace(job, queued_at=server_time if held_back else made, seen_queued_at=server_time)
    # It was queued and taken between two looks.
    return replace(job, queued_at=last_time) if held_back else job
