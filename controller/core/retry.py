"""Whether the failed jobs of a run that lost a job are run again.

GitHub's own count of attempts is the guard: the failed jobs are run again only while the run is still in the
attempt that lost the job. Hence neither a restart nor a lost answer nor a second pool can run anything twice:
whoever comes late finds a later attempt. When a run is looked at: :mod:`controller.core.losses`.

What is decided here rests on ids, attempts, times and conclusions. Names of jobs and workflows are whatever
somebody wrote, and say nothing. Where GitHub does not tell who cancelled a job, the pool's own word
(``spec.retry.interrupted``) decides, and people are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from controller.core.model import Failure, Interruption, Pool

FAIL_FAST_WITHIN = 600.0
"""Seconds after a job failed within which ``strategy.fail-fast`` may have ended another one: GitHub gives a
job that is cancelled five minutes before it is ended by force, and the rest is room
(docs/facts.md#cancelled-jobs-get-five-minutes).
"""

SAME_MOMENT = 5.0
"""Seconds by which GitHub's times of one moment, written in whole seconds by several services, may differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A workflow job as its run's attempt lists it.

    Attributes:
        id: Job id.
        conclusion: None until it has ended.
        completed_at: Epoch seconds on GitHub's clock, None where GitHub does not tell.
        reported: All of its steps have ended: its runner told GitHub of the end. The step that ran when a
            runner vanished never ends.
    """

    id: int
    conclusion: str | None
    completed_at: float | None = None
    reported: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run as GitHub shows it.

    Attributes:
        attempt: The newest attempt.
        conclusion: None until it has ended.
        jobs: Of the newest attempt; empty until it has ended.
    """

    attempt: int
    conclusion: str | None
    jobs: Sequence[JobRecord] = ()


class RerunAnswer(Enum):
    """What a look at a run led to."""

    LATER = "the run has not ended yet"
    DONE = "its failed jobs were run again now"
    MOVED = "it is in a later attempt"
    NOT_NEEDED = "it succeeded, or somebody cancelled it"


@dataclass(frozen=True, slots=True)
class Rerun:
    """Look at a run that lost a job, and run its failed jobs again if it has ended so."""

    pool: Pool
    lost: Interruption

    @property
    def name(self) -> str:
        """What tells this run's attempt from others."""
        return attempt_name(self.lost)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a look at a run led to, and what GitHub did not tell about it."""

    answer: RerunAnswer
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RerunResult:
    """How a :class:`Rerun` ended, told by the executor once; ``failure`` is set when it got no answer."""

    pool_uid: str
    name: str
    answer: RerunAnswer = RerunAnswer.LATER
    note: str = ""
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What stands against running a run's failed jobs again, None when nothing does; and
    what GitHub does not tell.
    """

    against: RerunAnswer | None
    note: str = ""


def judge(lost: Interruption, run: RunRecord) -> Judgement:
    """Return whether a run's failed jobs are to be run again.

    Run and job records disagree at times, so both must have ended. What a person cancelled is never run
    again: neither a cancelled run, nor a lost job that was cancelled before its lease was over, nor a run
    with a job that was cancelled when fail-fast could not have done it. GitHub tells neither who cancelled a
    job nor which jobs are one matrix, so a job that was cancelled in the minutes after another one failed may
    be either's work: then ``spec.retry.interrupted`` decides.
    """
    if run.attempt != lost.attempt:
        return Judgement(RerunAnswer.MOVED)
    if run.conclusion is None or any(job.conclusion is None for job in run.jobs):
        return Judgement(RerunAnswer.LATER)
    mine = next((job for job in run.jobs if job.id == lost.job_id), None)
    if mine is None:
        return Judgement(RerunAnswer.LATER)
    if run.conclusion != "failure" or mine.conclusion != "failure":
        return Judgement(RerunAnswer.NOT_NEEDED)
    failed = [job.completed_at for job in run.jobs if job.conclusion == "failure"]
    cancelled = [job for job in run.jobs if job.conclusion == "cancelled"]
    by_hand = sum(not _may_be_fail_fast(job.completed_at, failed) for job in cancelled)
    if by_hand:
        return Judgement(RerunAnswer.NOT_NEEDED, _CANCELLED_BY_SOMEBODY.format(_jobs(by_hand)))
    return Judgement(None, _CANCELLED_BY_WHOM.format(_jobs(len(cancelled))) if cancelled else "")


_CANCELLED_BY_SOMEBODY = "{} of the run ended as cancelled when no other had just failed, so it was not fail-fast: somebody meant it"

_CANCELLED_BY_WHOM = (
    "{} of the run ended as cancelled just after another had failed; GitHub does not tell whether fail-fast or a person did that, so "
    "spec.retry.interrupted decides"
)


def _jobs(count: int) -> str:
    return "one job" if count == 1 else f"{count} jobs"


def _may_be_fail_fast(ended_at: float | None, failed: Iterable[float | None]) -> bool:
    """Return whether a job that was cancelled at this time may have been so since another one had
    failed; in doubt, it may.
    """
    return ended_at is None or any(
        at is None or at - SAME_MOMENT <= ended_at <= at + FAIL_FAST_WITHIN for at in failed
    )


def as_the_hub_says(lost: Interruption, run: RunRecord) -> RunRecord:
    """Return a run's record with the lost job as failed where its runner reported it cancelled because
    the Hub ended its machine.

    A runner that is told to stop reports its job as cancelled, and GitHub then calls the run cancelled:
    nobody there says by whom. The Hub does, by the reason of the HF Job's end. Where a person cancelled a job
    whose runner was gone already, no runner has reported it.
    """
    mine = next((job for job in run.jobs if job.id == lost.job_id), None)
    if not lost.by_hub or mine is None or mine.conclusion != "cancelled" or not mine.reported:
        return run
    jobs = [replace(job, conclusion="failure") if job is mine else job for job in run.jobs]
    return replace(run, jobs=jobs, conclusion="failure" if run.conclusion == "cancelled" else run.conclusion)


def attempt_name(lost: Interruption) -> str:
    """Return what tells a run's attempt from all others."""
    return f"{lost.repository}/{lost.run_id}/{lost.attempt}"
