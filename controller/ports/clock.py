"""Time."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time as the controller sees it."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch, UTC. May jump."""

    def mono(self) -> float:
        """Return seconds on a clock that never goes back. Its origin means nothing."""
