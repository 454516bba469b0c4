"""When to look next, and how much later after failures."""

from __future__ import annotations

import asyncio

from controller.core.model import Failure
from controller.ports import Clock


def back_off(base: float, failures: int, most: float, failure: Failure) -> float:
    """Return the seconds to wait before the next look.

    Args:
        base: Seconds after the first failure, doubled for each further one.
        failures: In a row.
        most: Seconds at most, unless ``base`` is more.
        failure: The last one; what the Hub asked for in it is the least.
    """
    doubled = base * (1 << min(failures - 1, 9))
    return max(min(doubled, max(base, most)), failure.retry_after or 0.0)


class Pace:
    """When to look next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        """End the pause early."""
        self._nudged.set()

    async def pause(self, began: float, delay: float, least: float) -> None:
        """Wait until ``delay`` has passed since ``began``, or somebody nudges; at least
        until ``least`` has.
        """
        try:
            async with asyncio.timeout(max(0.0, began + delay - self._clock.mono())):
                await self._nudged.wait()
        except TimeoutError:
            pass
        rest = began + least - self._clock.mono()
        if rest > 0:
            await asyncio.sleep(rest)
        self._nudged.clear()
