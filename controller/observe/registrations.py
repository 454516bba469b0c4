"""Lists the registrations of one scope, often while runners live there and seldom otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from controller.core.model import Failure, Observation, Registration, RegistrationScope
from controller.observe.queue_schedule import fraction
from controller.ports import Clock, Runners, UpstreamError

HOT, COLD = 10.0, 300.0
"""Seconds between two lists while something of ours may live in the scope, and while nothing does."""

SPACING = 0.25
"""Seconds between two lists at least, so that a storm of hints becomes one list."""

RETRY_AT_MOST = 120.0

PERSON_AT_MOST = 55.0
"""Seconds between two tries at most where a person must mend something, who waits for it to be seen."""


class RegistrationObserver:
    """Keeps the newest list of one scope.

    Nothing is concluded here: a failed list keeps the items of the last good one beside the failure.
    """

    def __init__(
        self,
        *,
        where: RegistrationScope,
        runners: Runners,
        clock: Clock,
        changed: Callable[[], None],
        hot_interval: float = HOT,
    ) -> None:
        """Build an observer that has seen nothing.

        Args:
            where: The scope.
            runners: Its source.
            clock: Time.
            changed: Called when a list differs from the one before.
            hot_interval: Seconds between lists while something of ours may live in the scope.
        """
        self.where = where
        self._runners = runners
        self._clock = clock
        self._changed = changed
        self._seen: Observation[Registration] | None = None
        self._hot = False
        self._hot_interval = hot_interval
        self._failures = 0
        self._listed_at = clock.mono()
        self._placed = False
        self._wake = asyncio.Event()

    @property
    def observation(self) -> Observation[Registration] | None:
        """The newest list, None before the first answer."""
        return self._seen

    def heat(self, *, hot: bool) -> None:
        """Say whether something of ours may live in the scope; a scope that turns hot is listed at once."""
        if hot and not self._hot:
            self._wake.set()
        self._hot = hot

    def retry(self) -> None:
        """List now: what a person had to mend may be mended."""
        self._failures = 0
        self._wake.set()

    async def step(self) -> float:
        """List once; return the seconds until the next time."""
        asked_at = self._listed_at = self._clock.mono()
        before = self._seen
        try:
            self._seen = await self._runners.registrations(self.where.scope)
        except UpstreamError as error:
            self._failures += 1
            self._seen = self._failed(error.failure, asked_at)
        else:
            self._failures = 0
        if before is None or (before.items, before.failure) != (self._seen.items, self._seen.failure):
            self._changed()
        return self._pause(self._seen.failure)

    def _failed(self, failure: Failure, asked_at: float) -> Observation[Registration]:
        if self._seen is None:
            return Observation(
                asked_at=asked_at, server_time=self._clock.wall(), failure=failure, answered=False
            )
        return replace(self._seen, failure=failure)

    def _pause(self, failure: Failure | None) -> float:
        if failure is None and self._hot:
            return self._hot_interval
        if failure is None:
            # All scopes that are there at a start are first listed together, and each has its own place in the interval from
            # then on: a thousand lists at once would hold up everything else for a minute, every five minutes.
            placed, self._placed = self._placed, True
            return (
                COLD
                if placed
                else max(self._hot_interval, COLD * fraction(self.where.source.api_url, self.where.scope))
            )
        most = PERSON_AT_MOST if failure.lasting else RETRY_AT_MOST
        waited = min(most, self._hot_interval * (1 << min(self._failures - 1, 6)))
        return max(waited, failure.retry_after or 0.0)

    async def run(self) -> None:
        """List for ever."""
        while True:
            pause = await self.step()
            self._wake.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._wake.wait()
            except TimeoutError:
                continue
            since = self._clock.mono() - self._listed_at
            await asyncio.sleep(max(0.0, SPACING - since))
