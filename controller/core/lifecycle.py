"""Runners: registrations joined with HF Jobs by name, and the phase that each is in.

Nothing is remembered that cannot be lost. A :class:`Track` only holds since when something has been so, on our monotonic
clock; after a restart every track starts anew, which postpones deadlines once and never acts too early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from controller.core.model import (
    Footprint,
    HFJob,
    HubAccount,
    Observation,
    Pool,
    Registration,
    RegistrationScope,
    Snapshot,
    Stage,
    WorkflowJob,
)
from controller.core.naming import (
    LABEL_CONTROLLER,
    LABEL_MANAGED_BY,
    LABEL_POOL_UID,
    LABEL_RUNNER,
    MANAGED_BY,
    controller_digest,
    digest,
    label_value,
    origin,
)

LIST_LAG = 60.0
"""Seconds for which a thing that we made, and that a list does not show, is taken for not listed yet (simulation.md §2, row 9)."""


class Phase(StrEnum):
    """Where a runner is in its life (DESIGN, "Words")."""

    REGISTERED = "Registered"
    SCHEDULING = "Scheduling"
    STARTING = "Starting"
    IDLE = "Idle"
    BUSY = "Busy"
    FINISHED = "Finished"
    LOST = "Lost"
    ORPHANED = "Orphaned"


CAN_TAKE_A_JOB = frozenset({Phase.REGISTERED, Phase.SCHEDULING, Phase.STARTING, Phase.IDLE})
TOOK_A_JOB = frozenset({Phase.BUSY, Phase.LOST, Phase.FINISHED})


class Effect(StrEnum):
    """What the executor is doing to a runner."""

    LAUNCH = "launch"
    RETIRE = "retire"


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """An effect that may not show in the lists yet.

    Attributes:
        name: The runner.
        pool_uid: Its pool.
        footprint: Where its halves are, or will be; None when only a registration is being removed.
        effect: What is being done.
        flavor: Of the launch.
        since: Monotonic seconds when it began.
        settled_at: Monotonic seconds when it was acknowledged; None while it runs.
        hf_job: The HF Job that a settled launch made.
        inherited: A launch of an earlier process, known by its intent alone (:mod:`controller.core.intents`).
    """

    name: str
    pool_uid: str
    footprint: Footprint | None
    effect: Effect
    flavor: str = ""
    since: float
    settled_at: float | None = None
    hf_job: HFJob | None = None
    inherited: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Since when a runner has been as it is, all on our monotonic clock.

    Attributes:
        phase: At the last pass.
        since: When it entered the phase.
        online_at: When it was first seen online.
        taken_at: When it was first seen with a job, or past one.
        alone_since: When the first list was asked for that would show its other half, and lacked it.
        alone_at: When the newest such list was asked for: nothing younger says that the other half is missing.
        doubtful: Its launch failed without an answer, and no HF Job came of it so far.
        unproven_end: Its HF Job ended well, yet its registration was still listed and nobody had seen it online. Whether it
            served shows when the registration goes (a JIT runner's record goes with its job) or stays.
        workflow_job: The job that it was first seen with, as the queue named it; it never has another.
        retry_at: No retirement is tried before; GitHub said that it was busy.
        refusals: How often GitHub said so.
    """

    phase: Phase
    since: float
    online_at: float | None = None
    taken_at: float | None = None
    alone_since: float | None = None
    alone_at: float | None = None
    doubtful: bool = False
    unproven_end: str = ""
    workflow_job: WorkflowJob | None = None
    retry_at: float = 0.0
    refusals: int = 0

    @property
    def alone_for(self) -> float | None:
        """Seconds for which lists have proved that its other half is missing; None when none does."""
        return _gap(self.alone_since, self.alone_at)


_NOTHING_KNOWN = Track(phase=Phase.REGISTERED, since=0.0)


