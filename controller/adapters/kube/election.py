"""Who of several replicas may act: at most one at any instant (invariant 8), decided by a Lease and nobody's
wall clock.

The leader counts the age of its lease from the moment at which it *sent* the renewal that succeeded last, and
stops when that is older than ``renew_deadline``. A follower counts from the moment at which it *received* a
state of the Lease that it had not seen before, and takes over when that is longer ago than ``duration``. A
renewal is sent before it is received, so

    leader stops  =  sent + renew_deadline  <  sent + duration  <=  received + duration  <=  follower begins

whatever the network delays, however wrong the machines' clocks are, as long as they run about equally fast.
Each write names the version that it replaces, so of two followers one takes over, and a renewal that arrives
late replaces nobody.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeVar

from controller.adapters.kube.lease import Lease, LeaseConflict
from controller.ports import Clock, UpstreamError

log = logging.getLogger(__name__)

T = TypeVar("T")

FOLLOW_INTERVAL = 0.4
"""Seconds between two looks of a follower: a released lease is taken over within this and two requests."""

VACANT = "(nobody yet)"
"""Holder of a Lease that was just made. A missing Lease tells nothing about who leads: somebody may have
deleted it, and its holder notices only at its next renewal. So it is made for nobody, and whoever wants it
waits as if somebody had died; but not where no controller has ever done anything, as right after an
installation."""

LEAST_MARGIN = 1.0
"""Seconds that a leader stops before a follower may begin, at the least: requests that are on their way end
in it."""


class LeadershipLost(Exception):  # noqa: N818 - not a failure of ours
    """This process leads no more, and never will again; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """The three durations of an election, in seconds; the defaults are those of Kubernetes' own components.

    Attributes:
        duration: Without a change for as long, followers take over.
        renew_deadline: Age of the last renewal from which the leader acts no more.
        retry: Between two renewals.

    Raises:
        ValueError: They leave no margin.
    """

    duration: float = 15.0
    renew_deadline: float = 10.0
    retry: float = 2.0

    def __post_init__(self) -> None:
        if not 0 < 2 * self.retry <= self.renew_deadline:
            raise ValueError(
                "the renew deadline must leave time for two renewals: at least twice the retry period"
            )
        if self.duration - self.renew_deadline < LEAST_MARGIN:
            raise ValueError(
                f"the lease duration must exceed the renew deadline by at least {LEAST_MARGIN:g} s"
            )

    @property
    def call_timeout(self) -> float:
        """Seconds for one request: three may fail before the deadline."""
        return self.renew_deadline / 3


class Leases(Protocol):
    """The Lease that is competed for; see :class:`controller.adapters.kube.lease.KubernetesLeases`."""

    async def read(self) -> Lease | None:
        """Return it as it is now, None if there is none; raises ``UpstreamError``."""

    async def write(self, known: Lease | None, *, holder: str, seconds: float) -> Lease:
        """Replace the known state; raises ``LeaseConflict`` if that is not the newest, and
        ``UpstreamError``.
        """


async def _unknown() -> bool:
    return False


