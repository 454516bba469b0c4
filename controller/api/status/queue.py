"""Workflow jobs that wait for a pool, and how many runners it has of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from controller.api.status.model import Counts, Waiting
from controller.api.status.values import MOST_MESSAGE, MOST_WAITING, Instant, iso
from controller.core import explain
from controller.core.lifecycle import Phase
from controller.core.reasons import Reason
from controller.core.report import PoolReport
from controller.core.text import text


def counts(report: PoolReport) -> Counts:
    """Return workflow jobs that wait, and runners by phase."""
    phases = Counter(runner.phase for runner in report.runners)
    starting = phases[Phase.REGISTERED] + phases[Phase.SCHEDULING] + phases[Phase.STARTING]
    return Counts(
        queued=len(report.demand.queued),
        group_only=len(report.demand.group_only),
        unservable=len(report.demand.unmatched),
        starting=starting,
        registered=phases[Phase.REGISTERED],
        scheduling=phases[Phase.SCHEDULING],
        booting=phases[Phase.STARTING],
        idle=phases[Phase.IDLE],
        busy=phases[Phase.BUSY],
        ending=phases[Phase.FINISHED] + phases[Phase.LOST] + phases[Phase.ORPHANED],
        live=sum(1 for runner in report.runners if runner.live),
    )


def queue(waiting: Sequence[explain.Waiting], start: Instant) -> list[Waiting]:
    """Return why queued jobs wait: one entry for each reason, since the list is a map by reason.

    Args:
        waiting: What the plan says; several may have the same reason.
        start: Ties the monotonic clock to the wall clock.
    """
    by_reason: dict[Reason, list[explain.Waiting]] = {}
    for one in waiting:
        by_reason.setdefault(one.reason, []).append(one)
    found = []
    for reason, entries in list(by_reason.items())[:MOST_WAITING]:
        oldest = [iso(one.oldest_at) for one in entries if one.oldest_at is not None]
        found.append(
            Waiting(
                reason=reason,
                count=sum(one.count for one in entries),
                message=text(" ".join(_sentences(one, start) for one in entries), MOST_MESSAGE),
                oldest=min(oldest, default=None),  # such texts sort as their times do
            )
        )
    return found


def _sentences(one: explain.Waiting, start: Instant) -> str:
    if one.until is None:
        return one.message
    return f"{one.message} The next try is at {start.iso(one.until)}."
