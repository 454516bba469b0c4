"""Clocks for simulated time: one moved by hand, one that follows an event loop and can be
skewed per process.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

EPOCH = 1_790_000_000.0
"""Where simulated wall time starts, seconds since the Unix epoch: 2026-09-21T14:13:20Z. Any
fixed moment would do."""


class Clock(Protocol):
    """Time as a simulated service sees it."""

    def wall(self) -> float:
        """Return seconds since the Unix epoch, UTC. May jump."""

    def mono(self) -> float:
        """Return seconds on a clock that never goes back. Its origin means nothing."""


class ManualClock:
    """A clock that only moves when told to; for tests of the synchronous worlds."""

    def __init__(self, *, epoch: float = EPOCH) -> None:
        self._wall = epoch
        self._mono = 0.0

    def wall(self) -> float:
        """Return seconds since the Unix epoch, UTC."""
        return self._wall

    def mono(self) -> float:
        """Return seconds since the clock was made."""
        return self._mono

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Raises:
            ValueError: ``seconds`` is negative; use :meth:`jump` for a wall clock that is set back.
        """
        if seconds < 0:
            raise ValueError("time does not go back; jump() sets the wall clock")
        self._wall += seconds
        self._mono += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic clock does not notice."""
        self._wall += seconds


class LoopClock:
    """A clock over an event loop's time, with a wall clock that may be wrong.

    Each simulated process has its own, so that two replicas can disagree about the time of day.

    Args:
        time: The loop's ``time`` method; seconds.
        epoch: Wall time when ``time()`` is 0, seconds since the Unix epoch.
        drift: Seconds that the wall clock gains per second.
    """

    def __init__(self, *, time: Callable[[], float], epoch: float = EPOCH, drift: float = 0.0) -> None:
        self._time = time
        self._epoch = epoch
        self._drift = drift

    def wall(self) -> float:
        """Return seconds since the Unix epoch, UTC, as this process believes."""
        now = self._time()
        return self._epoch + now + now * self._drift

    def mono(self) -> float:
        """Return the loop's time in seconds."""
        return self._time()

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back; the monotonic clock does not notice."""
        self._epoch += seconds
