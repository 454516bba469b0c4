"""What is ours: registrations and HF Jobs that carry this controller's mark, and which HF Job of one name we made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.effects import InFlight
from controller.core.model import HFJob, HubAccount, Pool, Registration, RegistrationScope, Snapshot
from controller.core.naming import (
    LABEL_CONTROLLER,
    LABEL_MANAGED_BY,
    LABEL_POOL_UID,
    LABEL_RUNNER,
    MANAGED_BY,
    controller_digest,
    digest,
    is_named_for,
    label_value,
    origin,
)


@dataclass(slots=True)
class Halves:
    """What one pool's own lists show under one runner's name, and where; of HF Jobs perhaps several, with copies."""

    registration: Registration | None = None
    scope: RegistrationScope | None = None
    hf_jobs: list[tuple[HubAccount, HFJob]] = field(default_factory=list)
    in_flight: InFlight | None = None


@dataclass(slots=True, kw_only=True)
class Marked:
    """Everything in the lists that carries this controller's mark, by the list that showed it and the pool it names.

    What a list says is only ever believed of the pools whose credentials brought that list (:func:`halves_of`): anybody may
    give a runner or an HF Job of their own a name of ours.

    Attributes:
        registrations: By list and the pool's digest.
        hf_jobs: Live ones by list and the label with the pool's uid.
        in_flight: Effects of ours by pool uid and runner.
    """

    registrations: Mapping[RegistrationScope, Mapping[str, list[Registration]]]
    hf_jobs: Mapping[HubAccount, Mapping[str, list[HFJob]]]
    in_flight: Mapping[str, Mapping[str, InFlight]]


def find_marked(snapshot: Snapshot, in_flight: Mapping[str, InFlight], controller_id: str) -> Marked:
    """Sort everything that is ours; what is not ours is not even looked at.

    A registration is ours by the digests in its name. An HF Job is ours by its labels; anybody in the namespace can set
    labels, so a job must also carry a runner name of our form.
    """
    mine = controller_digest(controller_id)
    registrations: dict[RegistrationScope, dict[str, list[Registration]]] = {}
    for scope, listed in snapshot.registrations.items():
        by_digest = registrations[scope] = defaultdict(list)
        for registration in listed.items:
            made_by = origin(registration.name)
            if made_by is not None and made_by.controller == mine:
                by_digest[made_by.pool].append(registration)
    hf_jobs: dict[HubAccount, dict[str, list[HFJob]]] = {}
    for account, live in snapshot.hf_jobs.items():
        by_label = hf_jobs[account] = defaultdict(list)
        for job in live.items:
            if not job.ended and _carries_our_mark(job, mine, controller_id):
                by_label[job.labels.get(LABEL_POOL_UID, "")].append(job)
    effects: dict[str, dict[str, InFlight]] = defaultdict(dict)
    for name, effect in in_flight.items():
        effects[effect.pool_uid][name] = effect
    return Marked(registrations=registrations, hf_jobs=hf_jobs, in_flight=effects)


def _carries_our_mark(job: HFJob, mine: str, controller_id: str) -> bool:
    made_by = origin(job.labels.get(LABEL_RUNNER, ""))
    return (
        made_by is not None
        and made_by.controller == mine
        and job.labels.get(LABEL_MANAGED_BY) == MANAGED_BY
        and job.labels.get(LABEL_CONTROLLER) == controller_id
    )


def is_of_pool(job: HFJob, uid: str) -> bool:
    """Return whether an HF Job names a pool twice, by label and in its runner's name."""
    named = job.labels.get(LABEL_POOL_UID, "") == label_value(uid)
    return named and is_named_for(job.labels.get(LABEL_RUNNER, ""), uid)


def halves_of(pool: Pool, marked: Marked) -> dict[str, Halves]:
    """Return what a pool's own lists show of its runners, by name.

    Where two lists show one registration (a repository that was renamed, say), the place where the pool launches now counts.
    """
    found: dict[str, Halves] = defaultdict(Halves)
    mine, label = digest(pool.uid), label_value(pool.uid)
    accounts: set[HubAccount] = set()
    for footprint in pool.footprints:
        for registration in marked.registrations.get(footprint.registrations, {}).get(mine, ()):
            halves = found[registration.name]
            if halves.registration is None:
                halves.registration, halves.scope = registration, footprint.registrations
        if footprint.account in accounts:
            continue
        accounts.add(footprint.account)
        for job in marked.hf_jobs.get(footprint.account, {}).get(label, ()):
            name = job.labels[LABEL_RUNNER]
            if is_named_for(name, pool.uid):  # the label names the pool already
                found[name].hf_jobs.append((footprint.account, job))
    for name, effect in marked.in_flight.get(pool.uid, {}).items():
        found[name].in_flight = effect
    return found


COPY = "duplicated-job"
"""The Hub's word for what made a job that somebody duplicated on its page."""


def choose_hf_job(
    candidates: Sequence[tuple[HubAccount, HFJob]],
    *,
    known_id: str,
    copies: frozenset[str],
    alone: bool,
) -> tuple[HubAccount, HFJob] | None:
    """Return the HF Job that we made, of several that carry one runner's name; the others are copies.

    Everybody who may write in the Hub namespace can make another HF Job with our labels; its own *duplicate* does.

    Args:
        candidates: Live ones, with the list that shows each.
        known_id: The Hub's id of ours, where it is known: from the answer to our launch, or from an earlier pass.
        copies: Ids that were found to be copies before.
        alone: Nothing else tells of the runner. What another user made is then no job of ours: ours may have ended before, and
            that one goes on. Beside a registration it may be ours, since the token may be another user's by now.
    """
    if known_id:
        return next((each for each in candidates if each[1].id == known_id), None)
    genuine = [
        each
        for each in candidates
        if each[1].id not in copies and each[1].initiator != COPY and not (alone and each[1].foreign)
    ]
    return min(
        genuine, key=lambda each: (bool(each[1].foreign), each[1].created_at, each[1].id), default=None
    )
