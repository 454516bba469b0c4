"""Why a pool's queued jobs wait: each of them has a reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from controller.core import allowance
from controller.core.backoff import Backoff
from controller.core.capacity import space_to_write, unlisted
from controller.core.causes import find_causes
from controller.core.demand import Demand, name_jobs
from controller.core.intents import MOST_INTENTS
from controller.core.launch import Decisions
from controller.core.model import Failure, Observation, Pool, WorkflowJob
from controller.core.reasons import Reason
from controller.core.retire.choose import Retirements
from controller.core.suspicion import Group
from controller.core.text import counted
from controller.core.view import PoolView

MOST_UNREADABLE = 5
"""Repositories whose queue cannot be read that are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Why some queued jobs wait.

    Attributes:
        reason: Why.
        count: How many.
        message: A sentence with the next step.
        until: Monotonic seconds when the next try is due, if that is what they wait for.
        oldest_at: Epoch seconds on GitHub's clock since when the oldest of them is queued; None without any.
        oldest_wait: Seconds that it has waited, on the same clock.
    """

    reason: Reason
    count: int
    message: str
    until: float | None = None
    oldest_at: float | None = None
    oldest_wait: float = 0.0


def explain(view: PoolView, decided: Decisions, failures: Iterable[Failure]) -> Sequence[Waiting]:
    """Give every queued job a reason, and name what of the queue is not known.

    Args:
        view: What is known of the pool.
        decided: What is done for it.
        failures: Mistakes in the spec that keep the pool from serving.
    """
    demand, divided = decided.demand, decided.suspected.divided
    if nobody_waits(demand):
        return []
    launches, trusted = decided.launches, divided.trusted
    can_take = len(decided.retirements.left.usable) + len(launches.actions)
    # Which job gets which runner is GitHub's choice; it mostly takes the oldest first.
    queued = trusted[min(launches.taken, len(trusted)) :]
    coming = min(len(queued), can_take + len(queued) - launches.trusted)
    found: list[tuple[Waiting, Sequence[WorkflowJob]]] = []
    if coming:
        found.append((runners_are_coming(coming), queued))
    if rest := queued[coming:]:
        found.append((why_not_served(len(rest), view, decided, failures), rest))
    found += [(why_not_picked_up(group, view, decided), group.jobs) for group in divided.groups]
    found += [
        (waiting(reason, len(jobs), name_jobs(jobs)), jobs) for reason, jobs in not_ours(demand) if jobs
    ]
    unreadable = [
        Waiting(reason=Reason.QueueUnknown, count=0, message=f"{repository}: {failure.message}")
        for repository, failure in demand.unreadable[:MOST_UNREADABLE]
    ]
    return [*(with_times(one, jobs, demand, view.now) for one, jobs in found), *unreadable]


def nobody_waits(demand: Demand) -> bool:
    """Return whether there is no job to explain, and no queue that could not be read."""
    return not (
        demand.queued
        or demand.lent
        or demand.group_only
        or demand.unmatched
        or demand.too_old
        or demand.unreadable
    )


def not_ours(demand: Demand) -> Sequence[tuple[Reason, Sequence[WorkflowJob]]]:
    """Return the jobs that the pool shows and does not serve.

    Those that another pool serves are among them only where that one is to serve every single one.
    """
    return (
        (Reason.GroupOnly, demand.group_only),
        (Reason.ServedByAnotherPool, () if demand.queued else demand.lent),
        (Reason.NoMatchingPool, demand.unmatched),
        (Reason.TooOldForGitHub, demand.too_old),
    )


def with_times(one: Waiting, jobs: Sequence[WorkflowJob], demand: Demand, now: float) -> Waiting:
    """Add for how long the oldest of these jobs has waited."""
    if not jobs:
        return one
    oldest_at = min([job.waits_since for job in jobs])
    return Waiting(
        reason=one.reason,
        count=one.count,
        message=one.message,
        until=one.until,
        oldest_at=oldest_at,
        oldest_wait=demand.waited_since(oldest_at, now),
    )


def runners_are_coming(count: int) -> Waiting:
    """Return the reason of jobs for which there are runners."""
    detail = f"{counted(count, 'runner is', 'runners are')} coming or idle"
    return waiting(Reason.RunnerStarting, count, detail)


def why_not_picked_up(group: Group, view: PoolView, decided: Decisions) -> Waiting:
    """Return why jobs under one suspicion wait.

    Args:
        group: The jobs, with their suspicion.
        view: What is known of the pool.
        decided: What is done for it.
    """
    if stopped := why_stopped(view.pool, len(group.jobs)):
        return stopped
    left, to_check = decided.retirements.left, decided.suspected.to_check
    here = bool(left.idle)
    coming = bool(left.usable or decided.launches.actions) and not here
    probe = "A runner idles beside them" if here else "A runner is on its way to try again" if coming else ""
    found: Sequence[str] = ()
    if to_check is not None:
        found, _ = find_causes(to_check, group, view.snapshot)
    why = "; ".join(found[:3])
    parts = (name_jobs(group.jobs), why and f"Found: {why}", probe, Reason.NotPickedUp.meaning)
    return Waiting(
        reason=Reason.NotPickedUp,
        count=len(group.jobs),
        message=". ".join(part for part in parts if part),
        until=None if probe else allowance.next_start(group.suspicion),
    )


def why_stopped(pool: Pool, count: int) -> Waiting | None:
    """Return why nothing at all is launched, where somebody has decided so."""
    if pool.leaving:
        return waiting(Reason.Draining, count)
    if pool.refused is not None:
        return Waiting(reason=pool.refused.reason, count=count, message=pool.refused.message)
    if pool.stopped is not None:
        return Waiting(reason=pool.stopped.reason, count=count, message=pool.stopped.message)
    return waiting(Reason.Paused, count) if pool.paused else None


def why_not_served(count: int, view: PoolView, decided: Decisions, failures: Iterable[Failure]) -> Waiting:
    """Return why nothing is launched for jobs that the pool would serve: the first of these that is so.

    Args:
        count: How many jobs.
        view: What is known of the pool.
        decided: What is done for it.
        failures: Mistakes in the spec that keep the pool from serving.
    """
    if stopped := why_stopped(view.pool, count):
        return stopped
    for failure in (*failures, failure_of(view.hub), failure_of(view.github)):
        if failure is not None:
            return Waiting(reason=failure.reason, count=count, message=failure.message)
    if view.hub is None or view.github is None or unlisted(view):
        return waiting(Reason.Pending, count)
    blocked, launches = view.intents.blocked, decided.launches
    if blocked is not None and not launches.actions:
        message, until = blocked.failure.message, blocked.until
        return Waiting(reason=Reason.IntentsBlocked, count=count, message=message, until=until)
    if launches.held_by is not None:
        return why_backing_off(count, launches.held_by, view.now)
    return why_at_a_limit(count, view, decided.retirements)


def why_backing_off(count: int, held_by: Backoff, now: float) -> Waiting:
    """Return that launches wait for a back-off."""
    cause, held = held_by.failure, held_by.until > now
    how = "Launches pause" if held else "One runner is tried at a time until one comes online"
    return Waiting(
        reason=Reason.BackingOff,
        count=count,
        message=f"{how}, because {cause.reason}: {cause.message}",
        until=held_by.until if held else None,
    )


def why_at_a_limit(count: int, view: PoolView, retirements: Retirements) -> Waiting:
    """Return which limit keeps more from being launched."""
    pool, live, limit = view.pool, retirements.left.live, retirements.after.limit
    if not space_to_write(view):
        detail = f"{MOST_INTENTS:,} launches of the last minute are not confirmed yet"
        return waiting(Reason.Pending, count, detail)
    if not pool.max_runners:
        return waiting(Reason.NoneAllowed, count)
    if limit is not None and not limit.space(live) and live < pool.max_runners:
        return waiting(Reason.AtHubLimit, count, f"{limit.running} HF Jobs run at a time")
    return waiting(Reason.AtMaxRunners, count, f"spec.maxRunners is {pool.max_runners}")


def failure_of(seen: Observation[Any] | None) -> Failure | None:
    """Return why a list cannot be read; None where it can."""
    return seen.failure if seen is not None else None


def waiting(reason: Reason, count: int, detail: str = "") -> Waiting:
    """Return a reason with its own meaning, after a detail."""
    message = f"{detail}. {reason.meaning}" if detail else reason.meaning
    return Waiting(reason=reason, count=count, message=message)
