"""Workflow jobs that GitHub gives to nobody: what may be launched for them, and what clears them (invariant ``backoff``).

A launch has succeeded when a workflow job *started* on its runner; a runner that came online proves its image and nothing more. A
job was *passed over* when a runner that has all of its labels was online and idle for longer than GitHub needs to hand a job out,
and the job, read by its id after that, is still queued. Causes are a runner group that does not admit the repository, a runner
version that GitHub serves no more, or a ghost: a job that is listed as queued and is given to nobody.

Suspicion falls on the job; on its repository, when two jobs of it were passed over and none of it has started in between; and on
the pool, when jobs of two repositories were and nothing has started in between. The widest suspicion that covers a job governs it:
all jobs under it share one allowance of starts. A job that starts on a runner of the pool clears the pool's suspicion, that of its
repository and its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from controller.core.evidence import LIST_LAG
from controller.core.labels import label_set
from controller.core.model import (
    Admission,
    JobLook,
    JobStatus,
    Pool,
    RegistrationScope,
    ScopeKind,
    Snapshot,
    SuspicionLevel,
    WorkflowJob,
)

HAND_OUT = 60.0
"""Seconds that a job may stay queued beside an idle runner before it was passed over. GitHub assigns within seconds, and offers a job
to the next runner when the first one has not taken it after 60 s.
https://docs.github.com/actions/reference/runners/self-hosted-runners#routing-precedence-for-self-hosted-runners"""

SHARE_OF_IDLE = 0.5
"""Share of ``deadlines.idle`` that is the bound instead, where that is shorter: the runner must still be there to be judged by."""

FIRST_HOUR, LATER_HOUR = 4, 2
"""Starts that a suspicion allows in its first hour, the one that it began with included, and in every hour after."""

HOUR = 3_600.0

PAUSES = (0.0, 600.0, 2_700.0)
"""Seconds between two starts at least, by the number of starts so far: the runner that was passed over is followed at once by
another one, since it may itself have been at fault. Less than an hour, so that whoever mends a cause that cannot be looked up does not
wait for longer; what the allowance has left is for hints."""

REMEMBERED = 24 * HOUR
"""Seconds for which a suspicion of a repository or pool is kept while no job waits under it: a workflow that runs every night must
not pay for a whole burst each time. GitHub itself gives a job up after as long."""

GONE_KEPT = HOUR
"""Seconds for which that of a job is kept when the job waits no more: it was passed over all the same, which counts against its
repository.

1. Jobs A, B and C of a repository wait that GitHub gives to nobody.  2. A is passed over, and its author cancels it.  3. B is passed
over. Without A's nothing would be known of the repository, and each job would have starts of its own.
"""

SPAN_KEPT = 300.0
"""Seconds for which it is kept that a runner was idle: its end is often seen before the waiting job was read."""

READ_WITHIN = 30.0
"""Seconds for which nothing is launched for a job that is about to be read by its id."""

READ_AGAIN = 300.0
"""Seconds after which a job under suspicion is read again: it may have been cancelled, and the list not tell."""

MOST_FOLLOWED = 256
"""Queued jobs of a pool, the oldest ones, of which it is kept since when they have been seen queued."""

MOST_SUSPICIONS = 32
"""Suspicions that are kept of a pool, in its status too."""

MOST_STARTS = 4
"""Starts that are kept of a suspicion: as many as decide."""

MOST_READ = 8
"""Jobs of a pool that are asked to be read by their ids at a time."""

MOST_CHECKED = 3
"""Repositories of a pool, and versions of its runners, that are looked up for causes at a time."""

_PER_REPOSITORY = 2
"""Of these, jobs of one repository: two decide that it is the repository."""

_QUEUED = frozenset({JobStatus.QUEUED, JobStatus.WAITING, JobStatus.PENDING, JobStatus.REQUESTED})

