"""Values that a status is made of: limits, times, and amounts of money."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from controller.core.text import text

MOST_RUNNERS: Final = 20
MOST_WAITING: Final = 16
MOST_PLACES: Final = 16
MOST_INTERRUPTIONS: Final = 32
MOST_MESSAGE: Final = 1024
MOST_NAME: Final = 1024
MOST_LINK: Final = 1024
MOST_NOTE: Final = 512
MOST_REPOSITORY: Final = 256
MOST_REQUEST_ID: Final = 256
MOST_RUNNER: Final = 64
MOST_HF_JOB: Final = 64
MOST_FLAVOR: Final = 63
"""Entries of each list and characters of each text: with one more the API server refuses the
whole status. What a pass itself keeps no more of has its limit in core (``MOST_INTENTS``,
``MOST_STARTS``, ``MOST_SUSPICIONS``)."""

LATEST: Final = 7_258_118_399.0
"""Epoch seconds of the end of the year 2199: a time beyond it, or before 1970, is a
mistake, and may have no text."""

MOST_USD: Final = 999_999_999_999.0
"""US dollars that are shown; more has no place in the type's 20 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """One moment on both clocks.

    Attributes:
        mono: Monotonic seconds.
        wall: Epoch seconds of the same moment.
    """

    mono: float
    wall: float

    def iso(self, mono: float) -> str:
        """Return a monotonic time as RFC 3339 text, in whole seconds."""
        return iso(self.wall - (self.mono - mono))


def iso(epoch: float) -> str:
    """Return epoch seconds as RFC 3339 text, in whole seconds; what is outside of 1970 to
    2199 as the nearest of them.
    """
    return datetime.fromtimestamp(int(min(max(0.0, epoch), LATEST)), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(time: str) -> float | None:
    """Return a time of a stored status as epoch seconds, or None if nobody can read it.

    The API server takes times that Python does not, such as a leap second or the year 0.
    """
    try:
        return datetime.fromisoformat(time).timestamp()
    except (ValueError, OverflowError):
        return None


def dollars(amount: float) -> str:
    """Return US dollars as decimal text; small amounts keep four digits, since an HF Job
    may cost less than a cent.
    """
    amount = min(max(0.0, amount), MOST_USD)
    return f"{amount:.2f}" if amount >= 1 or amount == 0 else f"{amount:.4f}"


def link(url: str) -> str:
    """Return an address, or nothing: one that is cut or cleaned leads elsewhere."""
    return url if text(url, MOST_LINK) == url else ""
