"""What the end of one HF Job says: of its runner, of the pool's next launches, and of the
workflow job on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from controller.core.demand import name_jobs
from controller.core.lifecycle import Phase, Track
from controller.core.losses import Loss
from controller.core.model import Failure, HFJob, Pool, Registration, WorkflowJob
from controller.core.naming import LABEL_RUNNER
from controller.core.notices import Notice, warn_about
from controller.core.outcomes import ended_because
from controller.core.reasons import Reason
from controller.core.suspicion import Span

_NO_FAILURE = frozenset({Reason.IdleDeadline, Reason.EndedUnseen})
"""Ends that say nothing against the image: our own deadlines, and cancellations that we asked for."""

_REPEATS = frozenset({Reason.RunnerVersionRefused, Reason.PlatformCancelled})
"""Ends that will meet the next runner too, although this one came online."""

_WHATEVER_IT_DID = frozenset({Reason.PlatformCancelled, Reason.TimedOut})
"""Ends by the Hub, which mean the same with a workflow job and without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An HF Job that ended, and what is known of its runner.

    Attributes:
        job: The HF Job.
        track: Of the runner, before this pass; None if it was not known.
        registration: Its registration, if that is still listed.
        workflow_job: The workflow job that GitHub's queue still shows on it.
        completed: GitHub has shown since the last pass that its workflow job is completed.
        asked: We asked for its end.
        agreed: GitHub agreed to that end: only then it had no workflow job, whatever lists say.
    """

    job: HFJob
    track: Track | None
    registration: Registration | None
    workflow_job: WorkflowJob | None
    completed: bool = False
    asked: bool = False
    agreed: bool = False

    @property
    def runner(self) -> str:
        """The runner's name."""
        return self.job.labels.get(LABEL_RUNNER, "")

    @property
    def busy(self) -> bool:
        """The lists still show it at work."""
        registered_busy = self.registration is not None and self.registration.busy
        return self.workflow_job is not None or registered_busy

    @property
    def was_online(self) -> bool:
        """A list has shown it online."""
        return self.track is not None and self.track.online_at is not None

    @property
    def had_a_job(self) -> bool:
        """A workflow job began on it: the lists show that, or the bootstrap reported it."""
        seen = self.track is not None and self.track.had_a_job
        return seen or self.completed or ended_because(self.job) is Reason.EndedAfterJob


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What the end of one HF Job says; nothing by default.

    Attributes:
        served: Its runner served a workflow job, so launches on its flavor succeed.
        unproven: It ended well, but whether it served shows only when its registration goes.
        failure: Why its launch counts as failed.
        loss: The workflow job that it has lost.
        idled: The time for which it was online and idle, without getting a job.
        notice: What people hear of.
    """

    served: bool = False
    unproven: bool = False
    failure: Failure | None = None
    loss: Loss | None = None
    idled: Span | None = None
    notice: Notice | None = None


NOTHING = End()


def what_it_says(case: Case, pool: Pool, now: float) -> End:
    """Return what the end of an HF Job says.

    A good end is no proof that the runner has served (:attr:`End.unproven`):

    1. The runners are listed: R is offline.
    2. R comes online, runs a short job, and ends.
    3. The HF Jobs are listed: R's has ended well. The older list of runners still names R, so at this moment
       it looks as if R had never served.

    Args:
        case: The HF Job and its runner.
        pool: Whose.
        now: Monotonic seconds.
    """
    reason = ended_because(case.job)
    completed = reason is Reason.JobCompleted
    if case.asked and not completed and not (case.busy and not case.agreed):
        return NOTHING  # what we asked for is no failure, however it ends
    if reason is Reason.LifetimeDeadline:
        return _out_of_time(case, pool, now)
    if completed:
        proven = case.registration is None or case.was_online
        return End(served=proven, unproven=not proven)
    if case.busy:
        return _lost(case, pool, reason)
    if reason is Reason.IdleDeadline and not case.had_a_job:
        return _idled_out(case, pool, now)
    return NOTHING if reason in _NO_FAILURE else _failed(case, pool, reason)


def _lost(case: Case, pool: Pool, reason: Reason) -> End:
    """Report an HF Job that ended under its workflow job."""
    job = case.job
    workflow_job = case.workflow_job or (case.track.workflow_job if case.track else None)
    message = (
        f"HF Job {job.id} on {job.flavor} ended ({reason}: {_detail(job)}) while a workflow job ran. "
        f"{Reason.RunnerLost.meaning}"
    )
    return End(
        loss=Loss(runner=case.runner, reason=reason, workflow_job=workflow_job),
        notice=warn_about(pool.uid, Reason.RunnerLost, message, job, workflow_job=workflow_job),
    )


def _out_of_time(case: Case, pool: Pool, now: float) -> End:
    """Report whose work was cut short by the pool's own deadline; the end of a runner that
    only waited is no news.

    The bootstrap reports it with an end that GitHub heard of, so no runner was lost and no launch failed. The
    queue may have been read since, and name the job no more: then the track does.
    """
    job, track, workflow_job, busy = case.job, case.track, case.workflow_job, case.busy
    if track is not None:
        workflow_job = workflow_job or track.workflow_job
        busy = busy or track.phase is Phase.BUSY
    if workflow_job is None and not busy:
        if track is None or case.had_a_job:
            return NOTHING
        # One that was never even online says that no runner of this pool can ever serve.
        return (
            _idled_out(case, pool, now) if case.was_online else _failed(case, pool, Reason.LifetimeDeadline)
        )
    whose = name_jobs([workflow_job]) if workflow_job else "a workflow job"
    reason = Reason.LifetimeDeadline
    message = f"HF Job {job.id} on {job.flavor} ended while {whose} ran. {reason.meaning}"
    return End(notice=warn_about(pool.uid, reason, message, job, workflow_job=workflow_job))


def _idled_out(case: Case, pool: Pool, now: float) -> End:
    """Remember that a runner was online and got no job; whether jobs waited is not known yet."""
    since = case.track.online_at if case.track is not None else None
    if since is None:
        since = now - pool.deadlines.idle  # its bootstrap reported it, no list has shown it
    return End(idled=Span(runner=case.runner, labels=pool.labels, since=since, until=now))


def _failed(case: Case, pool: Pool, reason: Reason) -> End:
    job, had_a_job = case.job, case.had_a_job
    if had_a_job and reason not in _WHATEVER_IT_DID:
        # Its image, version and registration are good, and a job can bring its runner to any exit code.
        reason = Reason.EndedAfterJob
    message = f"HF Job {job.id} on {job.flavor}: {_detail(job)}. {reason.meaning}"
    # A runner that came online proves its image: what ended it later need not end the next one.
    counts = not had_a_job and (not case.was_online or reason in _REPEATS)
    return End(
        failure=Failure(reason=reason, message=message) if counts else None,
        notice=warn_about(pool.uid, reason, message, job),
    )


def _detail(job: HFJob) -> str:
    return job.cancel_reason or job.message or f"stage {job.stage}"
