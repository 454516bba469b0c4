"""Runners of this controller whose pool does not exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.core.actions import Retire
from controller.core.lifecycle import Phase, Track
from controller.core.model import (
    GitHubSource,
    HFJob,
    HubAccount,
    Pool,
    Registration,
    RegistrationScope,
    Snapshot,
    WorkflowJob,
)
from controller.core.naming import LABEL_RUNNER, digest, label_value
from controller.core.ownership import COPY, Marked
from controller.core.reasons import Reason

STRAY_GRACE = 300.0
"""Seconds for which a runner without a pool is watched before it is retired."""


@dataclass(slots=True)
class Stray:
    """What one namespace's lists show of a runner that no pool claims.

    Attributes:
        scope: The list with its registration.
        registration: GitHub's half; without it nobody can ask whether the runner works, so
            it is never retired.
        account: The list with its HF Job, None where there is none.
        hf_job: The Hub's half.
    """

    scope: RegistrationScope
    registration: Registration
    account: HubAccount | None = None
    hf_job: HFJob | None = None


StrayKey = tuple[str, str]
"""The Kubernetes namespace whose Secrets brought the lists, and the runner's name: an action never mixes two
teams' lists."""


def find_strays(pools: Sequence[Pool], marked: Marked) -> dict[StrayKey, Stray]:
    """Return runners of this controller whose pool does not exist."""
    digests = {digest(pool.uid) for pool in pools}
    labels = {label_value(pool.uid) for pool in pools}
    found: dict[StrayKey, Stray] = {}
    for scope, by_digest in marked.registrations.items():
        for made_by, registrations in by_digest.items():
            for registration in registrations if made_by not in digests else ():
                found[scope.source.secret.namespace, registration.name] = Stray(scope, registration)
    for account, by_marks in marked.hf_jobs.items():
        for (label, _), jobs in by_marks.items():
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
    """Return retirements for runners of this controller whose pool does not exist, and the
    tracks that time them.

    Only when every pool of the cluster is known: before that, each runner would look like a stray. An HF Job
    whose registration cannot be found in any list that some pool still gives us is left to its own deadlines:
    without the registration nobody can ask GitHub whether it is busy.
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
