"""Whether a pool that is being deleted or drained has nothing left anywhere, so that it may go."""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.demand import blocked_by
from controller.core.lifecycle import Runner
from controller.core.model import Pool, Snapshot
from controller.core.money import timeout_seconds


def is_drained(
    pool: Pool,
    snapshot: Snapshot,
    *,
    since: float | None,
    runners: Sequence[Runner],
    launches_open: bool,
    wall: float,
) -> bool:
    """Return whether a pool may go: lists of all its places, newer than the moment when it began to leave, show nothing of it.

    Where a person would have to mend something before anything could be proved (a Secret that is gone, a token that is
    refused), the pool goes once everything that it launched has met its server-side timeout.

    Args:
        pool: The pool.
        snapshot: The lists.
        since: Monotonic seconds when the pool was first seen leaving; None before that.
        runners: What the lists show of it, and what is under way.
        launches_open: A launch may have left a half that no list shows yet. Without this,

            1. A registration is made, and its answer perhaps lost.  2. Lists that lag do not show it.  3. The pool is deleted:
            lists that are younger than the deletion may lack it still, and nobody would look again.
        wall: Epoch seconds.
    """
    if not pool.leaving or since is None:
        return False
    lists = [
        *(snapshot.registrations.get(footprint.registrations) for footprint in pool.footprints),
        *(snapshot.hf_jobs.get(footprint.account) for footprint in pool.footprints),
    ]
    if all(seen is not None and seen.complete and seen.asked_at > since for seen in lists):
        return not (runners or launches_open)
    if blocked_by(pool, snapshot) is None:
        return False
    if pool.last_launch_at is None:
        return not runners
    return wall - pool.last_launch_at > timeout_seconds(pool.deadlines)
