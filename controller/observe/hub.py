"""What the Hub shows: live HF Jobs of one account with the end of each, and the hardware of one endpoint.

An HF Job is never concluded to have ended because one list lacks it: lists lag, and entries slip between pages. It stays in
the observation until an inspection proves its end. So the number of live jobs errs upwards, and never past ``maxRunners``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from controller.core.model import Failure, Flavor, HFJob, Observation, Stage
from controller.core.reasons import Reason
from controller.ports import Clock, Hardware, LiveJobs, UpstreamError

INTERVAL = 10.0
"""Seconds between lists while anything lives or is wanted: 30 of the 1,000 requests that a free account has per window
(hf-jobs.md §4)."""

IDLE_INTERVAL = 60.0
"""Seconds between lists otherwise: how long an orphan that nobody expects goes unseen, and at most what a failure costs."""

SPACING = 2.0
"""Least seconds between two lists, however often somebody asks for one."""

HARDWARE_INTERVAL, HARDWARE_RETRY = 3600.0, 60.0
"""Seconds between lists of hardware, and the first pause after one that failed; prices change a few times a year."""

INSPECTIONS, AT_ONCE = 100, 16
"""Inspections per step, and how many of them at a time: 1,000 runners that end together must not spend a whole window."""

TRIES = 6
"""Failed inspections, each against a complete list without the job, after which its end is called unknown."""

UNKNOWN_TWICE = 2
"""Answers "no such job" that count as its end; the first may come from a replica that has not seen it yet."""

REMEMBERED = 600.0
"""Seconds for which an ended job is not believed to live again, whatever an old list says."""

MOST_KNOWN = 20_000
"""Live jobs that are remembered of one account: twice what one list may hold. Only a Hub that makes jobs up, and says of each that
it lives, has more; new ones are not taken in then, and no list counts as complete, so that nothing is launched there."""

MOST_ENDED = 10_000
"""Ended jobs that are kept for a pass that accounts them. Passes do so within seconds, but for a pool that cannot be planned; of
more than these the oldest are forgotten, and with them their cost."""

_log = logging.getLogger(__name__)


_TOO_MANY = Failure(
    reason=Reason.HubMalformed,
    message=f"The Hub tells of more than {MOST_KNOWN:,} live HF Jobs of this account",
)


def _back_off(base: float, failures: int, most: float, failure: Failure) -> float:
    """Return seconds to wait after so many failures in a row; what the Hub asked for is the least."""
    doubled = base * (1 << min(failures - 1, 9))
    return max(min(doubled, max(base, most)), failure.retry_after or 0.0)


class _Pace:
    """When to look next."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._nudged = asyncio.Event()

    def nudge(self) -> None:
        self._nudged.set()

    async def pause(self, began: float, delay: float, least: float) -> None:
        """Wait until ``delay`` has passed since ``began``, or somebody nudges; at least until ``least`` has."""
        try:
            async with asyncio.timeout(max(0.0, began + delay - self._clock.mono())):
                await self._nudged.wait()
        except TimeoutError:
            pass
        rest = began + least - self._clock.mono()
        if rest > 0:
            await asyncio.sleep(rest)
        self._nudged.clear()


