"""Runners: registrations joined with HF Jobs by name, and the phase that each is in.

Nothing is remembered that cannot be lost. A :class:`Track` only holds since when something has been so, on our monotonic
clock; after a restart every track starts anew, which postpones deadlines once and never acts too early.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from controller.core.evidence import absent_since, proves_absence, shows_all_before
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
    is_named_for,
    label_value,
    origin,
)
from controller.core.outcomes import REPORTED, ended_because
from controller.core.reasons import Reason


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
        gone_at: When the first list was asked for that proved it to be gone; None while nothing proves it.
        ended_at: When its HF Job was seen in a final stage; None while it lives, or while nobody knows.
        end: Why its HF Job ended.
        doubtful: Its launch failed without an answer, and no HF Job came of it so far.
        unproven_end: Its HF Job ended well, yet its registration was still listed and nobody had seen it online. Whether it
            served shows when the registration goes (a JIT runner's record goes with its job) or stays.
        workflow_job: The job that it was first seen with, as the queue named it; it never has another.
        job_done: GitHub has shown that its workflow job is completed.
        asked_to_end: We asked for its end: whatever its HF Job ends with is our doing.
        deregistered: GitHub agreed to remove its registration, so it has no job and can take none any more.
        hf_job_id: The Hub's id of the HF Job that we made for it, empty while unknown; any other of its name is a copy.
        retry_at: No retirement is tried before; GitHub said that it was busy.
        refusals: How often GitHub said so.
    """

    phase: Phase
    since: float
    online_at: float | None = None
    taken_at: float | None = None
    alone_since: float | None = None
    alone_at: float | None = None
    gone_at: float | None = None
    ended_at: float | None = None
    end: Reason | None = None
    doubtful: bool = False
    unproven_end: str = ""
    workflow_job: WorkflowJob | None = None
    job_done: bool = False
    asked_to_end: bool = False
    deregistered: bool = False
    hf_job_id: str = ""
    retry_at: float = 0.0
    refusals: int = 0

    @property
    def lacks_other_half(self) -> bool:
        """Lists prove that its other half is gone, or was never made."""
        return proves_absence(self.alone_since, self.alone_at)

    @property
    def had_a_job(self) -> bool:
        """It was seen with a workflow job. A runner that went offline without having been busy may never have had one."""
        if self.workflow_job is not None or self.phase in (Phase.BUSY, Phase.LOST):
            return True
        return self.phase is Phase.FINISHED and self.taken_at is not None and self.taken_at < self.since


_NOTHING_KNOWN = Track(phase=Phase.REGISTERED, since=0.0)
_NONE_ENDED: Mapping[str, HFJob] = {}


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
        retiring: The executor is ending it, or has deregistered it.
        fresh: No effect of ours on it is under way, or has ended so lately that a list need not show it yet.
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
            if is_of_pool(job, pool.uid):
                found[job.labels[LABEL_RUNNER]].hf_jobs.append((footprint.account, job))
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


def join_runners(
    pool: Pool,
    halves_by_name: Mapping[str, Halves],
    snapshot: Snapshot,
    *,
    running: Mapping[str, WorkflowJob],
    served: Mapping[str, WorkflowJob],
    tracks: Mapping[str, Track],
    ended: Mapping[str, HFJob] = _NONE_ENDED,
    copies: frozenset[str] = frozenset(),
    now: float,
) -> list[Runner]:
    """Return the pool's runners, by name.

    Args:
        pool: The pool.
        halves_by_name: What was seen of its runners.
        snapshot: The lists.
        running: Workflow jobs that run, by runner, as the pool's own source shows them.
        served: Workflow jobs that were seen completed since the last pass, by runner. It takes no other one, although lists
            of runners and HF Jobs that are older may still show it free.
        tracks: What is known from before.
        ended: HF Jobs that ended since the last pass, by runner.
        copies: Ids of HF Jobs that were found to be copies.
        now: Monotonic seconds.

    Must not be made async: what is compared here is one instant's view.
    """
    if not halves_by_name:
        return []
    views = _Views(pool, snapshot)
    runners = []
    for name in sorted(halves_by_name):
        halves, track = halves_by_name[name], tracks.get(name)
        launched = halves.in_flight.hf_job if halves.in_flight else None
        ours = None
        if halves.hf_jobs:
            known_id = (track.hf_job_id if track else "") or (launched.id if launched else "")
            alone = halves.registration is None and halves.in_flight is None
            ours = choose_hf_job(halves.hf_jobs, known_id=known_id, copies=copies, alone=alone)
            if ours is None and alone:
                continue  # nothing but copies
        runners.append(
            _join(
                name,
                halves,
                ours,
                views=views,
                workflow_job=_its_own(running.get(name), halves.registration),
                served=_its_own(served.get(name), halves.registration),
                track=track,
                ended=ended.get(name),
                now=now,
            )
        )
    return runners


