"""The hardware of one Hub endpoint, with its prices."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace

from controller.core.model import Failure, Flavor, Observation
from controller.core.reasons import Reason
from controller.observe.failed import still_seen
from controller.observe.pace import Pace, back_off
from controller.ports import Clock, Hardware, UpstreamError

log = logging.getLogger(__name__)

HARDWARE_INTERVAL, HARDWARE_RETRY = 3600.0, 60.0
"""Seconds between lists of hardware, and the first pause after one that failed; prices
change a few times a year."""


class FlavorObserver:
    """Watches the hardware of one endpoint; its last good list is kept while the Hub fails.

    Args:
        source: The endpoint.
        clock: Time.
        interval: Seconds between lists.
        retry: Seconds after a failure, doubled for each further one up to a quarter of the interval; and
            after a list that lacks what a pool names.
        changed: Called after every look that showed something new; must not block.
    """

    def __init__(
        self,
        *,
        source: Hardware,
        clock: Clock,
        interval: float = HARDWARE_INTERVAL,
        retry: float = HARDWARE_RETRY,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._source = source
        self._clock = clock
        self._interval = interval
        self._retry = retry
        self._changed = changed
        self._pace = Pace(clock)
        self._failures = 0
        self._wanted: frozenset[str] = frozenset()
        self.observation: Observation[Flavor] | None = None
        """The hardware, or None before the first look ended."""

    def want(self, flavors: Collection[str]) -> None:
        """Say which hardware pools name: what the last list lacks is looked for now, and then
        once in ``retry`` seconds.

        The Hub may offer it by now: a pool whose only flavor this is serves nobody until then.
        """
        new, self._wanted = frozenset(flavors) - self._wanted, frozenset(flavors)
        if self._lacks(new):
            self._pace.nudge()

    def _lacks(self, flavors: Collection[str]) -> bool:
        seen = self.observation
        return (
            seen is not None and seen.complete and not {flavor.name for flavor in seen.items} >= set(flavors)
        )

    async def run(self) -> None:
        """Look for ever."""
        while True:
            began = self._clock.mono()
            try:
                delay = await self.step()
            except Exception:
                log.exception("Observing hardware failed in a way that is not known")
                self._fail(Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning))
                delay = self._delay()
            await self._pace.pause(began, delay, self._retry)

    def _delay(self) -> float:
        failure = self.observation.failure if self.observation else None
        if failure is None:
            return self._retry if self._lacks(self._wanted) else self._interval
        return back_off(self._retry, self._failures, self._interval / 4, failure)

    async def step(self) -> float:
        """Look once; return the seconds from its beginning until the next look is due."""
        before = self.observation
        try:
            listed = await self._source.flavors()
        except UpstreamError as error:
            self._fail(error.failure)
        else:
            self._failures = 0 if listed.complete else self._failures + 1
            if not listed.complete and before is not None:
                merged = {flavor.name: flavor for flavor in (*before.items, *listed.items)}
                listed = replace(listed, items=tuple(merged.values()))
            self.observation = listed
        seen = self.observation
        if before is None or seen is None or (before.items, before.failure) != (seen.items, seen.failure):
            self._changed()
        return self._delay()

    def _fail(self, failure: Failure) -> None:
        self._failures += 1
        asked_at, server_time = self._clock.mono(), self._clock.wall()
        self.observation = still_seen(self.observation, failure, asked_at=asked_at, server_time=server_time)
