"""What is known of one repository's unfinished runs and their jobs: pure, fed by
:mod:`controller.observe.queue`.

GitHub lists runs by status and jobs by run, at different moments. So a run can slip from one status to
another between two lists, be listed before its jobs are, stay listed without any, or leave its jobs "queued"
when it is over (docs/facts.md#run-status-precedence, docs/facts.md#runs-and-jobs-disagree). Demand is jobs,
never runs; a run that yields no jobs is asked ever less often.

Jobs are read when the row of their run has changed, and otherwise every five minutes: 200 jobs that wait
would cost 45,000 requests an hour if each was read at every look. That is sound where the row tells of every
change. GitHub documents neither that ``updated_at`` follows the jobs nor when ``status`` does
(docs/facts.md#rows-of-runs), so rows are believed until one is caught (:meth:`RepositoryRuns.read`), and
where several jobs of a run are unfinished they are read more often anyway (:meth:`RepositoryRuns._pause`).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.demand import QUEUE_CAP_SECONDS, is_too_old
from controller.core.evidence import LIST_LAG
from controller.core.model import Disposition, Failure, JobStatus, Observation, WorkflowJob
from controller.core.naming import origin
from controller.observe.queue_schedule import ALL_STATUSES, IN_PROGRESS, QUEUED
from controller.ports import Run

SAFETY = 300.0
"""Seconds after which the jobs of a run are read again at the latest, although its row did not change."""

SAFETY_SPACING = 2.0
"""Seconds from one such read to the next in one repository: with more than 150 runs they come less often, so
that a backlog of any size costs 1,800 requests an hour."""

REREAD = 30.0
"""Seconds between reads of a run without queued jobs while its row is no help: it changed a moment ago, or
rows are not believed."""

QUIET_SHARE = 0.1
"""A run with several unfinished jobs is read again after this share of the time for which nothing about
it has changed: at every look while its jobs come and go, and every :data:`SAFETY` seconds once it has
waited for 50 minutes."""

DISBELIEF = 3_600.0
"""Seconds for which no row of a repository is believed after one of them kept silent about a change."""

BARREN_RETRY, BARREN_RETRY_AT_MOST = 15.0, 3_600.0
"""Seconds between looks at a run that has no jobs, doubled each time. The second look comes at once: a new
run is listed a moment before its jobs."""

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
        altered_at: When the row, or a job, was last seen to be different, monotonic.
        states: Status of every job at the last read, by id; the finished ones too.
        silent: The last read showed a change that the row had not told.
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
    altered_at: float
    states: Mapping[int, JobStatus] = field(default_factory=dict)
    silent: bool = False
    missed: int = 0
    told: set[int] = field(default_factory=set)

    @property
    def active(self) -> Iterable[WorkflowJob]:
        """Its jobs but for those that GitHub should have ended: these are shown, and worth no look."""
        return (job for job in self.jobs if not is_too_old(job, self.server_time))

    @property
    def queued(self) -> bool:
        return any(job.status is JobStatus.QUEUED for job in self.active)

    @property
    def quiet(self) -> float:
        """Seconds between the last change and the last read."""
        return self.asked_at - self.altered_at


class RepositoryRuns:
    """The unfinished runs of one repository."""

    def __init__(self) -> None:
        self._known: dict[int, _Known] = {}
        self._lists: dict[str, tuple[float, float]] = {}
        self._caught_at = -math.inf
        self._completed: list[WorkflowJob] = []

    @property
    def _listed_at(self) -> float:
        """When the older of the two lists that name running jobs was asked for, monotonic;
        -inf before the first.
        """
        return min((self._lists[s][0] for s in (QUEUED, IN_PROGRESS) if s in self._lists), default=-math.inf)

    # ------------------------------------------------------------------------------------------------- asking
    def statuses(self) -> list[str]:
        """Return the statuses of the runs that matter."""
        return sorted({k.run.status for k in self._known.values() if k.barren <= BARREN_PATIENCE})

    def lacks(self, lists: Mapping[str, Observation[Run]]) -> bool:
        """Return whether some run has left the list of its status, though it may be in another
        one that was not asked for.
        """
        shown = {run.id for seen in lists.values() for run in seen.items}
        return any(i not in shown and known.run.status in lists for i, known in self._known.items())

    def listed(self, lists: Mapping[str, Observation[Run]], now: float) -> bool:
        """Take in the runs of some statuses; return whether a run is missing.

        A run that the lists lack is over, or has a status that was not asked for, or slipped by between two
        of them. Its jobs tell: they are read at once, and it is forgotten when none is unfinished. Else it is
        kept for one more look, at every status. Lacking then too, it is over, whatever its jobs say: one that
        stays "queued" is no demand.
        """
        rows = {run.id: run for seen in lists.values() for run in seen.items}
        self._lists |= {status: (seen.asked_at, seen.server_time) for status, seen in lists.items()}
        for run in rows.values():
            known = self._known.setdefault(run.id, _Known(run=run, altered_at=now))
            known.missed = 0
            if known.run != run:
                known.run, known.changed, known.failures = run, True, 0
                known.altered_at = now
            elif known.silent:
                self._caught_at = now
            known.silent = False
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

    def to_read(self, now: float, followed: Collection[int] = ()) -> tuple[Sequence[Run], bool]:
        """Return the runs whose jobs to read now, longest unread first, and whether more are waiting.

        Args:
            now: Monotonic seconds.
            followed: Ids of runs that have queued jobs for which a runner of ours may be there, or come.
        """
        ready = sorted(
            (k for k in self._known.values() if self._is_due(k, now, followed)),
            key=lambda k: (k.asked_at, k.run.id),
        )
        return [k.run for k in ready[:READS_PER_LOOK]], len(ready) > READS_PER_LOOK

    def _is_due(self, known: _Known, now: float, followed: Collection[int]) -> bool:
        if known.changed and not known.failures:
            return True
        if now < known.look_at:
            return False
        if known.barren or known.failures:
            return True
        return now - known.asked_at >= self._pause(known, now, followed=known.run.id in followed)

    def _pause(self, known: _Known, now: float, *, followed: bool) -> float:
        """Return for how many seconds after a read a run is left alone while its row stays as it is.

        A change of the row may be seen before the jobs that it tells of, since both lists lag, and a row
        tells whole seconds: so the jobs are read until one read is a lag younger than the change.

        After that the row tells, if only one job is unfinished: GitHub derives a run's ``status`` from its
        jobs, ``queued`` before ``in_progress``. Of several, one can start or end without that word changing.
        """
        safety = max(SAFETY, SAFETY_SPACING * len(self._known))
        if known.quiet <= LIST_LAG:
            return 0.0 if known.queued else REREAD
        if known.queued and not followed:
            return safety
        if now - self._caught_at < DISBELIEF:
            return 0.0 if known.queued else REREAD
        if known.queued and len(known.jobs) > 1:
            return min(safety, QUIET_SHARE * known.quiet)
        return safety

    # ------------------------------------------------------------------------------------------------ reading
    def read(self, run: Run, seen: Observation[WorkflowJob], now: float) -> None:
        """Take in the jobs of a run.

        Jobs that changed although the row did not, a lag and more after its own last change, are a witness
        against all rows of the repository, unless the next list shows that the row has followed:

        1. Runs are listed: R's row is as it was.
        2. A job of R starts.
        3. R's jobs are read: one is running. The row was true.
        """
        known = self._known.get(run.id)
        if known is None:
            return
        states = {job.id: job.status for job in seen.items}
        if known.states != states:
            known.silent = bool(known.states) and not known.changed and known.quiet > LIST_LAG
            known.altered_at = now
        known.states = states
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

        A deleted run is not listed any more. One that is still listed, and whose jobs answer 404,
        may do so in passing: its jobs are kept, for taking them for gone would cost the runners that
        are on their way to them.
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

    # ------------------------------------------------------------------------------------------------ telling
    def blocked(self) -> Failure | None:
        """Return why the view is no whole one: at least half of the runs with jobs cannot be read.

        One run that cannot be read must not hide all the others; but where nothing can be read, no jobs
        seen are no sign of no jobs.
        """
        failed = [known.failure for known in self._known.values() if known.failure is not None]
        read = sum(known.failure is None and bool(known.jobs) for known in self._known.values())
        return failed[-1] if failed and len(failed) >= read else None

    def observation(self) -> Observation[WorkflowJob]:
        """Return the unfinished jobs, oldest first.

        It is as old as its oldest view of an unfinished job, up to :data:`SAFETY` seconds, even where the
        row of the run has not changed since: somebody's job is at stake where it is taken for proof that
        nothing runs on a runner.
        """
        shown = [known for known in self._known.values() if known.failures < UNREADABLE_AFTER]
        views = [(known.asked_at, known.server_time) for known in shown if any(known.active)]
        lists = [self._lists[status] for status in (QUEUED, IN_PROGRESS) if status in self._lists]
        asked_at, server_time = min([*views, *lists])
        jobs = [job for known in shown for job in known.jobs]
        return Observation(
            items=tuple(sorted(jobs, key=lambda job: (job.waits_since, job.id))),
            asked_at=asked_at,
            server_time=server_time,
            oldest_part_at=min([asked_at, *(known.asked_at for known in self._known.values())]),
        )

    def take_completed(self) -> Sequence[WorkflowJob]:
        """Hand over the jobs that were seen completed since the last call, each once, of
        runners named like ours.
        """
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


def _any_active(jobs: Iterable[WorkflowJob]) -> bool:
    return any(job.status not in (JobStatus.WAITING, JobStatus.REQUESTED) for job in jobs)


def _by_ours(job: WorkflowJob) -> bool:
    return job.runner_name is not None and origin(job.runner_name) is not None


_HELD_BACK = frozenset({JobStatus.WAITING, JobStatus.PENDING, JobStatus.REQUESTED})
"""What a job may be before it is queued, for weeks: until somebody approves it, its timer ends,
or its group has room."""


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
