"""Why one runner must end, looked at alone, and whether it may be retired now."""

from __future__ import annotations

from controller.core.evidence import LIST_LAG, shows_all_before, shows_all_parts_before
from controller.core.lifecycle import CAN_TAKE_A_JOB, Phase, Track
from controller.core.model import Pool, ScopeKind, Snapshot, Stage
from controller.core.naming import LABEL_SPEC
from controller.core.reasons import Reason
from controller.core.runners import Runner

ENDING_GRACE = 300.0
"""Seconds for a runner that finished its job to end by itself: upload of logs, the
container's stop, slow lists."""

LOST_GRACE = 900.0
"""Seconds until GitHub has failed the workflow job of a runner that died: about ten minutes, and room. It
refuses to remove such a runner before."""

LEFT_ALONE = frozenset({Phase.BUSY, Phase.REGISTERED})
"""A runner that works, and one whose HF Job is on its way."""


def why_retire(
    pool: Pool,
    runner: Runner,
    *,
    snapshot: Snapshot,
    spec: str,
    oldest_wait: float,
    now: float,
    patient: bool = False,
) -> Reason | None:
    """Return why a runner must end now, or None.

    What shows itself (a stage, an age) counts at once; what is concluded from absence counts only after a
    while, from complete lists (:mod:`controller.core.evidence`).

    Args:
        pool: Whose.
        runner: Which.
        snapshot: The lists.
        spec: The pool's :func:`~controller.core.naming.spec_digest`.
        oldest_wait: Seconds for which the oldest of the pool's queued jobs has waited.
        now: Monotonic seconds.
        patient: The runner may idle beside jobs that wait: ``minIdle`` asks for it, and
            GitHub gives them to nobody.
    """
    phase = runner.phase
    if phase in LEFT_ALONE:
        return None
    if phase in CAN_TAKE_A_JOB:
        if pool.stops_serving:
            return _why_it_leaves(pool)
        if not _fits(pool, runner, spec):
            return Reason.PoolChanged
        passed_over = oldest_wait > pool.deadlines.idle and not patient
        return past_deadline(pool, runner, snapshot, now, passed_over=passed_over)
    if phase is Phase.ORPHANED:
        return _why_an_orphan(runner)
    in_phase = now - runner.track.since
    if phase is Phase.LOST:
        return Reason.OrphanedRegistration if in_phase > LOST_GRACE else None
    if runner.hf_job is None:
        return None  # GitHub removes its record by itself; if not, it is orphaned by the next lists
    if pool.stops_serving and in_phase > LIST_LAG:
        return _why_it_leaves(pool)
    if runner.track.deregistered:
        return Reason.EndedUnseen if in_phase > LIST_LAG else None
    return Reason.NeverExited if in_phase > ENDING_GRACE else None


def _why_it_leaves(pool: Pool) -> Reason:
    if pool.leaving:
        return Reason.PoolDeleted if pool.deleting else Reason.PoolDrained
    return Reason.HostNotAllowed


def _why_an_orphan(runner: Runner) -> Reason:
    if runner.registration is None:
        return Reason.OrphanedHFJob
    return Reason.LaunchInDoubt if runner.track.launch_unanswered else Reason.OrphanedRegistration


def may_retire(runner: Runner, track: Track, snapshot: Snapshot, now: float) -> bool:
    """Return whether ending a runner could be tried now.

    The lists must show its registration, so that GitHub can be asked, or prove that there is none and that no
    job runs. A list that lags lacks it, and so does one of another place, from which the pool has moved:
    looked for there it would seem to be gone, and the HF Job would be cancelled although its runner has a
    job, or leave a registration behind that nobody collects.

    Args:
        runner: Which.
        track: What is known of it by now: how the last retirement ended may be newer than ``runner.track``.
        snapshot: The lists.
        now: Monotonic seconds.
    """
    placed = runner.registration is not None or (
        runner.track.lacks_other_half and has_no_job(runner, snapshot)
    )
    return runner.undisturbed and placed and now >= track.retry_at


def has_no_job(runner: Runner, snapshot: Snapshot) -> bool:
    """Return whether an HF Job whose registration is gone is proved to run no workflow job, so
    that it may be cancelled.

    GitHub takes the records of some runners away when their job starts, so a missing one
    proves nothing. What does:

    * GitHub agreed to remove its registration, or has shown its workflow job completed; a
      runner never gets another one.
    * The Hub shows, in a list that is a lag younger than the gap, that its container has not even started.
    * It serves one repository alone, whose whole queue, read a lag after the gap, names no job of it. For
      organizations and enterprises there is no such proof: a job may run in any repository, also in one that
      the credentials do not show.

    All others end by the deadlines inside their container, which ask nobody's lists.
    """
    track = runner.track
    if track.job_done or track.deregistered:
        return True
    if track.gone_at is None:
        return False
    shown = snapshot.hf_jobs.get(runner.footprint.account)
    waits = runner.hf_job is not None and runner.hf_job.stage is Stage.SCHEDULING
    if waits and shows_all_before(shown, track.gone_at):
        return True
    at = runner.footprint.registrations
    if at.scope.kind is not ScopeKind.REPOSITORY or track.workflow_job is not None:
        return False
    queue = snapshot.queues.get((at.source, f"{at.scope.owner}/{at.scope.repository}"))
    return shows_all_parts_before(queue, track.gone_at)


def _fits(pool: Pool, runner: Runner, spec: str) -> bool:
    if (
        runner.registration is not None
        and runner.registration.labels
        and runner.registration.labels != pool.labels
    ):
        return False
    if runner.footprint is not pool.footprint and runner.footprint.place != pool.footprint.place:
        return False
    if runner.hf_job is None:
        return True
    made_from = runner.hf_job.labels.get(LABEL_SPEC)
    return runner.flavor in pool.flavors and made_from in (None, spec)


def past_deadline(
    pool: Pool, runner: Runner, snapshot: Snapshot, now: float, *, passed_over: bool
) -> Reason | None:
    """Return which deadline is over, by lists that show the world after it: an older or
    incomplete one says nothing.

    Args:
        pool: Whose.
        runner: One that can take a job.
        snapshot: The lists.
        now: Monotonic seconds.
        passed_over: A job has waited for longer than ``deadlines.idle``: a runner that has idled for
            as long was not given it.
    """
    deadlines = pool.deadlines
    if runner.phase is Phase.IDLE:
        since = runner.track.since
        if not passed_over or now - since <= deadlines.idle:
            return None  # one that nobody wants any more is surplus
        registrations = snapshot.registrations.get(runner.footprint.registrations)
        if registrations is None or not registrations.complete:
            return None
        return Reason.NotPickedUp if registrations.asked_at >= since + deadlines.idle else None
    if runner.phase is Phase.SCHEDULING:
        hf_jobs = snapshot.hf_jobs.get(runner.footprint.account)
        if hf_jobs is None or not hf_jobs.complete:
            return None
        waited = runner.age - (now - hf_jobs.asked_at)
        return Reason.SchedulingDeadline if waited > deadlines.scheduling else None
    # "Not online" is an absence: a list that lags misses a runner that has come online since.
    late_at = now - runner.age + deadlines.registration
    registrations = snapshot.registrations.get(runner.footprint.registrations)
    return Reason.RegistrationDeadline if shows_all_before(registrations, late_at) else None
