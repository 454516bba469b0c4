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
        shown: Of these, the ones whose queue the pool's own credentials show. A pool of
            another namespace counts only there: naming a repository gives no right to be
            mentioned beside those who may read it.
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
    ranked = sorted(pools, key=lambda pool: rank[pool.uid])
    near, far = _Near(ranked, reach), _Far(ranked, shown)
    found: dict[str, tuple[Overlap, ...]] = {}
    for pool in pools:
        others = sorted(near.of(pool), key=lambda other: rank[other.uid])[:MOST]
        overlaps = [
            Overlap(
                other=other.key,
                labels=tuple(sorted(set(pool.labels) & set(other.labels))),
                goes_first=rank[other.uid] < rank[pool.uid],
            )
            for other in others
        ]
        if labels := far.of(pool):
            overlaps.append(Overlap(other=None, labels=labels, goes_first=False))
        if overlaps:
            found[pool.uid] = tuple(overlaps)
    return found


def _distinguishes(label: str, pool: Pool) -> bool:
    """Return whether a label says whose runner it is, or is all that a pool has."""
    return label not in COMMON or len(pool.labels) == 1


class _Near:
    """Pools of each namespace by label and repository.

    Both classes look places up instead of comparing pools in pairs: a thousand pools with one label, of three
    hundred repositories each, are a million pairs of sets.
    """

    def __init__(self, ranked: Sequence[Pool], reach: Mapping[str, Collection[str]]) -> None:
        self._reach = reach
        self._pools: dict[tuple[str, str, str], dict[str, list[Pool]]] = {}
        alike: dict[tuple[str, str, str], list[Pool]] = defaultdict(list)
        for pool in ranked:
            for label in pool.labels:
                alike[pool.key.namespace, pool.source.api_url, label].append(pool)
        for key, pools in alike.items():
            if len(pools) > 1:
                by_repository = self._pools[key] = defaultdict(list)
                for pool in pools:
                    for repository in reach.get(pool.uid, ()) if _distinguishes(key[2], pool) else ():
                        listed = by_repository[repository]
                        # The first in rank, and one more: a pool is not its own neighbour.
                        if len(listed) <= MOST:
                            listed.append(pool)

    def of(self, pool: Pool) -> Collection[Pool]:
        """Return the pools of its own namespace that match some of a pool's jobs; those that go
        first are all among them.
        """
        found: dict[str, Pool] = {}
        for label in pool.labels:
            by_repository = self._pools.get((pool.key.namespace, pool.source.api_url, label), {})
            for repository in self._reach.get(pool.uid, ()) if by_repository else ():
                found.update((other.uid, other) for other in by_repository.get(repository, ()))
        found.pop(pool.uid, None)
        return found.values()


_SEVERAL = ""
"""Stands for more than one namespace."""


class _Far:
    """Which namespace has pools with a label that can read a repository's queue, or that several have."""

    def __init__(self, ranked: Sequence[Pool], shown: Mapping[str, Collection[str]]) -> None:
        self._shown = shown
        self._whose: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
        for pool in ranked:
            namespace = pool.key.namespace
            for label in pool.labels:
                if _distinguishes(label, pool):
                    whose = self._whose[pool.source.api_url, label]
                    for repository in shown.get(pool.uid, ()):
                        if whose.setdefault(repository, namespace) != namespace:
                            whose[repository] = _SEVERAL

    def of(self, pool: Pool) -> tuple[str, ...]:
        """Return the labels of a pool, sorted, that a pool of another namespace has too,
        for jobs that both can see.
        """
        return tuple(sorted(label for label in pool.labels if self._is_shared(label, pool)))

    def _is_shared(self, label: str, pool: Pool) -> bool:
        whose, own = self._whose.get((pool.source.api_url, label), {}), (None, pool.key.namespace)
        return (
            any(whose.get(repository) not in own for repository in self._shown.get(pool.uid, ()))
            if whose
            else False
        )
