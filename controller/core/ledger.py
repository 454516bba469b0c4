"""What HF Jobs that ended have cost: the one place where it is counted, for the status and the metrics alike.

An HF Job is booked once, however often its end is reported, and not at all if it ended before this process
began: that one is left to the process before, so that a sum over processes counts nothing twice. Its seconds
are known at once. Its price may come late after a start, so the seconds wait for it, by flavor.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from controller.core.model import HFJob, Observation
from controller.core.money import booked_seconds

CLOCK_ERROR = 1.0
"""Seconds by which a server's time may be off on our clock, because its ``Date`` header has no fractions."""

Ended = tuple[HFJob, Observation[HFJob] | None]
"""An HF Job that ended, with the newest list of its account."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one ended HF Job was billed for.

    Attributes:
        job: The HF Job.
        seconds: Billed seconds, more than 0.
    """

    job: HFJob
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one pass has booked for a pool.

    Attributes:
        charges: HF Jobs that were booked now.
        usd: Cost in US dollars of what is priced now, by flavor.
        unpriced_seconds: Billed seconds that still wait for a price, by flavor.
        booked: Ids of the HF Jobs that this pass saw ended.
    """

    charges: Sequence[Charge] = ()
    usd: Mapping[str, float] = field(default_factory=dict)
    unpriced_seconds: Mapping[str, float] = field(default_factory=dict)
    booked: frozenset[str] = frozenset()


NOTHING = Bill()


def book(
    ended: Sequence[Ended],
    *,
    booked: Collection[str],
    unpriced_seconds: Mapping[str, float],
    usd: Mapping[str, float],
    flavors: Collection[str],
    began: float,
) -> Bill:
    """Book the HF Jobs that ended, and price what has waited for a price.

    Args:
        ended: HF Jobs of one pool that ended.
        booked: Ids that the last pass has booked.
        unpriced_seconds: What has waited for a price, by flavor.
        usd: Known prices in US dollars per second, by flavor.
        flavors: That the pool's spec names. Seconds of any other flavor without a price are not waited for:
            the Hub may make up as many names as it likes.
        began: Monotonic seconds when this process began.
    """
    if not ended and not unpriced_seconds:
        return NOTHING
    charges = list(_charges(ended, booked, began))
    owed = dict(unpriced_seconds)
    for charge in charges:
        flavor = charge.job.flavor
        if flavor in usd or flavor in flavors:
            owed[flavor] = owed.get(flavor, 0.0) + charge.seconds
    return Bill(
        charges=charges,
        usd={flavor: seconds * usd[flavor] for flavor, seconds in owed.items() if flavor in usd},
        unpriced_seconds={flavor: seconds for flavor, seconds in owed.items() if flavor not in usd},
        booked=frozenset(job.id for job, _ in ended),
    )


def _charges(ended: Iterable[Ended], booked: Collection[str], began: float) -> Iterable[Charge]:
    for job, view in ended:
        seconds = booked_seconds(job, view)
        if seconds > 0 and job.id not in booked and ended_at(job, view) > began + CLOCK_ERROR:
            yield Charge(job, seconds)


def ended_at(job: HFJob, view: Observation[HFJob] | None) -> float:
    """Return the monotonic second when an HF Job ended; infinite where the Hub does not say."""
    return math.inf if job.finished_at is None or view is None else on_our_clock(job.finished_at, view)


def on_our_clock(at: float, view: Observation[HFJob]) -> float:
    """Return an epoch second on the Hub's clock as a monotonic second on ours."""
    return at - (view.server_time - view.asked_at)
