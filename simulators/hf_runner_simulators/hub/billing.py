"""Money: what a job has cost so far, and when a namespace's credit is used up.

Amounts are millionths of a dollar; rates are per minute, as the Hub's prices are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(slots=True, kw_only=True)
class CostMeter:
    """Running time and cost of one job.

    Attributes:
        seconds: Billed seconds up to ``since``.
        micro_usd: Their cost.
        rate: Micro-dollars per minute while ``since`` is set.
        since: When the current rate began, seconds since the epoch; None while nothing is billed.
    """

    seconds: float = 0.0
    micro_usd: float = 0.0
    rate: int = 0
    since: float | None = None

    def turn(self, rate: int | None, at: float) -> None:
        """Start, change or (None) stop billing."""
        self.seconds, self.micro_usd = self.read(at)
        self.since = None if rate is None else at
        self.rate = rate or 0

    def read(self, at: float) -> tuple[float, float]:
        """Return billed seconds and their cost up to a moment."""
        running = 0.0 if self.since is None else max(0.0, at - self.since)
        return self.seconds + running, self.micro_usd + running * self.rate / 60

    def round_up(self, rate: int) -> float:
        """Bill the begun minute in full, at this rate, and return what that adds."""
        missing = math.ceil(self.seconds / 60) * 60 - self.seconds
        added = missing * rate / 60
        self.seconds += missing
        self.micro_usd += added
        return added


@dataclass(slots=True, kw_only=True)
class Credit:
    """A namespace's prepaid credit and what runs against it.

    Attributes:
        micro_usd: Balance at ``since``.
        rate: Sum of the rates of all billed jobs.
        since: When the balance was last brought up to date.
    """

    micro_usd: float
    rate: int = 0
    since: float = field(default=0.0)

    def change_rate(self, difference: int, at: float) -> None:
        """Add to, or take from, what runs against the credit."""
        self.deduct(at)
        self.rate += difference

    def deduct(self, at: float) -> None:
        """Bring the balance up to a moment."""
        self.micro_usd -= (at - self.since) * self.rate / 60
        self.since = at

    def exhausted_at(self) -> float:
        """Return when the balance reaches zero at the present rate; infinity if never, or
        if it already has.
        """
        if self.rate <= 0 or self.micro_usd <= 0:
            return math.inf
        return self.since + self.micro_usd * 60 / self.rate
