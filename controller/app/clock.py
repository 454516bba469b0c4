"""This machine's clocks."""

from __future__ import annotations

import time

_MONOTONIC = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class SystemClock:
    """This machine's clocks."""

    def wall(self) -> float:
        """Return epoch seconds."""
        return time.time()

    def mono(self) -> float:
        """Return monotonic seconds, which go on while the process is stopped or, on Linux,
        the machine sleeps.
        """
        return time.clock_gettime(_MONOTONIC)
