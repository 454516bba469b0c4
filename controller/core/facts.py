"""What is counted and timed, for metrics and for one line in the log."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto

from controller.core.model import PoolKey, WorkflowJob
from controller.core.reasons import Reason

OTHER = "other"
"""The label of every flavor that the pool's spec does not name: a service's own name for one is no label."""

DEADLINES = {
    Reason.SchedulingDeadline: "scheduling",
    Reason.RegistrationDeadline: "registration",
    Reason.NotPickedUp: "idle",
    Reason.LifetimeDeadline: "lifetime",
}
"""Labels of the deadlines that runners may meet before their work is done."""


class Measure(Enum):
    """What a fact is about; ``controller.metrics.catalog`` says what each counts."""

    QUEUE_TO_ONLINE = auto()
    QUEUE_TO_START = auto()
    HF_SCHEDULING = auto()
    RUNNER_BOOT = auto()
    LAUNCH = auto()
    LAUNCH_FAILURE = auto()
    FALLBACK = auto()
    RETRY = auto()
    LOST = auto()
    STUCK = auto()
    VERSION_REFUSED = auto()
    ORPHAN = auto()
    RETIREMENT = auto()
    NOTICE = auto()
    BILLED = auto()
    COST = auto()
    FAULT = auto()


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing to be counted, or one duration.

    Attributes:
        measure: What it is about.
        value: Seconds, US dollars, or how many.
        pool: Whose; None for what belonged to no pool any more.
        labels: What else tells it apart, in the order of the metric's labels: flavor,
            reason, deadline or kind.
    """

    measure: Measure
    value: float = 1.0
    pool: PoolKey | None = None
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A workflow job that one of our runners took, for the log; ``waited`` is in seconds on
    GitHub's clock.
    """

    pool: PoolKey
    runner: str
    hf_job_id: str
    workflow_job: WorkflowJob
    waited: float


@dataclass(slots=True, kw_only=True)
class Seen:
    """What one pass lets be told.

    Attributes:
        facts: For the metrics.
        starts: For the log.
        faults: Pools that could not be measured, by a fault of ours (``InternalError``), and what was raised.
            What was seen of them before that counts; all other pools are measured.
    """

    facts: list[Fact] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    faults: dict[PoolKey, Exception] = field(default_factory=dict)