def find_copies(halves_by_name: Mapping[str, Halves], runners: Sequence[Runner]) -> dict[str, HFJob]:
    """Return the live HF Jobs that carry a runner's name and are not the one that we made for it, by id."""
    ours = {runner.hf_job.id for runner in runners if runner.hf_job is not None}
    return {
        job.id: job for halves in halves_by_name.values() for _, job in halves.hf_jobs if job.id not in ours
    }


def _its_own(job: WorkflowJob | None, registration: Registration | None) -> WorkflowJob | None:
    """Return the job if it runs on this registration: another one of its scope, or of one below it, may have its name."""
    if job is None or registration is None or job.runner_id is None or job.runner_id == registration.id:
        return job
    return None


class _Views:
    """The lists that speak about one pool."""

    def __init__(self, pool: Pool, snapshot: Snapshot) -> None:
        self._pool = pool
        self.home = pool.footprint
        self._snapshot = snapshot
        self._footprints = pool.footprints
        # What was asked for last: nearly all runners of a pool are in the same lists.
        self._place: tuple[RegistrationScope | None, HubAccount | None, Footprint, Footprint] | None = None
        self._list: tuple[HubAccount, Observation[HFJob]] | None = None

    @cached_property
    def no_registration(self) -> float | None:
        """Since when (asked at) the lists prove that a name which they lack has no registration; None when they don't."""
        return absent_since([self._snapshot.registrations.get(f.registrations) for f in self._footprints])

    @cached_property
    def no_hf_job(self) -> float | None:
        """Since when (asked at) the lists prove that a name which they lack has no live HF Job; None when they don't."""
        return absent_since([self._snapshot.hf_jobs.get(f.account) for f in self._footprints])

    def shows_runners_after(self, scope: RegistrationScope | None, moment: float | None) -> bool:
        """Return whether the list that shows a registration shows the world after a moment, too."""
        if scope is None or moment is None:
            return False
        return shows_all_before(self._snapshot.registrations.get(scope), moment)

    def place(
        self, scope: RegistrationScope | None, account: HubAccount | None, home: Footprint
    ) -> Footprint:
        """Return where a runner is: the pool's own object for runners that are at home, which makes them cheap to compare.

        Args:
            scope: The list that shows its registration.
            account: The list that shows its HF Job.
            home: Where it was launched, as far as that is known.

        Where one half is missing, the place is one of the pool's that has the other half. A mixture of two places would be
        wrong: the registration would be looked for where it never was, and taken for gone.
        """
        last = self._place
        if last is not None and last[0] is scope and last[1] is account and last[2] is home:
            return last[3]
        fitting = [
            footprint
            for footprint in (home, *self._footprints)
            if scope in (None, footprint.registrations) and account in (None, footprint.account)
        ]
        found = fitting[0] if fitting else Footprint(scope or home.registrations, account or home.account)
        found = self.home if found == self.home else found
        self._place = (scope, account, home, found)
        return found

    def through(self, known: Footprint) -> Footprint:
        """See :meth:`Pool.through`."""
        return self.home if known is self.home else self._pool.through(known)

    def age(self, account: HubAccount, job: HFJob, now: float) -> float:
        """Return how long an HF Job has been in its stage: the Hub's own arithmetic plus our clock since it answered."""
        last = self._list
        if last is None or last[0] is not account:
            last = self._list = (account, self._snapshot.hf_jobs[account])
        seen = last[1]
        began = job.created_at if job.started_at is None else job.started_at
        return max(0.0, seen.server_time - began) + max(0.0, now - seen.asked_at)


