"""Launches that keep failing are tried ever more slowly, one at a time, with the cause kept
(docs/invariants.md#backoff).

A failure belongs to a flavor (no capacity, a scheduling deadline) or, under the key ``""``, to the whole
pool (an image that cannot run, a refused credential). After a failure the next launch is a probe: until
one runner comes online, no second one is started beside it, so a pool of a hundred queued jobs pays for
one broken image at a time.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass

from controller.core.model import Disposition, Failure
from controller.core.reasons import Reason

POOL = ""
"""Key of the back-off that holds for every flavor of a pool."""

DELAYS = (5.0, 15.0, 60.0, 180.0, 600.0)
"""Seconds before the next try, by the number of failures in a row: at most 11 tries in an hour."""

STALLED_AFTER = 4
"""Failures in a row after which a person is asked to look."""

MOST_BLAMED = 16
"""Runners that are remembered for one back-off: it makes one start at a time, and GitHub shows within
minutes which of them served."""

_FLAVOR_REASONS = frozenset({Reason.FlavorOutOfCapacity, Reason.SchedulingDeadline, Reason.UnknownFlavor})


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Failures in a row.

    Attributes:
        failures: How many.
        until: Monotonic seconds before which nothing is launched.
        at: Monotonic seconds of the newest failure.
        failure: The newest cause.
        blamed: Runners whose ends were taken for failures, the newest :data:`MOST_BLAMED` of them.
    """

    failures: int
    until: float
    at: float
    failure: Failure
    blamed: tuple[str, ...] = ()


def key_of(failure: Failure, flavor: str) -> str:
    """Return whether a failure concerns its flavor or the whole pool."""
    return flavor if failure.reason in _FLAVOR_REASONS else POOL


def after_failure(known: Backoff | None, failure: Failure, now: float, *, runner: str = "") -> Backoff:
    """Return the back-off after one more failure.

    Failures of launches that were under way together count once: nothing new was tried between them.

    Args:
        known: The back-off before.
        failure: What went wrong.
        now: Monotonic seconds.
        runner: The runner whose end is taken for the failure; empty where it is a refusal of a
            service, or proved otherwise.
    """
    blamed = (
        ((*known.blamed, runner) if known else (runner,))[-MOST_BLAMED:]
        if runner
        else known.blamed
        if known
        else ()
    )
    if known is not None and now < known.until:
        return Backoff(failures=known.failures, until=known.until, at=now, failure=failure, blamed=blamed)
    failures = known.failures + 1 if known else 1
    delay = DELAYS[min(failures, len(DELAYS)) - 1]
    if failure.disposition is Disposition.WAIT and failure.retry_after is not None:
        delay = failure.retry_after
    elif failure.retry_after is not None:
        delay = max(delay, failure.retry_after)
    return Backoff(failures=failures, until=now + delay, at=now, failure=failure, blamed=blamed)


def remember_failure(
    known: Mapping[str, Backoff], failure: Failure, flavor: str, now: float, *, runner: str = ""
) -> Mapping[str, Backoff]:
    """Return a pool's back-offs after one more failure of a launch.

    Args:
        known: By flavor and :data:`POOL`.
        failure: What went wrong.
        flavor: Of the launch.
        now: Monotonic seconds.
        runner: See :func:`after_failure`.
    """
    key = key_of(failure, flavor)
    return {**known, key: after_failure(known.get(key), failure, now, runner=runner)}


def remember_success(known: Mapping[str, Backoff], flavor: str) -> Mapping[str, Backoff]:
    """Return a pool's back-offs after a runner of a flavor came online, or served; the same
    object without any.
    """
    if flavor not in known and POOL not in known:
        return known
    return {key: one for key, one in known.items() if key not in (flavor, POOL)}


def acquitted(known: Mapping[str, Backoff], served: Container[str]) -> Mapping[str, Backoff]:
    """Return the back-offs without those for which a runner was blamed that GitHub has
    shown with a workflow job.

    An exit code is no proof: a workflow job runs as the same user as the bootstrap, and can bring it to any.

    1. A runner takes a short job, before any list shows it with one.
    2. The job ends the bootstrap with the code for a version that GitHub refuses.
    3. The HF Job's end is seen, and the pool backs off.
    4. GitHub's queue names the job and its runner. So its image, version and registration are good, as those
       of a runner that comes online.
    """
    return {key: one for key, one in known.items() if not any(runner in served for runner in one.blamed)}


LIMIT_KEPT = 3_600.0
"""Seconds after the newest HF Job that was not scheduled for which the Hub's limit is believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The Hub runs no more HF Jobs of a pool at a time: some met ``deadlines.scheduling``
    while so many others ran.

    Attributes:
        running: How many ran.
        extra: How many more may be on their way: one, and twice as many each time that more have run.
        at: Monotonic seconds of the newest HF Job that was not scheduled.
    """

    running: int
    extra: int = 1
    at: float

    def space(self, live: int) -> int:
        """Return how many more runners may be launched: as fast as those that wait are started."""
        return max(0, self.running + self.extra - live)


def after_unscheduled(known: Limit | None, running: int, now: float) -> Limit | None:
    """Return the limit after an HF Job met ``deadlines.scheduling``; None where nothing ran, so
    that the flavor is at fault.
    """
    if running <= 0:
        return None
    return Limit(running=max(running, known.running if known else 0), at=now)


def after_look(known: Limit | None, running: int, now: float) -> Limit | None:
    """Return the limit after a look at how many HF Jobs run now; what is not met for long is forgotten."""
    if known is None or now - known.at > LIMIT_KEPT:
        return None
    if running <= known.running:
        return known
    return Limit(running=running, extra=2 * known.extra, at=known.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which flavors to launch, and what kept the rest from being launched."""

    flavors: tuple[str, ...]
    held_by: Backoff | None = None


def choose_flavors(
    wanted: int,
    flavors: tuple[str, ...],
    backoffs: Mapping[str, Backoff],
    unproven: Mapping[str, int],
    now: float,
) -> Choice:
    """Choose a flavor for each of ``wanted`` launches: the first in order of preference that may be tried.

    Args:
        wanted: How many runners are missing.
        flavors: In order of preference; only those that the Hub offers.
        backoffs: By flavor, and by :data:`POOL`.
        unproven: Runners by flavor that have not come online yet.
        now: Monotonic seconds.
    """
    pool = backoffs.get(POOL)
    if pool is not None:
        if now < pool.until or any(unproven.values()):
            return Choice(flavors=(), held_by=pool)
        wanted = min(wanted, 1)
    chosen: list[str] = []
    waiting = dict(unproven)
    held: Backoff | None = None
    for _ in range(wanted):
        flavor = None
        for candidate in flavors:
            known = backoffs.get(candidate)
            if known is None or (now >= known.until and not waiting.get(candidate)):
                flavor = candidate
                break
            held = held or known
        if flavor is None:
            break
        chosen.append(flavor)
        waiting[flavor] = waiting.get(flavor, 0) + 1
    if len(chosen) < wanted:
        return Choice(flavors=tuple(chosen), held_by=held)
    return Choice(flavors=tuple(chosen), held_by=pool)
