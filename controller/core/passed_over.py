"""On whom suspicion falls: which jobs were passed over beside an idle runner, and which must be read to know.

What a suspicion is, and what clears it: :mod:`controller.core.suspicion`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.causes import MOST_CHECKED
from controller.core.evidence import LIST_LAG
from controller.core.labels import label_set
from controller.core.model import JobLook, JobStatus, SuspicionLevel, WorkflowJob
from controller.core.suspicion import (
    HOUR,
    MOST_STARTS,
    MOST_SUSPICIONS,
    RANK,
    REMEMBERED,
    Span,
    Suspicion,
    Suspicions,
    keys_of,
)

HAND_OUT = 60.0
"""Seconds that a job may stay queued beside an idle runner before it was passed over. GitHub assigns within
seconds, and offers a job to the next runner when the first one has not taken it after 60 s
(docs/facts.md#assigned-for-a-minute)."""

SHARE_OF_IDLE = 0.5
"""Share of ``deadlines.idle`` that is the bound instead, where that is shorter: the runner must still be
there to be judged by."""

GONE_KEPT = HOUR
"""Seconds for which that of a job is kept when the job waits no more: it was passed over all the same, which
counts against its repository.

1. Jobs A, B and C of a repository wait that GitHub gives to nobody.
2. A is passed over, and its author cancels it.
3. B is passed over. Without A's nothing would be known of the repository, and each job
   would have starts of its own.
"""

SPAN_KEPT = 300.0
"""Seconds for which it is kept that a runner was idle: its end is often seen before the
waiting job was read."""

READ_AGAIN = 300.0
"""Seconds after which a job under suspicion is read again: it may have been cancelled, and
the list not tell."""

MOST_FOLLOWED = 256
"""Queued jobs of a pool, the oldest ones, of which it is kept since when they have been seen queued."""

MOST_READ = 8
"""Jobs of a pool that are asked to be read by their ids at a time."""

_PER_REPOSITORY = 2
"""Of these, jobs of one repository: two decide that it is the repository."""

_QUEUED = frozenset({JobStatus.QUEUED, JobStatus.WAITING, JobStatus.PENDING, JobStatus.REQUESTED})


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
        known: From the last pass, with the starts since then taken in
            (:func:`~controller.core.suspicion.clear`).
        jobs: Queued jobs that the pool is to serve, oldest first.
        lent: Queued jobs that it could serve, and that another pool is to serve just now: they
            may come back at any time.
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
        if held and any(key in held for key in keys_of(job)):
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
        if not any(key in held for key in keys_of(job)):
            _fall_on(held, job, now)
    wanted += _to_read_again(jobs, held, looks, room=MOST_READ - len(wanted), now=now)
    asked = {one.job_id: known.asked.get(one.job_id, now) for one in wanted}
    # Of too many, those go first whose jobs wait no more.
    kept = tuple(
        sorted(held.values(), key=lambda one: (RANK[one.level], one.seen_at < now, one.key))[:MOST_SUSPICIONS]
    )
    versions = tuple(sorted({span.version for span in idle if span.version}))[:MOST_CHECKED] or known.versions
    found = Suspicions(held=kept, queued_since=queued_since, spans=spans, asked=asked, versions=versions)
    return found, wanted


def _spans(known: Sequence[Span], idle: Sequence[Span], now: float) -> tuple[Span, ...]:
    """Return the spans of runners that are idle, and of those that were until lately."""
    newest = {span.runner: span for span in known if now - span.until < SPAN_KEPT}
    for span in idle:
        before = newest.get(span.runner)
        since = span.since if before is None else min(span.since, before.since)
        newest[span.runner] = span if since == span.since else replace(span, since=since)
    return tuple(newest[name] for name in sorted(newest))


def _due(job: WorkflowJob, queued_since: float, spans: Sequence[Span], patience: float) -> float | None:
    """Return from when on a read can show that a job was passed over, None while no runner was idle
    beside it for long enough.
    """
    labels = label_set(job.labels)
    found = [
        begun + patience
        for span in spans
        if span.until - (begun := max(span.since, queued_since)) >= patience
        and labels <= label_set(span.labels)
    ]
    return min(found, default=None)


def _shown_queued(look: JobLook | None, listed_at: float | None, after: float) -> bool:
    """Return whether GitHub shows that a job was queued after a moment.

    Where it could not be read by its id, a list does that was asked for so much later that
    it shows that moment.
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
    if not held:
        return []
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
    if not held:
        return
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
            # After a restart nobody knows which jobs waited at the last start: all that wait now count
            # as having done so.
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
    return RANK[one.rises_to] <= RANK[level] < RANK[one.level]


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
