"""How fast we may ask: our own pace under the documented limits, and what GitHub said when it had enough of
us.

GitHub has two kinds of limits (github.md §1.5). The primary ones are hourly quotas, one per *resource*, which
every answer reports. The secondary ones are not reported: points per minute, requests at a time. So those are
kept by :class:`Pacer`, and :class:`Quotas` remembers refusals of either kind, so that nothing is sent that
would only be refused again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from controller.adapters.github.answer import Answer, shown_url
from controller.adapters.github.errors import RateLimitedError, mutates
from controller.adapters.github.turns import Line
from controller.adapters.github.wire import LARGE_AT_A_TIME, Request
from controller.adapters.incoming import LONGEST_WAIT
from controller.core.reasons import Reason
from controller.ports import Clock, Quota

POINTS_PER_MINUTE = 900
"""REST points per minute of one account: GET 1, mutations 5.
https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits"""

MAX_IN_FLIGHT = 16
"""Requests at a time of one account: GitHub allows 100 in all, and advises few."""

WINDOW = 60.0
"""Seconds over which points count."""

CORE = "core"
REGISTRATION = "actions_runner_registration"
"""Resource of ``generate-jitconfig``; where GitHub charges it elsewhere, its answers say so and we follow."""

LEAST_SHARE = 0.1
RECOVERY = 3_600.0
"""Share of the bound that is kept after any number of secondary limits, and seconds in which the whole of it
comes back."""

LEAST_POINTS = 6
"""Points per minute that let one effect and one read through, whatever their share."""

SECONDARY_FLOOR = 60.0
SECONDARY_CEILING = 900.0
"""Seconds to wait after a secondary limit that names no ``Retry-After``: the floor is GitHub's advice, then
doubled."""

MOST_RESOURCES = 32
"""Quotas that are told apart; GitHub has about fifteen."""

ODD_REFUSAL = 60.0
"""Seconds to leave one URL alone whose quota is said to be used up while the headers say that it is not."""


def points_per_minute(api_url: str, chosen: int | None) -> int | None:
    """Return the pace for one host.

    GitHub documents a limit of its own; an Enterprise Server has none unless its administrator wants one
    (github.md §1.5), and the client slows down when it meets it.
    """
    if chosen is not None:
        return chosen or None
    host = urlsplit(api_url).hostname or ""
    return POINTS_PER_MINUTE if host == "api.github.com" or host.endswith(".ghe.com") else None


def points(method: str) -> int:
    """Return what a request counts for the secondary limit."""
    return 5 if mutates(method) else 1


class Pacer:
    """Keeps the points of any minute, and the requests at a time, below a bound; effects go before reads.

    A request counts from its sending until a minute after its answer, so however long it was on its way,
    GitHub cannot see more points in a minute than the bound. Reads leave a sixth of the points and a quarter
    of the places to effects, so that a burst of polling, or ten hanging polls, never hold up a launch.

    Args:
        clock: Monotonic time.
        points_per_minute: The bound, or None where no limit is on (GitHub Enterprise Server by default).
        max_in_flight: Requests at a time; GitHub allows 100 for all clients together and advises few.
    """

    def __init__(self, *, clock: Clock, points_per_minute: int | None, max_in_flight: int) -> None:
        if max_in_flight < 2 or (points_per_minute is not None and points_per_minute < LEAST_POINTS):
            raise ValueError(f"a pacer needs at least 2 places and {LEAST_POINTS} points a minute")
        self._clock = clock
        self._places = (max_in_flight - max(1, max_in_flight // 4), max_in_flight)
        self._bound = points_per_minute
        self._share = 1.0
        self._slowed_at = 0.0
        self._in_flight = 0
        self._points_in_flight = 0
        self._answered: deque[tuple[float, int]] = deque()  # (counts until, points)
        self._points_answered = 0
        # One line for reads, one for effects: index 0 and 1 here and in the places.
        self._waiting: tuple[Line[tuple[int, asyncio.Future[None]]], ...] = (Line(), Line())
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def turn(self, *, cost: int, effect: bool, asker: Hashable = None) -> AsyncIterator[None]:
        """Wait until a request of ``cost`` points may be sent; the request is the context's body.

        Args:
            cost: Points.
            effect: Goes before all reads.
            asker: Who asks: several take turns, however much each of them asks for.
        """
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[effect].add(asker, (cost, granted))
        self._grant()
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():
                self._leave(cost)  # granted and cancelled in one turn of the loop: nothing was sent
            else:
                self._grant()
            raise
        try:
            yield
        finally:
            self._answered.append((self._clock.mono() + WINDOW, cost))
            self._points_answered += cost
            self._leave(cost)

    def slow_down(self) -> None:
        """Halve the bound, which comes back within :data:`RECOVERY`.

        GitHub met a limit although the bound was kept: others use up the same limit, or it is lower than
        documented.
        """
        self._share = max(self._present_share() / 2, LEAST_SHARE)
        self._slowed_at = self._clock.mono()

    def _present_share(self) -> float:
        return min(1.0, self._share + (self._clock.mono() - self._slowed_at) / RECOVERY)

    def _leave(self, cost: int) -> None:
        self._in_flight -= 1
        self._points_in_flight -= cost
        self._grant()

    def _fits(self, cost: int, kind: int) -> bool:
        if self._in_flight >= self._places[kind]:
            return False
        if self._bound is None:
            return True
        used = self._points_in_flight + self._points_answered
        bound = max(self._bound * self._present_share(), LEAST_POINTS)
        return used + cost <= (bound if kind else bound * 5 / 6)

    def _grant(self) -> None:
        """Let go whoever may go now: effects first, each asker's in their order."""
        now = self._clock.mono()
        while self._answered and self._answered[0][0] <= now:
            self._points_answered -= self._answered.popleft()[1]
        for kind in (1, 0):
            line = self._waiting[kind]
            while line and (line.first()[1].cancelled() or self._fits(line.first()[0], kind)):
                cost, granted = line.take()
                if granted.cancelled():
                    continue
                self._in_flight += 1
                self._points_in_flight += cost
                granted.set_result(None)
            if line:
                self._come_back(now)
                return

    def _come_back(self, now: float) -> None:
        """Look again when the oldest points lapse; a place that becomes free looks again by itself."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._answered:
            # At least a millisecond, so that a loop whose timers are coarser than the clock does not spin.
            delay = max(self._answered[0][0] - now, 0.001)
            self._timer = asyncio.get_running_loop().call_later(delay, self._grant)


class Quotas:
    """What GitHub's answers said about its limits.

    Args:
        clock: Monotonic time.
        slow_down: Called at each secondary limit.
    """

    def __init__(self, *, clock: Clock, slow_down: Callable[[], None]) -> None:
        self._clock = clock
        self._slow_down = slow_down
        self._by_resource: dict[str, Quota] = {}
        self._until: dict[str, float] = {}  # resource -> monotonic time of its reset, while it is used up
        self._charged_to = {False: CORE, True: REGISTRATION}
        self._registrations_until = 0.0
        self._pause_set_at = 0.0
        self._paused_until = 0.0
        self._strikes = 0

    def quota(self) -> Quota | None:
        """Return the newest word on the ``core`` quota."""
        return self._by_resource.get(CORE)

    def check(self, *, method: str, url: str, registration: bool) -> None:
        """Refuse a request that GitHub would refuse.

        Args:
            method: Of the request.
            url: Where it is to go, as it would be sent.
            registration: It is charged to the quota for registrations.

        Raises:
            RateLimitedError: Nothing was sent.
        """
        now = self._clock.mono()
        if now < self._paused_until:
            raise _secondary(self._paused_until - now, method=method, url=shown_url(url))
        resource = self._charged_to[registration]
        if now < self._until.get(resource, 0.0):
            raise self._used_up(resource, method=method, url=shown_url(url))
        if registration and now < self._registrations_until:
            wait = self._registrations_until - now
            raise _too_many_registrations(wait, method=method, url=shown_url(url))

    def learn(self, answer: Answer, *, registration: bool) -> RateLimitedError | None:
        """Take in an answer's headers; return the error if it is a refusal for a limit's sake."""
        self._read_headers(answer, registration=registration)
        if answer.status not in (403, 429):
            if answer.status < 400 and answer.asked_at >= self._paused_until:
                self._strikes = 0
            return None
        said = answer.message.lower()
        if "secondary rate limit" in said or "abuse detection" in said:
            return self._pause(answer)
        if answer.used_up and ("rate limit" in said or answer.status == 429):
            resource = self._charged_to[registration]
            now = self._clock.mono()
            if self._until.get(resource, 0.0) <= now:  # the headers did not say until when
                self._until[resource] = now + SECONDARY_FLOOR
            return self._used_up(resource, method=answer.method, url=answer.url, answer=answer)
        told = answer.retry_after
        if registration and answer.status == 429:
            # 1,500 registrations per five minutes and owner (github.md §1.5): no reason to stop polling.
            wait = SECONDARY_FLOOR if told is None else told
            self._registrations_until = self._clock.mono() + wait
            return _too_many_registrations(wait, method=answer.method, url=answer.url, answer=answer)
        if told is not None or answer.status == 429:
            return self._pause(answer)
        if "rate limit" in said:
            return _odd(answer)
        return None

    def _read_headers(self, answer: Answer, *, registration: bool) -> None:
        if answer.quota is None:
            return
        limit, remaining, reset = answer.quota
        resource = answer.resource or CORE
        if resource not in self._by_resource and len(self._by_resource) >= MOST_RESOURCES:
            resource = CORE
        self._charged_to[registration] = resource
        known = self._by_resource.get(resource)
        if known is not None and known.resets_at == reset:
            remaining = min(remaining, known.remaining)  # answers may overtake each other
        self._by_resource[resource] = Quota(limit=limit, remaining=remaining, resets_at=reset)
        if remaining > 0:
            self._until.pop(resource, None)
            return
        wait = min(max(reset - answer.server_time, 0.0) + 1.0, LONGEST_WAIT)
        self._until[resource] = self._clock.mono() + wait

    def _used_up(
        self, resource: str, *, method: str, url: str, answer: Answer | None = None
    ) -> RateLimitedError:
        wait = max(0.0, self._until[resource] - self._clock.mono())
        known = self._by_resource.get(resource)
        text = f"GitHub's quota {resource!r}"
        if known is not None:
            reset = datetime.fromtimestamp(known.resets_at, UTC)
            text += f" of {known.limit} requests is used up until {reset:%H:%M:%S} UTC"
        else:
            text += " is used up"
        return RateLimitedError(
            f"{text}; calls wait.", method=method, url=url, answer=answer, retry_after=wait
        )

    def _pause(self, answer: Answer) -> RateLimitedError:
        """Note a secondary limit: the whole source waits.

        Several requests may be on their way when the limit strikes: their refusals are one strike, not many.
        """
        now = self._clock.mono()
        if answer.asked_at >= self._pause_set_at:
            self._strikes += 1
            self._pause_set_at = now
            self._slow_down()
        told = answer.retry_after
        own = min(SECONDARY_FLOOR * 2.0 ** min(self._strikes - 1, 16), SECONDARY_CEILING)
        wait = own if told is None else max(told, 1.0)
        self._paused_until = max(self._paused_until, now + wait)
        return _secondary(self._paused_until - now, method=answer.method, url=answer.url, answer=answer)


class Limits:
    """The limits of one account at one GitHub: whoever asks with its credentials stays below them together.

    Args:
        clock: Monotonic time.
        points_per_minute: See :class:`Pacer`.
        max_in_flight: See :class:`Pacer`.
    """

    def __init__(self, *, clock: Clock, points_per_minute: int | None, max_in_flight: int) -> None:
        self.pacer = Pacer(clock=clock, points_per_minute=points_per_minute, max_in_flight=max_in_flight)
        self.quotas = Quotas(clock=clock, slow_down=self.pacer.slow_down)
        self.large = asyncio.Semaphore(LARGE_AT_A_TIME)
        """Held while a large answer is in hand."""

    def check(self, request: Request) -> None:
        """Refuse a request that GitHub would refuse, see :meth:`Quotas.check`."""
        self.quotas.check(method=request.method, url=request.url, registration=request.registration)


class Shares:
    """The limits of all accounts that are in use, by account.

    GitHub counts per installation or per user, not per Secret: two Secrets that lead to one installation have
    one quota, so they have one :class:`Limits` here, and take turns. It lives as long as anybody uses it.
    """

    def __init__(self) -> None:
        self._limits: WeakValueDictionary[str, Limits] = WeakValueDictionary()

    def of(self, account: str, new: Callable[[], Limits]) -> Limits:
        """Return the limits of an account, made by ``new`` at the first call.

        Args:
            account: Host and account, as GitHub confirmed it: a Secret may claim what it likes.
            new: Makes limits.
        """
        found = self._limits.get(account)
        if found is None:
            found = self._limits[account] = new()
        return found


def _secondary(wait: float, *, method: str, url: str, answer: Answer | None = None) -> RateLimitedError:
    return RateLimitedError(
        f"GitHub asked for fewer requests; all calls with these credentials wait {wait:.0f} s.",
        method=method,
        url=url,
        answer=answer,
        reason=Reason.GitHubSecondaryLimit,
        retry_after=wait,
    )


def _too_many_registrations(
    wait: float, *, method: str, url: str, answer: Answer | None = None
) -> RateLimitedError:
    return RateLimitedError(
        f"GitHub wants no more runner registrations for now; the next ones wait {wait:.0f} s.",
        method=method,
        url=url,
        answer=answer,
        retry_after=wait,
    )


def _odd(answer: Answer) -> RateLimitedError:
    """One URL is refused for a quota that is not used up (seen on runs lists, github.md §1.5): no reason to
    stop the rest.
    """
    return RateLimitedError(
        f"{answer.method} {answer.url} was refused for a rate limit ({answer.message}) although quota is left; "
        "this URL waits.",
        method=answer.method,
        url=answer.url,
        answer=answer,
        reason=Reason.GitHubForbidden,
        retry_after=ODD_REFUSAL,
    )
