"""Which pool each queued workflow job belongs to.

Demand is counted per pool and never bound to a runner: GitHub gives a job to any matching idle runner
(docs/facts.md#any-idle-runner). A job that several pools of one namespace match belongs to exactly one of
them: one with a free runner, else the one whose preferred flavor is cheapest, then the older one; a pool that
cannot launch now (paused, draining, faulty, at its cap, backing off) stands behind all that can. Pools of
different namespaces do not compete: each serves what its own credentials show.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.evidence import shows_all_before
from controller.core.groups import missing_group
from controller.core.labels import covered, hosted, is_glob, label_set
from controller.core.model import (
    Disposition,
    Failure,
    Footprint,
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
from controller.core.variables import refused_variable

QUEUE_CAP_SECONDS = 24 * 3600.0
"""GitHub itself ends a job that was queued for longer; one that it lists all the same is a leftover that no
runner ever gets (docs/facts.md#queued-for-a-day).
"""

GONE_AFTER = 600.0
"""Seconds for which a repository must have answered that it is gone or forbidden before that is believed:
GitHub says so in passing too, and the runners on their way to its jobs must not be lost to one 404. Longer
than any pause between two looks."""


@dataclass(slots=True, kw_only=True)
class Demand:
    """What one pool is asked for.

    Attributes:
        queued: Jobs that this pool serves, oldest first.
        group_only: Jobs without labels in repositories of this pool, which names a group
            but ignores such jobs.
        unmatched: Jobs that no pool matches and that this pool is nearest to.
        too_old: Jobs that this pool matches, and that GitHub should have ended long ago.
        lent: Jobs that this pool matches too, and that another pool of its namespace serves.
        unreadable: Repositories whose queue could not be read, with the failure.
        complete: Every repository of the pool was read, so that absence of demand means something.
        asked_at: Monotonic time of the oldest view that ``queued`` rests on; infinite without any view.
        oldest_wait: Seconds that the oldest queued job has waited, on GitHub's clock; 0 without one.
        server_ahead: GitHub's clock less our monotonic one, by the newest answer; None before the first.
        suspected: How many of ``queued`` are under suspicion (:mod:`controller.core.suspicion`).
        reach: Repositories of the pool.
        shown: Of these, the ones whose queue its own credentials show.
    """

    queued: list[WorkflowJob] = field(default_factory=list)
    group_only: list[WorkflowJob] = field(default_factory=list)
    unmatched: list[WorkflowJob] = field(default_factory=list)
    too_old: list[WorkflowJob] = field(default_factory=list)
    lent: list[WorkflowJob] = field(default_factory=list)
    unreadable: list[tuple[str, Failure]] = field(default_factory=list)
    complete: bool = True
    asked_at: float = math.inf
    oldest_wait: float = 0.0
    server_ahead: float | None = None
    suspected: int = 0
    reach: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()

    def waited_since(self, oldest_at: float, now: float) -> float:
        """Return for how many seconds a job has been queued, on GitHub's clock; 0 while that is not known.

        Args:
            oldest_at: Epoch seconds on GitHub's clock since when it is queued.
            now: Monotonic seconds.
        """
        return 0.0 if self.server_ahead is None else now + self.server_ahead - oldest_at


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


def blocked_by(place: Footprint, snapshot: Snapshot) -> Failure | None:
    """Return what a person must mend before anything can be done at a place: a missing
    Secret, a refused token, ...
    """
    views = (snapshot.registrations.get(place.registrations), snapshot.hf_jobs.get(place.account))
    for view in views:
        if view is not None and view.failure is not None and view.failure.disposition is Disposition.PERSON:
            return view.failure
    return None


def can_launch(pool: Pool, snapshot: Snapshot) -> bool:
    """Return whether nothing that a person decided or must mend keeps the pool from launching."""
    blocked = (
        blocked_by(pool.footprint, snapshot)
        or missing_group(pool, snapshot)
        or refused_variable(pool, snapshot)
    )
    return not (pool.held or pool.leaving or blocked)


@dataclass(slots=True, kw_only=True)
class Room:
    """How many more jobs a pool can take now, beside those that its runners have.

    Attributes:
        free: Runners without a job that are online or on their way.
        taken: When, in monotonic seconds, its runners were first seen with a job that no
            look at the queue has named.
        launches: Runners that it may launch now: nobody paused it, ``maxRunners`` and its
            back-off leave room.
    """

    free: int = 0
    taken: list[float] = field(default_factory=list)
    launches: int = 0


@dataclass(slots=True)
class _Queued:
    """A queued job, with the pools of one namespace whose own credentials show it."""

    job: WorkflowJob
    seen: Observation[WorkflowJob]
    candidates: list[Pool]


def running_jobs(snapshot: Snapshot) -> Mapping[GitHubSource, Mapping[str, WorkflowJob]]:
    """Return the jobs that run, by the source that showed them and the name of the runner that has them.

    Also those of a view that cannot be refreshed: they are too old to launch for, but still
    name running jobs.
    """
    found: dict[GitHubSource, dict[str, WorkflowJob]] = defaultdict(dict)
    in_progress = JobStatus.IN_PROGRESS
    for (source, _), seen in snapshot.queues.items():
        running = found[source]
        for job in seen.items:
            if job.status is in_progress and job.runner_name:
                running[job.runner_name] = job
    return found


def view_queues(pool: Pool, snapshot: Snapshot, now: float) -> Demand:
    """Return what a pool's own credentials show of its repositories; which jobs it is to
    serve is not decided yet.
    """
    mine = Demand(reach=reach(pool, snapshot), complete=_resolved(pool, snapshot))
    views = [(repository, snapshot.queues.get((pool.source, repository))) for repository in mine.reach]
    for repository, seen in views:
        _note_view(mine, repository, seen, now)
    mine.shown = tuple(repository for repository, seen in views if seen is not None and seen.complete)
    return mine


def match_demand(
    pools: Sequence[Pool],
    demand: Mapping[str, Demand],
    snapshot: Snapshot,
    *,
    room: Callable[[Pool], Room],
    usd_per_second: Mapping[str, Mapping[str, float]],
) -> None:
    """Give every queued job of one namespace to one of its pools, or name why nobody serves it.

    A job is demand only for pools whose own credentials showed it. Pools of different namespaces that match
    one job both serve it, as GitHub would: what another team declares takes nothing away.

    Args:
        pools: All pools of one namespace.
        demand: By pool uid (:func:`view_queues`); what each pool is to serve is added to it.
        snapshot: The lists.
        room: How many more jobs a pool can take; asked only where several pools match one job.
        usd_per_second: By endpoint and flavor.
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
    jobs = _with_matching(list(_queued_jobs(ranked, demand, snapshot)))
    jobs.sort(key=lambda each: (each[0].job.waits_since, each[0].job.id))
    contested = {pool.uid: pool for _, matching in jobs if len(matching) > 1 for pool in matching}
    rooms = {uid: room(pool) for uid, pool in contested.items()}
    for entry, matching in jobs:
        if matching and is_too_old(entry.job, entry.seen.server_time):
            demand[matching[0].uid].too_old.append(entry.job)
        elif matching:
            _assign(entry, _choose(entry, matching, rooms), matching, demand)
        else:
            _leave_unserved(entry.job, entry.candidates, demand)


def _with_matching(entries: Sequence[_Queued]) -> list[tuple[_Queued, Sequence[Pool]]]:
    """Return each job with the pools that match it; jobs with equal labels and the same
    candidates are looked at once.
    """
    known: dict[tuple[int, tuple[str, ...]], Sequence[Pool]] = {}
    found = []
    for entry in entries:
        key = (id(entry.candidates), entry.job.labels)
        if key not in known:
            known[key] = [pool for pool in entry.candidates if _serves(pool, entry.job)]
        found.append((entry, known[key]))
    return found


def _queued_jobs(
    ranked: Sequence[Pool], demand: Mapping[str, Demand], snapshot: Snapshot
) -> Iterable[_Queued]:
    """Return every queued job once, by GitHub's id: a repository that was renamed shows its
    jobs under two names.
    """
    covering: dict[tuple[GitHubSource, str], list[Pool]] = defaultdict(list)
    for pool in ranked:
        for repository in demand[pool.uid].reach:
            covering[pool.source, repository].append(pool)
    rank = {pool.uid: number for number, pool in enumerate(ranked)}
    found: dict[tuple[str, int], _Queued] = {}
    queued = JobStatus.QUEUED
    for view, pools in covering.items():
        seen = snapshot.queues.get(view)
        if seen is None or not seen.complete:
            continue
        for job in seen.items:
            if job.status is not queued or _read_otherwise(job, view[0], seen, snapshot):
                continue
            known = found.get((view[0].api_url, job.id))
            if known is None:
                found[view[0].api_url, job.id] = _Queued(job, seen, pools)
            else:
                both = {pool.uid: pool for pool in (*known.candidates, *pools)}
                known.candidates = sorted(both.values(), key=lambda pool: rank[pool.uid])
    return found.values()


def _choose(entry: _Queued, matching: Sequence[Pool], rooms: Mapping[str, Room]) -> Pool:
    """Return which of several pools serves a job: one with a free runner, else the cheapest
    that may launch one now.

    GitHub gives the job to any free runner that fits, so a runner that is there or on its way goes first.
    That also keeps a job from being passed to and fro, so that no runner of either pool ever comes up:

    1. A, the cheaper pool, backs off; the job goes to B, which launches.
    2. A's back-off is over before B's runner is online.
    3. The job would go back to A, B's runner would be given back, and A may fail again.

    Before all others goes a pool whose runner has taken a job since the queue was read: it
    may well be this one.

    1. The queue is read: job J is queued, and A's runner is on its way to it.
    2. The runner takes J.
    3. The runners are read: A has no free one. J would go to B, which would launch a runner
       for a job that runs already.
    """
    mine = [(pool, rooms[pool.uid]) for pool in matching if pool.uid in rooms]
    for pool, room in mine:
        since = next((at for at in room.taken if at > entry.seen.asked_at), None)
        if since is not None:
            room.taken.remove(since)
            return pool
    for pool, room in mine:
        if room.free > 0:
            room.free -= 1
            return pool
    for pool, room in mine:
        if room.launches > 0:
            room.launches -= 1
            return pool
    return matching[0]


def _note_view(mine: Demand, repository: str, seen: Observation[WorkflowJob] | None, now: float) -> None:
    if seen is not None and seen.answered:
        mine.server_ahead = max(mine.server_ahead or -math.inf, seen.server_time - seen.asked_at)
    if seen is None:
        mine.complete = False
    elif seen.failure is not None:
        mine.unreadable.append((repository, seen.failure))
        # A repository that has long been gone or forbidden can hold no demand that we could ever serve: it
        # must not keep the idle runners of all the others alive. One that is merely out of reach, or gone
        # since a moment, may hold some.
        lost = seen.failure.disposition in (Disposition.GONE, Disposition.PERSON)
        if not lost or now - seen.asked_at <= GONE_AFTER:
            mine.complete = False


def is_too_old(job: WorkflowJob, server_time: float) -> bool:
    """Return whether GitHub should have ended a queued job by now; only what was seen counts.

    Not its creation: it may have been approved a moment ago. Nor is a job dropped whose queueing began
    unseen, before this process did: served in vain it costs a few starts, dropped in error it is never done.

    Args:
        job: The job.
        server_time: Epoch seconds on GitHub's clock.
    """
    since = job.seen_queued_at
    return job.status is JobStatus.QUEUED and since is not None and server_time - since > QUEUE_CAP_SECONDS


def _read_otherwise(
    job: WorkflowJob, source: GitHubSource, seen: Observation[WorkflowJob], snapshot: Snapshot
) -> bool:
    """Return whether a job that a list shows as queued was read by its id since, and was not queued.

    A job that has completed never comes back (a run that is run again has new ones). One that runs may be put
    back into the queue, so that read counts only as long as the list may be older than it.
    """
    look = snapshot.looks.get((source, job.id))
    if look is None:
        return False
    if look.status is JobStatus.COMPLETED:
        return True
    return look.status is JobStatus.IN_PROGRESS and not shows_all_before(seen, look.asked_at)


def _assign(entry: _Queued, chosen: Pool, matching: Sequence[Pool], demand: Mapping[str, Demand]) -> None:
    mine, job, seen = demand[chosen.uid], entry.job, entry.seen
    mine.queued.append(job)
    mine.asked_at = min(mine.asked_at, seen.asked_at)
    mine.oldest_wait = max(mine.oldest_wait, seen.server_time - job.waits_since)
    for other in matching:
        if other is not chosen:
            demand[other.uid].lent.append(job)


def _serves(pool: Pool, job: WorkflowJob) -> bool:
    if not job.labels:
        return pool.group_only is GroupOnlyJobs.SERVE
    return label_set(job.labels) <= label_set(pool.labels)


def _leave_unserved(job: WorkflowJob, candidates: Sequence[Pool], demand: Mapping[str, Demand]) -> None:
    """Name a job that nobody serves in the status of one pool of the namespace, so that it
    is counted once there.
    """
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
