"""What the Hub shows of one account: live HF Jobs, and the end of each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from controller.core.model import Failure, HFJob, Observation
from controller.core.reasons import Reason
from controller.observe.failed import still_seen
from controller.observe.hub_jobs import HFJobs
from controller.observe.pace import Pace, back_off
from controller.ports import Clock, LiveJobs, UpstreamError

log = logging.getLogger(__name__)

INTERVAL = 10.0
"""Seconds between lists while anything lives or is wanted: 30 of the 1,000 requests that a free account has
per window (docs/facts.md#hub-rate-limits)."""

IDLE_INTERVAL = 60.0
"""Seconds between lists otherwise: how long an orphan that nobody expects goes unseen, and at
most what a failure costs."""

SPACING = 2.0
"""Least seconds between two lists, however often somebody asks for one."""

INSPECTIONS, AT_ONCE = 100, 16
"""Inspections per step, and how many of them at a time: 1,000 runners that end together must
not spend a whole window."""


class HubObserver:
    """Watches the HF Jobs of one account for all pools.

    Args:
        hub: The account.
        labels: What makes an HF Job ours (:func:`controller.core.naming.ours`).
        clock: Time.
        interval: Seconds between lists while something lives or is wanted.
        idle_interval: Seconds between lists otherwise.
        changed: Called after every look that showed something new; must not block.
    """

    def __init__(
        self,
        *,
        hub: LiveJobs,
        labels: Mapping[str, str],
        clock: Clock,
        interval: float = INTERVAL,
        idle_interval: float = IDLE_INTERVAL,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self._hub = hub
        self._labels = labels
        self._clock = clock
        self._interval = interval
        self._idle_interval = idle_interval
        self._changed = changed
        self._pace = Pace(clock)
        self._hot = True
        self._seen: Observation[HFJob] | None = None
        self._jobs = HFJobs()
        self._failures = 0
        self._unchecked = 0
        self._began = clock.mono()

    # --------------------------------------------------------------------------------------- what it has seen
    @property
    def observation(self) -> Observation[HFJob] | None:
        """Live HF Jobs, or None before the first look ended; those whose end is not proved
        yet are among them.
        """
        return None if self._seen is None else replace(self._seen, items=self._jobs.live())

    def list_age(self) -> float:
        """Return the seconds since the newest complete list was asked for; without one,
        since there is this observer.
        """
        seen = self._seen
        return self._clock.mono() - (seen.asked_at if seen and seen.answered else self._began)

    def ended(self) -> tuple[HFJob, ...]:
        """Return the jobs that ended and were not acknowledged yet, oldest end first.

        Each has a terminal stage; ``DELETED`` also when the Hub knows the job no more, ``UNKNOWN`` when
        it left the list and could not be inspected. Asking takes nothing away: a pass that fails
        half-way sees them again.
        """
        return self._jobs.ended()

    def acknowledge(self, ids: Iterable[str]) -> None:
        """Forget ended jobs that a pass has taken into account. Idempotent."""
        self._jobs.acknowledge(ids)

    # ---------------------------------------------------------------------------------------- input
    def note(self, job: HFJob) -> None:
        """Take in a job that was just launched: it counts from now on, and its end is not
        missed between two lists.
        """
        if self._jobs.launched(job, self._clock.mono()):
            self._pace.nudge()

    def set_hot(self, *, hot: bool) -> None:
        """Set whether a pool of this account has demand; without any, and without jobs,
        lists come more rarely.
        """
        if hot and not self._hot:
            self._pace.nudge()
        self._hot = hot

    def retry(self) -> None:
        """Look soon: what a person had to mend may be mended."""
        self._failures = 0
        self._pace.nudge()

    # ------------------------------------------------------------------------------------------- what it does
    async def run(self) -> None:
        """Look for ever."""
        while True:
            began = self._clock.mono()
            try:
                delay = await self.step()
            except Exception:
                # A mistake of ours about one account's answer must not end the others' observers, nor look
                # like an answer.
                log.exception("Observing HF Jobs failed in a way that is not known")
                self._fail(Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning))
                delay = self._delay()
            await self._pace.pause(began, delay, SPACING)

    def _delay(self) -> float:
        failure = self._seen.failure if self._seen else None
        if failure is not None:
            return back_off(self._interval, self._failures, self._idle_interval, failure)
        if self._unchecked:
            return SPACING
        return self._interval if self._hot or self._jobs else self._idle_interval

    async def step(self) -> float:
        """Look once: list, then inspect what the list should have shown and did not.

        Returns:
            Seconds from the beginning of this look until the next one is due.
        """
        before = self._news()
        try:
            listed = await self._hub.live(self._labels)
        except UpstreamError as error:
            self._fail(error.failure)
        else:
            believed = self._jobs.listed(listed, self._clock.mono())
            if listed.complete:
                await self._inspect_missing(listed)
            self._failures = 0 if believed.complete else self._failures + 1
            self._seen = replace(believed, items=())
        if self._news() != before:
            self._changed()
        return self._delay()

    def _news(self) -> object:
        seen = self.observation
        return self.ended(), seen and (seen.items, seen.failure)

    def _fail(self, failure: Failure) -> None:
        self._failures += 1
        asked_at, server_time = self._clock.mono(), self._clock.wall()
        self._seen = still_seen(self._seen, failure, asked_at=asked_at, server_time=server_time)

    async def _inspect_missing(self, listed: Observation[HFJob]) -> None:
        """Inspect jobs that a complete list lacks although they were known before it was asked for."""
        missing = self._jobs.missing(listed)
        self._unchecked = max(0, len(missing) - INSPECTIONS)
        slots = asyncio.Semaphore(AT_ONCE)

        async def inspect(job_id: str) -> None:
            async with slots:
                try:
                    job = await self._hub.inspect(job_id)
                except UpstreamError as error:
                    self._jobs.not_inspected(job_id, error.failure)
                else:
                    self._jobs.inspected(job_id, job, self._clock.mono())

        async with asyncio.TaskGroup() as group:
            for job_id in missing[:INSPECTIONS]:
                group.create_task(inspect(job_id))
