"""Which runners must end, and why.

Every retirement deregisters at GitHub first and cancels the HF Job only when GitHub says that the registration is gone, so
a runner that took a job in the meantime is left alone (invariant 2). What is decided here is therefore a wish, never a kill.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.demand import Demand
from controller.core.evidence import LIST_LAG, shows_all_before
from controller.core.lifecycle import CAN_TAKE_A_JOB, COPY, Marked, Phase, Runner, Track
from controller.core.model import (
    Footprint,
    GitHubSource,
    HFJob,
    HubAccount,
    Pool,
    PoolKey,
    Registration,
    RegistrationScope,
    Snapshot,
    WorkflowJob,
)
from controller.core.money import timeout_seconds
from controller.core.naming import LABEL_RUNNER, LABEL_SPEC, digest, label_value
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
    after a while, from complete lists (:mod:`controller.core.evidence`).
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
    if now - runner.track.since <= ENDING_GRACE:
        return None
    return Reason.NeverExited if runner.hf_job is not None else Reason.EndedUnseen


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
    if runner.footprint is not pool.footprint and runner.footprint.place != pool.footprint.place:
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


def is_left(
    pool: Pool,
    place: Footprint,
    runners: Sequence[Runner],
    snapshot: Snapshot,
    *,
    moved_at: float,
    now: float,
) -> bool:
    """Return whether nothing of a pool is left at a place from which it has moved, by lists younger than the move.

    While a former place is kept, what no list of the *other* places shows may be there. So one whose credentials are gone must
    not be kept for ever: each half of a runner would seem to have its other half there, and take a place in ``maxRunners``. It is
    left once everything that was launched there has met the Hub's own timeout.

    Args:
        pool: Whose.
        place: A former one.
        runners: Of the pool.
        snapshot: The lists.
        moved_at: Monotonic seconds when this process first saw the pool away from there.
        now: Monotonic seconds.
    """
    registrations = snapshot.registrations.get(place.registrations)
    hf_jobs = snapshot.hf_jobs.get(place.account)
    if shows_all_before(registrations, moved_at) and shows_all_before(hf_jobs, moved_at):
        return not any(runner.footprint.place == place.place for runner in runners)
    readable = all(seen is not None and seen.complete for seen in (registrations, hf_jobs))
    return not readable and now - moved_at > timeout_seconds(pool.deadlines) + LIST_LAG


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
