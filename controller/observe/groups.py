"""Lists the runner groups of one organization or enterprise: seldom, and often while a pool names one that is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace

from controller.core.groups import named_group
from controller.core.model import Failure, Observation, RegistrationScope, RunnerGroup
from controller.observe.queue_schedule import fraction
from controller.ports import Clock, Runners, UpstreamError

INTERVAL = 300.0
"""Seconds between two lists while every group that a pool names is there."""

MISSING_INTERVAL = 30.0
"""Seconds between two lists while one is not: whoever makes it sees the pool recover within a minute."""

RETRY, RETRY_AT_MOST = 15.0, 120.0
"""Seconds after a list that failed, doubled each time."""


class GroupObserver:
    """Keeps the newest list of one scope's groups; a failed list keeps the items of the last good one beside the failure.

    Args:
        where: The scope.
        runners: Its source.
        clock: Time.
        changed: Called when a list differs from the one before.
    """

    def __init__(
        self, *, where: RegistrationScope, runners: Runners, clock: Clock, changed: Callable[[], None]
    ) -> None:
        self.where = where
        self._runners = runners
        self._clock = clock
        self._changed = changed
        self._seen: Observation[RunnerGroup] | None = None
        self._wanted: frozenset[str] = frozenset()
        self._failures = 0
        self._placed = False
        self._wake = asyncio.Event()

    @property
    def observation(self) -> Observation[RunnerGroup] | None:
        """The newest list, None before the first answer."""
        return self._seen

    def want(self, names: Collection[str]) -> None:
        """Say which groups pools name; one that the last list lacks is looked for at once. Idempotent, and then cheap."""
        wanted = frozenset(names)
        new, self._wanted = wanted - self._wanted, wanted
        if any(self._lacks(name) for name in new):
            self._wake.set()

    def _lacks(self, name: str) -> bool:
        return self._seen is not None and named_group(self._seen.items, name) is None

    async def step(self) -> float:
        """List once; return the seconds until the next time."""
        before = self._seen
        try:
            self._seen = await self._runners.runner_groups(self.where.scope)
        except UpstreamError as error:
            self._seen = self._failed(error.failure)
        if before is None or (before.items, before.failure) != (self._seen.items, self._seen.failure):
            self._changed()
        return self._pause(self._seen.failure)

    def _failed(self, failure: Failure) -> Observation[RunnerGroup]:
        if self._seen is not None:
            return replace(self._seen, failure=failure)
        now, wall = self._clock.mono(), self._clock.wall()
        return Observation(asked_at=now, server_time=wall, failure=failure, answered=False)

    def _pause(self, failure: Failure | None) -> float:
        if failure is not None:
            self._failures += 1
            wait = min(RETRY_AT_MOST, RETRY * (1 << min(self._failures - 1, 6)))
            return max(wait, failure.retry_after or 0.0)
        self._failures = 0
        if any(map(self._lacks, self._wanted)):
            return MISSING_INTERVAL
        # All scopes that are there at a start are first listed together; from then on each has its own place in the interval.
        placed, self._placed = self._placed, True
        share = 1.0 if placed else fraction(self.where.source.api_url, self.where.scope, "groups")
        return max(MISSING_INTERVAL, INTERVAL * share)

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
