"""What HF Jobs that ended have cost: the one place where it is counted, for the status and the metrics alike.

An HF Job is booked once, however often its end is reported, and not at all if it ended before this process
began: that one is left to the process before, so that a sum over processes counts nothing twice. Its seconds
are known at once. Its price may come late after a start, so the seconds wait for it, by flavor.

An end is reported twice where a pool has two accounts that list the same HF Jobs, one of them its former one,
or where the Hub named a stage that this release does not know and lists the HF Job as live again:

1. HF Job J ends, and the list of account A shows it. J is booked.
2. Other HF Jobs end, or nothing does, for some passes.
3. The list of account B, which is asked less often, shows J's end too.

So what was booked is kept for a while, and only what a later report adds is booked.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.model import HFJob, Observation
from controller.core.money import booked_seconds

CLOCK_ERROR = 1.0
"""Seconds by which a server's time may be off on our clock, because its ``Date`` header has no fractions."""

KEPT_FOR = 900.0
"""Seconds for which an HF Job that was booked is remembered after the last report of its end: longer than an
account's list takes to show it, the pauses after failures included (at most 10 minutes)."""

Ended = tuple[HFJob, Observation[HFJob] | None]
"""An HF Job that ended, with the newest list of its account."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one ended HF Job was billed for.

    Attributes:
        job: The HF Job.
        seconds: Billed seconds that were not booked before, more than 0.
    """

    job: HFJob
    seconds: float


@dataclass(frozen=True, slots=True)
class Booked:
    """What is remembered of an HF Job that was booked.

    Attributes:
        seconds: Billed seconds that are in the cost, or wait for a price.
        at: Monotonic seconds when its end was last reported.
    """

    seconds: float
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one pass has booked for a pool.

    Attributes:
        charges: HF Jobs that were booked now.
        usd: Cost in US dollars of what is priced now, by flavor.
        unpriced_seconds: Billed seconds that still wait for a price, by flavor.
        booked: By id, the HF Jobs whose end was reported within :data:`KEPT_FOR`.
    """

    charges: Sequence[Charge] = ()
    usd: Mapping[str, float] = field(default_factory=dict)
    unpriced_seconds: Mapping[str, float] = field(default_factory=dict)
    booked: Mapping[str, Booked] = field(default_factory=dict)


NOTHING = Bill()


def book(
    ended: Sequence[Ended],
    *,
    booked: Mapping[str, Booked],
    unpriced_seconds: Mapping[str, float],
    usd: Mapping[str, float],
    flavors: Collection[str],
    began: float,
    now: float,
) -> Bill:
    """Book the HF Jobs that ended, and price what has waited for a price.

    Args:
        ended: HF Jobs of one pool that ended.
        booked: By id, what earlier passes have booked.
        unpriced_seconds: What has waited for a price, by flavor.
        usd: Known prices in US dollars per second, by flavor.
        flavors: That the pool's spec names, or that a runner of the pool was launched with. Seconds of any
            other flavor without a price are not waited for: the Hub may make up as many names as it likes.
        began: Monotonic seconds when this process began.
        now: Monotonic seconds.
    """
    if not ended and not unpriced_seconds and not booked:
        return NOTHING
    known = {name: one for name, one in booked.items() if now - one.at <= KEPT_FOR}
    charges: list[Charge] = []
    for job, view in ended:
        before = known[job.id].seconds if job.id in known else 0.0
        seconds = _seconds(job, view, began, reported=job.id in known)
        if seconds > before:
            charges.append(Charge(job, seconds - before))
        known[job.id] = Booked(seconds=max(seconds, before), at=now)
    owed = dict(unpriced_seconds)
    for charge in charges:
        flavor = charge.job.flavor
        if flavor in usd or flavor in flavors:
            owed[flavor] = owed.get(flavor, 0.0) + charge.seconds
    return Bill(
        charges=charges,
        usd={flavor: seconds * usd[flavor] for flavor, seconds in owed.items() if flavor in usd},
        unpriced_seconds={flavor: seconds for flavor, seconds in owed.items() if flavor not in usd},
        booked=known,
    )


def _seconds(job: HFJob, view: Observation[HFJob] | None, began: float, *, reported: bool) -> float:
    """Return what an HF Job was billed for in this process' time, as this report says it.

    Without an end that the Hub states, the time of the list that showed it gone counts: the first one's.
    """
    if reported and job.finished_at is None:
        return 0.0
    return booked_seconds(job, view) if ended_at(job, view) > began + CLOCK_ERROR else 0.0


def ended_at(job: HFJob, view: Observation[HFJob] | None) -> float:
    """Return the monotonic second when an HF Job ended; infinite where the Hub does not say."""
    return math.inf if job.finished_at is None or view is None else on_our_clock(job.finished_at, view)


def on_our_clock(at: float, view: Observation[HFJob]) -> float:
    """Return an epoch second on the Hub's clock as a monotonic second on ours."""
    return at - (view.server_time - view.asked_at)
