"""Durations as people write them in a RunnerPool: ``90s``, ``10m``, ``1h30m``, ``2d``."""

from __future__ import annotations

import re

from controller.api.rules import Rule, quoted

# Go's notation, which Kubernetes users know, without units below a second; and whole days, which Hugging
# Face users know from `hf jobs run --timeout 1d`. Five digits and 20 characters keep Go's 64-bit
# nanoseconds from overflowing.
_CLOCK = r"(?:[0-9]{1,5}(?:[.][0-9]{1,3})?[hms])+"
_PATTERN = rf"[1-9]d|{_CLOCK}"
MAX_LENGTH = 20
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def seconds(text: str) -> float:
    """Return the seconds that ``text`` stands for.

    Raises:
        ValueError: ``text`` is not a duration.
    """
    if len(text) > MAX_LENGTH or re.fullmatch(_PATTERN, text) is None:
        raise ValueError(f"{text!r} is not a duration such as 90s, 10m, 1h30m or 2d")
    return sum(float(number) * _SECONDS[unit] for number, unit in re.findall(r"([0-9.]+)([dhms])", text))


def between(low: str, high: str, because: str = "") -> Rule:
    """Return the rule that a value is a duration from ``low``, less than a day, to
    ``high``, a number of days.
    """
    shortest, longest = seconds(low), seconds(high)

    def holds(value: str) -> bool:
        try:
            return shortest <= seconds(value) <= longest
        except ValueError:
            return False

    # One rule rather than two: a malformed value would make the second one an evaluation error beside
    # the message. The days are a pattern of their own, since the API server estimates
    # duration(<computed string>) as too expensive.
    return Rule(
        cel=(
            f"self.matches(r'^[1-{high.removesuffix('d')}]d$') || self.matches({quoted(_CLOCK)})"
            f" && duration(self) >= duration('{shortest:.0f}s') && duration(self) <= duration('{longest:.0f}s')"
        ),
        message=f"write a duration such as 90s, 10m, 1h30m or 2d, from {low} to {high}{because}",
        holds=holds,
    )