class Runner(NamedTuple):
    """One ephemeral, single-use runner: a registration joined with an HF Job by name.

    A tuple, since every pass makes all of them anew, and a frozen dataclass takes more than twice as long to make.

    Attributes:
        name: The join key.
        phase: Where it is in its life.
        footprint: Where its halves are.
        registration: GitHub's half, or None.
        hf_job: The Hub's half while it is live, or None.
        workflow_job: The job that runs on it, when GitHub's queue names it.
        flavor: Hardware, empty when unknown.
        age: Seconds that the HF Job has been in its stage, on the Hub's clock where it tells.
        track: Since when.
        retiring: The executor is ending it.
        fresh: The lists that this rests on are complete and newer than our last effect on it.
        doubtful: Its launch failed without an answer, may yet come true, and nothing shows that it did: no HF Job, and
            nobody online under its name. It counts against ``maxRunners``, and no job waits for it.
    """

    name: str
    phase: Phase
    footprint: Footprint
    registration: Registration | None
    hf_job: HFJob | None
    workflow_job: WorkflowJob | None
    flavor: str
    age: float
    track: Track
    retiring: bool = False
    fresh: bool = False
    doubtful: bool = False

    @property
    def live(self) -> bool:
        """It has, or may soon have, an HF Job, and counts against ``maxRunners``."""
        return self.hf_job is not None or self.phase is Phase.REGISTERED

    @property
    def billed(self) -> bool:
        """Its HF Job runs, and costs."""
        return self.hf_job is not None and self.hf_job.stage is not Stage.SCHEDULING


@dataclass(slots=True)
class Halves:
    """What was seen under one runner's name, and where."""

    registration: Registration | None = None
    scope: RegistrationScope | None = None
    hf_job: HFJob | None = None
    account: HubAccount | None = None
    in_flight: InFlight | None = None


@dataclass(slots=True)
class Census:
    """Every half that carries our mark, by pool uid and runner name; ``strays`` belong to no pool."""

    by_pool: dict[str, dict[str, Halves]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Halves))
    )
    strays: dict[str, Halves] = field(default_factory=lambda: defaultdict(Halves))


def take_census(
    pools: Sequence[Pool], snapshot: Snapshot, in_flight: Mapping[str, InFlight], controller_id: str
) -> Census:
    """Sort everything that is ours by pool; what is not ours is not even looked at (invariant 6).

    A registration is ours by the digests in its name. An HF Job is ours by its labels; anybody in the namespace can set
    labels, so a job must also carry a runner name of our form for the same pool.
    """
    census = Census()
    mine = controller_digest(controller_id)
    uid_by_digest = {digest(pool.uid): pool.uid for pool in pools}
    uid_by_label = {label_value(pool.uid): pool.uid for pool in pools}
    uids = {pool.uid for pool in pools}
    for scope, registrations in snapshot.registrations.items():
        for registration in registrations.items:
            made_by = origin(registration.name)
            if made_by is None or made_by.controller != mine:
                continue
            uid = uid_by_digest.get(made_by.pool)
            halves = (census.strays if uid is None else census.by_pool[uid])[registration.name]
            halves.registration, halves.scope = registration, scope
    for account, jobs in snapshot.hf_jobs.items():
        for job in jobs.items:
            name = job.labels.get(LABEL_RUNNER, "")
            made_by = origin(name)
            if (
                made_by is None
                or made_by.controller != mine
                or job.labels.get(LABEL_MANAGED_BY) != MANAGED_BY
                or job.labels.get(LABEL_CONTROLLER) != controller_id
                or job.stage.ended
            ):
                continue
            uid = uid_by_label.get(job.labels.get(LABEL_POOL_UID, ""))
            if uid is not None and digest(uid) != made_by.pool:
                continue
            halves = (census.strays if uid is None else census.by_pool[uid])[name]
            halves.hf_job, halves.account = job, account
    for name, effect in in_flight.items():
        halves = (census.by_pool[effect.pool_uid] if effect.pool_uid in uids else census.strays)[name]
        halves.in_flight = effect
    return census


def join_runners(
    pool: Pool,
    halves_by_name: Mapping[str, Halves],
    snapshot: Snapshot,
    *,
    running: Mapping[str, WorkflowJob],
    served: Mapping[str, WorkflowJob],
    tracks: Mapping[str, Track],
    now: float,
) -> list[Runner]:
    """Return the pool's runners, by name.

    Args:
        pool: The pool.
        halves_by_name: What was seen of its runners.
        snapshot: The lists.
        running: Workflow jobs that run, by runner.
        served: Workflow jobs that were seen completed since the last pass, by runner. It takes no other one, although lists
            of runners and HF Jobs that are older may still show it free.
        tracks: What is known from before.
        now: Monotonic seconds.

    Must not be made async: what is compared here is one instant's view.
    """
    if not halves_by_name:
        return []
    views = _Views(pool, snapshot)
    return [
        _join(
            name,
            halves_by_name[name],
            views=views,
            workflow_job=running.get(name),
            served=served.get(name),
            track=tracks.get(name),
            now=now,
        )
        for name in sorted(halves_by_name)
    ]


