"""Whether a pool that is being deleted or drained has nothing left anywhere, so that it may go."""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.demand import blocked_by
from controller.core.lifecycle import Runner
from controller.core.model import Footprint, Pool, Snapshot
from controller.core.money import timeout_seconds


def is_drained(
    pool: Pool,
    snapshot: Snapshot,
    *,
    since: float | None,
    runners: Sequence[Runner],
    launches_open: bool,
    now: float,
    wall: float,
) -> bool:
    """Return whether a pool may go: lists of all its places, newer than the moment when it began to leave, show nothing of it.

    Where nothing can be proved, it goes once everything that it launched has met its server-side timeout: at once where a
    person would have to mend something (a Secret that is gone, a token that is refused), if its newest launch is that long
    ago; anywhere else, such as a host that is gone for good, if it has been leaving for that long.

    Args:
        pool: The pool.
        snapshot: The lists.
        since: Monotonic seconds when the pool was first seen leaving; None before that.
        runners: What the lists show of it, and what is under way.
        launches_open: A launch may have left a half that no list shows yet. Without this,

            1. A registration is made, and its answer perhaps lost.  2. Lists that lag do not show it.  3. The pool is deleted:
            lists that are younger than the deletion may lack it still, and nobody would look again.
        now: Monotonic seconds.
        wall: Epoch seconds.
    """
    if not pool.leaving or since is None:
        return False
    unproved = [place for place in pool.footprints if not _proves_since(place, snapshot, since)]
    if not unproved:
        return not (runners or launches_open)
    if any(runner.footprint not in unproved for runner in runners):
        return False
    timeout = timeout_seconds(pool.deadlines)
    if now - since > timeout:
        return True  # nothing was launched since it began to leave
    if any(blocked_by(place, snapshot) is None for place in unproved):
        return False
    if pool.last_launch_at is None:
        return not runners
    return wall - pool.last_launch_at > timeout


def _proves_since(place: Footprint, snapshot: Snapshot, since: float) -> bool:
    """Return whether both lists of a place are complete and younger than a moment, in monotonic seconds."""
    lists = (snapshot.registrations.get(place.registrations), snapshot.hf_jobs.get(place.account))
    return all(seen is not None and seen.complete and seen.asked_at > since for seen in lists)
