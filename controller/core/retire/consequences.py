"""What follows from a retirement: for the next launches, and what people hear of it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.backoff import Backoff, Limit, after_unscheduled, remember_failure
from controller.core.contradictions import duration
from controller.core.lifecycle import Phase, Track
from controller.core.model import Failure, Pool
from controller.core.notices import Notice
from controller.core.reasons import Reason
from controller.core.runners import Runner

_FAILED_STARTS = frozenset({Reason.SchedulingDeadline, Reason.RegistrationDeadline, Reason.NotPickedUp})


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What retirements change.

    Attributes:
        backoffs: By flavor and :data:`controller.core.backoff.POOL`.
        tracks: By runner.
        limit: How many HF Jobs the Hub runs at a time, where that turned out to be fewer than ``maxRunners``.
        notices: What people hear of.
    """

    backoffs: Mapping[str, Backoff]
    tracks: Mapping[str, Track]
    limit: Limit | None
    notices: Sequence[Notice] = ()


def follow(
    before: Consequences,
    pool: Pool,
    runner: Runner,
    reason: Reason,
    *,
    offered: Collection[str],
    billed: int,
    now: float,
) -> Consequences:
    """Return what holds once one runner is retired for a reason; ``before`` itself where nothing follows.

    Args:
        before: What held until now.
        pool: Whose.
        runner: Which.
        reason: Why it is retired.
        offered: Flavors of the pool that may be launched.
        billed: How many of the pool's HF Jobs run.
        now: Monotonic seconds.
    """
    if reason in _FAILED_STARTS:
        return _failed_start(before, pool, runner, reason, offered=offered, billed=billed, now=now)
    if reason is Reason.NeverExited and runner.hf_job is not None:
        message = f"HF Job {runner.hf_job.id} on {runner.flavor}: {reason.meaning}"
        return _with_notice(before, pool, runner, reason, message)
    if runner.phase is Phase.ORPHANED and runner.registration is not None and runner.track.unproven_end:
        return _never_served(before, pool, runner, now)
    return before


def _failed_start(
    before: Consequences,
    pool: Pool,
    runner: Runner,
    reason: Reason,
    *,
    offered: Collection[str],
    billed: int,
    now: float,
) -> Consequences:
    if reason is Reason.SchedulingDeadline:
        limit = hub_limit(before, runner, offered=offered, billed=billed, now=now)
        if limit is not None:
            return _with_limit(before, pool, runner, limit)
    where = f"HF Job {runner.hf_job.id} on {runner.flavor}" if runner.hf_job else runner.name
    failure = Failure(reason=reason, message=f"{where}{_allowed(pool, reason)}: {reason.meaning}")
    after = before
    # One that was not picked up has a good image: it is the waiting jobs that are under suspicion.
    if reason is not Reason.NotPickedUp:
        backoffs = remember_failure(before.backoffs, failure, runner.flavor, now, runner=runner.name)
        after = replace(before, backoffs=backoffs)
    return _with_notice(after, pool, runner, reason, failure.message)


def hub_limit(
    before: Consequences, runner: Runner, *, offered: Collection[str], billed: int, now: float
) -> Limit | None:
    """Return the limit if a runner was not scheduled because the Hub runs no more HF Jobs
    at a time; else None.

    With another flavor to try, it may as well be this one that is scarce: then that one is tried first.
    """
    others = [flavor for flavor in offered if flavor != runner.flavor and flavor not in before.backoffs]
    return None if others else after_unscheduled(before.limit, billed, now)


def _with_limit(before: Consequences, pool: Pool, runner: Runner, limit: Limit) -> Consequences:
    """Remember the Hub's limit; people hear of it when it is found."""
    after = replace(before, limit=limit)
    if before.limit is not None:
        return after
    message = f"{limit.running} HF Jobs run, and more were not scheduled. {Reason.AtHubLimit.meaning}"
    return _with_notice(after, pool, runner, Reason.AtHubLimit, message)


def _never_served(before: Consequences, pool: Pool, runner: Runner, now: float) -> Consequences:
    """Take the good end of an HF Job for a failure after all: its registration stayed, so
    it never had a job.
    """
    message = f"{runner.name}: its HF Job completed, yet it never came online. {Reason.RunnerFailed.meaning}"
    failure = Failure(reason=Reason.RunnerFailed, message=message)
    track = replace(before.tracks[runner.name], unproven_end="")
    after = replace(
        before,
        backoffs=remember_failure(before.backoffs, failure, "", now, runner=runner.name),
        tracks={**before.tracks, runner.name: track},
    )
    return _with_notice(after, pool, runner, Reason.RunnerFailed, message)


def _with_notice(
    before: Consequences, pool: Pool, runner: Runner, reason: Reason, message: str
) -> Consequences:
    notice = Notice(
        pool_uid=pool.uid,
        reason=reason,
        message=message,
        warning=True,
        runner=runner.name,
        hf_job=runner.hf_job,
    )
    return replace(before, notices=(*before.notices, notice))


def _allowed(pool: Pool, reason: Reason) -> str:
    """Return the deadline that a start has missed, and the image that it was of, for a message."""
    deadlines = pool.deadlines
    given = {
        Reason.SchedulingDeadline: ("scheduling", deadlines.scheduling),
        Reason.RegistrationDeadline: ("registration", deadlines.registration),
    }.get(reason)
    if given is None:
        return ""
    image = f"image {pool.template.image}, " if pool.template.image else ""
    return f" ({image}deadlines.{given[0]} {duration(given[1])})"
