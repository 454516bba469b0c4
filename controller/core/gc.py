"""Which runners must end, and why.

Every retirement deregisters at GitHub first and cancels the HF Job only when GitHub says that the registration is gone, so
a runner that took a job in the meantime is left alone (invariant 2). What is decided here is therefore a wish, never a kill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.core.demand import Demand
from controller.core.lifecycle import CAN_TAKE_A_JOB, Effect, Halves, Phase, Runner, Track
from controller.core.model import (
    Footprint,
    HubAccount,
    Pool,
    PoolKey,
    RegistrationScope,
    Snapshot,
    WorkflowJob,
)
from controller.core.naming import LABEL_SPEC
from controller.core.reasons import Reason

ENDING_GRACE = 300.0
"""Seconds for a runner that finished its job to end by itself: upload of logs, the container's stop, slow lists."""

STRAY_GRACE = 300.0
"""Seconds for which a runner without a pool is watched before it is retired."""

WARM_SHARE = 0.1
"""Share of ``deadlines.lifetime`` that a warm runner may spend idle before it is replaced."""

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


def retire_reason(pool: Pool, runner: Runner, *, demand: Demand, spec: str, now: float) -> Reason | None:
    """Return why a runner must end now, or None; ``spec`` is the pool's :func:`~controller.core.naming.spec_digest`.

    The evidence rules: what shows itself (a stage, an age) counts at once; what is concluded from absence counts only
    after :data:`~controller.core.lifecycle.LIST_LAG`, from complete lists (:func:`~controller.core.lifecycle.join_runners`).
    """
    phase = runner.phase
    if phase in LEFT_ALONE:
        return None
    if phase in CAN_TAKE_A_JOB:
        if pool.leaving:
            return _why_it_leaves(pool)
        return _past_deadline(pool, runner, demand, now) if _fits(pool, runner, spec) else Reason.PoolChanged
    if phase is Phase.ORPHANED:
        return _orphan(runner, demand)
    if phase is Phase.LOST:
        return Reason.OrphanedRegistration  # GitHub refuses with 422 until the dead runner's lease is over
    if pool.leaving:
        return _why_it_leaves(pool)
    return Reason.EndedUnseen if now - runner.track.since > ENDING_GRACE else None


def _why_it_leaves(pool: Pool) -> Reason:
    return Reason.PoolDeleted if pool.deleting else Reason.PoolDrained


def _orphan(runner: Runner, demand: Demand) -> Reason | None:
    if runner.registration is not None:
        return Reason.LaunchInDoubt if runner.track.doubtful else Reason.OrphanedRegistration
    # An HF Job whose registration is gone may still be working: some records go when the job starts (live-facts 10).
    # Its workflow job would show as in progress, so every repository must have been read before it is given up.
    return Reason.OrphanedHFJob if demand.complete and not demand.unreadable else None


def _fits(pool: Pool, runner: Runner, spec: str) -> bool:
    if (
        runner.registration is not None
        and runner.registration.labels
        and runner.registration.labels != pool.labels
    ):
        return False
    if runner.footprint is not pool.footprint and runner.footprint != pool.footprint:
        return False
    if runner.hf_job is None:
        return True
    made_from = runner.hf_job.labels.get(LABEL_SPEC)
    return runner.flavor in pool.flavors and made_from in (None, spec)


def _past_deadline(pool: Pool, runner: Runner, demand: Demand, now: float) -> Reason | None:
    deadlines = pool.deadlines
    if runner.phase is Phase.IDLE:
        in_phase = now - runner.track.since
        if in_phase <= deadlines.idle:
            return None
        if demand.oldest_wait > deadlines.idle:
            return Reason.NotPickedUp
        return Reason.WarmRecycled if in_phase > deadlines.lifetime * WARM_SHARE else None
    if runner.phase is Phase.SCHEDULING:
        return Reason.SchedulingDeadline if runner.age > deadlines.scheduling else None
    return Reason.RegistrationDeadline if runner.age > deadlines.registration else None


def stray_retirements(
    strays: Mapping[str, Halves],
    snapshot: Snapshot,
    tracks: Mapping[str, Track],
    *,
    running: Mapping[str, WorkflowJob],
    now: float,
) -> tuple[list[Retire], dict[str, Track]]:
    """Return retirements for runners of this controller whose pool does not exist, and the tracks that time them.

    Only when every pool of the cluster is known: before that, each runner would look like a stray. An HF Job whose
    registration cannot be found in any list that some pool still gives us is left to its own deadlines: without the
    registration nobody can ask GitHub whether it is busy.
    """
    found: list[Retire] = []
    kept: dict[str, Track] = {}
    for name in sorted(strays):
        halves = strays[name]
        track = tracks.get(name) or Track(phase=Phase.ORPHANED, since=now)
        kept[name] = track
        busy = name in running or (halves.in_flight is not None and halves.in_flight.effect is Effect.RETIRE)
        if busy or not snapshot.pools_known or halves.registration is None or halves.scope is None:
            continue
        if now - track.since <= STRAY_GRACE or now < track.retry_at:
            continue
        view = snapshot.registrations[halves.scope]
        if not view.complete or (
            halves.account is None and not all(v.complete for v in snapshot.hf_jobs.values())
        ):
            continue
        kept[name] = replace(track, retry_at=now + STRAY_GRACE)
        found.append(
            Retire(
                name=name,
                pool_uid="",
                scope=halves.scope,
                account=halves.account,
                registration_id=halves.registration.id,
                hf_job_id=halves.hf_job.id if halves.hf_job else None,
                reason=Reason.PoolDeleted,
            )
        )
    return found, kept
