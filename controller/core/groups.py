"""The runner group that a pool's runners join: looked up before anything is launched.

GitHub tells of groups by list alone, and takes a registration's group by id, so a pool that names a group
which does not exist would find out at its first workflow job.
"""

from __future__ import annotations

from collections.abc import Sequence

from controller.core.model import Disposition, Failure, Pool, RunnerGroup, ScopeKind, Snapshot
from controller.core.reasons import Reason
from controller.core.text import text

MOST_NAMES = 400
"""Characters of the names of groups that a message lists."""


def named_group(groups: Sequence[RunnerGroup], name: str | None) -> RunnerGroup | None:
    """Return the group of this name, the default one for None; case decides only between several."""
    if name is None:
        return next((group for group in groups if group.default), None)
    exact = [group for group in groups if group.name == name]
    alike = [group for group in groups if group.name.lower() == name.lower()]
    return next(iter(exact + alike), None)


def names_a_group(pool: Pool) -> bool:
    """Return whether a pool's runners join a group that somebody wrote down; repositories have
    one group, without a choice.
    """
    return pool.runner_group is not None and pool.scope.kind is not ScopeKind.REPOSITORY


def missing_group(pool: Pool, snapshot: Snapshot) -> Failure | None:
    """Return that the pool's runner group does not exist; None while that is not proved by
    a complete list.
    """
    seen = snapshot.groups.get(pool.footprint.registrations)
    if not names_a_group(pool) or seen is None or not seen.complete:
        return None
    if named_group(seen.items, pool.runner_group) is not None:
        return None
    names = text(", ".join(sorted(group.name for group in seen.items)), MOST_NAMES) or "none"
    message = (
        f"spec.github.runnerGroup: {pool.scope.kind.value.lower()} {pool.scope.owner} has no runner group {pool.runner_group!r}; the credentials see: {names}. "
        "Correct the name, or make the group; it is looked for every 30 seconds"
    )
    return Failure(reason=Reason.RunnerGroupMissing, message=f"{message}.", disposition=Disposition.PERSON)
