"""A pool's whole status after a pass, and that of a pool which could not be planned
(``docs/reference/runnerpool.md``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from controller.api.status.conditions import Aspect, aspects, conditions, meaning_of, progress
from controller.api.status.cost import cost
from controller.api.status.model import RunnerPoolStatus
from controller.api.status.queue import counts, queue
from controller.api.status.runners import failed_launches, flavors, runners
from controller.api.status.stored import interruptions_of, places_of, suspicions_of
from controller.api.status.values import Instant, iso
from controller.core.backoff import POOL
from controller.core.conditions import ConditionType
from controller.core.model import Pool
from controller.core.overlap import Overlap
from controller.core.reasons import Reason
from controller.core.report import PoolReport


def build_status(
    report: PoolReport,
    *,
    previous: RunnerPoolStatus,
    overlaps: Sequence[Overlap],
    usd_per_second: Mapping[str, float],
    start: Instant,
    now: Instant,
) -> RunnerPoolStatus:
    """Return a pool's whole status, without the intents, which have a writer of their own.

    Args:
        report: The pool after the pass.
        previous: The status before, for times of transitions.
        overlaps: Pools that match the same jobs.
        usd_per_second: Prices by flavor.
        start: A moment that ties the monotonic clock to the wall clock once, so that times do not wobble.
        now: This pass.

    Raises:
        ValidationError: It is none that the API server takes: a mistake of ours.
    """
    pool = report.pool
    return RunnerPoolStatus(
        observed_generation=pool.generation,
        conditions=conditions(
            aspects(report, overlaps, now),
            previous.conditions or (),
            generation=pool.generation,
            wall=now.wall,
        ),
        flavor_names=",".join(pool.flavors),
        counts=counts(report),
        queue=queue(report.waiting, start),
        runners=runners(report.runners, start),
        flavors=flavors(report, usd_per_second, start),
        backoff=failed_launches(report, POOL, start),
        last_launch_at=_last_launch_at(pool),
        places=places_of(pool),
        interruptions=interruptions_of(report.memory.losses) or None,
        suspicions=suspicions_of(report.memory.suspicions, start) or None,
        cost=cost(report, usd_per_second),
    )


def rejected_status(
    *,
    generation: int,
    message: str,
    previous: RunnerPoolStatus,
    deleting: bool,
    wall: float,
    report: PoolReport | None = None,
) -> RunnerPoolStatus:
    """Return the status of an object whose spec cannot be followed; what it said of its runners stays.

    Args:
        generation: Of the spec.
        message: What is wrong with it.
        previous: The status before.
        deleting: It is being deleted.
        wall: Epoch seconds.
        report: Of the pool by its newest valid spec, or by its status, where it is planned for all the same.
    """
    going_on = progress(report)[1] if report is not None and report.pool.leaving else None
    status = _halted_status(
        Reason.InvalidSpec,
        message,
        generation=generation,
        previous=previous,
        deleting=deleting,
        wall=wall,
        going_on=going_on,
    )
    if report is None:
        return status
    launched_at = _last_launch_at(report.pool)
    kept = {} if launched_at is None else {"last_launch_at": launched_at}
    return status.model_copy(update={"places": places_of(report.pool), **kept})


def faulted_status(pool: Pool, *, previous: RunnerPoolStatus, wall: float) -> RunnerPoolStatus:
    """Return the status of a pool for which a mistake of ours ended the pass; what it said
    of its runners stays.

    Args:
        pool: The pool.
        previous: The status before.
        wall: Epoch seconds.
    """
    return _halted_status(
        Reason.InternalError,
        Reason.InternalError.meaning,
        generation=pool.generation,
        previous=previous,
        deleting=pool.deleting,
        wall=wall,
    )


def _halted_status(
    reason: Reason,
    message: str,
    *,
    generation: int,
    previous: RunnerPoolStatus,
    deleting: bool,
    wall: float,
    going_on: str | None = None,
) -> RunnerPoolStatus:
    change, meaning = meaning_of(Reason.Draining if deleting else Reason.UpToDate)
    found = conditions(
        [
            Aspect(ConditionType.READY, False, reason, message),
            Aspect(ConditionType.RECONCILING, deleting, change, meaning if going_on is None else going_on),
            Aspect(ConditionType.STALLED, True, reason, message),
        ],
        previous.conditions or (),
        generation=generation,
        wall=wall,
    )
    # The intents have a writer of their own, and nobody else may apply them.
    mine = {"observed_generation": generation, "conditions": found, "intents": None, "term": None}
    return previous.model_copy(update=mine)


def _last_launch_at(pool: Pool) -> str | None:
    return None if pool.last_launch_at is None else iso(pool.last_launch_at)
