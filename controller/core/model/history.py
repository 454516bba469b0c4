"""What a pool's status records for the next process: suspicions and interrupted workflow jobs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class SuspicionLevel(StrEnum):
    """What a suspicion falls on (:mod:`controller.core.suspicion`)."""

    JOB = "Job"
    REPOSITORY = "Repository"
    POOL = "Pool"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastSuspicion:
    """A suspicion as the pool's status tells it.

    Attributes:
        level: What it falls on.
        repository: Lower-case ``owner/repo``; empty for the pool.
        job_id: Of the job; 0 for a repository or the pool.
        since: Epoch seconds on the controller's clock.
        starts: Epoch seconds of the newest starts under it.
        rises_to: How wide a suspicion it may count for.
    """

    level: SuspicionLevel
    repository: str = ""
    job_id: int = 0
    since: float
    starts: tuple[float, ...] = ()
    rises_to: SuspicionLevel = SuspicionLevel.POOL


class RerunState(StrEnum):
    """How far a run's re-run has come."""

    OFF = "Off"
    PENDING = "Pending"
    DONE = "Done"
    NOT_NEEDED = "NotNeeded"
    REFUSED = "Refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """A workflow job that was lost because its HF Job ended under it; the first one stands for
    all of its run's attempt.

    Attributes:
        repository: ``owner/repo``, lower case.
        run_id: The run.
        attempt: The run's attempt in which it was lost.
        job_id: The workflow job.
        job_name: As shown by GitHub.
        job_url: Its page.
        at: Epoch seconds on the controller's clock.
        rerun: What becomes of the run.
        note: What GitHub did not tell about the run, and what was made of that; mostly empty.
        by_hub: The Hub ended the HF Job of its own accord, by its reason.
    """

    repository: str
    run_id: int
    attempt: int
    job_id: int
    job_name: str = ""
    job_url: str = ""
    at: float
    rerun: RerunState = RerunState.OFF
    note: str = ""
    by_hub: bool = False
