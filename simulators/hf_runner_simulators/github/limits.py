"""Rate limits: hourly buckets per credential, and points per minute."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from hf_runner_simulators.github.access import Access
from hf_runner_simulators.github.accounts import Accounts
from hf_runner_simulators.github.errors import RATE_LIMIT_DOCS, SECONDARY_LIMIT_DOCS, Refusal
from hf_runner_simulators.github.model import Caller
from hf_runner_simulators.github.state import Store

WINDOW_SECONDS = 3_600
ANONYMOUS_LIMIT = 60
MAX_INSTALLATION_LIMIT = 12_500
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
CORE = "core"
REGISTRATION = "actions_runner_registration"


@dataclass(slots=True)
class Bucket:
    """One hourly allowance; ``reset`` in epoch seconds, ``more`` is what the installation's
    size adds to it.
    """

    more: int
    reset: int
    limit: int = 0
    used: int = 0

    @property
    def remaining(self) -> int:
        """What is left until the reset."""
        return max(0, self.limit - self.used)


class _Points:
    """Points of the last minute."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, int]] = deque()
        self._sum = 0

    def add(self, now: float, points: int) -> None:
        self._recent.append((now, points))
        self._sum += points

    def spent(self, now: float) -> int:
        while self._recent and self._recent[0][0] <= now - 60:
            self._sum -= self._recent.popleft()[1]
        return self._sum


class Limits:
    """Counts requests; the HTTP face asks before it acts and charges afterwards, for a 304 is free."""

    def __init__(self, store: Store, accounts: Accounts, access: Access) -> None:
        self._store = store
        self._accounts = accounts
        self._access = access
        self._buckets: dict[tuple[str, int, str], Bucket] = {}
        self._points: dict[tuple[str, int], _Points] = {}

    def bucket(self, caller: Caller, resource: str) -> Bucket:
        """Return the caller's allowance of ``core`` or ``actions_runner_registration``,
        renewed when its hour is over.
        """
        if not self._store.knobs.registration_bucket:
            resource = CORE
        now = self._store.time.now
        key = (caller.kind, caller.id, resource)
        bucket = self._buckets.get(key)
        if bucket is None or now >= bucket.reset:
            bucket = Bucket(more=self._more(caller), reset=int(now) + WINDOW_SECONDS)
            self._buckets[key] = bucket
        bucket.limit = self._limit(caller, resource, bucket.more)
        return bucket

    def _limit(self, caller: Caller, resource: str, more: int) -> int:
        if resource == REGISTRATION:
            return self._store.knobs.registration_limit
        if caller.kind == "anonymous":
            return ANONYMOUS_LIMIT
        base = self._store.knobs.core_limit
        return max(base, min(MAX_INSTALLATION_LIMIT, base + more)) if more else base

    def _more(self, caller: Caller) -> int:
        row = self._accounts.installations.get(caller.id) if caller.kind == "installation" else None
        return 0 if row is None else 50 * max(0, len(self._access.installation_repositories(row)) - 20)

    def check(self, caller: Caller, resource: str, *, points: int, free: bool = False) -> None:
        """Refuse when an allowance is spent. Does not charge.

        Args:
            caller: Who asks.
            resource: Which hourly bucket.
            points: What the request costs of the minute's points.
            free: It costs nothing of the hourly bucket (``/rate_limit``).

        Raises:
            Refusal: 403 or 429, with ``Retry-After`` for the secondary limit where the knob says so.
        """
        knobs = self._store.knobs
        if not free and self.bucket(caller, resource).remaining == 0:
            who = {"installation": "installation ID", "user": "user ID", "app": "app ID"}.get(
                caller.kind, "your IP"
            )
            number = f" {caller.id}" if caller.id else ""
            message = f"API rate limit exceeded for {who}{number}."
            raise Refusal(knobs.primary_limit_status, message, docs=RATE_LIMIT_DOCS)
        if knobs.secondary_points_per_minute is None:
            return
        if self._spent(caller) + points > knobs.secondary_points_per_minute:
            wait = knobs.secondary_retry_after
            headers = {} if wait is None else {"Retry-After": str(wait)}
            raise Refusal(knobs.secondary_limit_status, SECONDARY, headers=headers, docs=SECONDARY_LIMIT_DOCS)

    def charge(self, caller: Caller, resource: str, *, points: int, requests: int = 1) -> None:
        """Book an answered request: ``requests`` is 0 for what is free of the hourly limit,
        ``points`` likewise.
        """
        self.bucket(caller, resource).used += requests
        if points:
            self._points.setdefault((caller.kind, caller.id), _Points()).add(self._store.time.now, points)

    def _spent(self, caller: Caller) -> int:
        recent = self._points.get((caller.kind, caller.id))
        return 0 if recent is None else recent.spent(self._store.time.now)

    def headers(self, caller: Caller, resource: str) -> dict[str, str]:
        """Return the ``x-ratelimit-*`` headers that every answer carries."""
        bucket = self.bucket(caller, resource)
        return {
            "X-RateLimit-Limit": str(bucket.limit),
            "X-RateLimit-Remaining": str(bucket.remaining),
            "X-RateLimit-Reset": str(bucket.reset),
            "X-RateLimit-Used": str(bucket.used),
            "X-RateLimit-Resource": resource if self._store.knobs.registration_bucket else CORE,
        }
