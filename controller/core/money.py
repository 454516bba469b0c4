"""What runners cost, from the Hub's own times and prices.

The Hub bills by the minute while an HF Job starts or runs, and not while it is scheduled
(docs/facts.md#billing). It reports no cost, so these are estimates: seconds times price, without rounding to
whole minutes (the rounding is not documented).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from controller.core.model import Deadlines, Flavor, HFJob, Observation

SAFETY_SECONDS = 60
"""Added to every server-side timeout, so that our own deadlines come first; the bootstrap
stops a runner within 40 s."""


def timeout_seconds(deadlines: Deadlines) -> int:
    """Return the server-side timeout of a launch.

    It is the backstop: the bootstrap ends its runner when the lifetime is over, counted from the
    container's start, and GitHub hears of it. Whether the Hub's timeout counts from there, or from the
    creation, is not documented (docs/facts.md#timeout-starts), so the scheduling deadline is added: either
    way the bootstrap comes first.
    """
    return math.ceil(deadlines.scheduling + deadlines.lifetime) + SAFETY_SECONDS


def prices(flavors: Mapping[str, Observation[Flavor]]) -> Mapping[str, Mapping[str, float]]:
    """Return US dollars per second by endpoint and flavor, without those whose price is unknown."""
    return {
        endpoint: {
            flavor.name: flavor.usd_per_minute / 60
            for flavor in seen.items
            if flavor.usd_per_minute is not None
        }
        for endpoint, seen in flavors.items()
    }


def running_seconds(job: HFJob, server_now: float) -> float:
    """Return the seconds that a live HF Job has been billed for, on the Hub's clock."""
    return 0.0 if job.started_at is None else max(0.0, server_now - job.started_at)


def booked_seconds(job: HFJob, seen: Observation[HFJob] | None) -> float:
    """Return the seconds that an ended HF Job was billed for.

    A cancelled job may have no end (docs/facts.md#cancelled-without-an-end): it was gone when the
    list, ``seen``, was last read.
    """
    if job.billed_seconds is not None:
        return job.billed_seconds
    return running_seconds(job, seen.server_time) if seen else 0.0


def cheapest(flavors: Sequence[str], usd_per_second: Mapping[str, float]) -> float:
    """Return the price of the preferred flavor, for comparing pools; infinite while unknown."""
    return usd_per_second.get(flavors[0], math.inf) if flavors else math.inf


def worst_case(job: HFJob, server_now: float, usd_per_second: float, fallback_timeout: float) -> float:
    """Return what an HF Job can still cost in US dollars if nobody ever looks at it again."""
    timeout = job.timeout if job.timeout is not None else fallback_timeout
    return max(0.0, timeout - running_seconds(job, server_now)) * usd_per_second
