"""Which pool each queued workflow job belongs to.

Demand is counted per pool and never bound to a runner: GitHub gives a job to any matching idle runner (github.md §2.3).
A job that several pools match belongs to exactly one: the one whose preferred flavor is cheapest, then the older one; a
pool that cannot launch (paused, draining, faulty) stands behind all that can.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.labels import covered, hosted, is_glob, label_set
from controller.core.model import (
    Disposition,
    Failure,
    GitHubSource,
    GroupOnlyJobs,
    JobStatus,
    Observation,
    Pool,
    ScopeKind,
    Snapshot,
    WorkflowJob,
)
from controller.core.money import cheapest

QUEUE_CAP_SECONDS = 24 * 3600.0
"""GitHub itself fails a job that waits longer (github.md §2.5); an older one is a zombie and no demand."""

GONE_AFTER = 600.0
"""Seconds for which a repository must have answered that it is gone or forbidden before that is believed: GitHub says so in
passing too, and the runners on their way to its jobs must not be lost to one 404. Longer than any pause between two looks."""


@dataclass(slots=True, kw_only=True)
class Demand:
    """What one pool is asked for.

    Attributes:
        queued: Jobs that this pool serves, oldest first.
        group_only: Jobs without labels in repositories of this pool, which names a group but ignores such jobs.
        unmatched: Jobs that no pool matches and that this pool is nearest to.
        shared: How many of ``queued`` each other pool matches too, by that pool's uid.
        lent: How many jobs that this pool matches belong to another pool, by that pool's uid.
        unreadable: Repositories whose queue could not be read, with the failure.
        complete: Every repository of the pool was read, so that absence of demand means something.
        asked_at: Monotonic time of the oldest view that ``queued`` rests on; infinite without any view.
        oldest_wait: Seconds that the oldest queued job has waited, on GitHub's clock; 0 without one.
        server_ahead: GitHub's clock less our monotonic one, by the newest answer; None before the first.
        reach: Repositories of the pool.
    """

    queued: list[WorkflowJob] = field(default_factory=list)
    group_only: list[WorkflowJob] = field(default_factory=list)
    unmatched: list[WorkflowJob] = field(default_factory=list)
    shared: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lent: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    unreadable: list[tuple[str, Failure]] = field(default_factory=list)
    complete: bool = True
    asked_at: float = math.inf
    oldest_wait: float = 0.0
    server_ahead: float | None = None
    reach: tuple[str, ...] = ()

    def longest_wait(self, jobs: Iterable[WorkflowJob], now: float) -> float:
        """Return for how many seconds the oldest of these has been queued, on GitHub's clock; 0 without any."""
        if self.server_ahead is None:
            return 0.0
        return max((now + self.server_ahead - job.created_at for job in jobs), default=0.0)


def reach(pool: Pool, snapshot: Snapshot) -> tuple[str, ...]:
    """Return the lower-case ``owner/repo`` names that a pool covers, as far as they are known."""
    if pool.scope.kind is ScopeKind.REPOSITORY:
        return (f"{pool.scope.owner}/{pool.scope.repository}",)
    seen = snapshot.repositories.get(pool.source)
    return covered(pool.include, pool.exclude, seen.items if seen else ())


def _resolved(pool: Pool, snapshot: Snapshot) -> bool:
    """Return whether every pattern of the pool could be turned into repositories."""
    if not any(is_glob(p) for p in pool.include):
        return True
    seen = snapshot.repositories.get(pool.source)
    return seen is not None and seen.complete


def blocked_by(pool: Pool, snapshot: Snapshot) -> Failure | None:
    """Return what a person must mend before the pool can do anything: a missing Secret, a refused token, ..."""
    views = (
        snapshot.registrations.get(pool.footprint.registrations),
        snapshot.hf_jobs.get(pool.footprint.account),
    )
    for view in views:
        if view is not None and view.failure is not None and view.failure.disposition is Disposition.PERSON:
            return view.failure
    return None


def can_launch(pool: Pool, snapshot: Snapshot) -> bool:
    """Return whether nothing that a person decided or must mend keeps the pool from launching."""
    return not (pool.paused or pool.leaving or blocked_by(pool, snapshot))