class _Views:
    """The lists that speak about one pool."""

    def __init__(self, pool: Pool, snapshot: Snapshot) -> None:
        self.home = pool.footprint
        self._snapshot = snapshot
        self._footprints = (pool.footprint, *pool.former)
        # What was asked for last: nearly all runners of a pool are in the same lists.
        self._place: tuple[RegistrationScope, HubAccount, Footprint] | None = None
        self._list: tuple[HubAccount, Observation[HFJob]] | None = None

    @cached_property
    def no_registration(self) -> float | None:
        """Since when (asked at) the lists prove that a name which they lack has no registration; None when they don't."""
        return _proof([self._snapshot.registrations.get(f.registrations) for f in self._footprints])

    @cached_property
    def no_hf_job(self) -> float | None:
        """Since when (asked at) the lists prove that a name which they lack has no live HF Job; None when they don't."""
        return _proof([self._snapshot.hf_jobs.get(f.account) for f in self._footprints])

    def place(self, scope: RegistrationScope, account: HubAccount) -> Footprint:
        """Return a footprint: the pool's own object for runners that are at home, which makes them cheap to compare."""
        last = self._place
        if last is None or last[0] is not scope or last[1] is not account:
            footprint = Footprint(scope, account)
            last = self._place = (scope, account, self.home if footprint == self.home else footprint)
        return last[2]

    def age(self, account: HubAccount, job: HFJob, now: float) -> float:
        """Return how long an HF Job has been in its stage: the Hub's own arithmetic plus our clock since it answered."""
        last = self._list
        if last is None or last[0] is not account:
            last = self._list = (account, self._snapshot.hf_jobs[account])
        seen = last[1]
        began = job.created_at if job.started_at is None else job.started_at
        return max(0.0, seen.server_time - began) + max(0.0, now - seen.asked_at)


def _proof(lists: Sequence[Observation[HFJob] | Observation[Registration] | None]) -> float | None:
    asked = [seen.asked_at if seen is not None and seen.complete else None for seen in lists]
    if not asked or any(at is None for at in asked):
        return None
    return min(at for at in asked if at is not None)


def _join(
    name: str,
    halves: Halves,
    *,
    views: _Views,
    workflow_job: WorkflowJob | None,
    served: WorkflowJob | None,
    track: Track | None,
    now: float,
) -> Runner:
    effect = halves.in_flight
    registration, hf_job, account = halves.registration, halves.hf_job, halves.account
    if hf_job is None and effect is not None and effect.hf_job is not None and effect.effect is Effect.LAUNCH:
        hf_job = effect.hf_job  # acknowledged, and not listed yet
    home = (effect.footprint if effect else None) or views.home

    known = track or _NOTHING_KNOWN
    alone_since = alone_at = None
    if (registration is None) is not (hf_job is None):
        alone_since, alone_at = _alone(
            known,
            proof=views.no_hf_job if hf_job is None else views.no_registration,
            known_since=track.since if track else now,
        )
    launching = effect is not None and effect.effect is Effect.LAUNCH
    phase = _phase(
        registration=registration,
        hf_job=hf_job,
        workflow_job=workflow_job,
        was_online=known.online_at is not None or known.taken_at is not None or served is not None,
        had_its_job=known.workflow_job is not None or served is not None,
        launching=launching,
        alone_for=_gap(alone_since, alone_at),
    )
    online = _online(registration)
    # Most launches of an earlier process have succeeded, so jobs may wait for them.
    failed = effect is not None and effect.settled_at is not None and not effect.inherited
    doubtful = launching and failed and hf_job is None and not online
    since = track.since if track is not None and track.phase is phase else now
    online_at = now if online and known.online_at is None else known.online_at
    took_one = phase in TOOK_A_JOB or served is not None
    taken_at = now if took_one and known.taken_at is None else known.taken_at
    still_doubtful = doubtful or (known.doubtful and hf_job is None)
    its_job = known.workflow_job or served or workflow_job
    # One new track at most: a pass makes ten thousand of them.
    if track is None or (
        phase,
        since,
        online_at,
        taken_at,
        alone_since,
        alone_at,
        still_doubtful,
        its_job,
    ) != (
        track.phase,
        track.since,
        track.online_at,
        track.taken_at,
        track.alone_since,
        track.alone_at,
        track.doubtful,
        track.workflow_job,
    ):
        track = Track(
            phase=phase,
            since=since,
            online_at=online_at,
            taken_at=taken_at,
            alone_since=alone_since,
            alone_at=alone_at,
            doubtful=still_doubtful,
            unproven_end=known.unproven_end,
            workflow_job=its_job,
            retry_at=known.retry_at,
            refusals=known.refusals,
        )

    return Runner(
        name=name,
        phase=phase,
        footprint=views.place(halves.scope or home.registrations, account or home.account),
        registration=registration,
        hf_job=hf_job,
        workflow_job=workflow_job,
        flavor=hf_job.flavor if hf_job else effect.flavor if effect else "",
        age=views.age(account, hf_job, now) if account and hf_job else now - track.since,
        track=track,
        retiring=effect is not None and effect.effect is Effect.RETIRE,
        fresh=effect is None,
        doubtful=doubtful,
    )


