"""What the Hub shows: HF Jobs and the hardware on offer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})


class Stage(StrEnum):
    """An HF Job's stage (hf-jobs.md §1.2)."""

    SCHEDULING = "SCHEDULING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERROR = "ERROR"
    DELETED = "DELETED"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """The stage is terminal. A stage that we do not know counts as live: nothing is concluded from it."""
        return self in _ENDED


_ENDED = frozenset({Stage.COMPLETED, Stage.CANCELED, Stage.ERROR, Stage.DELETED})


@dataclass(frozen=True, slots=True, kw_only=True)
class HFJob:
    """A job on Hugging Face Jobs.

    Attributes:
        id: The Hub's id.
        stage: Where it is.
        flavor: Hardware name.
        labels: As set at launch.
        created_at: Epoch seconds on the Hub's clock.
        started_at: Epoch seconds on the Hub's clock, absent until it runs.
        finished_at: Epoch seconds on the Hub's clock; may stay absent for cancelled jobs.
        timeout: Seconds after which the Hub ends it.
        message: The Hub's own words about the stage.
        cancel_reason: Why the platform cancelled it, for instance ``NO_CREDITS``.
        creator: Name of the user whose token launched it; empty when the answer does not tell.
        foreign: Its creator is another user than the one whose token listed it; None while the Hub has not said whose token that
            is.
        initiator: What made it, in the Hub's word and lower case (``duplicated-job`` for a copy); empty when it does not tell.
        url: The job's page.
    """

    id: str
    stage: Stage
    flavor: str
    labels: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    timeout: float | None = None
    message: str | None = None
    cancel_reason: str | None = None
    creator: str = ""
    foreign: bool | None = False
    initiator: str = ""
    url: str = ""

    @property
    def ended(self) -> bool:
        """It has ended: by its stage, or by its time of end where the stage is a word that this release does not know."""
        return self.stage.ended or (self.stage is Stage.UNKNOWN and self.finished_at is not None)

    @property
    def billed_seconds(self) -> float | None:
        """Seconds between start and end on the Hub's clock, or None while either is unknown."""
        if self.started_at is None or self.finished_at is None:
            return None
        return max(0.0, self.finished_at - self.started_at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """Hardware on offer (``GET /api/jobs/hardware``).

    Attributes:
        name: What a launch asks for.
        usd_per_minute: Price of one minute in US dollars; None where the Hub offers the flavor and its price cannot be read.
        accelerator: Model of the accelerator, empty for CPU flavors.
    """

    name: str
    usd_per_minute: float | None = None
    accelerator: str = ""
