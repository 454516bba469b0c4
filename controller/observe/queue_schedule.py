"""When to look at which repository, and for what: the pure half of :mod:`controller.observe.queue`.

A repository is *hot* while its workflows are at work, *warm* for some hours after, and *cold* otherwise.
What limits us is not the quota, since an unchanged list is free of it
(docs/facts.md#unchanged-answers-are-free), but the requests per minute (docs/facts.md#rate-limits).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from hashlib import blake2b
from typing import ClassVar

from controller.core.model import Failure
from controller.core.reasons import Reason
from controller.ports import Quota

QUEUED, IN_PROGRESS, PENDING = "queued", "in_progress", "pending"
ALL_STATUSES = ("requested", "waiting", PENDING, QUEUED, IN_PROGRESS)
"""Statuses of runs that are not completed, in the order of a run's life: lists that are read in this order
cannot lose a run that moves on meanwhile."""

LISTS = 2
"""Lists of runs that a look takes at most as a rule: queued and in_progress."""

SOURCE_WIDE = frozenset(
    {
        Reason.GitHubUnauthorized,
        Reason.AppNotInstalled,
        Reason.AppSuspended,
        Reason.GitHubRateLimited,
        Reason.GitHubSecondaryLimit,
        Reason.SecretMissing,
        Reason.SecretForbidden,
        Reason.SecretMalformed,
        Reason.KubernetesForbidden,
        Reason.KubernetesUnavailable,
    }
)
"""Failures that every other repository of the source would meet too."""


class Heat(IntEnum):
    """How often a repository is looked at; lower goes first."""

    HOT = 0
    WARM = 1
    COLD = 2


class Pressure(Enum):
    """How much of the hourly quota is left."""

    NONE = "half or more"
    HALF = "less than half: look half as often"
    LAST = "less than a tenth: look at hot repositories only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """Seconds, unless said otherwise.

    Attributes:
        hot: Between two looks at a hot repository.
        warm: At a warm one.
        cold: At a cold one, when there are many.
        cold_per_minute: Requests per minute that quiet repositories may cost together. Few are
            therefore looked at more often, at most as often as hot ones: ten every 12 seconds, 60 every
            minute, 300 and more every five.
        jitter: Share by which an interval varies, so that repositories spread.
        hot_for: After the last sign of work.
        warm_for: After the last sign of work.
        pending_every: Looks, of which one asks for pending runs too.
        running_every: Least time between two lists of runs in progress while some run is
            known to be unfinished.
        idle_every: The same while none is, and none was for :attr:`hot_for`.
        sweep: Between two looks for runs of every status.
        cold_sweep: The same for a cold repository.
        discovery: Between two lists of repositories.
        least: Between two looks at one repository, whatever hints come in.
        retry: First wait after a failure, then doubled.
        retry_at_most: Longest wait after a failure that may pass by itself.
        retry_person: Longest wait after one that a person must mend, where few repositories
            have such a failure.
        person_per_minute: Requests per minute that such repositories may cost together; with more of
            them each waits longer, and the first that answers again brings the others forward. Refusals
            are never free of the quota.
        retry_person_at_most: Longest wait however many they are.
        polls: Repositories looked at at a time.
    """

    hot: float = 12.0
    warm: float = 60.0
    cold: float = 300.0
    cold_per_minute: int = 120
    jitter: float = 0.2
    hot_for: float = 600.0
    warm_for: float = 6 * 3_600.0
    pending_every: int = 4
    running_every: float = 18.0
    idle_every: float = 42.0
    sweep: float = 600.0
    cold_sweep: float = 3_600.0
    discovery: float = 300.0
    least: float = 2.0
    retry: float = 15.0
    retry_at_most: float = 120.0
    retry_person: float = 50.0
    person_per_minute: int = 10
    retry_person_at_most: float = 900.0
    polls: int = 12


@dataclass(slots=True, kw_only=True)
class Watch:
    """One repository's place in the schedule; times are monotonic seconds.

    Attributes:
        name: Lower-case ``owner/repo``.
        next_at: When to look next.
        hot_until: See :class:`Heat`.
        warm_until: See :class:`Heat`.
        looks: How often it was looked at.
        looked_at: When last.
        swept_at: When last for runs of every status.
        running_at: When last for runs in progress.
        sweep_next: The next look must be for every status: a run is missing.
        failures: In a row.
        failure: Why the last look failed.
        running: A look is under way.
        hinted: Somebody asked for a look while one was under way.
    """

    name: str
    next_at: float
    hot_until: float = -math.inf
    warm_until: float = -math.inf
    looks: int = 0
    looked_at: float = -math.inf
    swept_at: float = -math.inf
    running_at: float = -math.inf
    sweep_next: bool = False
    failures: int = 0
    failure: Failure | None = None
    running: bool = False
    hinted: bool = False

    def heat(self, now: float) -> Heat:
        """Return how often to look."""
        if now < self.hot_until:
            return Heat.HOT
        return Heat.WARM if now < self.warm_until else Heat.COLD


def fraction(*key: object) -> float:
    """Return a number in [0, 1) that only depends on the key: jitter without randomness."""
    digest = blake2b("|".join(map(str, key)).encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def pressure(quota: Quota | None, server_now: float) -> Pressure:
    """Return how much is left; nothing is known of a window that has ended."""
    if quota is None or quota.limit <= 0 or server_now >= quota.resets_at:
        return Pressure.NONE
    left = quota.remaining / quota.limit
    if left < 0.1:
        return Pressure.LAST
    return Pressure.HALF if left < 0.5 else Pressure.NONE


def statuses(watch: Watch, now: float, cadence: Cadence, known: Iterable[str]) -> tuple[str, ...]:
    """Return the statuses to ask for, one request each.

    Queued runs hold the demand and in_progress ones the running jobs, and each may hold the other's
    (docs/facts.md#run-status-precedence). The list of queued runs is asked for at every look, and tells
    nearly all: a run with a queued job reads ``queued`` whatever its other jobs do, in every sample that we
    have. That is no promise of GitHub's, so runs in progress are listed too, two to four times less often;
    and at once where a known run has left the lists that were asked for
    (:meth:`~controller.observe.queue_runs.RepositoryRuns.lacks`), so that none is lost from sight by changing
    from one status to another. Between two jobs of a workflow no run need be known: a repository that was at
    work a moment ago is asked for both at every look.
    """
    period = cadence.cold_sweep if watch.heat(now) is Heat.COLD else cadence.sweep
    if watch.sweep_next or now - watch.swept_at >= period:
        return ALL_STATUSES
    statuses_known = set(known)
    wanted = {QUEUED, *statuses_known} - {IN_PROGRESS}
    if now - watch.running_at >= _running_every(watch, now, cadence, known=bool(statuses_known)):
        wanted.add(IN_PROGRESS)
    if watch.looks % cadence.pending_every == 0:
        wanted.add(PENDING)
    return tuple(s for s in ALL_STATUSES if s in wanted)


def _running_every(watch: Watch, now: float, cadence: Cadence, *, known: bool) -> float:
    """Return the least seconds between two lists of runs in progress."""
    if known:
        return cadence.running_every
    return 0.0 if watch.heat(now) is Heat.HOT else cadence.idle_every


def interval(watch: Watch, now: float, cadence: Cadence, *, of: int, under: Pressure) -> float:
    """Return the seconds from one look to the next.

    Args:
        watch: The repository.
        now: Monotonic seconds.
        cadence: Settings.
        of: How many repositories there are.
        under: How much quota is left.
    """
    base = base_interval(watch.heat(now), cadence, of=of)
    if under is not Pressure.NONE:
        base *= 2
    if watch.looks <= 1 and base > cadence.hot:
        # All that are there at a start are first looked at together. From then on each has its own place in
        # the interval: jitter alone would leave them a crowd for hours.
        return max(cadence.least, base * fraction(watch.name, "place"))
    return base * (1 + cadence.jitter * (2 * fraction(watch.name, watch.looks) - 1))


def base_interval(heat: Heat, cadence: Cadence, *, of: int) -> float:
    """Return the seconds between two looks at one of ``of`` repositories, but for jitter and pressure."""
    # Few quiet repositories are looked at as often as busy ones: somebody with ten should not
    # wait minutes for a first job.
    requests = LISTS * of
    affordable = max(cadence.hot, 60.0 * requests / cadence.cold_per_minute)
    return {
        Heat.HOT: cadence.hot,
        Heat.WARM: min(cadence.warm, affordable),
        Heat.COLD: min(cadence.cold, affordable),
    }[heat]


def requests_per_hour(repositories: int, heat: Heat) -> float:
    """Return how many lists of runs so many repositories take, if all are as hot; lists of
    jobs come on top.
    """
    cadence = Cadence()
    between = base_interval(heat, cadence, of=repositories)
    running = between if heat is Heat.HOT else between * math.ceil(cadence.idle_every / between)
    return repositories * 3_600.0 * (1 / between + 1 / running)


def back_off(watch: Watch, failure: Failure, cadence: Cadence, *, lasting: int = 1) -> float:
    """Return the seconds to leave a repository alone after ``watch.failures`` failures in a row.

    Args:
        watch: The repository.
        failure: The newest.
        cadence: Settings.
        lasting: How many repositories of the source have a failure that a person must mend.
    """
    most = cadence.retry_at_most
    if failure.lasting:
        shared = 60.0 * lasting / cadence.person_per_minute
        most = min(cadence.retry_person_at_most, max(cadence.retry_person, shared))
    wait = min(most, cadence.retry * 2.0 ** min(watch.failures - 1, 16))
    spread = 1 + cadence.jitter * (2 * fraction(watch.name, "failed", watch.failures) - 1)
    return max(wait * spread, failure.retry_after or 0.0)


def due(watches: Iterable[Watch], now: float, cadence: Cadence, under: Pressure) -> list[Watch]:
    """Return the repositories to look at now: those never seen first, then those that are
    latest for their heat.

    When there is more to do than the pace allows, every heat gets its share and none starves.
    """
    periods = {Heat.HOT: cadence.hot, Heat.WARM: cadence.warm, Heat.COLD: cadence.cold}
    ready = []
    for watch in watches:
        if watch.running or watch.next_at > now:
            continue
        heat = watch.heat(now)
        if under is not Pressure.LAST or heat is Heat.HOT:
            late = (now - watch.next_at) / periods[heat]
            ready.append(((watch.looks > 0, -late, heat, watch.name), watch))
    return [watch for _, watch in sorted(ready, key=lambda entry: entry[0])]


@dataclass(slots=True, kw_only=True)
class Gate:
    """Whether the source as a whole may be asked.

    A failure that all repositories share closes it once, for all of them. When its time is over, one request
    goes through: it opens the gate for the others, or closes it for longer.

    Attributes:
        failure: Why it is closed, None while it is open.
        until: Monotonic time until which nothing is asked.
        tries: Closings in a row.
        misses: Repositories without an answer in a row, and no success between.
        refusals: Repositories that refused the credentials in a row, and no success between.
    """

    failure: Failure | None = None
    until: float = -math.inf
    tries: int = 0
    misses: int = 0
    refusals: int = 0

    FIRST = 5.0
    LONGEST = 300.0
    LONGEST_OF: ClassVar[Mapping[Reason, float]] = {
        Reason.GitHubUnavailable: 60.0,
        # One request a minute: somebody who has mended the credentials at GitHub waits for it to be seen.
        Reason.GitHubUnauthorized: 55.0,
        Reason.AppNotInstalled: 55.0,
        Reason.AppSuspended: 55.0,
        # These ask nothing of GitHub, and somebody who makes the Secret waits for it to be seen.
        Reason.SecretMissing: 30.0,
        Reason.SecretForbidden: 30.0,
        Reason.SecretMalformed: 30.0,
        Reason.KubernetesForbidden: 30.0,
        Reason.KubernetesUnavailable: 30.0,
    }
    MISSES = 5
    REFUSALS = 2

    def failed(self, failure: Failure, now: float) -> bool:
        """Take in a failure of one look; return whether that closes the gate."""
        # One repository's 5xx, or 401, is its own. Several in a row are an outage, or credentials that are
        # dead, and asking 500 repositories would not help.
        self.misses += failure.reason is Reason.GitHubUnavailable
        self.refusals += failure.reason is Reason.GitHubUnauthorized
        if failure.reason in SOURCE_WIDE:
            shared = failure.reason is not Reason.GitHubUnauthorized or self.refusals >= self.REFUSALS
        else:
            shared = self.misses >= self.MISSES
        if not shared:
            return False
        told = failure.retry_after or 0.0
        if self.failure is not None and now < self.until:
            self.until = max(self.until, now + told)  # others were on their way when it closed
            return False
        self.tries += 1
        longest = self.LONGEST_OF.get(failure.reason, self.LONGEST)
        self.until = now + max(told, min(longest, self.FIRST * 2.0 ** min(self.tries - 1, 16)))
        closed = self.failure is None
        self.failure = failure
        return closed

    def retry(self, now: float) -> None:
        """Let one request through: what a person had to mend may be mended."""
        if self.failure is not None and self.failure.lasting:
            self.until, self.tries = min(self.until, now), 0

    def passed(self) -> bool:
        """Take in a proof that the source answers; return whether that opens the gate."""
        was_closed = self.failure is not None
        self.failure, self.tries, self.misses, self.refusals = None, 0, 0, 0
        return was_closed
