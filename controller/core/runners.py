"""Runners: registrations joined with HF Jobs by name, out of the lists that a pool's own credentials brought."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

from controller.core.effects import Effect
from controller.core.evidence import absent_since
from controller.core.lifecycle import Phase, Sighting, Track
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
from controller.core.outcomes import ended_because
from controller.core.ownership import Halves, choose_hf_job

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
        undisturbed: No effect of ours on it is under way, or has ended so lately that a list need not show it yet.
        unconfirmed: Its launch failed without an answer, may still take effect, and nothing shows that it did: no HF Job, and
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
    undisturbed: bool = False
    unconfirmed: bool = False

    @property
    def live(self) -> bool:
        """It has, or may soon have, an HF Job, and counts against ``maxRunners``."""
        return self.hf_job is not None or self.phase is Phase.REGISTERED

    @property
    def billed(self) -> bool:
        """Its HF Job runs, and costs."""
        return self.hf_job is not None and self.hf_job.stage is not Stage.SCHEDULING


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
    views, first = _Views(pool, snapshot), Track.begin(now)
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
                workflow_job=_its_own(running[name], halves.registration) if name in running else None,
                served=_its_own(served[name], halves.registration) if name in served else None,
                before=first if track is None else track,
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


def _its_own(job: WorkflowJob, registration: Registration | None) -> WorkflowJob | None:
    """Return the job if it runs on this registration: another one of its scope, or of one below it, may have its name."""
    if registration is None or job.runner_id is None or job.runner_id == registration.id:
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

    def registrations_at(self, scope: RegistrationScope | None) -> Observation[Registration] | None:
        """Return the list that shows a registration; None where none shows one."""
        return None if scope is None else self._snapshot.registrations.get(scope)

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
    before: Track,
    ended: HFJob | None,
    now: float,
) -> Runner:
    """Return one runner: what this pass sees of it, what is known of it by now, and where it is."""
    effect, registration = halves.in_flight, halves.registration
    account, hf_job = ours or (None, None)
    launch = effect if effect is not None and effect.effect is Effect.LAUNCH else None
    end = ended_because(ended) if ended is not None and _has_ended(ended) else None
    if hf_job is None and launch is not None and end is None and before.ended_at is None:
        hf_job = launch.hf_job  # acknowledged, and not listed yet
    seen = Sighting(
        registration=registration,
        hf_job=hf_job,
        workflow_job=workflow_job,
        served=served,
        end=end,
        launching=launch is not None,
        # Most launches of an earlier process have succeeded, so jobs may wait for them.
        unanswered=launch is not None and launch.settled_at is not None and not launch.inherited,
        listed=views.registrations_at(halves.scope) if hf_job is None else None,
        other_half_absent_at=views.no_hf_job if hf_job is None else views.no_registration,
    )
    track = before.advance(seen, now)
    home = views.through(effect.footprint) if effect and effect.footprint else views.home
    return Runner(
        name=name,
        phase=track.phase,
        footprint=views.place(halves.scope, account, home),
        registration=registration,
        hf_job=hf_job,
        workflow_job=workflow_job,
        flavor=hf_job.flavor if hf_job else effect.flavor if effect else "",
        age=views.age(account, hf_job, now) if account and hf_job else now - track.since,
        track=track,
        retiring=track.deregistered or (effect is not None and effect.effect is Effect.RETIRE),
        undisturbed=effect is None,
        unconfirmed=seen.unconfirmed,
    )


def _has_ended(job: HFJob) -> bool:
    """Return whether the Hub has shown an HF Job in a final stage. Of one that it only knows no more, lists must prove it."""
    return job.ended and job.stage is not Stage.DELETED
