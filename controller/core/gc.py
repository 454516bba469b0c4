"""Which runners must end, and why.

Every retirement deregisters at GitHub first and cancels the HF Job only when GitHub agreed, so a runner that took a job in the
meantime is left alone (invariant 2). What is decided here is therefore a wish, never a kill. Where the registration is gone
already GitHub cannot be asked: :func:`has_no_job` says what proves that the HF Job may go, and all others are left to the
deadlines inside their container.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.demand import Demand
from controller.core.evidence import LIST_LAG, shows_all_before, shows_all_parts_before
from controller.core.lifecycle import CAN_TAKE_A_JOB, Phase, Track
from controller.core.model import (
    Footprint,
    GitHubSource,
    HFJob,
    HubAccount,
    Pool,
    PoolKey,
    Registration,
    RegistrationScope,
    ScopeKind,
    Snapshot,
    Stage,
    WorkflowJob,
)
from controller.core.naming import LABEL_RUNNER, LABEL_SPEC, digest, label_value
from controller.core.ownership import COPY, Marked
from controller.core.reasons import Reason
from controller.core.runners import Runner

ENDING_GRACE = 300.0
"""Seconds for a runner that finished its job to end by itself: upload of logs, the container's stop, slow lists."""

LOST_GRACE = 900.0
"""Seconds until GitHub has failed the workflow job of a runner that died: about ten minutes, and room. It refuses to remove such
a runner before."""

STRAY_GRACE = 300.0
"""Seconds for which a runner without a pool is watched before it is retired."""

LEFT_ALONE = frozenset({Phase.BUSY, Phase.REGISTERED})
"""A runner that works, and one whose HF Job is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retire:
    """End one runner: deregister, and cancel its HF Job only if that succeeded.

    Attributes:
        name: The runner.
        pool_uid: Its pool, empty for a stray.
        pool: The same by namespace and name, for the log; None for a stray.
        scope: Where its registration is, or would be.
        account: Where its HF Job is; None when it has none.
        registration_id: GitHub's id; None makes the executor look for the name first.
        hf_job_id: The Hub's id; None when there is no live HF Job.
        flavor: Hardware, for the log.
        reason: Why.
    """

    name: str
    pool_uid: str
    scope: RegistrationScope
    account: HubAccount | None
    registration_id: int | None
    hf_job_id: str | None
    flavor: str = ""
    pool: PoolKey | None = None
    reason: Reason

    @property
    def footprint(self) -> Footprint | None:
        """Where the runner's halves are, None when it has no HF Job."""
        return Footprint(self.scope, self.account) if self.account else None


def retire_reason(
    pool: Pool,
    runner: Runner,
    *,
    demand: Demand,
    snapshot: Snapshot,
    spec: str,
    now: float,
    warm: bool = False,
) -> Reason | None:
    """Return why a runner must end now, or None; ``spec`` is the pool's :func:`~controller.core.naming.spec_digest`.

    A ``warm`` runner is one that ``minIdle`` asks for: it idles on purpose, also beside jobs that GitHub gives to nobody.

    The evidence rules: what shows itself (a stage, an age) counts at once; what is concluded from absence counts only
    after a while, from complete lists (:mod:`controller.core.evidence`).
    """
    phase = runner.phase
    if phase in LEFT_ALONE:
        return None
    if phase in CAN_TAKE_A_JOB:
        if pool.stops_serving:
            return _why_it_leaves(pool)
        if not _fits(pool, runner, spec):
            return Reason.PoolChanged
        return _past_deadline(pool, runner, demand, snapshot, now, warm=warm)
    if phase is Phase.ORPHANED:
        return _orphan(runner)
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


def _orphan(runner: Runner) -> Reason:
    if runner.registration is None:
        return Reason.OrphanedHFJob
    return Reason.LaunchInDoubt if runner.track.launch_unanswered else Reason.OrphanedRegistration


