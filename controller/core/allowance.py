"""How many runners may be started for jobs under suspicion, and when the next one.

What a suspicion is: :mod:`controller.core.suspicion`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from controller.core.model import SuspicionLevel
from controller.core.suspicion import HOUR, MOST_STARTS, Divided, Group, Suspicion, Suspicions

FIRST_HOUR, LATER_HOUR = 4, 2
"""Starts that a suspicion allows in its first hour, the one that it began with included,
and in every hour after."""

PAUSES = (0.0, 600.0, 2_700.0)
"""Seconds between two starts at least, by the number of starts so far: the runner that was passed over is
followed at once by another one, since it may itself have been at fault. Less than an hour, so that whoever
mends a cause that cannot be looked up does not wait for longer; what the allowance has left is for hints."""

READ_WITHIN = 30.0
"""Seconds for which nothing is launched for a job that is about to be read by its id."""


def in_question(known: Suspicions, now: float) -> Collection[int]:
    """Return the jobs, by id, that are about to be read: what that shows decides whether
    anything is launched for them.
    """
    if not known.asked:
        return ()
    suspected = {one.job_id for one in known.held}
    return {job for job, at in known.asked.items() if now - at < READ_WITHIN and job not in suspected}


def next_start(one: Suspicion, *, hint: bool = False) -> float:
    """Return the monotonic second from which on one more start is allowed.

    Args:
        one: The suspicion.
        hint: Something has changed that may have mended the cause: then only the number of starts counts.
    """
    if not one.starts:
        return one.since
    pause = 0.0 if hint else PAUSES[min(len(one.starts), len(PAUSES)) - 1]
    first_hour = [at for at in one.starts if at < one.since + HOUR]
    earliest = one.starts[-1] + pause
    if earliest < one.since + HOUR and len(first_hour) < FIRST_HOUR:
        return earliest
    # The second newest start and this one would lie within one hour.
    second = one.starts[-LATER_HOUR] if len(one.starts) >= LATER_HOUR else one.since
    return max(earliest, one.since + HOUR, second + HOUR)


def count_starts(divided: Divided, *, spare: int, idle: bool, now: float) -> int:
    """Return how many runners may be started for jobs under suspicion.

    One runner is the probe of all of them, since GitHub gives it any job that fits: while one idles, or is on
    its way, no other is started. Only jobs whose wider suspicion has just been cleared get one each.

    Args:
        divided: The queue.
        spare: Runners that can take a job beside those that the trusted jobs need.
        idle: One of the pool's runners is online and idle.
        now: Monotonic seconds.
    """
    if idle:
        return 0
    due = [group for group in divided.groups if _is_due(group, now)]
    fresh = sum(1 for group in due if not group.suspicion.starts)
    if fresh:
        return max(0, fresh - spare)
    return 1 if due and spare <= 0 else 0


def _is_due(group: Group, now: float) -> bool:
    one = group.suspicion
    new = one.level is not SuspicionLevel.JOB and max(job.id for job in group.jobs) > one.newest
    return now >= next_start(one, hint=new or one.mended)


def started(known: Suspicions, divided: Divided, probe: str, now: float) -> Suspicions:
    """Note that runners are started while these jobs wait under suspicion; all of their
    suspicions share the start.
    """
    newest = {group.suspicion.key: max(job.id for job in group.jobs) for group in divided.groups}
    held = tuple(
        replace(
            one,
            starts=(*one.starts, now)[-MOST_STARTS:],
            probe=probe,
            mended=False,
            newest=max(one.newest, newest[one.key]),
        )
        if one.key in newest
        else one
        for one in known.held
    )
    return replace(known, held=held)


def not_started(known: Suspicions, probe: str) -> Suspicions:
    """Take back a start whose launch failed: nothing was tried."""
    if not any(one.probe == probe for one in known.held):
        return known
    held = tuple(
        replace(one, starts=one.starts[:-1], probe="") if one.probe == probe else one for one in known.held
    )
    return replace(known, held=held)
