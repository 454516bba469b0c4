"""Why GitHub may give a job to nobody: what can be looked up there, and what was found.

What a suspicion is: :mod:`controller.core.suspicion`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from controller.core.model import Admission, Pool, RegistrationScope, ScopeKind, Snapshot
from controller.core.suspicion import Divided, Group, Suspicions

MOST_CHECKED = 3
"""Repositories of a pool, and versions of its runners, that are looked up for causes at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What may be the cause of a suspicion, and can be looked up at GitHub.

    Attributes:
        scope: Where the pool's runners are registered.
        group: Their runner group, empty for the default one.
        repositories: Whose jobs are under suspicion, :data:`MOST_CHECKED` at most; empty
            where there are no groups.
        versions: Of actions/runner, as the pool's runners have told GitHub.
    """

    scope: RegistrationScope
    group: str
    repositories: tuple[str, ...]
    versions: tuple[str, ...]


def to_check(pool: Pool, divided: Divided, versions: tuple[str, ...]) -> Check | None:
    """Return what should be looked up at GitHub; None while there is no suspicion."""
    if not divided.groups:
        return None
    repositories = dict.fromkeys(job.repository for group in divided.groups for job in group.jobs)
    has_groups = pool.scope.kind is not ScopeKind.REPOSITORY
    return Check(
        scope=pool.footprint.registrations,
        group=pool.runner_group or "",
        repositories=tuple(repositories)[:MOST_CHECKED] if has_groups else (),
        versions=versions,
    )


def find_causes(check: Check, group: Group, snapshot: Snapshot) -> tuple[Sequence[str], bool]:
    """Return what was found to be the cause of a suspicion, the likeliest first, and whether all
    that can be was looked up.

    What could not be looked up, or is in order, is not named.
    """
    found: list[str] = []
    looked = bool(check.repositories or check.versions)
    waiting = {job.repository for job in group.jobs}
    for repository in (name for name in check.repositories if name in waiting):
        seen = snapshot.admissions.get((check.scope, check.group, repository))
        looked = looked and seen is not None
        found += _refusals(seen, repository) if seen is not None else ()
    for version in check.versions:
        ended = snapshot.versions_ended.get((check.scope, version))
        looked = looked and ended is not None
        if ended:
            found.append(
                f"GitHub serves version {version} of actions/runner no more: update the image, or the controller's pinned version"
            )
    source = check.scope.source
    looks = [(job, look) for job in group.jobs if (look := snapshot.looks.get((source, job.id)))]
    for job, look in looks:
        if look.run_ended is not None:
            found.append(
                f"run {job.run_id} has ended ({look.run_ended}), and GitHub lists its job {job.id} as queued all the same: "
                "cancel or delete the run"
            )
        if look.spaced:
            found.append(f"a label of job {job.id} has a space around it: correct runs-on")
    return found, looked


def _refusals(seen: Admission, repository: str) -> list[str]:
    group = f"runner group {seen.group!r}"
    if seen.excluded:
        return [f"{group} does not admit {repository}: select it in the group's settings"]
    if seen.refuses_public:
        return [f"{repository} is public, and {group} refuses public repositories"]
    if seen.workflows is not None:
        names = ", ".join(seen.workflows[:MOST_CHECKED]) or "none"
        return [f"{group} admits only these workflows: {names}; see that the job's is among them"]
    return []


def note_causes(known: Suspicions, divided: Divided, check: Check | None, snapshot: Snapshot) -> Suspicions:
    """Note for which suspicions a cause is found, and which cause is found no more."""
    if check is None:
        return known
    seen = {group.suspicion.key: find_causes(check, group, snapshot) for group in divided.groups}
    held = []
    for one in known.held:
        found, looked = seen.get(one.key, ((), False))
        if looked:
            blamed = bool(found)
            one = replace(one, blamed=blamed, mended=not blamed and (one.mended or one.blamed))  # noqa: PLW2901
        held.append(one)
    return replace(known, held=tuple(held))