_RANK = {SuspicionLevel.POOL: 0, SuspicionLevel.REPOSITORY: 1, SuspicionLevel.JOB: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """That runners are started for nothing. All times are monotonic seconds.

    Attributes:
        level: What it falls on.
        repository: Lower-case ``owner/repo``; empty for the pool.
        job_id: Of the job; 0 for a repository or the pool.
        since: When it was found.
        starts: The newest starts that were made under it, oldest first. Empty once a wider suspicion was cleared: then one start
            for each job is free.
        probe: Name of the runner that was started last for it.
        newest: The greatest id of a job that waited under it at the last start: GitHub counts ids up, so a greater one is new.
        rises_to: How wide a suspicion this one may count for. A job that waits on while another one of its repository starts says
            nothing against the repository any more.
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
        return _RANK[self.level], self.repository, self.job_id


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
class Wanted:
    """A job that should be read by its id.

    Attributes:
        repository: Lower-case ``owner/repo``.
        job_id: GitHub's id.
        run_id: Of its run.
        after: Only a read that is asked for after this moment helps, in monotonic seconds.
    """

    repository: str
    job_id: int
    run_id: int
    after: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What may be the cause of a suspicion, and can be looked up at GitHub.

    Attributes:
        scope: Where the pool's runners are registered.
        group: Their runner group, empty for the default one.
        repositories: Whose jobs are under suspicion, :data:`MOST_CHECKED` at most; empty where there are no groups.
        versions: Of actions/runner, as the pool's runners have told GitHub.
    """

    scope: RegistrationScope
    group: str
    repositories: tuple[str, ...]
    versions: tuple[str, ...]


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


# ------------------------------------------------------------------------------------------------------ what clears them
def clear(known: Suspicions, starts: Collection[Start]) -> Suspicions:
    """Take in workflow jobs that started on runners of the pool.

    Where a suspicion of a repository or the pool falls, each job under it has one start free: if the cause was mended, all are
    served at once. One that waits on is a case of its own from then on.
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
        rises_to = max(one.rises_to, narrower, key=_RANK.__getitem__)
        freed = of_pool or (same and of_repository)
        changed = replace(one, rises_to=rises_to, starts=() if freed else one.starts)
        kept.append(changed if changed != one else one)
    return held if tuple(kept) == held else tuple(kept)


# -------------------------------------------------------------------------------------------------------- what they fall on
def learn(
    known: Suspicions,
    *,
    jobs: Sequence[WorkflowJob],
    lent: Sequence[WorkflowJob] = (),
    idle: Sequence[Span],
    looks: Mapping[int, JobLook],
    listed_at: Mapping[str, float],
    whole: bool,
    idle_deadline: float,
    now: float,
) -> tuple[Suspicions, Sequence[Wanted]]:
    """Take in what the lists show, and say which jobs should be read by their ids.

    Args:
        known: From the last pass, with the starts since then taken in (:func:`clear`).
        jobs: Queued jobs that the pool is to serve, oldest first.
        lent: Queued jobs that it could serve, and that another pool is to serve just now: they may come back at any time.
        idle: Runners that are online and idle now, or were until they ended without a job.
        looks: Jobs that were read by their ids.
        listed_at: When the queue of each repository was asked for, in monotonic seconds.
        whole: The whole queue was read, so that a job that is not among ``jobs`` or ``lent`` does not wait.
        idle_deadline: ``deadlines.idle`` in seconds.
        now: Monotonic seconds.
    """
    if not (jobs or idle or known.held or known.spans):
        return (Suspicions() if known.queued_since else known), ()
    queued_since = {job.id: known.queued_since.get(job.id, now) for job in jobs[:MOST_FOLLOWED]}
    spans = _spans(known.spans, idle, now)
    patience = min(HAND_OUT, SHARE_OF_IDLE * idle_deadline)
    held = {one.key: one for one in _still(known.held, [*jobs, *lent], whole=whole, now=now)}
    passed: list[WorkflowJob] = []
    wanted: list[Wanted] = []
    taken: dict[str, int] = defaultdict(int)
    for job in jobs[:MOST_FOLLOWED]:
        if any(key in held for key in _keys(job)):
            continue
        after = _due(job, queued_since[job.id], spans, patience)
        if after is None:
            continue
        look = looks.get(job.id)
        if _shown_queued(look, listed_at.get(job.repository), after):
            passed.append(job)
        elif look is None or look.asked_at < after:
            taken[job.repository] += 1
            if taken[job.repository] <= _PER_REPOSITORY and len(wanted) < MOST_READ:
                wanted.append(_wanted(job, after))
    for job in passed:
        if not any(key in held for key in _keys(job)):
            _fall_on(held, job, now)
    wanted += _to_read_again(jobs, held, looks, room=MOST_READ - len(wanted), now=now)
    asked = {one.job_id: known.asked.get(one.job_id, now) for one in wanted}
    # Of too many, those go first whose jobs wait no more.
    kept = tuple(
        sorted(held.values(), key=lambda one: (_RANK[one.level], one.seen_at < now, one.key))[
            :MOST_SUSPICIONS
        ]
    )
    versions = tuple(sorted({span.version for span in idle if span.version}))[:MOST_CHECKED] or known.versions
    found = Suspicions(held=kept, queued_since=queued_since, spans=spans, asked=asked, versions=versions)
    return found, wanted


def _keys(job: WorkflowJob) -> tuple[tuple[int, str, int], ...]:
    """Return the keys of the suspicions that may cover a job, the widest first."""
    return (
        (_RANK[SuspicionLevel.POOL], "", 0),
        (_RANK[SuspicionLevel.REPOSITORY], job.repository, 0),
        (_RANK[SuspicionLevel.JOB], job.repository, job.id),
    )


def _spans(known: Sequence[Span], idle: Sequence[Span], now: float) -> tuple[Span, ...]:
    """Return the spans of runners that are idle, and of those that were until lately."""
    newest = {span.runner: span for span in known if now - span.until < SPAN_KEPT}
    for span in idle:
        before = newest.get(span.runner)
        since = span.since if before is None else min(span.since, before.since)
        newest[span.runner] = replace(span, since=since)
    return tuple(newest[name] for name in sorted(newest))


def _due(job: WorkflowJob, queued_since: float, spans: Sequence[Span], patience: float) -> float | None:
    """Return from when on a read can show that a job was passed over, None while no runner was idle beside it for long enough."""
    labels = label_set(job.labels)
    found = [
        max(span.since, queued_since) + patience
        for span in spans
        if labels <= label_set(span.labels) and span.until - max(span.since, queued_since) >= patience
    ]
    return min(found, default=None)


def _shown_queued(look: JobLook | None, listed_at: float | None, after: float) -> bool:
    """Return whether GitHub shows that a job was queued after a moment.

    Where it could not be read by its id, a list does that was asked for so much later that it shows that moment.
    """
    if look is not None and look.asked_at >= after:
        return look.status in _QUEUED
    return listed_at is not None and listed_at - LIST_LAG >= after


def _wanted(job: WorkflowJob, after: float) -> Wanted:
    return Wanted(repository=job.repository, job_id=job.id, run_id=job.run_id, after=after)


def _to_read_again(
    jobs: Sequence[WorkflowJob],
    held: Mapping[tuple[int, str, int], Suspicion],
    looks: Mapping[int, JobLook],
    *,
    room: int,
    now: float,
) -> list[Wanted]:
    suspected = {one.job_id for one in held.values() if one.level is SuspicionLevel.JOB}
    stale = [
        _wanted(job, now - READ_AGAIN)
        for job in jobs
        if job.id in suspected and ((look := looks.get(job.id)) is None or now - look.asked_at > READ_AGAIN)
    ]
    return stale[: max(0, room)]


def _still(
    held: Sequence[Suspicion], jobs: Sequence[WorkflowJob], *, whole: bool, now: float
) -> Iterable[Suspicion]:
    """Return the suspicions that still concern somebody, or lately did."""
    newest: dict[str, int] = {}
    for job in jobs:
        newest[job.repository] = max(newest.get(job.repository, 0), job.id)
    ids, of_all = {job.id for job in jobs}, max(newest.values(), default=0)
    for one in held:
        waits = {
            SuspicionLevel.JOB: one.job_id if one.job_id in ids else 0,
            SuspicionLevel.REPOSITORY: newest.get(one.repository, 0),
            SuspicionLevel.POOL: of_all,
        }[one.level]
        if waits:
            # After a restart nobody knows which jobs waited at the last start: all that wait now count as having done so.
            yield replace(one, seen_at=now, newest=one.newest or waits)
        elif now - one.seen_at < (GONE_KEPT if one.level is SuspicionLevel.JOB and whole else REMEMBERED):
            yield one


def _fall_on(held: dict[tuple[int, str, int], Suspicion], job: WorkflowJob, now: float) -> None:
    """Let suspicion fall on a job, and on what is wider where that is the second of its kind."""
    one = Suspicion(
        level=SuspicionLevel.JOB,
        repository=job.repository,
        job_id=job.id,
        since=now,
        starts=(now,),
        newest=job.id,
        seen_at=now,
    )
    held[one.key] = one
    jobs = [each for each in held.values() if each.level is SuspicionLevel.JOB]
    of_it = [e for e in jobs if e.repository == job.repository and _rises(e, SuspicionLevel.REPOSITORY)]
    if len(of_it) >= 2:
        _widen(held, of_it, SuspicionLevel.REPOSITORY, job.repository, now)
    of_all = [each for each in held.values() if _rises(each, SuspicionLevel.POOL)]
    if len({each.repository for each in of_all} - {""}) >= 2:
        _widen(held, of_all, SuspicionLevel.POOL, "", now)


def _rises(one: Suspicion, level: SuspicionLevel) -> bool:
    return _RANK[one.rises_to] <= _RANK[level] < _RANK[one.level]


def _widen(
    held: dict[tuple[int, str, int], Suspicion],
    under: Sequence[Suspicion],
    level: SuspicionLevel,
    repository: str,
    now: float,
) -> None:
    """Let suspicion fall on what is wider; starts that were made under the narrower ones are its own."""
    starts = sorted({at for one in under for at in one.starts})[-MOST_STARTS:]
    wide = Suspicion(
        level=level,
        repository=repository,
        since=min(one.since for one in under),
        starts=tuple(starts) or (now,),
        newest=max(one.newest for one in under),
        seen_at=now,
    )
    held.setdefault(wide.key, wide)


# ---------------------------------------------------------------------------------------------------- what may be launched
def divide(known: Suspicions, jobs: Sequence[WorkflowJob]) -> Divided:
    """Divide a queue by the widest suspicion that covers each job."""
    if not known.held:
        return Divided(trusted=tuple(jobs))
    by_key = {one.key: one for one in known.held}
    trusted: list[WorkflowJob] = []
    groups: dict[tuple[int, str, int], list[WorkflowJob]] = {}
    for job in jobs:
        key = next((key for key in _keys(job) if key in by_key), None)
        (trusted if key is None else groups.setdefault(key, [])).append(job)
    return Divided(
        trusted=tuple(trusted),
        groups=tuple(Group(suspicion=by_key[key], jobs=tuple(groups[key])) for key in sorted(groups)),
    )


def in_question(known: Suspicions, now: float) -> Collection[int]:
    """Return the jobs, by id, that are about to be read: what that shows decides whether anything is launched for them."""
    suspected = {one.job_id for one in known.held}
    return {job for job, at in known.asked.items() if now - at < READ_WITHIN and job not in suspected}


def next_start(one: Suspicion, *, hint: bool = False) -> float:
    """Return the monotonic second from which on one more start is allowed.

    Args:
        one: The suspicion.
        hint: Something has changed that may have mended the cause: then only the number of starts counts.
    """
    if not one.starts:
        return one.since
    pause = 0.0 if hint else PAUSES[min(len(one.starts), len(PAUSES)) - 1]
    first_hour = [at for at in one.starts if at < one.since + HOUR]
    earliest = one.starts[-1] + pause
    if earliest < one.since + HOUR and len(first_hour) < FIRST_HOUR:
        return earliest
    # The second newest start and this one would lie within one hour.
    second = one.starts[-LATER_HOUR] if len(one.starts) >= LATER_HOUR else one.since
    return max(earliest, one.since + HOUR, second + HOUR)


def count_starts(divided: Divided, *, spare: int, idle: bool, now: float) -> int:
    """Return how many runners may be started for jobs under suspicion.

    One runner is the probe of all of them, since GitHub gives it any job that fits: while one idles, or is on its way, no other is
    started. Only jobs whose wider suspicion has just been cleared get one each.

    Args:
        divided: The queue.
        spare: Runners that can take a job beside those that the trusted jobs need.
        idle: One of the pool's runners is online and idle.
        now: Monotonic seconds.
    """
    if idle:
        return 0
    due = [group for group in divided.groups if _is_due(group, now)]
    fresh = sum(1 for group in due if not group.suspicion.starts)
    if fresh:
        return max(0, fresh - spare)
    return 1 if due and spare <= 0 else 0


def _is_due(group: Group, now: float) -> bool:
    one = group.suspicion
    new = one.level is not SuspicionLevel.JOB and max(job.id for job in group.jobs) > one.newest
    return now >= next_start(one, hint=new or one.mended)


def started(known: Suspicions, divided: Divided, probe: str, now: float) -> Suspicions:
    """Note that runners are started while these jobs wait under suspicion; all of their suspicions share the start."""
    newest = {group.suspicion.key: max(job.id for job in group.jobs) for group in divided.groups}
    held = tuple(
        replace(
            one,
            starts=(*one.starts, now)[-MOST_STARTS:],
            probe=probe,
            mended=False,
            newest=max(one.newest, newest[one.key]),
        )
        if one.key in newest
        else one
        for one in known.held
    )
    return replace(known, held=held)


def not_started(known: Suspicions, probe: str) -> Suspicions:
    """Take back a start whose launch failed: nothing was tried."""
    if not any(one.probe == probe for one in known.held):
        return known
    held = tuple(
        replace(one, starts=one.starts[:-1], probe="") if one.probe == probe else one for one in known.held
    )
    return replace(known, held=held)


# ------------------------------------------------------------------------------------------------------------- causes
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


def causes(check: Check, group: Group, snapshot: Snapshot) -> tuple[Sequence[str], bool]:
    """Return what was found to be the cause of a suspicion, the likeliest first, and whether all that can be was looked up.

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


def explain(known: Suspicions, divided: Divided, check: Check | None, snapshot: Snapshot) -> Suspicions:
    """Note for which suspicions a cause is found, and which cause is found no more."""
    if check is None:
        return known
    seen = {group.suspicion.key: causes(check, group, snapshot) for group in divided.groups}
    held = []
    for one in known.held:
        found, looked = seen.get(one.key, ((), False))
        if looked:
            blamed = bool(found)
            one = replace(one, blamed=blamed, mended=not blamed and (one.mended or one.blamed))  # noqa: PLW2901
        held.append(one)
    return replace(known, held=tuple(held))


# ---------------------------------------------------------------------------------------------------- over a restart
def recall(pool: Pool, *, launching: bool, now: float, wall: float) -> Suspicions:
    """Return what the pool's status tells of an earlier process.

    A status is written some time after a launch, and its intent before:

    1. A runner is launched under suspicion.  2. The process ends before the status tells of that start.  3. The next one would have
    one start too many. So a launch that is ``launching`` counts as a start, unless a newer start is told than it can be old.
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
