"""Places that a pool has moved away from: since when, and when nothing of it is left there."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from controller.core.drained import is_left, last_seen_launch
from controller.core.effects import InFlight
from controller.core.model import Footprint, Pool, Snapshot
from controller.core.report import PoolReport


def places_to_leave(pool: Pool) -> tuple[Footprint, ...]:
    """Return the places of a pool where nothing is launched any more: all of them where its
    hosts are refused.
    """
    return pool.former if pool.refused is None else pool.footprints


def note_moved(
    known: Mapping[tuple[str, Footprint], float], pools: Iterable[Pool], now: float
) -> Mapping[tuple[str, Footprint], float]:
    """Return since when each pool was seen away from its former places, by uid and place,
    in monotonic seconds.

    Only of places that pools are away from now: one that came back, and moves again, has moved anew.
    """
    return {
        (pool.uid, place): known.get((pool.uid, place), now)
        for pool in pools
        for place in places_to_leave(pool)
    }


def places_left(
    report: PoolReport,
    snapshot: Snapshot,
    *,
    in_flight: Iterable[InFlight],
    open_places: Collection[Footprint],
    moved_at: Mapping[tuple[str, Footprint], float],
    now: float,
    wall: float,
) -> Sequence[Footprint]:
    """Return the former places of a pool where nothing of it is left, so that nobody need
    look there any more.

    Args:
        report: What this pass found of the pool.
        snapshot: The lists of this pass.
        in_flight: Effects of ours that lists need not show yet, of any pool.
        open_places: Where launches that were written down may still show.
        moved_at: :func:`note_moved` of this pass.
        now: Monotonic seconds.
        wall: Epoch seconds of the same moment.
    """
    uid = report.pool.uid
    under_way = {
        effect.footprint.place
        for effect in in_flight
        if effect.pool_uid == uid and effect.footprint is not None
    }
    return [
        place
        for place in places_to_leave(report.pool)
        if place.place not in under_way
        and place not in open_places
        and is_left(
            report.pool,
            place,
            snapshot,
            runners=report.runners,
            empty_since=report.memory.empty_since,
            moved_at=moved_at[uid, place],
            now=now,
            wall=wall,
        )
    ]


def lives_to_note(report: PoolReport, wall: float) -> Sequence[tuple[Footprint, float]]:
    """Return the places where runners live although the pool's status tells of no launch there,
    each with a time of launch.

    That time is in epoch seconds; no runner that shows there was launched after it.

    Args:
        report: What this pass found of the pool.
        wall: Epoch seconds of the pass.
    """
    found = []
    for place in dict.fromkeys(runner.footprint for runner in report.runners):
        at = last_seen_launch(report.runners, place.place, wall)
        if at is not None and report.pool.bound(place.place) is None:
            found.append((place, at))
    return found
