"""Workflow jobs whose HF Job ended under them: reported for an hour and, where the pool
asks for it, run again.

GitHub fails such a job by itself once its runner's lease is over, about ten minutes later, and can run
nothing again before the whole run has ended. So a loss is remembered, in the pool's status too, and the run
is looked at now and then until it has ended. Its failed jobs are run again only if the attempt that lost the
job is within ``spec.retry.interrupted``; what else must be so: :mod:`controller.core.retry`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.evidence import shows_all_before
from controller.core.lifecycle import Phase
from controller.core.model import Disposition, Failure, Interruption, Pool, RerunState, Snapshot, WorkflowJob
from controller.core.outcomes import BY_THE_HUB, REPORTED
from controller.core.reasons import Reason
from controller.core.retry import Rerun, RerunAnswer, RerunResult, attempt_name
from controller.core.runners import Runner

LOOK_AFTER = 60.0
"""Seconds between two looks at a run at first; later a tenth of its wait, up to :data:`LOOK_AT_LEAST`."""

LOOK_AT_LEAST = 300.0

ASK_A_PERSON = 600.0
"""Seconds until the next try when somebody must mend something, such as a permission."""

AWAITED = 24 * 3600.0
"""Seconds for which a run's end is awaited."""

TOLD = 3600.0
"""Seconds for which a loss is shown."""

NAMED_WITHIN = 900.0
"""Seconds for which the queue may still name the job of a dead runner: GitHub's lease, and room."""

MOST_WATCHED = 256

_NOT_AGAIN = frozenset({Reason.TimedOut, Reason.EndedUnseen})
"""Ends that are not run again: a time limit meets the next try too, and whoever cancelled the
HF Job by hand meant it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """An HF Job that ended under a busy runner.

    Attributes:
        runner: The runner.
        reason: Why the HF Job ended; ``RunnerLost`` where nobody saw.
        workflow_job: What ran on it; None while the queue has not named it.
        reported: People were told of it already, as the end of the HF Job.
    """

    runner: str
    reason: Reason
    workflow_job: WorkflowJob | None
    reported: bool = True


def lost_unwatched(pool: Pool, runners: Iterable[Runner], snapshot: Snapshot) -> list[Loss]:
    """Return losses that the end of no HF Job reported: nobody watched, or no list had named
    the workflow job by then.

    The evidence: the HF Job has ended, or lists that would show it lack it, and GitHub's queue, read a while
    later, still says that the workflow job runs on it. A runner that ended well, or that was seen at work
    before, is none of these.
    """
    found = []
    for runner in runners:
        if runner.phase is not Phase.LOST:
            continue
        job, track = runner.workflow_job, runner.track
        if job is None or track.end in REPORTED:
            continue
        unreported = track.taken_at == track.since if track.ended_at is None else track.since > track.ended_at
        if unreported and shows_all_before(snapshot.queues.get((pool.source, job.repository)), track.since):
            reason = track.end or Reason.RunnerLost
            found.append(Loss(runner=runner.name, reason=reason, workflow_job=job, reported=False))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A loss that is reported, or followed up.

    Attributes:
        lost: The loss.
        since: Monotonic seconds of the loss; a day ago at most.
        due_at: Monotonic seconds of the next look at the run.
        in_doubt: A request to run it again got no answer.
        failure: Why the last look or request failed.
    """

    lost: Interruption
    since: float
    due_at: float
    in_doubt: bool = False
    failure: Failure | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Losses:
    """What one pool has lost lately.

    Attributes:
        watched: By run and attempt, oldest first.
        unnamed: Losses whose workflow job the queue has not named yet, with the monotonic seconds of each.
    """

    watched: Sequence[Watched] = ()
    unnamed: Sequence[tuple[Loss, float]] = ()


@dataclass(frozen=True, slots=True)
class LossMessage:
    """A message about a loss, for an Event and a log line; sent once."""

    reason: Reason
    message: str
    warning: bool = False


def recall(pool: Pool, *, now: float, wall: float) -> Losses:
    """Return what the pool's status tells of an earlier process."""
    ages = [(lost, min(max(0.0, wall - lost.at), AWAITED)) for lost in pool.interruptions]
    return Losses(
        watched=tuple(Watched(lost=lost, since=now - age, due_at=now + LOOK_AFTER) for lost, age in ages)
    )


def follow_up(
    before: Losses,
    *,
    pool: Pool,
    lost: Sequence[Loss],
    running: Mapping[str, WorkflowJob],
    results: Iterable[RerunResult],
    now: float,
    wall: float,
) -> tuple[Losses, Sequence[Rerun], Sequence[LossMessage]]:
    """Take in new losses and answers, and say which runs are due for a look.

    Args:
        before: From the last pass.
        pool: Whose.
        lost: This pass's losses.
        running: Workflow jobs by runner.
        results: How looks ended since the last pass.
        now: Monotonic seconds.
        wall: Epoch seconds.

    Returns:
        What to remember, what to do, and what to tell.
    """
    if not (before.watched or before.unnamed or lost):
        return before, (), ()
    messages: list[LossMessage] = []
    watched = {attempt_name(one.lost): one for one in before.watched}
    for result in results:
        if (one := watched.get(result.name)) and one.lost.rerun is RerunState.PENDING:
            watched[result.name] = _learn(one, result, now, messages)
    unnamed = []
    for loss, since in (*before.unnamed, *((loss, now) for loss in lost)):
        job = loss.workflow_job or running.get(loss.runner)
        if job is not None:
            one = _watch(job, loss.reason, pool, since=since, wall=wall - (now - since))
            if not loss.reported and attempt_name(one.lost) not in watched:
                messages.append(
                    LossMessage(Reason.RunnerLost, f"{_whose(one)}: {Reason.RunnerLost.meaning}", True)
                )
            watched.setdefault(attempt_name(one.lost), one)
        elif now - since < NAMED_WITHIN:
            unnamed.append((loss, since))
    actions: list[Rerun] = []
    kept = []
    for one in watched.values():
        looked = _look(one, pool, now, actions, messages) if one.lost.rerun is RerunState.PENDING else one
        if looked.lost.rerun is RerunState.PENDING or now - looked.since < TOLD:
            kept.append(looked)
    kept.sort(key=lambda one: (one.since, attempt_name(one.lost)))
    return Losses(watched=tuple(kept[-MOST_WATCHED:]), unnamed=tuple(unnamed)), actions, messages


