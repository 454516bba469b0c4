"""What one pass remembers for the next one. Losing it delays things and breaks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from controller.core import suspicion as suspicions
from controller.core.backoff import Backoff, Limit
from controller.core.ledger import Booked
from controller.core.lifecycle import Track
from controller.core.losses import Losses, recall
from controller.core.model import Place, Pool
from controller.core.retire.strays import StrayKey
from controller.core.suspicion import Suspicions


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMemory:
    """What a pass remembers of one pool.

    Attributes:
        backoffs: By flavor and :data:`controller.core.backoff.POOL`.
        surplus_since: Monotonic seconds since when capacity has exceeded demand.
        gave_back_at: Monotonic seconds when a runner was last given back.
        draining_since: Monotonic seconds when the pool was first seen leaving.
        drain_request: The newest that was seen.
        drain_requested_at: Monotonic seconds when it was first seen.
        spent_usd: Estimated cost of HF Jobs that ended since this process started.
        unpriced_seconds: Of those, billed seconds that are not in the cost yet as no price
            was known, by flavor.
        booked: By id, HF Jobs that ended and whose cost is counted already.
        losses: Workflow jobs whose HF Job ended under them.
        tracks: By runner.
        usd: Prices by flavor, in US dollars per second, as they were last known.
        copies: Ids of HF Jobs that carry the name of a runner of ours and are not the one that we made.
        empty_since: By place, monotonic seconds of the first of the complete lists that have shown nothing
            there, one after the other.
        suspicions: Workflow jobs that idle runners were not given.
        longest_job: Seconds for which a workflow job was seen to run at the longest, since
            this process started.
        limit: How many HF Jobs the Hub runs at a time, where that turned out to be fewer than ``maxRunners``.
    """

    backoffs: Mapping[str, Backoff] = field(default_factory=dict)
    surplus_since: float | None = None
    gave_back_at: float | None = None
    draining_since: float | None = None
    drain_request: str = ""
    drain_requested_at: float = 0.0
    spent_usd: float = 0.0
    unpriced_seconds: Mapping[str, float] = field(default_factory=dict)
    booked: Mapping[str, Booked] = field(default_factory=dict)
    losses: Losses = field(default_factory=Losses)
    tracks: Mapping[str, Track] = field(default_factory=dict)
    usd: Mapping[str, float] = field(default_factory=dict)
    copies: frozenset[str] = frozenset()
    empty_since: Mapping[Place, float] = field(default_factory=dict)
    suspicions: Suspicions = field(default_factory=Suspicions)
    longest_job: float = 0.0
    limit: Limit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """What one pass hands to the next.

    Attributes:
        pools: By uid.
        strays: Tracks of runners that no pool claims.
    """

    pools: Mapping[str, PoolMemory] = field(default_factory=dict)
    strays: Mapping[StrayKey, Track] = field(default_factory=dict)


def first_memory(pool: Pool, *, launching: bool, now: float, wall: float) -> PoolMemory:
    """Return what a process knows of a pool that it has not planned for yet: what the pool's status says.

    Args:
        pool: The pool.
        launching: Launches of it may be under way.
        now: Monotonic seconds.
        wall: Epoch seconds of the same moment.
    """
    return PoolMemory(
        losses=recall(pool, now=now, wall=wall),
        suspicions=suspicions.recall(pool, launching=launching, now=now, wall=wall),
    )
