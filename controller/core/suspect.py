"""Which of a pool's queued jobs are under suspicion in this pass (:mod:`controller.core.suspicion`)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from controller.core import allowance, causes, passed_over
from controller.core import suspicion as suspicions
from controller.core.causes import Check
from controller.core.demand import Demand
from controller.core.effects import Effect
from controller.core.learn import Learned
from controller.core.lifecycle import Phase, Track
from controller.core.model import Pool, ScopeKind
from controller.core.naming import is_named_for
from controller.core.passed_over import Wanted
from controller.core.runners import Runner
from controller.core.suspicion import Divided, Span, Start, Suspicions
from controller.core.view import PoolView


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspected:
    """A pool's queue, divided by suspicion.

    Attributes:
        suspicions: What is remembered.
        divided: The queue.
        to_read: Queued jobs that should be read by their ids.
        to_check: What may be the cause, and should be looked up; None while no job is under suspicion.
    """

    suspicions: Suspicions
    divided: Divided
    to_read: Sequence[Wanted] = ()
    to_check: Check | None = None

    @property
    def count(self) -> int:
        """How many queued jobs are under suspicion."""
        return sum(len(group.jobs) for group in self.divided.groups)


def suspect(view: PoolView, learned: Learned, demand: Demand) -> Suspected:
    """Take in which queued jobs idle runners were not given, and which have started.

    Args:
        view: What is known of the pool.
        learned: What it has learned.
        demand: Its share of the queue.
    """
    pool, snapshot, jobs = view.pool, view.snapshot, demand.queued
    known = suspicions.clear(view.memory.suspicions, starts(view, learned.served, demand.server_ahead))
    for result in view.results:
        if result.effect is Effect.LAUNCH and result.failure is not None:
            known = allowance.not_started(known, result.name)
    queues, source = snapshot.queues, pool.source
    found, to_read = passed_over.learn(
        known,
        jobs=jobs,
        lent=demand.lent,
        idle=[*learned.idled, *idle_spans(view)],
        looks={job: look for (of, job), look in snapshot.looks.items() if of == source},
        listed_at={
            repository: seen.asked_at
            for repository in {job.repository for job in jobs}
            if (seen := queues.get((source, repository)))
        },
        whole=demand.complete,
        idle_deadline=pool.deadlines.idle,
        now=view.now,
    )
    divided = suspicions.divide(found, jobs)
    to_check = causes.to_check(pool, divided, found.versions)
    if to_check is not None:
        found = causes.note_causes(found, divided, to_check, snapshot)
        divided = suspicions.divide(found, jobs)
    return Suspected(suspicions=found, divided=divided, to_read=to_read, to_check=to_check)


def idle_spans(view: PoolView) -> Sequence[Span]:
    """Return since when each of the pool's runners has been online and idle, by GitHub's newest list."""
    listed = view.github
    if listed is None or not listed.answered:
        return ()
    return [
        Span(
            runner=runner.name,
            labels=runner.registration.labels or view.pool.labels,
            since=runner.track.since,
            until=listed.asked_at,
            version=runner.registration.version,
        )
        for runner in view.runners
        if runner.phase is Phase.IDLE and runner.registration is not None
    ]


def starts(view: PoolView, served: Collection[str], server_ahead: float | None) -> Sequence[Start]:
    """Return the workflow jobs that have started on runners of this pool since the last
    pass, as far as it shows.

    Args:
        view: What is known of the pool.
        served: Runners that served while no list showed it.
        server_ahead: GitHub's clock less our monotonic one, in seconds; None while that is not known.
    """
    now, before = view.now, view.memory.tracks
    only = _only_repository(view.pool)
    found = [Start(runner=name, at=now, repository=only) for name in served]
    for runner in view.runners:
        at = started_at(runner, before.get(runner.name), server_ahead, now)
        if at is not None:
            job = runner.track.workflow_job
            found.append(
                Start(
                    runner=runner.name,
                    at=at,
                    repository=job.repository if job else only,
                    job_id=job.id if job else 0,
                )
            )
    if view.completed:
        present = {runner.name for runner in view.runners}
        found += [
            Start(runner=name, at=now, repository=job.repository, job_id=job.id)
            for name, job in view.completed.items()
            if name not in present and is_named_for(name, view.pool.uid)
        ]
    return found


def started_at(runner: Runner, before: Track | None, server_ahead: float | None, now: float) -> float | None:
    """Return the monotonic second when a workflow job started on a runner, if that shows
    now for the first time.

    Args:
        runner: As it is.
        before: Its track of the last pass; None where it was not known.
        server_ahead: GitHub's clock less our monotonic one, in seconds; None while that is not known.
        now: Monotonic seconds.
    """
    job = runner.track.workflow_job
    if before is None:  # it may have begun long ago
        if job is None or job.started_at is None or server_ahead is None:
            return None
        return min(now, job.started_at - server_ahead)
    named = job is not None and before.workflow_job is None
    became_busy = runner.phase is Phase.BUSY and before.phase is not Phase.BUSY
    return now if named or became_busy else None


def _only_repository(pool: Pool) -> str:
    """Return the one repository that a pool serves; empty where it serves several."""
    scope = pool.scope
    return f"{scope.owner}/{scope.repository}" if scope.kind is ScopeKind.REPOSITORY else ""