def match_demand(
    pools: Sequence[Pool],
    snapshot: Snapshot,
    usd_per_second: Mapping[str, Mapping[str, float]],
    now: float,
) -> tuple[dict[str, Demand], dict[str, WorkflowJob]]:
    """Give every unfinished job to its pool.

    Returns:
        Demand by pool uid, and running jobs by the name of the runner that has them.
    """
    ranked = sorted(
        pools,
        key=lambda p: (
            not can_launch(p, snapshot),
            cheapest(p.flavors, usd_per_second.get(p.hub.endpoint, {})),
            p.created_at,
            p.uid,
        ),
    )
    demand = {pool.uid: Demand() for pool in pools}
    queues: dict[GitHubSource, dict[str, Observation[WorkflowJob]]] = defaultdict(dict)
    for (source, repository), seen in snapshot.queues.items():
        queues[source][repository] = seen
    covering: dict[tuple[str, str], list[Pool]] = defaultdict(list)
    for pool in ranked:
        mine = demand[pool.uid]
        mine.reach = reach(pool, snapshot)
        mine.complete = _resolved(pool, snapshot)
        views = queues[pool.source]
        for repository in mine.reach:
            covering[pool.source.api_url, repository].append(pool)
            _note_view(mine, repository, views.get(repository), now)

    running: dict[str, WorkflowJob] = {}
    queued, in_progress = JobStatus.QUEUED, JobStatus.IN_PROGRESS
    for place, seen in _newest_views(snapshot).items():
        candidates = covering.get(place, ())
        for job in seen.items:
            if job.status is in_progress and job.runner_name:
                running[job.runner_name] = job
            elif job.status is queued and candidates and not _zombie(job, seen):
                _assign(job, candidates, demand, seen)
    for mine in demand.values():
        mine.queued.sort(key=lambda job: (job.created_at, job.id))
    return demand, running


def _note_view(mine: Demand, repository: str, seen: Observation[WorkflowJob] | None, now: float) -> None:
    if seen is not None and seen.answered:
        mine.server_ahead = max(mine.server_ahead or -math.inf, seen.server_time - seen.asked_at)
    if seen is None:
        mine.complete = False
    elif seen.failure is not None:
        mine.unreadable.append((repository, seen.failure))
        # A repository that has long been gone or forbidden can hold no demand that we could ever serve: it must not keep the
        # idle runners of all the others alive. One that is merely out of reach, or gone since a moment, may hold some.
        lost = seen.failure.disposition in (Disposition.GONE, Disposition.PERSON)
        if not lost or now - seen.asked_at <= GONE_AFTER:
            mine.complete = False


def _newest_views(snapshot: Snapshot) -> dict[tuple[str, str], Observation[WorkflowJob]]:
    """Return one view per repository: two sources may poll the same one, and each job must count once."""
    views: dict[tuple[str, str], Observation[WorkflowJob]] = {}
    for (source, repository), seen in snapshot.queues.items():
        known = views.get((source.api_url, repository))
        if known is None or (seen.complete, seen.asked_at) > (known.complete, known.asked_at):
            views[source.api_url, repository] = seen
    # The last items of a view that cannot be refreshed are too old to launch for, but still name running jobs.
    return {
        key: seen
        if seen.complete
        else Observation(
            items=tuple(j for j in seen.items if j.status is JobStatus.IN_PROGRESS),
            asked_at=seen.asked_at,
            server_time=seen.server_time,
            failure=seen.failure,
        )
        for key, seen in views.items()
    }


def _zombie(job: WorkflowJob, seen: Observation[WorkflowJob]) -> bool:
    return seen.server_time - job.created_at > QUEUE_CAP_SECONDS


def _assign(
    job: WorkflowJob, candidates: Sequence[Pool], demand: Mapping[str, Demand], seen: Observation[WorkflowJob]
) -> None:
    matching = [pool for pool in candidates if _serves(pool, job)]
    if not matching:
        _leave_unserved(job, candidates, demand)
        return
    chosen = demand[matching[0].uid]
    chosen.queued.append(job)
    chosen.asked_at = min(chosen.asked_at, seen.asked_at)
    chosen.oldest_wait = max(chosen.oldest_wait, seen.server_time - job.created_at)
    for other in matching[1:]:
        chosen.shared[other.uid] += 1
        demand[other.uid].lent[matching[0].uid] += 1


def _serves(pool: Pool, job: WorkflowJob) -> bool:
    if not job.labels:
        return pool.group_only is GroupOnlyJobs.SERVE
    return label_set(job.labels) <= label_set(pool.labels)


def _leave_unserved(job: WorkflowJob, candidates: Sequence[Pool], demand: Mapping[str, Demand]) -> None:
    """Name a job that nobody serves in the status of one pool, so that it is counted once."""
    if not job.labels:
        demand[candidates[0].uid].group_only.append(job)
    elif not hosted(job.labels):
        nearest = max(candidates, key=lambda pool: _overlap(pool, job))
        demand[nearest.uid].unmatched.append(job)


def _overlap(pool: Pool, job: WorkflowJob) -> int:
    return len(label_set(job.labels) & label_set(pool.labels))


def name_jobs(jobs: Iterable[WorkflowJob], *, limit: int = 3) -> str:
    """Name a few jobs for a message: ``acme/lib "train" (hf-t4, cuda13)``."""
    listed = list(jobs)
    named = ", ".join(
        f'{job.repository} "{job.name}"' + (f" ({', '.join(job.labels)})" if job.labels else "")
        for job in listed[:limit]
    )
    return named + (f" and {len(listed) - limit} more" if len(listed) > limit else "")
