"""Looks at the stop switch, again and again: what it says now is all that counts, however
it came to say so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from controller.core.stop_switch import NEVER_READ, NO_SWITCH, Stopped, StopSwitch, after_failure, after_read
from controller.ports import StopSwitches, UpstreamError

log = logging.getLogger(__name__)

LOOK_INTERVAL = 2.0
"""Seconds between two looks: a stop acts within this and one request."""

LOOK_TIMEOUT = 5.0
"""Seconds for one look; it is a read of two small objects."""

FIRST_TRIES = 3
"""Looks before the first pass, so that a single lost answer makes no pool say that the switch is unknown."""


class SwitchObserver:
    """The newest known state of the stop switch.

    Args:
        source: Where it is kept; None where there is none, and nothing is ever stopped.
    """

    def __init__(self, source: StopSwitches | None = None) -> None:
        self._source = source
        self._changed: Callable[[], None] = lambda: None
        self.state: StopSwitch = NO_SWITCH if source is None else NEVER_READ

    def on_change(self, changed: Callable[[], None]) -> None:
        """Call this when what is known has changed, so that the next pass comes at once."""
        self._changed = changed

    def stops_for(self, account: str) -> Stopped | None:
        """Return why nothing may be launched in a Hugging Face namespace at this instant; None if it may."""
        return self.state.stops_for(account)

    async def look(self) -> None:
        """Read the switch once. Whatever goes wrong changes nothing of what is known, but
        for the trouble itself.
        """
        if self._source is None:
            return
        before = self.state
        try:
            async with asyncio.timeout(LOOK_TIMEOUT):
                self.state = after_read(await self._source.read())
        except UpstreamError as error:
            self.state = after_failure(before, error.failure.message)
        except TimeoutError:
            self.state = after_failure(before, f"no answer within {LOOK_TIMEOUT:g} s")
        except Exception:
            log.exception("the stop switch could not be read", extra={"reason": "InternalError"})
            self.state = after_failure(before, "the controller's log has a fault of its own")
        if self.state != before:
            _log_change(before, self.state)
            self._changed()

    async def first_look(self) -> None:
        """Read it until it is known, but not for ever: the first pass waits for this."""
        for _ in range(FIRST_TRIES):
            await self.look()
            if self.state.known:
                return

    async def run(self) -> None:
        """Look for ever; without a switch, do nothing for ever."""
        while True:
            await asyncio.sleep(LOOK_INTERVAL if self._source is not None else 3_600.0)
            await self.look()


def _log_change(before: StopSwitch, now: StopSwitch) -> None:
    """Log what changed, once."""
    if bool(now.trouble) != bool(before.trouble):
        if now.trouble:
            log.warning("the stop switch cannot be read", extra={"detail": now.trouble})
        else:
            log.info("the stop switch can be read")
    if now.known and (now.stops != before.stops):
        for stop in now.stops:
            log.warning("launches are stopped", extra={"detail": str(stop)})
        if not now.stops:
            log.warning("launches go on")
