"""What a failure means: one value for everything that an adapter may report."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from controller.core.reasons import Reason


class Disposition(Enum):
    """What a failure means for the next try."""

    RETRY = "it may pass: try again after a back-off"
    WAIT = "we were told to wait"
    PERSON = "a person must act; slow retries notice when they have"
    GONE = "the thing does not exist"
    CAPACITY = "no hardware of this kind now: try another kind"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call failed, in words for the person who can act.

    Attributes:
        reason: Stable word.
        message: A sentence with the next step; never a secret.
        disposition: What it means for the next try.
        request_id: The upstream's request id, when it sent one.
        retry_after: Seconds that the upstream asked us to wait.
        in_doubt: The request may have taken effect although it failed (lost answer, 5xx,
            timeout after sending).
    """

    reason: Reason
    message: str
    disposition: Disposition = Disposition.RETRY
    request_id: str | None = None
    retry_after: float | None = None
    in_doubt: bool = False

    @property
    def lasting(self) -> bool:
        """It ends only when a person does something."""
        return self.disposition in (Disposition.PERSON, Disposition.GONE)
