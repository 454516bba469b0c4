"""The phase that a runner is in, and since when.

Nothing is remembered that cannot be lost. A :class:`Track` only holds since when something has been so, on our monotonic
clock; after a restart every track starts anew, which postpones deadlines once and never acts too early.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from operator import attrgetter
from typing import Any

from controller.core.evidence import proves_absence, shows_all_before
from controller.core.model import HFJob, Observation, Registration, Stage, WorkflowJob
from controller.core.outcomes import REPORTED
from controller.core.reasons import Reason


class Phase(StrEnum):
    """Where a runner is in its life."""

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


@dataclass(slots=True, kw_only=True)
class Sighting:
    """What one pass sees of one runner.

    Not frozen, since every pass makes one for each runner, and a frozen one takes twice as long to make. Nobody changes it.

    Attributes:
        registration: GitHub's half, or None.
        hf_job: The Hub's half while it is live, or None. One that a launch was answered with counts before a list shows it.
        workflow_job: The job that runs on it, when GitHub's queue names it.
        served: Its workflow job, if that was seen completed since the last pass.
        end: Why its HF Job ended, if that was seen in a final stage since the last pass.
        launching: A launch of it is under way, or has ended so lately that no list need show it.
        unanswered: That launch has failed without an answer, and may have taken effect.
        listed: The list that shows its registration, None without one. Without meaning while its HF Job lives.
        other_half_absent_at: Monotonic seconds when the oldest list was asked for of those that would show its other half,
            if all of them lack it; None if they prove nothing. Without meaning where it has both halves, or none.
    """

    registration: Registration | None = None
    hf_job: HFJob | None = None
    workflow_job: WorkflowJob | None = None
    served: WorkflowJob | None = None
    end: Reason | None = None
    launching: bool = False
    unanswered: bool = False
    listed: Observation[Registration] | None = None
    other_half_absent_at: float | None = None

    @property
    def online(self) -> bool:
        """GitHub lists it online, or at work."""
        return self.registration is not None and (self.registration.online or self.registration.busy)

    @property
    def busy(self) -> bool:
        """GitHub shows it at work: by its queue, or by its list of runners."""
        return self.workflow_job is not None or (self.registration is not None and self.registration.busy)

    @property
    def unconfirmed(self) -> bool:
        """Its launch failed without an answer, and nothing shows that it took effect: no HF Job, and nobody online."""
        return self.unanswered and self.hf_job is None and not self.online


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
        launch_unanswered: Its launch failed without an answer, and no HF Job came of it so far.
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
    launch_unanswered: bool = False
    unproven_end: str = ""
    workflow_job: WorkflowJob | None = None
    job_done: bool = False
    asked_to_end: bool = False
    deregistered: bool = False
    hf_job_id: str = ""
    retry_at: float = 0.0
    refusals: int = 0

    @classmethod
    def begin(cls, now: float) -> Track:
        """Return the track of a runner that was never seen before ``now``, in monotonic seconds."""
        return cls(phase=Phase.REGISTERED, since=now)

    @property
    def lacks_other_half(self) -> bool:
        """Lists prove that its other half is gone, or was never made."""
        return proves_absence(self.alone_since, self.alone_at)

    @property
    def was_online(self) -> bool:
        """It was seen online, or with a job."""
        return self.online_at is not None or self.taken_at is not None

    @property
    def had_a_job(self) -> bool:
        """It was seen with a workflow job. A runner that went offline without having been busy may never have had one."""
        if self.workflow_job is not None or self.phase in (Phase.BUSY, Phase.LOST):
            return True
        return self.phase is Phase.FINISHED and self.taken_at is not None and self.taken_at < self.since

    def advance(self, seen: Sighting, now: float) -> Track:
        """Return what is known of a runner after one more sighting; the same object if that is nothing new.

        Args:
            seen: What this pass sees of it.
            now: Monotonic seconds.
        """
        phase = phase_of(seen, self)
        alone_since, alone_at = _gap(seen, self)
        gone_at = None
        if alone_since is not None and proves_absence(alone_since, alone_at):
            gone_at = alone_at if self.gone_at is None else self.gone_at
        ended_at, end = self.ended_at, self.end
        if seen.hf_job is not None:
            ended_at = end = None  # what shows itself counts
        elif ended_at is None and seen.end is not None:
            ended_at, end = now, seen.end
        since = self.since if phase is self.phase else now
        online_at, taken_at = self.online_at, self.taken_at
        if online_at is None and seen.online:
            online_at = now
        if taken_at is None and _took_a_job(phase, end, seen, self):
            taken_at = now
        launch_unanswered = seen.unconfirmed or (self.launch_unanswered and seen.hf_job is None)
        workflow_job = self.workflow_job or seen.served or seen.workflow_job
        job_done = self.job_done or seen.served is not None
        # What another user made, or may have made, is believed only from pass to pass (choose_hf_job).
        hf_job_id = seen.hf_job.id if seen.hf_job and seen.hf_job.foreign is False else self.hf_job_id
        learned = (
            phase,
            since,
            online_at,
            taken_at,
            alone_since,
            alone_at,
            gone_at,
            ended_at,
            end,
            launch_unanswered,
            workflow_job,
            job_done,
            hf_job_id,
        )
        if learned == _learned(self):
            return self
        return Track(
            phase=phase,
            since=since,
            online_at=online_at,
            taken_at=taken_at,
            alone_since=alone_since,
            alone_at=alone_at,
            gone_at=gone_at,
            ended_at=ended_at,
            end=end,
            launch_unanswered=launch_unanswered,
            unproven_end=self.unproven_end,
            workflow_job=workflow_job,
            job_done=job_done,
            asked_to_end=self.asked_to_end,
            deregistered=self.deregistered,
            hf_job_id=hf_job_id,
            retry_at=self.retry_at,
            refusals=self.refusals,
        )


_learned: attrgetter[tuple[Any, ...]] = attrgetter(
    "phase",
    "since",
    "online_at",
    "taken_at",
    "alone_since",
    "alone_at",
    "gone_at",
    "ended_at",
    "end",
    "launch_unanswered",
    "workflow_job",
    "job_done",
    "hf_job_id",
)
"""What sightings teach; the rest is what our own actions led to. One call, since most sightings teach nothing new."""


def phase_of(seen: Sighting, track: Track) -> Phase:
    """Return the phase of a runner.

    Args:
        seen: What this pass sees of it.
        track: What was known of it before this pass.
    """
    if seen.hf_job is None:
        return _phase_without_hf_job(seen, track)
    if seen.busy:
        return Phase.BUSY
    served = seen.served is not None
    had_its_job = served or track.workflow_job is not None
    registration = seen.registration
    if registration is not None and registration.online and not had_its_job and not track.deregistered:
        return Phase.IDLE
    # A runner that was online and shows offline, or not at all, is ending, or is working unseen: it is no capacity either
    # way. Nor is one that was deregistered.
    if served or track.was_online or track.deregistered:
        return Phase.FINISHED
    if registration is None and proves_absence(*_gap(seen, track)):
        return Phase.ORPHANED
    return Phase.SCHEDULING if seen.hf_job.stage is Stage.SCHEDULING else Phase.STARTING


def _phase_without_hf_job(seen: Sighting, track: Track) -> Phase:
    end = seen.end if track.ended_at is None else track.end
    if end is not None:
        return _phase_after(end, seen, track.ended_at)
    alone_since, alone_at = _gap(seen, track)
    if seen.launching or seen.registration is None or alone_since is None:
        return Phase.REGISTERED
    if seen.busy:
        return Phase.LOST
    if proves_absence(alone_since, alone_at):
        return Phase.ORPHANED
    return Phase.FINISHED if track.was_online or seen.served is not None else Phase.REGISTERED


def _phase_after(end: Reason, seen: Sighting, ended_at: float | None) -> Phase:
    """Return the phase of a runner whose HF Job has ended, and whose registration is still listed.

    Lists that were asked for a moment later, or that lag, still show what it was before its end, and GitHub removes the record
    of a runner whose job is over within seconds. So it is finished, until a list that is a lag younger shows it all the same.
    One that ended without a report to GitHub is lost as soon as a job of it shows.

    Args:
        end: Why its HF Job ended.
        seen: What this pass sees of the runner.
        ended_at: Monotonic seconds when the end was first seen; None if that is just now, before which no list was asked for
            that is a lag younger.
    """
    outlived = ended_at is not None and shows_all_before(seen.listed, ended_at)
    if seen.busy and (outlived or end not in REPORTED):
        return Phase.LOST
    return Phase.ORPHANED if outlived else Phase.FINISHED


def _took_a_job(phase: Phase, end: Reason | None, seen: Sighting, track: Track) -> bool:
    """Return whether a runner has, or had, a workflow job as far as this pass tells."""
    if seen.served is not None:
        return True
    if phase is Phase.FINISHED:
        # One that never came online took none, unless its HF Job says that it did.
        return (track.was_online and not track.deregistered) or end is Reason.JobCompleted
    return phase in TOOK_A_JOB


def _gap(seen: Sighting, track: Track) -> tuple[float | None, float | None]:
    """Return when the first and the newest list were asked for that prove one half to be without the other.

    Only a list that was asked for after the runner entered its phase can prove a gap: with an older one, the other half may
    have been made since. While lists fail, a gap keeps what was proved of it, and grows no older.
    """
    if (seen.registration is None) is (seen.hf_job is None):
        return None, None
    proof = seen.other_half_absent_at
    if proof is None or proof < track.since:
        return track.alone_since, track.alone_at
    return (proof if track.alone_since is None else track.alone_since), proof