def _watch(job: WorkflowJob, reason: Reason, pool: Pool, *, since: float, wall: float) -> Watched:
    again = job.run_attempt <= pool.retry_interrupted and reason not in _NOT_AGAIN
    lost = Interruption(
        repository=job.repository,
        run_id=job.run_id,
        attempt=job.run_attempt,
        job_id=job.id,
        job_name=job.name,
        job_url=job.html_url,
        at=wall,
        rerun=RerunState.PENDING if again else RerunState.OFF,
        by_hub=reason in BY_THE_HUB,
    )
    return Watched(lost=lost, since=since, due_at=since + LOOK_AFTER)


def _became(one: Watched, state: RerunState, note: str = "") -> Watched:
    return replace(one, lost=replace(one.lost, rerun=state, note=note))


def _look(one: Watched, pool: Pool, now: float, actions: list[Rerun], messages: list[LossMessage]) -> Watched:
    """Plan the next look at a run that is awaited."""
    if one.lost.attempt > pool.retry_interrupted:
        return _became(one, RerunState.OFF)  # the pool was edited meanwhile
    if now - one.since >= AWAITED:
        messages.append(_refused(one, "the run has not ended within a day"))
        return _became(one, RerunState.REFUSED)
    if now < one.due_at or pool.stops_serving:
        return one
    actions.append(Rerun(pool, one.lost))
    return replace(one, due_at=now + min(LOOK_AT_LEAST, max(LOOK_AFTER, (now - one.since) / 10)))


def _learn(one: Watched, result: RerunResult, now: float, messages: list[LossMessage]) -> Watched:
    """Take in what a look at a run led to."""
    if result.failure is not None:
        return _failed(one, result.failure, now, messages)
    match result.answer:
        case RerunAnswer.DONE:
            messages.append(_again(one, result.note))
            return _became(one, RerunState.DONE, result.note)
        case RerunAnswer.MOVED:
            if one.in_doubt:
                messages.append(_again(one))
            return _became(one, RerunState.DONE)
        case RerunAnswer.NOT_NEEDED:
            if result.note:
                messages.append(replace(_refused(one, result.note), warning=False))
            return _became(one, RerunState.NOT_NEEDED, result.note)
        case _:
            return replace(one, failure=None)


def _failed(one: Watched, failure: Failure, now: float, messages: list[LossMessage]) -> Watched:
    before = one.failure.reason if one.failure else None
    gone = failure.disposition is Disposition.GONE
    if failure.reason is Reason.RerunRefused or (gone and before is failure.reason):
        # One 404 proves little; the second, a minute later, ends it.
        messages.append(_refused(one, failure.message))
        return _became(replace(one, failure=failure), RerunState.REFUSED)
    due_at = max(one.due_at, now + (failure.retry_after or 0.0))
    if failure.disposition is Disposition.PERSON:
        if before is not failure.reason:
            messages.append(
                LossMessage(failure.reason, f"{_whose(one)} is not run again yet: {failure.message}", True)
            )
        due_at = now + ASK_A_PERSON
    return replace(one, failure=failure, in_doubt=one.in_doubt or failure.in_doubt, due_at=due_at)


def _whose(one: Watched) -> str:
    page = f" ({one.lost.job_url})" if one.lost.job_url else ""
    return f'{one.lost.repository} "{one.lost.job_name}"{page} of run {one.lost.run_id}'


def _again(one: Watched, note: str = "") -> LossMessage:
    unclear = f" {note[:1].upper()}{note[1:]}." if note else ""
    return LossMessage(
        Reason.JobsRerun,
        f"{_whose(one)} goes into attempt {one.lost.attempt + 1}. {Reason.JobsRerun.meaning}{unclear}",
    )


def _refused(one: Watched, why: str) -> LossMessage:
    return LossMessage(Reason.RerunRefused, f"{_whose(one)}: {why}. {Reason.RerunRefused.meaning}", True)


def summary(losses: Losses, now: float) -> tuple[Reason, str] | None:
    """Return what a condition says of the last hour's losses, None when there were none."""
    recent = [one for one in losses.watched if now - one.since < TOLD]
    count = len(recent) + len(losses.unnamed)
    if not count:
        return None
    reason, words = (
        Reason.RunnerLost,
        f"In the last hour HF Jobs ended under the workflow jobs of {count} runs",
    )
    if recent:
        words += f", lastly {_whose(recent[-1])}"
    words += ". Their Events have the causes."
    for one in recent:
        if (
            one.lost.rerun is RerunState.PENDING
            and one.failure
            and one.failure.disposition is Disposition.PERSON
        ):
            return one.failure.reason, f"{words} It is not run again yet: {one.failure.message}"
    return reason, words
