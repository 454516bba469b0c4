"""One look at one repository: the lists of its runs, then the jobs of those that have changed."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from controller.core.model import Observation, WorkflowJob
from controller.observe.queue_runs import RepositoryRuns
from controller.observe.queue_schedule import ALL_STATUSES, IN_PROGRESS, Cadence, Watch, statuses
from controller.ports import Clock, Queue, Run, UpstreamError


@dataclass(slots=True, kw_only=True)
class RepositoryView:
    """What is known of one repository.

    Attributes:
        watch: When to look at it.
        runs: What looks have shown.
        seen: Its unfinished jobs, None before the first look ended.
        looked_at: When the newest complete look was begun, monotonic: what was seen of
            single jobs may be older.
    """

    watch: Watch
    runs: RepositoryRuns
    seen: Observation[WorkflowJob] | None = None
    looked_at: float | None = None

    async def look(self, *, queue: Queue, clock: Clock, cadence: Cadence, followed: Collection[int]) -> bool:
        """Take one look; return whether there is more to read at once.

        Args:
            queue: Asked.
            clock: Time.
            cadence: How often to look.
            followed: Ids of runs that are read at each look.

        Raises:
            UpstreamError: A list failed, or every run's jobs.
        """
        watch, runs = self.watch, self.runs
        started = clock.mono()
        asked_for = statuses(watch, started, cadence, runs.statuses())
        if asked_for == ALL_STATUSES:
            watch.swept_at = started
        lists = {status: await queue.runs(watch.name, status) for status in asked_for}
        if IN_PROGRESS not in lists and runs.lacks(lists):
            lists[IN_PROGRESS] = await queue.runs(watch.name, IN_PROGRESS)
        if IN_PROGRESS in lists:
            watch.running_at = started
        watch.sweep_next = runs.listed(lists, clock.mono())
        reading, more = runs.to_read(clock.mono(), followed)
        async with asyncio.TaskGroup() as jobs:
            for run in reading:
                jobs.create_task(self._read(run, queue, clock))
        blocked = runs.blocked()
        if blocked is not None:
            raise UpstreamError(blocked)
        self.looked_at = started
        return more

    async def _read(self, run: Run, queue: Queue, clock: Clock) -> None:
        """Read the jobs of one run. Its failure is its own: the other runs of the
        repository are served all the same.
        """
        try:
            seen = await queue.jobs(self.watch.name, run)
        except UpstreamError as error:
            self.runs.unreadable(run, error.failure, clock.mono())
        else:
            self.runs.read(run, seen, clock.mono())
