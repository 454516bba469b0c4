"""Which pools would serve the same jobs, so that the tie is said before it surprises anybody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from controller.core.model import Pool, PoolKey
from controller.core.money import cheapest

COMMON = frozenset({"self-hosted", "linux", "x64", "arm64"})
"""Labels that say what a runner is and not whose it is; sharing only these is no overlap."""

MOST = 5
"""Overlaps named per pool."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """Another pool that matches some of the same jobs.

    Attributes:
        other: The pool; None when it is of another namespace, whose names are nobody else's business.
        labels: Labels that both have, lower case, sorted.
        goes_first: Jobs that both match go to the other pool.
    """

    other: PoolKey | None
    labels: tuple[str, ...]
    goes_first: bool


def find_overlaps(
    pools: Sequence[Pool],
    reach: Mapping[str, Sequence[str]],
    shown: Mapping[str, Collection[str]],
    usd_per_second: Mapping[str, Mapping[str, float]],
) -> dict[str, tuple[Overlap, ...]]:
    """Return overlaps by pool uid, for pools that have any.

    Args:
        pools: All pools.
        reach: Repositories by pool uid.
        shown: Of these, the ones whose queue the pool's own credentials show. A pool of another namespace counts only there:
            naming a repository gives no right to be mentioned beside those who may read it.
        usd_per_second: By endpoint and flavor.
    """
    rank = {
        pool.uid: (
            cheapest(pool.flavors, usd_per_second.get(pool.hub.endpoint, {})),
            pool.created_at,
            pool.uid,
        )
        for pool in pools
    }
    by_label: dict[tuple[str, str], list[Pool]] = defaultdict(list)
    for pool in pools:
        for label in pool.labels:
            if label not in COMMON or len(pool.labels) == 1:
                by_label[pool.source.api_url, label].append(pool)
    reached = {uid: frozenset(names) for uid, names in reach.items()}
    read = {uid: frozenset(names) for uid, names in shown.items()}
    found: dict[str, tuple[Overlap, ...]] = {}
    for pool in pools:
        near, far = _matching_too(pool, by_label, reached, read)
        overlaps = [
            Overlap(other=other.key, labels=_both(pool, [other]), goes_first=rank[other.uid] < rank[pool.uid])
            for other in sorted(near, key=lambda p: rank[p.uid])[:MOST]
        ]
        if far:
            overlaps.append(Overlap(other=None, labels=_both(pool, far), goes_first=False))
        if overlaps:
            found[pool.uid] = tuple(overlaps)
    return found


def _matching_too(
    pool: Pool,
    by_label: Mapping[tuple[str, str], Sequence[Pool]],
    reached: Mapping[str, frozenset[str]],
    read: Mapping[str, frozenset[str]],
) -> tuple[list[Pool], list[Pool]]:
    """Return the pools of its own namespace, and those of others, that match some of a pool's jobs."""
    near: dict[str, Pool] = {}
    far: dict[str, Pool] = {}
    none: frozenset[str] = frozenset()
    for label in pool.labels:
        for other in by_label.get((pool.source.api_url, label), ()):
            own = other.key.namespace == pool.key.namespace
            mine = reached if own else read
            kept = near if own else far
            if other.uid == pool.uid or len(kept) >= MOST * 20:
                continue
            if mine.get(pool.uid, none) & mine.get(other.uid, none):
                kept[other.uid] = other
    return list(near.values()), list(far.values())


def _both(pool: Pool, others: Sequence[Pool]) -> tuple[str, ...]:
    return tuple(sorted(set(pool.labels) & {label for other in others for label in other.labels}))