def _online(registration: Registration | None) -> bool:
    return registration is not None and (registration.online or registration.busy)


def _alone(track: Track, *, proof: float | None, known_since: float) -> tuple[float | None, float | None]:
    """Return when the first and the newest list were asked for that prove one half to be without the other.

    Only a list that was asked for after the runner became known can prove a gap: with an older one, the other half may
    have been made since. While lists fail, a gap keeps what was proved of it, and grows no older:

    1. A list that lags lacks a registration made seconds before.  2. Lists fail for a minute.  3. The gap would seem a minute
    old, although nobody has looked since.
    """
    if proof is None or proof < known_since:
        return track.alone_since, track.alone_at
    return (proof if track.alone_since is None else track.alone_since), proof


def _gap(since: float | None, newest: float | None) -> float | None:
    return None if since is None or newest is None else newest - since


def _phase(
    *,
    registration: Registration | None,
    hf_job: HFJob | None,
    workflow_job: WorkflowJob | None,
    was_online: bool,
    had_its_job: bool,
    launching: bool,
    alone_for: float | None,
) -> Phase:
    if hf_job is None:
        if launching or alone_for is None or registration is None:
            return Phase.REGISTERED
        if workflow_job is not None or registration.busy:
            return Phase.LOST
        if alone_for > LIST_LAG:
            return Phase.ORPHANED
        return Phase.FINISHED if was_online else Phase.REGISTERED
    if workflow_job is not None or (registration is not None and registration.busy):
        return Phase.BUSY
    if registration is not None and registration.online and not had_its_job:
        return Phase.IDLE
    # A runner that was online and shows offline, or not at all, is ending, or is working unseen (github.md §3.4, §3.2):
    # it is no capacity either way.
    if was_online:
        return Phase.FINISHED
    if registration is None and alone_for is not None and alone_for > LIST_LAG:
        return Phase.ORPHANED
    return Phase.SCHEDULING if hf_job.stage is Stage.SCHEDULING else Phase.STARTING


def still_in_flight(effect: InFlight, seen: Observation[HFJob] | None, *, shown: bool) -> bool:
    """Return whether an effect may still be invisible, and must go on counting.

    A settled launch counts until a complete list that was asked for later shows its HF Job, or until the list's lag is
    over without it: then it ended between two lists. So does a launch that failed without an answer:

    1. The request for the HF Job is sent, and is slow.  2. Our patience ends, and no HF Job has the label.  3. The request has
    its effect: a second launch in the meantime would exceed ``maxRunners``.

    A settled retirement counts until such a list shows it no more.

    Args:
        effect: What was done.
        seen: The newest list of the effect's account.
        shown: The list shows the runner's HF Job, live.
    """
    if effect.settled_at is None:
        return True
    if seen is None or not seen.complete or seen.asked_at <= effect.settled_at:
        return True
    overdue = seen.asked_at - effect.settled_at > LIST_LAG
    if effect.effect is Effect.LAUNCH:
        return not shown and not overdue
    return shown and not overdue