@dataclass(slots=True)
class _Known:
    """A job that lives as far as we know."""

    job: HFJob
    since: float
    misses: int = 0
    unknown: int = 0


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
        self._pace = _Pace(clock)
        self._hot = True
        self._seen: Observation[HFJob] | None = None
        self._known: dict[str, _Known] = {}
        self._ended: dict[str, HFJob] = {}
        self._over: dict[str, float] = {}
        self._failures = 0
        self._unchecked = 0
        self._began = clock.mono()

    # ------------------------------------------------------------------------------------------------ what it has seen
    @property
    def observation(self) -> Observation[HFJob] | None:
        """Live HF Jobs, or None before the first look ended; those whose end is not proved yet are among them."""
        if self._seen is None:
            return None
        jobs = sorted((known.job for known in self._known.values()), key=lambda job: (job.created_at, job.id))
        return replace(self._seen, items=tuple(jobs))

    def list_age(self) -> float:
        """Return the seconds since the newest complete list was asked for; without one, since there is this observer."""
        seen = self._seen
        return self._clock.mono() - (seen.asked_at if seen and seen.answered else self._began)

    def ended(self) -> tuple[HFJob, ...]:
        """Return the jobs that ended and were not acknowledged yet, oldest end first.

        Each has a terminal stage; ``DELETED`` also when the Hub knows the job no more, ``UNKNOWN`` when it left the list and
        could not be inspected. Asking takes nothing away: a pass that fails half-way sees them again.
        """
        return tuple(self._ended.values())

    def acknowledge(self, ids: Iterable[str]) -> None:
        """Forget ended jobs that a pass has taken into account. Idempotent."""
        for job_id in ids:
            self._ended.pop(job_id, None)

    # --------------------------------------------------------------------------------------------------- what it is told
    def note(self, job: HFJob) -> None:
        """Take in a job that was just launched: it counts from now on, and its end is not missed between two lists."""
        if job.id not in self._over:
            self._known.setdefault(job.id, _Known(job, since=self._clock.mono()))
            self._pace.nudge()

    def heat(self, *, hot: bool) -> None:
        """Say whether a pool of this account has demand; without any, and without jobs, lists come more rarely."""
        if hot and not self._hot:
            self._pace.nudge()
        self._hot = hot

    def retry(self) -> None:
        """Look soon: what a person had to mend may be mended."""
        self._failures = 0
        self._pace.nudge()

    # ----------------------------------------------------------------------------------------------------- what it does
    async def run(self) -> None:
        """Look for ever."""
        while True:
            began = self._clock.mono()
            try:
                delay = await self.step()
            except Exception:  # noqa: BLE001
                # A mistake of ours about one account's answer must not end the others' observers, nor look like an answer.
                _log.exception("Observing HF Jobs failed in a way that is not known")
                self._fail(Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning))
                delay = self._delay()
            await self._pace.pause(began, delay, SPACING)

    def _delay(self) -> float:
        failure = self._seen.failure if self._seen else None
        if failure is not None:
            return _back_off(self._interval, self._failures, self._idle_interval, failure)
        if self._unchecked:
            return SPACING
        return self._interval if self._hot or self._known else self._idle_interval

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
            believed = self._merge(listed)
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
        if self._seen is None:
            self._seen = Observation(
                asked_at=self._clock.mono(), server_time=self._clock.wall(), failure=failure, answered=False
            )
        self._seen = replace(self._seen, failure=failure)

    def _merge(self, listed: Observation[HFJob]) -> Observation[HFJob]:
        """Take in a list; return it as it may be believed."""
        forgotten = self._clock.mono() - REMEMBERED
        self._over = {job_id: at for job_id, at in self._over.items() if at > forgotten}
        for job in listed.items:
            if job.id in self._over:
                continue
            known = self._known.get(job.id)
            if known is None and len(self._known) >= MOST_KNOWN:
                listed = replace(listed, failure=listed.failure or _TOO_MANY)
                continue
            self._known[job.id] = _Known(job, since=known.since if known else listed.asked_at)
        return listed

    async def _inspect_missing(self, listed: Observation[HFJob]) -> None:
        """Inspect jobs that a complete list lacks although they were known before it was asked for."""
        shown = {job.id for job in listed.items}
        missing = [i for i, known in self._known.items() if i not in shown and known.since < listed.asked_at]
        self._unchecked = max(0, len(missing) - INSPECTIONS)
        slots = asyncio.Semaphore(AT_ONCE)

        async def inspect(job_id: str) -> None:
            async with slots:
                await self._inspect(job_id)

        async with asyncio.TaskGroup() as group:
            for job_id in missing[:INSPECTIONS]:
                group.create_task(inspect(job_id))

    async def _inspect(self, job_id: str) -> None:
        known = self._known[job_id]
        try:
            job = await self._hub.inspect(job_id)
        except UpstreamError as error:
            known.misses += 1
            if known.misses >= TRIES:
                words = f"It left the list of live jobs, and could not be inspected: {error.failure.message}"
                self._end(replace(known.job, stage=Stage.UNKNOWN, message=words), proved=False)
            return
        if job is None:
            known.unknown += 1
            if known.unknown >= UNKNOWN_TWICE:
                words = "The Hub knows the job no more."
                self._end(replace(known.job, stage=Stage.DELETED, message=words), proved=False)
        elif job.ended:
            self._end(job, proved=True)
        else:
            self._known[job_id] = _Known(job, since=known.since)

    def _end(self, job: HFJob, *, proved: bool) -> None:
        del self._known[job.id]
        self._ended[job.id] = job
        while len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]
        if proved:
            self._over[job.id] = self._clock.mono()


class FlavorObserver:
    """Watches the hardware of one endpoint; its last good list is kept while the Hub fails.

    Args:
        source: The endpoint.
        clock: Time.
        interval: Seconds between lists.
        retry: Seconds after a failure, doubled for each further one up to a quarter of the interval; and after a list that lacks
            what a pool names.
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
        self._pace = _Pace(clock)
        self._failures = 0
        self._wanted: frozenset[str] = frozenset()
        self.observation: Observation[Flavor] | None = None
        """The hardware, or None before the first look ended."""

    def want(self, flavors: Collection[str]) -> None:
        """Say which hardware pools name: what the last list lacks is looked for now, and then once in ``retry`` seconds.

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
            except Exception:  # noqa: BLE001 -- see HubObserver.run
                _log.exception("Observing hardware failed in a way that is not known")
                self._fail(Failure(reason=Reason.InternalError, message=Reason.InternalError.meaning))
                delay = self._delay()
            await self._pace.pause(began, delay, self._retry)

    def _delay(self) -> float:
        failure = self.observation.failure if self.observation else None
        if failure is None:
            return self._retry if self._lacks(self._wanted) else self._interval
        return _back_off(self._retry, self._failures, self._interval / 4, failure)

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
        if self.observation is None:
            self.observation = Observation(
                asked_at=self._clock.mono(), server_time=self._clock.wall(), failure=failure, answered=False
            )
        self.observation = replace(self.observation, failure=failure)
