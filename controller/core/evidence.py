"""What lists prove.

A list shows the world of some moment in the past, and two questions about that have one home here:

* Does it show everything that was made before a moment? (:func:`shows_all_before`,
  :func:`shows_all_parts_before`)
* Does it prove that something is absent, and since when? (:func:`absent_since`, :func:`proves_absence`)

Both services' lists lag: a thing that was made a moment ago may be missing, and one that is gone may be
shown. What shows itself counts at once; what is concluded from absence waits for :data:`LIST_LAG`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from controller.core.model import Observation

LIST_LAG = 60.0
"""Seconds by which a list may lag behind the world. Neither GitHub nor the Hub documents a bound
(docs/facts.md#lists-lag); lists that lag by up to half a minute have been seen, so this is twice that."""


def shows_all_before(seen: Observation[Any] | None, moment: float) -> bool:
    """Return whether a list shows everything that was made before a moment, in monotonic
    seconds, and still exists.

    A list that was never read, or not to its last page, shows nothing for sure.
    """
    return seen is not None and seen.complete and seen.asked_at - LIST_LAG > moment


def shows_all_parts_before(seen: Observation[Any] | None, moment: float) -> bool:
    """Return whether also the oldest part of a list that is put together of several shows
    everything made before a moment.

    A repository's queue is one: the jobs of a run whose row does not change are read again only now and then.
    """
    if seen is None or not shows_all_before(seen, moment):
        return False
    return seen.oldest_part_at is None or seen.oldest_part_at - LIST_LAG > moment


def absent_since(lists: Sequence[Observation[Any] | None]) -> float | None:
    """Return when the oldest of these lists was asked for, in monotonic seconds, if all of
    them are complete; else None.

    What none of them shows was absent in the world that this list shows. One list alone proves little:
    :func:`proves_absence` says when two of them do.
    """
    oldest = None
    for seen in lists:
        if seen is None or not seen.complete:
            return None
        oldest = seen.asked_at if oldest is None else min(oldest, seen.asked_at)
    return oldest


def proves_absence(first: float | None, newest: float | None) -> bool:
    """Return whether something is gone, or was never made.

    Args:
        first: When the first list was asked for that lacked it, after it was known; None without one.
        newest: When the newest such list was asked for.

    The newest list may lag by :data:`LIST_LAG`, so it shows the world of a moment after the first one was
    asked for: whatever was made before it became known is in it, if it still exists. Time that passes
    without lists proves nothing:

    1. A list that lags lacks a registration made seconds before.
    2. Lists fail for a minute.
    3. The gap would seem a minute old, although nobody has looked since.
    """
    return first is not None and newest is not None and newest - first > LIST_LAG