def _join(
    name: str,
    halves: Halves,
    ours: tuple[HubAccount, HFJob] | None,
    *,
    views: _Views,
    workflow_job: WorkflowJob | None,
    served: WorkflowJob | None,
    track: Track | None,
    ended: HFJob | None,
    now: float,
) -> Runner:
    effect = halves.in_flight
    registration = halves.registration
    account, hf_job = ours or (None, None)
    known = track or _NOTHING_KNOWN
    ended_at, end = known.ended_at, known.end
    if hf_job is not None:
        ended_at = end = None  # what shows itself counts
    elif ended is not None and ended_at is None and _has_ended(ended):
        ended_at, end = now, ended_because(ended)
    if (
        hf_job is None
        and ended_at is None
        and effect is not None
        and effect.hf_job is not None
        and effect.effect is Effect.LAUNCH
    ):
        hf_job = effect.hf_job  # acknowledged, and not listed yet
    home = views.through(effect.footprint) if effect and effect.footprint else views.home

    alone_since = alone_at = None
    if (registration is None) is not (hf_job is None):
        alone_since, alone_at = _alone(
            known,
            proof=views.no_hf_job if hf_job is None else views.no_registration,
            known_since=track.since if track else now,
        )
    gone_at = None
    if proves_absence(alone_since, alone_at):
        gone_at = alone_at if known.gone_at is None else known.gone_at
    launching = effect is not None and effect.effect is Effect.LAUNCH
    was_online = known.online_at is not None or known.taken_at is not None or served is not None
    phase = _phase(
        registration=registration,
        hf_job=hf_job,
        workflow_job=workflow_job,
        was_online=was_online,
        had_its_job=known.workflow_job is not None or served is not None,
        launching=launching,
        alone=alone_since is not None,
        lacks_other_half=gone_at is not None,
        end=end,
        outlived=views.shows_runners_after(halves.scope, ended_at),
        deregistered=known.deregistered,
    )
    online = _online(registration)
    # Most launches of an earlier process have succeeded, so jobs may wait for them.
    failed = effect is not None and effect.settled_at is not None and not effect.inherited
    doubtful = launching and failed and hf_job is None and not online
    since = track.since if track is not None and track.phase is phase else now
    online_at = now if online and known.online_at is None else known.online_at
    took_one = phase in TOOK_A_JOB or served is not None
    if phase is Phase.FINISHED and served is None:
        # One that never came online took none, unless its HF Job says that it did.
        took_one = (was_online and not known.deregistered) or end is Reason.JobCompleted
    taken_at = now if took_one and known.taken_at is None else known.taken_at
    still_doubtful = doubtful or (known.doubtful and hf_job is None)
    its_job = known.workflow_job or served or workflow_job
    job_done = known.job_done or served is not None
    # What another user made, or may have made, is believed only from pass to pass (choose_hf_job).
    hf_job_id = hf_job.id if hf_job and hf_job.foreign is False else known.hf_job_id
    # One new track at most: a pass makes ten thousand of them.
    if track is None or (
        phase,
        since,
        online_at,
        taken_at,
        alone_since,
        alone_at,
        gone_at,
        ended_at,
        still_doubtful,
        its_job,
        job_done,
        hf_job_id,
    ) != (
        track.phase,
        track.since,
        track.online_at,
        track.taken_at,
        track.alone_since,
        track.alone_at,
        track.gone_at,
        track.ended_at,
        track.doubtful,
        track.workflow_job,
        track.job_done,
        track.hf_job_id,
    ):
        track = Track(
            phase=phase,
            since=since,
            online_at=online_at,
            taken_at=taken_at,
            alone_since=alone_since,
            alone_at=alone_at,
            gone_at=gone_at,
            ended_at=ended_at,
            end=end,
            doubtful=still_doubtful,
            unproven_end=known.unproven_end,
            workflow_job=its_job,
            job_done=job_done,
            asked_to_end=known.asked_to_end,
            deregistered=known.deregistered,
            hf_job_id=hf_job_id,
            retry_at=known.retry_at,
            refusals=known.refusals,
        )

    return Runner(
        name=name,
        phase=phase,
        footprint=views.place(halves.scope, account, home),
        registration=registration,
        hf_job=hf_job,
        workflow_job=workflow_job,
        flavor=hf_job.flavor if hf_job else effect.flavor if effect else "",
        age=views.age(account, hf_job, now) if account and hf_job else now - track.since,
        track=track,
        retiring=known.deregistered or (effect is not None and effect.effect is Effect.RETIRE),
        fresh=effect is None,
        doubtful=doubtful,
    )


def _online(registration: Registration | None) -> bool:
    return registration is not None and (registration.online or registration.busy)


