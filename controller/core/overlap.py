"""Which pools would serve the same jobs, so that the tie is said before it surprises anybody."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
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
        other: The pool.
        labels: Labels that both have, lower case, sorted.
        goes_first: Jobs that both match go to the other pool.
    """

    other: PoolKey
    labels: tuple[str, ...]
    goes_first: bool


def find_overlaps(
    pools: Sequence[Pool],
    reach: Mapping[str, Sequence[str]],
    usd_per_second: Mapping[str, Mapping[str, float]],
) -> dict[str, tuple[Overlap, ...]]:
    """Return overlaps by pool uid, for pools that have any.

    Args:
        pools: All pools.
        reach: Repositories by pool uid.
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
    found: dict[str, tuple[Overlap, ...]] = {}
    for pool in pools:
        others = {
            other.uid: other
            for label in pool.labels
            for other in by_label.get((pool.source.api_url, label), ())[: MOST * 20]
            if other.uid != pool.uid
            and reached.get(pool.uid, frozenset()) & reached.get(other.uid, frozenset())
        }
        overlaps = [
            Overlap(
                other=other.key,
                labels=tuple(sorted(set(pool.labels) & set(other.labels))),
                goes_first=rank[other.uid] < rank[pool.uid],
            )
            for other in sorted(others.values(), key=lambda p: rank[p.uid])[:MOST]
        ]
        if overlaps:
            found[pool.uid] = tuple(overlaps)
    return found