def has_no_job(runner: Runner, snapshot: Snapshot) -> bool:
    """Return whether an HF Job whose registration is gone is proved to run no workflow job, so that it may be cancelled.

    GitHub takes the records of some runners away when their job starts, so a missing one proves nothing. What does:

    * GitHub agreed to remove its registration, or has shown its workflow job completed; a runner never gets another one.
    * The Hub shows, in a list that is a lag younger than the gap, that its container has not even started.
    * It serves one repository alone, whose whole queue, read a lag after the gap, names no job of it. For organizations and
      enterprises there is no such proof: a job may run in any repository, also in one that the credentials do not show.

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


def _past_deadline(
    pool: Pool, runner: Runner, demand: Demand, snapshot: Snapshot, now: float, *, warm: bool
) -> Reason | None:
    """Return which deadline is over, by lists that show the world after it: one that is older, or not complete, says nothing."""
    deadlines = pool.deadlines
    registrations = snapshot.registrations.get(runner.footprint.registrations)
    hf_jobs = snapshot.hf_jobs.get(runner.footprint.account)
    if runner.phase is Phase.IDLE:
        in_phase = now - runner.track.since
        idle_at = runner.track.since + deadlines.idle
        if registrations is None or not registrations.complete or registrations.asked_at < idle_at:
            return None
        if in_phase <= deadlines.idle:
            return None
        only_suspected = demand.suspected == len(demand.queued)
        if demand.oldest_wait > deadlines.idle and not (warm and only_suspected):
            return Reason.NotPickedUp
        return None  # what is warm is replaced first: PoolPass
    if runner.phase is Phase.SCHEDULING:
        if hf_jobs is None or not hf_jobs.complete:
            return None
        waited = runner.age - (now - hf_jobs.asked_at)
        return Reason.SchedulingDeadline if waited > deadlines.scheduling else None
    # "Not online" is an absence: a list that lags misses a runner that has come online since.
    late_at = now - runner.age + deadlines.registration
    return Reason.RegistrationDeadline if shows_all_before(registrations, late_at) else None


@dataclass(slots=True)
class Stray:
    """What one namespace's lists show of a runner that no pool claims.

    Attributes:
        scope: The list with its registration.
        registration: GitHub's half; without it nobody can ask whether the runner works, so it is never retired.
        account: The list with its HF Job, None where there is none.
        hf_job: The Hub's half.
    """

    scope: RegistrationScope
    registration: Registration
    account: HubAccount | None = None
    hf_job: HFJob | None = None


StrayKey = tuple[str, str]
"""The Kubernetes namespace whose Secrets brought the lists, and the runner's name: an action never mixes two teams' lists."""


def find_strays(pools: Sequence[Pool], marked: Marked) -> dict[StrayKey, Stray]:
    """Return runners of this controller whose pool does not exist."""
    digests = {digest(pool.uid) for pool in pools}
    labels = {label_value(pool.uid) for pool in pools}
    found: dict[StrayKey, Stray] = {}
    for scope, by_digest in marked.registrations.items():
        for made_by, registrations in by_digest.items():
            for registration in registrations if made_by not in digests else ():
                found[scope.source.secret.namespace, registration.name] = Stray(scope, registration)
    for account, by_label in marked.hf_jobs.items():
        for label, jobs in by_label.items():
            for job in jobs if label not in labels else ():
                if job.initiator == COPY:
                    continue  # somebody else's, who pays for it
                stray = found.get((account.secret.namespace, job.labels[LABEL_RUNNER]))
                if stray is not None and (stray.hf_job is None or job.created_at < stray.hf_job.created_at):
                    stray.account, stray.hf_job = account, job
    return found


def stray_retirements(
    strays: Mapping[StrayKey, Stray],
    snapshot: Snapshot,
    tracks: Mapping[StrayKey, Track],
    *,
    running: Mapping[GitHubSource, Mapping[str, WorkflowJob]],
    in_flight: Collection[str],
    now: float,
) -> tuple[list[Retire], dict[StrayKey, Track]]:
    """Return retirements for runners of this controller whose pool does not exist, and the tracks that time them.

    Only when every pool of the cluster is known: before that, each runner would look like a stray. An HF Job whose
    registration cannot be found in any list that some pool still gives us is left to its own deadlines: without the
    registration nobody can ask GitHub whether it is busy.
    """
    found: list[Retire] = []
    kept: dict[StrayKey, Track] = {}
    incomplete = {account.secret.namespace for account, view in snapshot.hf_jobs.items() if not view.complete}
    for key in sorted(strays):
        stray, name = strays[key], key[1]
        track = tracks.get(key) or Track(phase=Phase.ORPHANED, since=now)
        kept[key] = track
        if name in running.get(stray.scope.source, {}) or name in in_flight or not snapshot.pools_known:
            continue
        if now - track.since <= STRAY_GRACE or now < track.retry_at:
            continue
        view = snapshot.registrations[stray.scope]
        if not view.complete or (stray.account is None and key[0] in incomplete):
            continue
        kept[key] = replace(track, retry_at=now + STRAY_GRACE)
        found.append(
            Retire(
                name=name,
                pool_uid="",
                scope=stray.scope,
                account=stray.account,
                registration_id=stray.registration.id,
                hf_job_id=stray.hf_job.id if stray.hf_job else None,
                reason=Reason.PoolDeleted,
            )
        )
    return found, kept