def _alone(track: Track, *, proof: float | None, known_since: float) -> tuple[float | None, float | None]:
    """Return when the first and the newest list were asked for that prove one half to be without the other.

    Only a list that was asked for after the runner became known can prove a gap: with an older one, the other half may
    have been made since. While lists fail, a gap keeps what was proved of it, and grows no older.
    """
    if proof is None or proof < known_since:
        return track.alone_since, track.alone_at
    return (proof if track.alone_since is None else track.alone_since), proof


def _phase(
    *,
    registration: Registration | None,
    hf_job: HFJob | None,
    workflow_job: WorkflowJob | None,
    was_online: bool,
    had_its_job: bool,
    launching: bool,
    alone: bool,
    lacks_other_half: bool,
    end: Reason | None,
    outlived: bool,
    deregistered: bool,
) -> Phase:
    busy = workflow_job is not None or (registration is not None and registration.busy)
    if hf_job is None:
        if end is not None:
            return _phase_after(end, outlived=outlived, busy=busy)
        if launching or not alone or registration is None:
            return Phase.REGISTERED
        if busy or lacks_other_half:
            return Phase.LOST if busy else Phase.ORPHANED
        return Phase.FINISHED if was_online else Phase.REGISTERED
    if busy:
        return Phase.BUSY
    if registration is not None and registration.online and not had_its_job and not deregistered:
        return Phase.IDLE
    # A runner that was online and shows offline, or not at all, is ending, or is working unseen (github.md §3.4, §3.2):
    # it is no capacity either way. Nor is one that was deregistered.
    if was_online or deregistered:
        return Phase.FINISHED
    if registration is None and lacks_other_half:
        return Phase.ORPHANED
    return Phase.SCHEDULING if hf_job.stage is Stage.SCHEDULING else Phase.STARTING


def _phase_after(end: Reason, *, outlived: bool, busy: bool) -> Phase:
    """Return the phase of a runner whose HF Job has ended, and whose registration is still listed.

    Lists that were asked for a moment later, or that lag, still show what it was before its end, and GitHub removes the record of
    a runner whose job is over within seconds. So it is finished, until a list that is a lag younger shows it all the same. One
    that ended without a word to GitHub is lost as soon as a job of it shows.

    Args:
        end: Why its HF Job ended.
        outlived: A list of registrations that is a lag younger than the end shows it.
        busy: Lists say that it has a job.
    """
    if busy and (outlived or end not in REPORTED):
        return Phase.LOST
    return Phase.ORPHANED if outlived else Phase.FINISHED


def _has_ended(job: HFJob) -> bool:
    """Return whether the Hub has shown an HF Job in a final stage. Of one that it only knows no more, lists must prove it."""
    return job.ended and job.stage is not Stage.DELETED


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
    overdue = shows_all_before(seen, effect.settled_at)
    if effect.effect is Effect.LAUNCH:
        return not shown and not overdue
    return shown and not overdue


def find_shown(in_flight: Mapping[str, InFlight], snapshot: Snapshot, pools: Sequence[Pool]) -> list[str]:
    """Return the runners whose effect has ended and need not be remembered: the lists of its own account show what it did."""
    by_uid = {pool.uid: pool for pool in pools} if in_flight else {}
    live = {account: _by_name(seen.items) for account, seen in snapshot.hf_jobs.items()}
    ended = {account: _by_name(jobs) for account, jobs in snapshot.ended.items()}
    found = []
    for name, effect in in_flight.items():
        if effect.settled_at is None:
            continue
        pool, place = by_uid.get(effect.pool_uid), effect.footprint
        account = (pool.through(place) if pool else place).account if place else None
        if account is None or _is_among(effect, ended.get(account, {})):
            found.append(name)
            continue
        shown = _is_among(effect, live.get(account, {}))
        if not still_in_flight(effect, snapshot.hf_jobs.get(account), shown=shown):
            found.append(name)
    return found


def _by_name(jobs: Iterable[HFJob]) -> Mapping[str, set[str]]:
    """Return the ids of HF Jobs by the runner that they name; with copies there are several."""
    found: dict[str, set[str]] = defaultdict(set)
    for job in jobs:
        found[job.labels.get(LABEL_RUNNER, "")].add(job.id)
    return found


def _is_among(effect: InFlight, ids_by_name: Mapping[str, set[str]]) -> bool:
    ids = ids_by_name.get(effect.name, set())
    return effect.hf_job.id in ids if effect.hf_job else bool(ids)
