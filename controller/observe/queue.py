"""Watches GitHub's queue for one source: every wanted repository at its own pace, under one budget.

:mod:`.queue_schedule` decides when to look and for what, :mod:`.queue_loop` begins the looks,
:mod:`.queue_look` takes one, :mod:`.queue_runs` knows what the answers mean, :mod:`.queue_discovery` which
repositories there are. This one keeps them together: a failure is kept with the repository it befell, and one
that all share stops the source once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from controller.core.model import Failure, GitHubSource, Observation, TokenEnd, WorkflowJob
from controller.core.reasons import Reason
from controller.observe.failed import still_seen
from controller.observe.queue_discovery import Discovery
from controller.observe.queue_look import RepositoryView
from controller.observe.queue_loop import LookLoop
from controller.observe.queue_runs import RepositoryRuns
from controller.observe.queue_schedule import (
    SOURCE_WIDE,
    Cadence,
    Gate,
    Heat,
    Pressure,
    Watch,
    back_off,
    fraction,
    interval,
    pressure,
)
from controller.ports import Clock, Queue, Quota, UpstreamError

SPREAD = 0.02
"""Seconds between the first looks at new repositories: 500 are spread over ten seconds, the
newest pushes first."""

MENDED_AFTER = 3
"""Failures in a row after which an answer means that somebody has mended something."""

BROUGHT_FORWARD = 10
"""Repositories that are looked at at once when another one is mended; each of them brings as
many forward if it is too."""

_log = logging.getLogger(__name__)


class QueueObserver:
    """Keeps the unfinished workflow jobs of all wanted repositories of one source.

    It has more than fifteen methods because a dozen are what planning, measuring and mending ask of a
    queue, a line or two each.

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
        self._discovery = Discovery(owner=source.owner, queue=queue, clock=clock, cadence=self._cadence)
        self._repositories: dict[str, RepositoryView] = {}
        self._gate = Gate()
        self._loop = LookLoop(
            clock=clock,
            cadence=self._cadence,
            gate=self._gate,
            watches=self._watches,
            pressure=self._pressure,
            look=self._guarded,
        )
        self._view: Mapping[str, Observation[WorkflowJob]] | None = {}
        self._began = clock.mono()
        self._completed: dict[int, WorkflowJob] = {}
        self._followed: Collection[int] = ()
        # GitHub's clock, as far as we know, less our monotonic one.
        self._server_ahead = clock.wall() - clock.mono()

    # --------------------------------------------------------------------------------------- what callers see
    def want(self, patterns: Iterable[tuple[tuple[str, ...], tuple[str, ...]]]) -> None:
        """Say which repositories matter from now on. Cheap when nothing changed.

        Args:
            patterns: Pairs of included and excluded globs
                (:class:`controller.observe.queue_discovery.Patterns`).
        """
        if self._discovery.want(patterns):
            self._resolve()

    def mark_hot(self, repositories: Iterable[str]) -> None:
        """Say where something of ours is at work: there it pays to look often."""
        now = self._clock.mono()
        for name in repositories:
            known = self._repositories.get(name)
            if known is not None:
                was = known.watch.heat(now)
                self._mark_hot(known.watch, now)
                if was is not Heat.HOT:
                    self._hurry(known.watch, now)

    def follow(self, runs: Collection[int]) -> None:
        """Say which runs have queued jobs for which a runner of ours is there, or may come:
        there it pays to read often.
        """
        self._followed = runs

    @property
    def needs_a_person(self) -> bool:
        """Whether something fails that only a person can mend, for the source or for one of
        its repositories.
        """
        failures = [self._gate.failure, *(watch.failure for watch in self._watches())]
        return any(failure is not None and failure.lasting for failure in failures)

    def retry(self) -> None:
        """Ask again now whatever fails until a person has mended it: they may have."""
        now = self._clock.mono()
        self._gate.retry(now)
        self._bring_forward(now)

    def _bring_forward(self, now: float, most: int | None = None) -> None:
        """Look soon where a failure lasts, at no more of them than said: those first that were not
        looked at for the longest.
        """
        failing = [w for w in self._watches() if w.failure is not None and w.failure.lasting]
        failing.sort(key=lambda watch: (watch.looked_at, watch.name))
        for place, watch in enumerate(failing[:most]):
            watch.next_at = min(watch.next_at, now + place * SPREAD)
            watch.hinted = watch.running
        self._loop.wake()

    def _hurry(self, watch: Watch, now: float) -> None:
        """Look soon, yet no sooner than a back-off allows."""
        soon = max(now, watch.looked_at + self._cadence.least)
        if not watch.failures and soon < watch.next_at:
            watch.next_at = soon
            self._loop.wake()

    @property
    def failure(self) -> Failure | None:
        """What stops the whole source at present."""
        return self._gate.failure

    def repositories(self) -> Observation[str] | None:
        """Return the names that globs select from, or None where none was needed or answered yet."""
        return self._discovery.observation(self._gate.failure)

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
        """Return the workflow jobs of runners like ours that were seen completed and were
        not acknowledged yet.
        """
        return tuple(self._completed.values())

    def acknowledge(self, ids: Iterable[int]) -> None:
        """Forget completed jobs that a pass has taken into account. Idempotent."""
        for job_id in ids:
            self._completed.pop(job_id, None)

    def poll_age(self) -> float:
        """Return how old the view is that matters most, in seconds.

        Of repositories where workflows are at work, the oldest complete look. Without any, the newest look at
        all, which proves that polling works: quiet repositories have their turn only every few minutes.
        Without that, the time since polling began.
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

    # ----------------------------------------------------------------------------------------------- the loop
    async def run(self) -> None:
        """Watch for ever."""
        await self._loop.run()

    async def step(self) -> float:
        """Do what is due now, wait for it, and return the seconds until something is due again."""
        return await self._loop.step()

    def _watches(self) -> list[Watch]:
        """Return all that is looked at: the list of repositories too, where one is needed."""
        watches = [known.watch for known in self._repositories.values()]
        return [self._discovery.watch, *watches] if self._discovery.needed else watches

    async def _guarded(self, watch: Watch) -> None:
        """Take one look; whatever it meets stays with it."""
        known = self._repositories.get(watch.name)
        try:
            if watch is self._discovery.watch:
                await self._discover()
            elif known is not None and known.watch is watch:
                more = await known.look(
                    queue=self._queue, clock=self._clock, cadence=self._cadence, followed=self._followed
                )
                self._succeeded(known, more=more)
        except UpstreamError as error:
            self._failed(watch, error.failure)
        except Exception as error:  # noqa: BLE001 -- one look's fault must not end all the others
            _log.exception("a look at %s failed in a way that the controller does not know", watch.name)
            message = f"{type(error).__name__} while looking at {watch.name}; see the log."
            self._failed(watch, Failure(reason=Reason.InternalError, message=message))

    # ----------------------------------------------------------------------------------------------- one look
    def _succeeded(self, known: RepositoryView, *, more: bool) -> None:
        now = self._clock.mono()
        watch = known.watch
        seen = known.runs.observation()
        self._server_ahead = seen.server_time - seen.asked_at
        watch.looks += 1
        # What was refused a few times is granted: that may well be so elsewhere. An answer that
        # comes and goes says nothing.
        mended = watch.failures >= MENDED_AFTER and watch.failure is not None and watch.failure.lasting
        watch.looked_at, watch.failures, watch.failure = now, 0, None
        if mended:
            self._bring_forward(now, most=BROUGHT_FORWARD)
        if known.runs.at_work:
            self._mark_hot(watch, now)
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
        if watch is self._discovery.watch:
            self._discovery.failed(failure, now, now + self._server_ahead)
        else:
            known = self._repositories.get(watch.name)
            if known is not None and known.watch is watch:
                known.seen = still_seen(
                    known.seen, failure, asked_at=now, server_time=now + self._server_ahead
                )
        toggled = self._gate.failed(failure, now)
        closed = self._gate.failure is not None and now < self._gate.until
        # What all share the gate waits for; a wait of the repository's own on top would outlast it
        # once it is over.
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

    # ---------------------------------------------------------------------------------------- which there are
    async def _discover(self) -> None:
        found = await self._discovery.look(self._pressure)
        now = self._clock.mono()
        for name in found.pushed:
            if (known := self._repositories.get(name)) is not None:
                self._mark_hot(known.watch, now)
                self._hurry(known.watch, now)
        opened = self._open_gate()
        if found.different:
            self._resolve()
        elif opened:
            self._changed()

    def _resolve(self) -> None:
        """Watch what the patterns select, and nothing else."""
        names = self._discovery.selected()
        for name in set(self._repositories) - names:
            del self._repositories[name]
        now = self._clock.mono()
        new = self._discovery.newest_first(names - set(self._repositories))
        for place, name in enumerate(new):
            # As if swept some time ago: else 500 would be swept at the same time, and again an hour later.
            swept_at = now - fraction(name, "sweep") * self._cadence.cold_sweep
            watch = Watch(name=name, next_at=now + place * SPREAD, swept_at=swept_at)
            self._repositories[name] = RepositoryView(watch=watch, runs=RepositoryRuns())
        self._view = None
        self._loop.wake()
        self._changed()

    # ------------------------------------------------------------------------------------------------- shared
    def _mark_hot(self, watch: Watch, now: float) -> None:
        watch.hot_until = max(watch.hot_until, now + self._cadence.hot_for)
        watch.warm_until = max(watch.warm_until, now + self._cadence.warm_for)

    def _pressure(self) -> Pressure:
        return pressure(self._queue.quota(), self._clock.mono() + self._server_ahead)
