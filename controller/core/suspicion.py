"""Workflow jobs that GitHub gives to nobody: what may be launched for them, and what clears
them (invariant ``backoff``).

A launch has succeeded when a workflow job *started* on its runner; a runner that came online proves its image
and nothing more. A job was *passed over* when a runner that has all of its labels was online and idle for
longer than GitHub needs to hand a job out, and the job, read by its id after that, is still queued. Causes
are a runner group that does not admit the repository, a runner version that GitHub serves no more, or a
ghost: a job that is listed as queued and is given to nobody.

Suspicion falls on the job; on its repository, when two jobs of it were passed over and none of it has started
in between; and on the pool, when jobs of two repositories were and nothing has started in between. The widest
suspicion that covers a job governs it: all jobs under it share one allowance of starts. A job that starts on
a runner of the pool clears the pool's suspicion, that of its repository and its own.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.evidence import LIST_LAG
from controller.core.model import Pool, SuspicionLevel, WorkflowJob

HOUR = 3_600.0

REMEMBERED = 24 * HOUR
"""Seconds for which a suspicion of a repository or pool is kept while no job waits under it: a workflow that
runs every night must not pay for a whole burst each time. GitHub itself gives a job up after as long."""

MOST_SUSPICIONS = 32
"""Suspicions that are kept of a pool, in its status too."""

MOST_STARTS = 4
"""Starts that are kept of a suspicion: as many as decide."""

RANK = {SuspicionLevel.POOL: 0, SuspicionLevel.REPOSITORY: 1, SuspicionLevel.JOB: 2}
"""Lower is wider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """That runners are started for nothing. All times are monotonic seconds.

    Attributes:
        level: What it falls on.
        repository: Lower-case ``owner/repo``; empty for the pool.
        job_id: Of the job; 0 for a repository or the pool.
        since: When it was found.
        starts: The newest starts that were made under it, oldest first. Empty once a wider suspicion was
            cleared: then one start for each job is free.
        probe: Name of the runner that was started last for it.
        newest: The greatest id of a job that waited under it at the last start: GitHub counts ids
            up, so a greater one is new.
        rises_to: How wide a suspicion this one may count for. A job that waits on while another one of its
            repository starts says nothing against the repository any more.
        seen_at: When a job last waited under it.
        blamed: A cause was found at GitHub at the last look.
        mended: That cause was found no more since the last start: the next one need not wait.
    """

    level: SuspicionLevel
    repository: str = ""
    job_id: int = 0
    since: float
    starts: tuple[float, ...] = ()
    probe: str = ""
    newest: int = 0
    rises_to: SuspicionLevel = SuspicionLevel.POOL
    seen_at: float
    blamed: bool = False
    mended: bool = False

    @property
    def key(self) -> tuple[int, str, int]:
        """What tells it from the others; the widest first."""
        return RANK[self.level], self.repository, self.job_id


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A runner of the pool that was online and idle.

    Attributes:
        runner: Its name.
        labels: Normalized.
        since: Monotonic seconds when it was first seen so.
        until: Monotonic seconds when it was last seen so.
        version: Of actions/runner, empty where GitHub does not tell.
    """

    runner: str
    labels: tuple[str, ...]
    since: float
    until: float
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicions:
    """What one pool remembers.

    Attributes:
        held: The widest first.
        queued_since: Monotonic seconds since when a job has been seen queued, by id.
        spans: Runners that are or were idle lately, by name.
        asked: Monotonic seconds when a job was first asked to be read for its newest span, by id.
        versions: Of actions/runner, as the runners that idled last have told GitHub.
    """

    held: tuple[Suspicion, ...] = ()
    queued_since: Mapping[int, float] = field(default_factory=dict)
    spans: tuple[Span, ...] = ()
    asked: Mapping[int, float] = field(default_factory=dict)
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A workflow job that started on a runner of the pool.

    Attributes:
        runner: The runner's name.
        at: Monotonic seconds.
        repository: Lower-case ``owner/repo``, empty while GitHub has not told it.
        job_id: The job, 0 while GitHub has not told it.
    """

    runner: str
    at: float
    repository: str = ""
    job_id: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The jobs that one suspicion governs, oldest first."""

    suspicion: Suspicion
    jobs: tuple[WorkflowJob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Divided:
    """A pool's queue.

    Attributes:
        trusted: Jobs under no suspicion.
        groups: The others.
    """

    trusted: tuple[WorkflowJob, ...]
    groups: tuple[Group, ...] = ()


def clear(known: Suspicions, starts: Collection[Start]) -> Suspicions:
    """Take in workflow jobs that started on runners of the pool.

    Where a suspicion of a repository or the pool falls, each job under it has one start free: if the cause
    was mended, all are served at once. One that waits on is a case of its own from then on.
    """
    if not starts:
        return known
    held = known.held
    for start in starts:
        held = _cleared(held, start)
    took_one = {start.runner for start in starts}
    spans = tuple(span for span in known.spans if span.runner not in took_one)
    return replace(known, held=held, spans=spans)


def _cleared(held: tuple[Suspicion, ...], start: Start) -> tuple[Suspicion, ...]:
    kept: list[Suspicion] = []
    of_pool = any(one.level is SuspicionLevel.POOL for one in held)
    of_repository = of_pool or any(
        one.level is SuspicionLevel.REPOSITORY and one.repository == start.repository for one in held
    )
    for one in held:
        if start.at < one.since - LIST_LAG:
            kept.append(one)  # a job that has been running since before says nothing
            continue
        same = bool(start.repository) and one.repository == start.repository
        if one.level is SuspicionLevel.POOL or (same and one.level is SuspicionLevel.REPOSITORY):
            continue
        if one.level is SuspicionLevel.JOB and start.job_id and one.job_id == start.job_id:
            continue
        narrower = SuspicionLevel.JOB if same else SuspicionLevel.REPOSITORY
        rises_to = max(one.rises_to, narrower, key=RANK.__getitem__)
        freed = of_pool or (same and of_repository)
        changed = replace(one, rises_to=rises_to, starts=() if freed else one.starts)
        kept.append(changed if changed != one else one)
    return held if tuple(kept) == held else tuple(kept)


def keys_of(job: WorkflowJob) -> tuple[tuple[int, str, int], ...]:
    """Return the keys of the suspicions that may cover a job, the widest first."""
    return (
        (RANK[SuspicionLevel.POOL], "", 0),
        (RANK[SuspicionLevel.REPOSITORY], job.repository, 0),
        (RANK[SuspicionLevel.JOB], job.repository, job.id),
    )


def divide(known: Suspicions, jobs: Sequence[WorkflowJob]) -> Divided:
    """Divide a queue by the widest suspicion that covers each job."""
    if not known.held:
        return Divided(trusted=tuple(jobs))
    by_key = {one.key: one for one in known.held}
    trusted: list[WorkflowJob] = []
    groups: dict[tuple[int, str, int], list[WorkflowJob]] = {}
    for job in jobs:
        key = next((key for key in keys_of(job) if key in by_key), None)
        (trusted if key is None else groups.setdefault(key, [])).append(job)
    return Divided(
        trusted=tuple(trusted),
        groups=tuple(Group(suspicion=by_key[key], jobs=tuple(groups[key])) for key in sorted(groups)),
    )


def recall(pool: Pool, *, launching: bool, now: float, wall: float) -> Suspicions:
    """Return what the pool's status tells of an earlier process.

    A status is written some time after a launch, and its intent before:

    1. A runner is launched under suspicion.
    2. The process ends before the status tells of that start.
    3. The next one would have one start too many. So a launch that is ``launching`` counts as a start, unless
       a newer start is told than it can be old.
    """

    def mono(at: float) -> float:
        return now - min(max(0.0, wall - at), 2 * REMEMBERED)

    def starts(told: Sequence[float]) -> tuple[float, ...]:
        known = sorted(mono(at) for at in told)
        if launching and not (known and now - known[-1] < 2 * LIST_LAG):
            known.append(now)
        return tuple(known[-MOST_STARTS:])

    held = [
        Suspicion(
            level=one.level,
            repository=one.repository,
            job_id=one.job_id,
            since=mono(one.since),
            starts=starts(one.starts),
            rises_to=one.rises_to,
            seen_at=now,
        )
        for one in pool.suspicions
    ]
    held.sort(key=lambda one: one.key)
    return Suspicions(held=tuple({one.key: one for one in held}.values())[:MOST_SUSPICIONS])
