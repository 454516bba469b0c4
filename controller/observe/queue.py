"""Watches GitHub's queue for one source: every wanted repository at its own pace, under one budget.

Three modules: :mod:`.queue_schedule` decides when to look and for what, :mod:`.queue_runs` what the answers mean, and this
one does the asking. A look at one repository is a task of its own, so that a slow one delays no other; a failure is kept
with the repository it befell, and one that all share stops the source once.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

from controller.core.labels import covered, is_glob
from controller.core.model import Failure, GitHubSource, Observation, TokenEnd, WorkflowJob
from controller.core.reasons import Reason
from controller.observe.queue_runs import RepositoryRuns
from controller.observe.queue_schedule import (
    ALL_STATUSES,
    IN_PROGRESS,
    SOURCE_WIDE,
    Cadence,
    Gate,
    Heat,
    Pressure,
    Watch,
    back_off,
    due,
    fraction,
    interval,
    pressure,
    statuses,
)
from controller.ports import Clock, Queue, Quota, Repository, Run, UpstreamError

LONGEST_SLEEP = 30.0
"""Seconds after which the loop looks around without a reason: only so that a mistake of ours cannot stop it."""

SPREAD = 0.02
"""Seconds between the first looks at new repositories: 500 are spread over ten seconds, the newest pushes first."""

MENDED_AFTER = 3
"""Failures in a row after which an answer means that somebody has mended something."""

BROUGHT_FORWARD = 10
"""Repositories that are looked at at once when another one is mended; each of them brings as many forward if it is too."""

_log = logging.getLogger(__name__)


class Patterns(NamedTuple):
    """Which repositories one pool covers: lower-case globs over ``owner/repo``. A plain pair does as well."""

    include: tuple[str, ...]
    exclude: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class _Repository:
    watch: Watch
    runs: RepositoryRuns
    seen: Observation[WorkflowJob] | None = None
    looked_at: float | None = None
    """When the newest complete look was begun, monotonic: what was seen of single jobs may be older."""


class QueueObserver:
    """Keeps the unfinished workflow jobs of all wanted repositories of one source.

    Args:
        source: Whose repositories globs select from.
        queue: Its client.
        clock: Time.
        changed: Called when something that a planning pass may want to know is different.
        cadence: How often to look.
    """

    def __init__(
        self,
        *,
        source: GitHubSource,
        queue: Queue,
        clock: Clock,
        changed: Callable[[], None],
        cadence: Cadence | None = None,
    ) -> None:
        self._source = source
        self._queue = queue
        self._clock = clock
        self._changed = changed
        self._cadence = cadence or Cadence()
        self._wanted: frozenset[tuple[tuple[str, ...], tuple[str, ...]]] = frozenset()
        self._uses_globs = False
        self._repositories: dict[str, _Repository] = {}
        self._running = 0
        self._visible: Observation[str] | None = None
        self._pushed: dict[str, str] = {}
        self._discovery = Watch(name=f"{source.owner} (repositories)", next_at=clock.mono())
        self._gate = Gate()
        self._wake = asyncio.Event()
        self._view: Mapping[str, Observation[WorkflowJob]] | None = {}
        self._began = clock.mono()
        self._completed: dict[int, WorkflowJob] = {}
        self._followed: Collection[int] = ()
        self._server_ahead = (
            clock.wall() - clock.mono()
        )  # GitHub's clock, as far as we know, less our monotonic one

    # ------------------------------------------------------------------------------------------------ what callers see
    def want(self, patterns: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
        """Say which repositories matter from now on: pairs of included and excluded globs, see :class:`Patterns`.

        Cheap when nothing changed.
        """
        wanted = frozenset(patterns)
        if wanted == self._wanted:
            return
        self._wanted = wanted
        self._uses_globs = any(is_glob(glob) for include, _ in wanted for glob in include)
        self._resolve()

    def keep_hot(self, repositories: Iterable[str]) -> None:
        """Say where something of ours is at work: there it pays to look often."""
        now = self._clock.mono()
        for name in repositories:
            known = self._repositories.get(name)
            if known is not None:
                was = known.watch.heat(now)
                self._heat(known.watch, now)
                if was is not Heat.HOT:
                    self._hurry(known.watch, now)

    def follow(self, runs: Collection[int]) -> None:
        """Say which runs have queued jobs for which a runner of ours is there, or may come: there it pays to read often."""
        self._followed = runs

    @property
    def needs_a_person(self) -> bool:
        """Whether something fails that only a person can mend, for the source or for one of its repositories."""
        failures = [self._gate.failure, *(watch.failure for watch in self._watches())]
        return any(failure is not None and failure.lasting for failure in failures)

    def retry(self) -> None:
        """Ask again now whatever fails until a person has mended it: they may have."""
        now = self._clock.mono()
        self._gate.retry(now)
        self._bring_forward(now)

    def _bring_forward(self, now: float, most: int | None = None) -> None:
        """Look soon where a failure lasts, at no more of them than said: those first that were not looked at for the longest."""
        failing = [w for w in self._watches() if w.failure is not None and w.failure.lasting]
        failing.sort(key=lambda watch: (watch.looked_at, watch.name))
        for place, watch in enumerate(failing[:most]):
            watch.next_at = min(watch.next_at, now + place * SPREAD)
            watch.hinted = watch.running
        self._wake.set()

    def _hurry(self, watch: Watch, now: float) -> None:
        """Look soon, yet no sooner than a back-off allows."""
        soon = max(now, watch.looked_at + self._cadence.least)
        if not watch.failures and soon < watch.next_at:
            watch.next_at = soon
            self._wake.set()

    @property
    def failure(self) -> Failure | None:
        """What stops the whole source at present."""
        return self._gate.failure

    def repositories(self) -> Observation[str] | None:
        """Return the names that globs select from, or None where none was needed or answered yet."""
        if self._visible is None or not self._uses_globs:
            return None
        if self._gate.failure is not None and self._visible.failure is None:
            return replace(self._visible, failure=self._gate.failure)
        return self._visible

    def observations(self) -> Mapping[str, Observation[WorkflowJob]]:
        """Return the unfinished jobs by lower-case ``owner/repo``, without the repositories never read.

        While the source is stopped every view shows why: what is not refreshed must not look complete.
        """
        if self._view is None:
            stopped = self._gate.failure
            self._view = {
                name: replace(known.seen, failure=stopped) if stopped and known.seen.complete else known.seen
                for name, known in sorted(self._repositories.items())
                if known.seen is not None
            }
        return self._view

    def completed(self) -> tuple[WorkflowJob, ...]:
        """Return the workflow jobs of runners like ours that were seen completed and were not acknowledged yet."""
        return tuple(self._completed.values())

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Forget completed jobs that a pass has taken into account. Idempotent."""
        for job_id in ids:
            self._completed.pop(job_id, None)

    def poll_age(self) -> float:
        """Return how old the view is that matters most, in seconds.

        Of repositories where workflows are at work, the oldest complete look. Without any, the newest look at all, which
        proves that polling works: quiet repositories have their turn only every few minutes. Without that, the time since
        polling began.
        """
        now = self._clock.mono()
        looks = [
            (known.watch.heat(now) is Heat.HOT, known.looked_at)
            for known in self._repositories.values()
            if known.looked_at is not None
        ]
        hot = [asked_at for is_hot, asked_at in looks if is_hot]
        return now - (min(hot) if hot else max((at for _, at in looks), default=self._began))

    def quota(self) -> Quota | None:
        """Return what GitHub said last of the hourly quota."""
        return self._queue.quota()

    def token_end(self) -> TokenEnd | None:
        """Return what GitHub said last of the token's end."""
        return self._queue.token_end()

    # --------------------------------------------------------------------------------------------------------- the loop
    async def run(self) -> None:
        """Watch for ever."""
        async with asyncio.TaskGroup() as looks:
            while True:
                self._wake.clear()
                self._start(looks)
                try:
                    async with asyncio.timeout(self._pause()):
                        await self._wake.wait()
                except TimeoutError:
                    continue

    async def step(self) -> float:
        """Do what is due now, wait for it, and return the seconds until something is due again."""
        async with asyncio.TaskGroup() as looks:
            self._start(looks)
        return self._pause()

    def _start(self, looks: asyncio.TaskGroup) -> None:
        """Begin the looks that are due, as far as there are places."""
        now = self._clock.mono()
        places = self._places(now)
        ready = due(self._watches(), now, self._cadence, self._pressure()) if places > 0 else []
        if self._gate.failure is not None:
            ready.sort(
                key=lambda watch: watch.failures
            )  # who failed least knows best whether the source is back
        for watch in ready[:places]:
            watch.running = True
            self._running += 1
            look = looks.create_task(self._guarded(watch), name=f"look:{watch.name}")
            # Not in the task itself: one that is cancelled before its first step never gets to its end.
            look.add_done_callback(partial(self._ended, watch))

    def _ended(self, watch: Watch, _: asyncio.Task[None]) -> None:
        watch.running = False
        self._running -= 1
        self._wake.set()

    def _watches(self) -> list[Watch]:
        """Return all that is looked at: the list of repositories too, where one is needed."""
        watches = [known.watch for known in self._repositories.values()]
        return [self._discovery, *watches] if self._uses_globs else watches

    def _places(self, now: float) -> int:
        if self._gate.failure is not None:
            return 0 if now < self._gate.until or self._running else 1
        return self._cadence.polls - self._running

    def _pause(self) -> float:
        now = self._clock.mono()
        if self._gate.failure is not None and now < self._gate.until:
            return min(self._gate.until - now, LONGEST_SLEEP)
        if self._places(now) <= 0:
            return LONGEST_SLEEP  # whoever is running wakes the loop at its end
        last = self._pressure() is Pressure.LAST
        times = [
            watch.next_at
            for watch in self._watches()
            if not watch.running and not (last and watch.heat(now) is not Heat.HOT)
        ]
        return min(max(min(times, default=math.inf) - now, 0.0), LONGEST_SLEEP)

    async def _guarded(self, watch: Watch) -> None:
        """Take one look; whatever it meets stays with it."""
        known = self._repositories.get(watch.name)
        try:
            if watch is self._discovery:
                await self._discover()
            elif known is not None and known.watch is watch:
                await self._look(known)
        except UpstreamError as error:
            self._failed(watch, error.failure)
        except Exception as error:  # noqa: BLE001 -- one look's fault must not end all the others
            _log.exception("a look at %s failed in a way that the controller does not know", watch.name)
            message = f"{type(error).__name__} while looking at {watch.name}; see the log."
            self._failed(watch, Failure(reason=Reason.InternalError, message=message))

    # --------------------------------------------------------------------------------------------------------- one look
    async def _look(self, known: _Repository) -> None:
        watch, runs = known.watch, known.runs
        started = self._clock.mono()
        asked_for = statuses(watch, started, self._cadence, runs.statuses())
        if asked_for == ALL_STATUSES:
            watch.swept_at = started
        lists = {status: await self._runs(watch.name, status) for status in asked_for}
        if IN_PROGRESS not in lists and runs.lacks(lists):
            lists[IN_PROGRESS] = await self._runs(watch.name, IN_PROGRESS)
        if IN_PROGRESS in lists:
            watch.running_at = started
        watch.sweep_next = runs.listed(lists, self._clock.mono())
        reading, more = runs.to_read(self._clock.mono(), self._followed)
        async with asyncio.TaskGroup() as jobs:
            for run in reading:
                jobs.create_task(self._read(known, run))
        blocked = runs.blocked()
        if blocked is not None:
            raise UpstreamError(blocked)
        known.looked_at = started
        self._succeeded(known, more=more)

    async def _runs(self, repository: str, status: str) -> Observation[Run]:
        return await self._queue.runs(repository, status)

    async def _read(self, known: _Repository, run: Run) -> None:
        """Read the jobs of one run. Its failure is its own: the other runs of the repository are served all the same."""
        try:
            seen = await self._queue.jobs(known.watch.name, run)
        except UpstreamError as error:
            known.runs.unreadable(run, error.failure, self._clock.mono())
        else:
            known.runs.read(run, seen, self._clock.mono())

    def _succeeded(self, known: _Repository, *, more: bool) -> None:
        now = self._clock.mono()
        watch = known.watch
        seen = known.runs.observation()
        self._server_ahead = seen.server_time - seen.asked_at
        watch.looks += 1
        # What was refused a few times is granted: that may well be so elsewhere. An answer that comes and goes says nothing.
        mended = watch.failures >= MENDED_AFTER and watch.failure is not None and watch.failure.lasting
        watch.looked_at, watch.failures, watch.failure = now, 0, None
        if mended:
            self._bring_forward(now, most=BROUGHT_FORWARD)
        if known.runs.at_work:
            self._heat(watch, now)
        elif known.runs.waits:
            watch.warm_until = max(watch.warm_until, now + self._cadence.warm_for)
        if more or watch.hinted:
            pause = self._cadence.least if watch.hinted else 0.0
        else:
            pause = interval(watch, now, self._cadence, of=len(self._repositories), under=self._pressure())
        watch.hinted = False
        watch.next_at = now + pause
        opened = self._open_gate()
        before = known.seen
        known.seen = seen
        self._view = None
        self._completed.update((job.id, job) for job in known.runs.take_completed())
        if opened or before is None or before.failure is not None or before.items != seen.items:
            self._changed()

    def _failed(self, watch: Watch, failure: Failure) -> None:
        now = self._clock.mono()
        different = watch.failure is None or watch.failure.reason is not failure.reason
        watch.looked_at, watch.hinted = now, False
        watch.failures += 1
        watch.failure = failure
        if watch is self._discovery:
            self._visible = _still(self._visible, failure, now, now + self._server_ahead)
        else:
            known = self._repositories.get(watch.name)
            if known is not None and known.watch is watch:
                known.seen = _still(known.seen, failure, now, now + self._server_ahead)
        toggled = self._gate.failed(failure, now)
        closed = self._gate.failure is not None and now < self._gate.until
        # What all share the gate waits for; a wait of the repository's own on top would outlast it once it is over.
        watch.next_at = self._gate.until if closed else now + self._back_off(watch, failure)
        if toggled:
            about = {"reason": str(failure.reason), "detail": failure.message}
            _log.warning("polling GitHub pauses", extra={"owner": self._source.owner, **about})
        if failure.reason not in SOURCE_WIDE and failure.reason is not Reason.GitHubUnavailable:
            toggled |= self._open_gate()  # an answer about one repository: the source works
        self._view = None
        if different or toggled:
            self._changed()

    def _back_off(self, watch: Watch, failure: Failure) -> float:
        lasting = sum(w.failure is not None and w.failure.lasting for w in self._watches())
        return back_off(watch, failure, self._cadence, lasting=lasting)

    def _open_gate(self) -> bool:
        """Note that the source answers; return whether that is news."""
        if not self._gate.passed():
            return False
        _log.info("GitHub answers again", extra={"owner": self._source.owner})
        self._view = None
        return True

    # -------------------------------------------------------------------------------------------------- which there are
    async def _discover(self) -> None:
        found = await self._queue.repositories(self._source.owner)
        now = self._clock.mono()
        watch = self._discovery
        watch.looks += 1
        watch.looked_at, watch.failures, watch.failure = now, 0, None
        slower = 1.0 if self._pressure() is Pressure.NONE else 2.0
        spread = 1 + self._cadence.jitter * (2 * fraction(watch.name, watch.looks) - 1)
        watch.next_at = now + self._cadence.discovery * slower * spread
        names = {repository.full_name for repository in found.items if repository.usable}
        if found.failure is not None and self._visible is not None:
            names.update(self._visible.items)  # the list moved under us: absence means nothing
        before, self._visible = (
            self._visible,
            Observation(
                items=tuple(sorted(names)),
                asked_at=found.asked_at,
                server_time=found.server_time,
                failure=found.failure,
            ),
        )
        self._note_pushes(found.items, now)
        opened = self._open_gate()
        if before is None or (before.items, before.failure) != (self._visible.items, self._visible.failure):
            self._resolve()
        elif opened:
            self._changed()

    def _note_pushes(self, found: Iterable[Repository], now: float) -> None:
        """A push often brings a run: look soon at repositories pushed to since the last list."""
        pushed = {repository.full_name: repository.pushed_at for repository in found}
        for name, at in pushed.items():
            known = self._repositories.get(name)
            if known is not None and name in self._pushed and self._pushed[name] != at:
                self._heat(known.watch, now)
                self._hurry(known.watch, now)
        self._pushed = pushed

    def _resolve(self) -> None:
        """Watch what the patterns select, and nothing else."""
        visible = self._visible.items if self._visible else ()
        names = {name for include, exclude in self._wanted for name in covered(include, exclude, visible)}
        for name in set(self._repositories) - names:
            del self._repositories[name]
        now = self._clock.mono()
        new = sorted(names - set(self._repositories))
        new.sort(key=lambda name: self._pushed.get(name, ""), reverse=True)
        for place, name in enumerate(new):
            # As if swept some time ago: else 500 would be swept at the same time, and again an hour later.
            swept_at = now - fraction(name, "sweep") * self._cadence.cold_sweep
            watch = Watch(name=name, next_at=now + place * SPREAD, swept_at=swept_at)
            self._repositories[name] = _Repository(watch=watch, runs=RepositoryRuns())
        self._view = None
        self._wake.set()
        self._changed()

    # ----------------------------------------------------------------------------------------------------------- shared
    def _heat(self, watch: Watch, now: float) -> None:
        watch.hot_until = max(watch.hot_until, now + self._cadence.hot_for)
        watch.warm_until = max(watch.warm_until, now + self._cadence.warm_for)

    def _pressure(self) -> Pressure:
        return pressure(self._queue.quota(), self._clock.mono() + self._server_ahead)


def _still(
    seen: Observation[Any] | None, failure: Failure, now: float, server_time: float
) -> Observation[Any]:
    """Return the last view with a failure; an empty one where there was none."""
    if seen is None:
        return Observation(asked_at=now, server_time=server_time, failure=failure, answered=False)
    return replace(seen, failure=failure)