class Election:
    """One candidacy: :meth:`acquire`, then :meth:`keep` until it raises or is cancelled, then
    :meth:`release`.

    More than fifteen methods: following, leading and releasing share one state of the Lease, and the
    inequality above is about what one of them may believe that another has seen.

    Implements :class:`controller.ports.Leadership`. An instance leads at most once: who lost starts again as
    a new process, with nothing of its old term in memory.

    Args:
        leases: The Lease.
        identity: Ours; no process may ever have had it before.
        timing: Durations.
        clock: Only its ``mono`` is used; it must go on while the process is stopped.
        untouched: Asked where there is no Lease: returns whether no controller has ever looked at any pool.
            Then the Lease is made for this replica at once. What is left of the risk: somebody deletes the
            Lease of a leader that has no pools; for up to a retry period both lead, and have nothing to do; a
            pool that comes in that moment is guarded by its status, in which launches are written down before
            they begin. Raises ``UpstreamError`` where that cannot be told.
    """

    def __init__(
        self,
        *,
        leases: Leases,
        identity: str,
        timing: Timing,
        clock: Clock,
        untouched: Callable[[], Awaitable[bool]] = _unknown,
    ) -> None:
        self.identity = identity
        self.looked_at: float | None = None
        """Monotonic time of the last try to read or write the Lease, successful or not."""
        self.read_at: float | None = None
        """Monotonic time of the last answer to a follower's look."""
        self.known = False
        """The Lease has been read, or found missing, at least once."""
        self._leases = leases
        self._untouched = untouched
        self._timing = timing
        self._clock = clock
        self._renewed_at: float | None = None
        self._lease: Lease | None = None
        self._may_be_ours = False
        self._lost_because = ""
        # What a follower saw last, and when it saw that for the first time.
        self._seen: str | None = None
        self._changed_at = clock.mono()
        self._said = ""

    def holds(self) -> bool:
        """Return whether effects are allowed at this instant. Once False after True, it stays so."""
        return self._renewed_at is not None and self._age() < self._timing.renew_deadline

    @property
    def transitions(self) -> int:
        """How often the Lease had changed hands when this process got it; less only if it was deleted since,
        and made anew.
        """
        return self._lease.transitions if self._lease is not None else 0

    def led_after(self, moment: float) -> bool | None:
        """Return whether a renewal that was sent after this moment, in monotonic seconds, has succeeded."""
        return self._renewed_at is not None and self._renewed_at > moment

    def lose(self, why: str) -> None:
        """Refuse effects at once, and let :meth:`keep` raise soon: another process has decided something in a
        later term.
        """
        self._renewed_at = None
        self._lost_because = self._lost_because or why

    def _lost(self) -> LeadershipLost:
        return LeadershipLost(self._lost_because or f"the lease was not renewed for {self._age():.1f} s")

    def _age(self) -> float:
        return float("inf") if self._renewed_at is None else self._clock.mono() - self._renewed_at

    # ---------------------------------------------------------------------------------------------- following
    async def acquire(self) -> None:
        """Follow until this process leads. What the API server answers never ends it."""
        while not await self._look():  # noqa: ASYNC110 - polled: nobody in this process knows of the change
            await asyncio.sleep(FOLLOW_INTERVAL)
        self._say(logging.INFO, "leading", "this replica leads")

    async def _look(self) -> bool:
        """Look once and take the lease if it is free; return whether this process leads now."""
        asked_at = self._clock.mono()
        try:
            lease = await self._call(self._leases.read())
            self.known, self.read_at = True, self._clock.mono()
            first = lease is None and await self._call(self._untouched())
            if lease is None and not first:
                await self._call(self._leases.write(None, holder=VACANT, seconds=self._timing.duration))
                return False
            if lease is not None and not self._free(lease, asked_at):
                self._say(logging.INFO, "following", f"the lease is held by {lease.holder}")
                return False
            sent_at = self._clock.mono()
            self._may_be_ours = True
            self._lease = await self._call(self._claim(lease))
        except LeaseConflict:
            return False  # another was quicker, or our own lost try was: the next look tells
        except (UpstreamError, TimeoutError) as error:
            self._say(logging.WARNING, "lease out of reach", str(error) or "no answer in time")
            return False
        if self._clock.mono() - sent_at >= self._timing.renew_deadline:
            return False  # stopped meanwhile: the next look claims it anew
        self._renewed_at = sent_at
        return True

    def _free(self, lease: Lease, asked_at: float) -> bool:
        """Take note of what was read, and return whether it may be taken.

        The state was current at ``asked_at`` or later, so what matters is how long before that it was first
        seen. What is ours by a claim whose answer was lost is free: it replaced the very state that was found
        free, so nobody led in between.
        """
        if lease.version != self._seen:
            self._seen, self._changed_at = lease.version, self._clock.mono()
        if lease.holder in ("", self.identity):
            return True
        return asked_at - self._changed_at >= max(self._timing.duration, lease.seconds)

    # ------------------------------------------------------------------------------------------------ leading
    async def keep(self) -> NoReturn:
        """Renew until the lease is lost.

        Raises:
            LeadershipLost: Another holds it, or it could not be renewed in time. Effects are refused already.
        """
        tried_at = self._renewed_at or self._clock.mono()
        try:
            while True:
                rest = self._timing.renew_deadline - self._age()
                await asyncio.sleep(max(0.0, min(tried_at + self._timing.retry - self._clock.mono(), rest)))
                tried_at = self._clock.mono()
                if not self.holds():
                    raise self._lost()
                try:
                    await self._renew()
                except (UpstreamError, LeaseConflict, TimeoutError) as error:
                    self._say(logging.WARNING, "lease not renewed", str(error) or "no answer in time")
        finally:
            if not self.holds():
                self._renewed_at = None

    async def _renew(self) -> None:
        """Renew once. A conflict is not the end: it may be our own write whose answer was lost, or somebody's
        annotation.
        """
        sent_at, known = self._clock.mono(), self._lease
        try:
            written = await self._call(self._claim(known))
        except LeaseConflict:
            lease = await self._call(self._leases.read())
            if lease is None or lease.holder != self.identity:
                self._renewed_at = None
                self._may_be_ours = False
                raise LeadershipLost(
                    f"{lease.holder or 'nobody'} holds the lease now" if lease else "the lease was deleted"
                ) from None
            sent_at, known = self._clock.mono(), lease
            written = await self._call(self._claim(known))
        if known is not None and written.version == known.version:
            raise LeaseConflict("the write changed nothing, so nobody sees that we live: is the clock stuck?")
        # Not if we were stopped, or the answer took too long: others may have been told that we are gone.
        if not self.holds():
            raise self._lost()
        self._lease, self._renewed_at = written, sent_at
        self._say(logging.INFO, "leading", "this replica leads")

    def _claim(self, known: Lease | None) -> Awaitable[Lease]:
        return self._leases.write(known, holder=self.identity, seconds=self._timing.duration)

    async def _call(self, request: Awaitable[T]) -> T:
        """Await one request, but not beyond its own deadline nor that of the lease."""
        self.looked_at = self._clock.mono()
        rest = self._timing.renew_deadline - self._age() if self._renewed_at is not None else float("inf")
        async with asyncio.timeout(max(0.0, min(self._timing.call_timeout, rest))):
            return await request

    # ---------------------------------------------------------------------------------------------- releasing
    async def release(self) -> None:
        """Refuse effects at once, then let another take over without waiting. Never raises; idempotent.

        :meth:`keep` and :meth:`acquire` must have been cancelled, and every effect must have ended. A renewal
        that is still on its way does no harm: whichever arrives second conflicts.
        """
        self._renewed_at = None
        if not self._may_be_ours:
            return
        self._may_be_ours = False
        try:
            async with asyncio.timeout(self._timing.call_timeout):
                try:
                    await self._give_up(self._lease or await self._leases.read())
                except LeaseConflict:
                    await self._give_up(await self._leases.read())
        except (UpstreamError, LeaseConflict, TimeoutError) as error:
            wait = f"others take over {self._timing.duration:g} s after its last renewal"
            self._say(logging.WARNING, "lease not released", f"{str(error) or 'no answer in time'}; {wait}")

    async def _give_up(self, lease: Lease | None) -> None:
        if lease is not None and lease.holder == self.identity:
            await self._leases.write(lease, holder="", seconds=self._timing.duration)

    def _say(self, level: int, event: str, detail: str) -> None:
        """Log what changed, once."""
        if self._said != event + detail:
            self._said = event + detail
            log.log(level, event, extra={"identity": self.identity, "detail": detail})
