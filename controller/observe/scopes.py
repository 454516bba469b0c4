"""Lists what one scope at GitHub has: its registrations, often while runners live there, and
its runner groups, seldom.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection
from typing import Generic, TypeVar

from controller.core.groups import named_group
from controller.core.model import Failure, Observation, Registration, RegistrationScope, RunnerGroup
from controller.core.reasons import Reason
from controller.observe.failed import still_seen
from controller.observe.queue_schedule import fraction
from controller.ports import Clock, Runners, UpstreamError

HOT, COLD = 10.0, 300.0
"""Seconds between two lists of registrations while something of ours may live in the scope,
and while nothing does."""

GROUPS_INTERVAL = 300.0
"""Seconds between two lists of groups while every group that a pool names is there."""

MISSING_INTERVAL = 30.0
"""Seconds between two lists of groups while one is not: whoever makes it sees the pool
recover within a minute."""

GROUPS_RETRY = 15.0
"""Seconds after a list of groups that failed, doubled each time."""

SPACING = 0.25
"""Seconds between two lists at least, so that a storm of hints becomes one list."""

RETRY_AT_MOST = 120.0

PERSON_AT_MOST = 55.0
"""Seconds between two tries at most where a person must mend something, who waits for it to be seen."""

T = TypeVar("T", Registration, RunnerGroup)

_log = logging.getLogger(__name__)


class _ScopeObserver(ABC, Generic[T]):
    """Keeps the newest list of one kind in one scope.

    Nothing is concluded here: a failed list keeps the items of the last good one beside the failure.
    """

    def __init__(
        self, *, where: RegistrationScope, runners: Runners, clock: Clock, changed: Callable[[], None]
    ) -> None:
        """Build an observer that has seen nothing.

        Args:
            where: The scope.
            runners: Its source.
            clock: Time.
            changed: Called when a list differs from the one before.
        """
        self.where = where
        self._runners = runners
        self._clock = clock
        self._changed = changed
        self._seen: Observation[T] | None = None
        self._failures = 0
        self._listed_at = clock.mono()
        self._placed = False
        self._wake = asyncio.Event()

    @abstractmethod
    async def _list(self) -> Observation[T]:
        """Ask GitHub."""

    @abstractmethod
    def _interval(self) -> float:
        """Return the seconds until the next list, after one that was good."""

    @abstractmethod
    def _retry(self) -> float:
        """Return the seconds until the next list, after one that failed; doubled for each further one."""

    @property
    def observation(self) -> Observation[T] | None:
        """The newest list, None before the first answer."""
        return self._seen

    def retry(self) -> None:
        """List now: what a person had to mend may be mended."""
        self._failures = 0
        self._wake.set()

    async def step(self) -> float:
        """List once; return the seconds until the next time."""
        asked_at = self._listed_at = self._clock.mono()
        before = self._seen
        try:
            self._seen = await self._list()
        except UpstreamError as error:
            self._failures += 1
            self._seen = self._failed(error.failure, asked_at)
        except Exception:  # noqa: BLE001
            # A mistake of ours about one scope's answer must be reported, and not look like a list that is
            # still to come.
            _log.exception("Listing a scope failed in a way that is not known")
            self._failures += 1
            unknown = Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning)
            self._seen = self._failed(unknown, asked_at)
        else:
            self._failures = 0
        if before is None or (before.items, before.failure) != (self._seen.items, self._seen.failure):
            self._changed()
        return self._pause(self._seen.failure)

    def _failed(self, failure: Failure, asked_at: float) -> Observation[T]:
        return still_seen(self._seen, failure, asked_at=asked_at, server_time=self._clock.wall())

    def _pause(self, failure: Failure | None) -> float:
        if failure is None:
            return self._interval()
        most = PERSON_AT_MOST if failure.lasting else RETRY_AT_MOST
        waited = min(most, self._retry() * (1 << min(max(0, self._failures - 1), 6)))
        return max(waited, failure.retry_after or 0.0)

    def _in_its_place(self, interval: float, least: float, *what: str) -> float:
        """Return the seconds until the next of lists that come seldom.

        All scopes that are there at a start are first listed together, and each has its own place in
        the interval from then on: a thousand lists at once would hold up everything else for a
        minute, every five minutes.
        """
        placed, self._placed = self._placed, True
        share = 1.0 if placed else fraction(self.where.source.api_url, self.where.scope, *what)
        return max(least, interval * share)

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


class RegistrationObserver(_ScopeObserver[Registration]):
    """Keeps the newest list of one scope's registrations."""

    def __init__(
        self,
        *,
        where: RegistrationScope,
        runners: Runners,
        clock: Clock,
        changed: Callable[[], None],
        hot_interval: float = HOT,
    ) -> None:
        """Build an observer that has seen nothing; ``hot_interval`` is in seconds, between lists while
        something of ours may live.
        """
        super().__init__(where=where, runners=runners, clock=clock, changed=changed)
        self._hot = False
        self._hot_interval = hot_interval

    def set_hot(self, *, hot: bool) -> None:
        """Set whether something of ours may live in the scope; a scope that becomes hot is listed at once."""
        if hot and not self._hot:
            self._wake.set()
        self._hot = hot

    async def _list(self) -> Observation[Registration]:
        return await self._runners.registrations(self.where.scope)

    def _interval(self) -> float:
        return self._hot_interval if self._hot else self._in_its_place(COLD, self._hot_interval)

    def _retry(self) -> float:
        return self._hot_interval


class GroupObserver(_ScopeObserver[RunnerGroup]):
    """Keeps the newest list of one scope's runner groups."""

    def __init__(
        self, *, where: RegistrationScope, runners: Runners, clock: Clock, changed: Callable[[], None]
    ) -> None:
        """Build an observer that has seen nothing."""
        super().__init__(where=where, runners=runners, clock=clock, changed=changed)
        self._wanted: frozenset[str] = frozenset()

    def want(self, names: Collection[str]) -> None:
        """Say which groups pools name; one that the last list lacks is looked for at once.
        Idempotent, and then cheap.
        """
        wanted = frozenset(names)
        new, self._wanted = wanted - self._wanted, wanted
        if any(self._lacks(name) for name in new):
            self._wake.set()

    def _lacks(self, name: str) -> bool:
        return self._seen is not None and named_group(self._seen.items, name) is None

    async def _list(self) -> Observation[RunnerGroup]:
        return await self._runners.runner_groups(self.where.scope)

    def _interval(self) -> float:
        if any(map(self._lacks, self._wanted)):
            return MISSING_INTERVAL
        return self._in_its_place(GROUPS_INTERVAL, MISSING_INTERVAL, "groups")

    def _retry(self) -> float:
        return GROUPS_RETRY
