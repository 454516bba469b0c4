"""Whether anything of a pool may be left at a place: then a former place is kept, and a pool
that is being deleted waits.

Four things can end the wait for a place, whichever comes first:

1. Lists that are younger than the pool's leaving show nothing there. This is the usual end.
2. Lists showed nothing there for longer than they may lag, before they failed, and nothing
   was launched there since.
3. Nothing was ever launched there, and lists do not come.
4. Everything that was launched there has met the Hub's own timeout
   (:meth:`~controller.core.model.Pool.bound`).

The last three are for a place that cannot be read: its host, its Secret, or the right to
read it may be gone for good.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from controller.core.demand import blocked_by
from controller.core.evidence import LIST_LAG, proves_absence, shows_all_before
from controller.core.memory import PoolMemory
from controller.core.model import Failure, Footprint, Observation, Place, Pool, Snapshot
from controller.core.money import timeout_seconds
from controller.core.runners import Runner

DRAIN_REQUEST_SECONDS = 60.0
"""How long a request to drain a pool holds after it was first seen; who wants more renews it
(``hf-runner-controller drain``).

A request that ends by itself cannot keep a pool from serving after whoever asked is gone, and counting from
first sight asks no clock but our own.
"""

PATIENCE = 30.0
"""Seconds for which a pool that leaves waits for lists of a place where nothing can be: they come within
seconds, or not at all."""

LONGEST = 6 * 24 * 3600.0
"""Seconds after which nothing is waited for, whatever the status says: GitHub ends a job on a self-hosted
runner after five days, which is the longest ``deadlines.lifetime``, and a day is room for the rest. Anybody
who may write a status may write any time into it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A place that keeps a pool from going.

    Attributes:
        place: Which.
        until: Epoch seconds by which it is waited for no longer; None while lists will tell.
        failure: Why its lists cannot be read; None where they can, or have not come yet.
    """

    place: Place
    until: float | None = None
    failure: Failure | None = None


def heed_drain_request(pool: Pool, memory: PoolMemory, now: float) -> tuple[Pool, PoolMemory]:
    """Mark a pool that somebody asks to drain, and remember since when it has been asked
    for and has been leaving.

    Args:
        pool: The pool.
        memory: From the last pass; the same object comes back while nothing changes.
        now: Monotonic seconds.
    """
    if pool.drain_request:
        if memory.drain_request != pool.drain_request:
            memory = replace(memory, drain_request=pool.drain_request, drain_requested_at=now)
        if now - memory.drain_requested_at < DRAIN_REQUEST_SECONDS:
            pool = replace(pool, draining=True)
    if pool.leaving != (memory.draining_since is not None):
        memory = replace(memory, draining_since=now if pool.leaving else None)
    return pool, memory


def ends_by(pool: Pool, launched_at: float) -> float:
    """Return epoch seconds by which a launch of a pool has met the Hub's own timeout, and
    lists have shown it.

    Args:
        pool: With the deadlines that hold for the launch.
        launched_at: Epoch seconds of the launch.
    """
    return launched_at + timeout_seconds(pool.deadlines) + LIST_LAG


def note_empty(
    pool: Pool,
    snapshot: Snapshot,
    *,
    runners: Sequence[Runner],
    open_places: Collection[Place],
    known: Mapping[Place, float],
) -> Mapping[Place, float]:
    """Return since when lists have shown nothing of a pool at its places, in monotonic seconds: the
    moment of the first of them.

    Args:
        pool: The pool.
        snapshot: The lists.
        runners: What the lists show of it, and what is under way.
        open_places: Where launches may still show.
        known: What the last pass returned; the same object comes back while nothing changes.
    """
    found = {}
    for footprint in pool.footprints:
        place = footprint.place
        if place in open_places or any(runner.footprint.place == place for runner in runners):
            continue
        since = known.get(place)
        if since is None and _failure_at(footprint, snapshot) is None:
            since = _oldest(footprint, snapshot)
        if since is not None:
            found[place] = since
    return known if found == known else found


def what_is_awaited(
    pool: Pool,
    snapshot: Snapshot,
    *,
    since: float,
    runners: Sequence[Runner],
    open_places: Collection[Place],
    unlisted: bool,
    empty_since: Mapping[Place, float],
    now: float,
    wall: float,
) -> Sequence[Awaited]:
    """Return the places for which a pool that leaves must wait; it may go when there are none.

    Args:
        pool: The pool.
        snapshot: The lists.
        since: Monotonic seconds when the pool was first seen leaving. Nothing is launched
            for it from then on.
        runners: What the lists show of it, and what is under way.
        open_places: Where launches may have left a half that no list shows yet. Without this,

            1. A registration is made, and its answer perhaps lost.
            2. Lists that lag do not show it.
            3. The pool is deleted: lists that are younger than the deletion may lack it still, and nobody
               would look again.
        unlisted: Somebody has launched for the pool without writing it down, and lists need not show it yet.
        empty_since: :func:`note_empty` of this pass.
        now: Monotonic seconds.
        wall: Epoch seconds of the same moment.
    """
    taken = {runner.footprint.place for runner in runners}
    found = []
    for footprint in pool.footprints:
        place = footprint.place
        if _proves_since(footprint, snapshot, since):
            if unlisted or place in taken or place in open_places:
                found.append(Awaited(place=place))
            continue
        failure = _failure_at(footprint, snapshot)
        if now - since <= PATIENCE and blocked_by(footprint, snapshot) is None:
            found.append(Awaited(place=place, failure=failure))
            continue
        if place not in open_places and _was_empty(footprint, snapshot, empty_since):
            continue
        until = _until(pool, place, began=wall - (now - since), seen=last_seen_launch(runners, place, wall))
        if until is not None and wall <= until:
            found.append(Awaited(place=place, until=until, failure=failure))
    return found


def is_left(
    pool: Pool,
    footprint: Footprint,
    snapshot: Snapshot,
    *,
    runners: Sequence[Runner],
    empty_since: Mapping[Place, float],
    moved_at: float,
    now: float,
    wall: float,
) -> bool:
    """Return whether nothing of a pool is left at a place from which it has moved, and where
    no launch may still show.

    While a former place is kept, what no list of the *other* places shows may be there. So one that cannot
    be read must not be kept for ever: each half of a runner would seem to have its other half there, and
    take a place in ``maxRunners``.

    Args:
        pool: Whose.
        footprint: A former one.
        snapshot: The lists.
        runners: Of the pool.
        empty_since: :func:`note_empty` of this pass.
        moved_at: Monotonic seconds when this process first saw the pool away from there.
        now: Monotonic seconds.
        wall: Epoch seconds of the same moment.
    """
    place = footprint.place
    taken = any(runner.footprint.place == place for runner in runners)
    if all(shows_all_before(seen, moved_at) for seen in _lists(footprint, snapshot)):
        return not taken
    if all(seen is not None and seen.complete for seen in _lists(footprint, snapshot)):
        return False
    if _was_empty(footprint, snapshot, empty_since):
        return True
    until = _until(pool, place, began=wall - (now - moved_at), seen=last_seen_launch(runners, place, wall))
    return until is None or wall > until


def last_seen_launch(runners: Sequence[Runner], place: Place, wall: float) -> float | None:
    """Return epoch seconds before which all runners that show at a place were launched, by
    their ages; None without any.

    Args:
        runners: Of one pool.
        place: Which.
        wall: Epoch seconds of the moment to which their ages belong.
    """
    return max((wall - runner.age for runner in runners if runner.footprint.place == place), default=None)


def _until(pool: Pool, place: Place, *, began: float, seen: float | None) -> float | None:
    """Return epoch seconds until which something may live at a place that cannot be read;
    None if nothing ever did.
    """
    bound = pool.bound(place)
    if bound is None and seen is not None:
        bound = ends_by(pool, seen)
    return None if bound is None else min(bound, began + LONGEST)


def _lists(place: Footprint, snapshot: Snapshot) -> tuple[Observation[Any] | None, Observation[Any] | None]:
    return snapshot.registrations.get(place.registrations), snapshot.hf_jobs.get(place.account)


def _failure_at(place: Footprint, snapshot: Snapshot) -> Failure | None:
    return next((seen.failure for seen in _lists(place, snapshot) if seen and seen.failure), None)


def _oldest(place: Footprint, snapshot: Snapshot) -> float | None:
    """Return when the older one of a place's newest good lists was asked for; None before
    both were ever read.

    A list that fails now still has the moment of the last one that did not.
    """
    moments = [seen.asked_at for seen in _lists(place, snapshot) if seen is not None and seen.answered]
    return min(moments) if len(moments) == 2 else None


def _was_empty(place: Footprint, snapshot: Snapshot, empty_since: Mapping[Place, float]) -> bool:
    """Return whether the last good lists of a place prove that nothing was there, and
    nothing has begun there since.
    """
    return proves_absence(empty_since.get(place.place), _oldest(place, snapshot))


def _proves_since(place: Footprint, snapshot: Snapshot, since: float) -> bool:
    """Return whether both lists of a place are complete and younger than a moment, in monotonic seconds."""
    return all(
        seen is not None and seen.complete and seen.asked_at > since for seen in _lists(place, snapshot)
    )
