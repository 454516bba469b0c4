"""Reads single workflow jobs of one source by their ids: those that wait beside an idle runner, which a list may show wrongly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from controller.core.model import JobLook, JobStatus
from controller.core.suspicion import Wanted
from controller.ports import Clock, Jobs, UpstreamError

EVERY = 120.0
"""Seconds between two reads of one job at least."""

SPACING = 0.5
"""Seconds between two reads at least."""

MOST_WANTED = 32
"""Jobs of a source that are read at a time, whatever its pools want: two requests each, at most every :data:`EVERY` seconds."""

MOST_KEPT = 256
"""Jobs of which it is kept how they were read last."""


class LookObserver:
    """Keeps what the newest read of each wanted job showed. A read that fails is tried again later, and shows nothing."""

    def __init__(self, *, jobs: Jobs, clock: Clock, changed: Callable[[], None]) -> None:
        """Build an observer that has read nothing.

        Args:
            jobs: Its source.
            clock: Time.
            changed: Called when a job was read.
        """
        self._jobs = jobs
        self._clock = clock
        self._changed = changed
        self._wanted: dict[int, Wanted] = {}
        self._tried_at: dict[int, float] = {}
        self._seen: dict[int, JobLook] = {}
        self._wake = asyncio.Event()

    def looks(self) -> Mapping[int, JobLook]:
        """Return what was read, by the id of the job."""
        return dict(self._seen)

    def want(self, wanted: Sequence[Wanted]) -> None:
        """Say which jobs should be read, and since when a read helps; those of the call before are forgotten. Idempotent."""
        self._wanted = {one.job_id: one for one in wanted[:MOST_WANTED]}
        if self._next() is not None:
            self._wake.set()

    def _next(self) -> Wanted | None:
        now = self._clock.mono()
        for one in self._wanted.values():
            seen = self._seen.get(one.job_id)
            waits = now - self._tried_at.get(one.job_id, -EVERY) < EVERY
            if now >= one.after and not waits and (seen is None or seen.asked_at < one.after):
                return one
        return None

    async def step(self) -> bool:
        """Read one job, if one is due; return whether there was one."""
        one = self._next()
        if one is None:
            return False
        asked_at = self._tried_at[one.job_id] = self._clock.mono()
        try:
            status = await self._jobs.job_status(one.repository, one.job_id)
            run_ended = await self._run_ended(one) if status is not JobStatus.COMPLETED else None
        except UpstreamError:
            return True
        self._seen.pop(one.job_id, None)
        self._seen[one.job_id] = JobLook(status=status, asked_at=asked_at, run_ended=run_ended)
        while len(self._seen) > MOST_KEPT:
            del self._seen[next(iter(self._seen))]
        while len(self._tried_at) > MOST_KEPT:
            del self._tried_at[next(iter(self._tried_at))]
        self._changed()
        return True

    async def _run_ended(self, one: Wanted) -> str | None:
        """Return how the job's run has ended, None while it goes on or cannot be read: this only explains."""
        try:
            run = await self._jobs.run(one.repository, one.run_id)
        except UpstreamError:
            return None
        return run.conclusion if run is not None else None

    async def run(self) -> None:
        """Read what is wanted, for ever."""
        while True:
            if await self.step():
                await asyncio.sleep(SPACING)
                continue
            self._wake.clear()
            await self._wake.wait()
