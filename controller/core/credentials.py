"""When credentials end, and what is said of it before they do."""

from __future__ import annotations

from controller.core.model import SecretRef, TokenEnd
from controller.core.text import counted

EXPIRES_SOON = 14 * 86_400.0
"""Seconds before its end from which on people are told of a token: two weeks are time enough to
have a new one approved."""

_DAY, _HOUR = 86_400.0, 3_600.0


def ends_soon(end: TokenEnd | None, now: float) -> bool:
    """Return whether a token has ended, or will within :data:`EXPIRES_SOON`; ``now`` in monotonic seconds."""
    return end is not None and end.left(now) < EXPIRES_SOON


def describe_end(secret: SecretRef, end: TokenEnd, at: str, now: float) -> str:
    """Return a sentence about a token's end.

    Args:
        secret: Where the token is.
        end: Its end.
        at: The same as text, in UTC.
        now: Monotonic seconds.
    """
    left = end.left(now)
    if left <= 0:
        return f"The token in Secret {secret} ended at {at}."
    days, hours = int(left // _DAY), int(left // _HOUR)
    how_long = (
        counted(days, "day", "days")
        if days
        else counted(hours, "hour", "hours")
        if hours
        else "less than an hour"
    )
    return f"The token in Secret {secret} ends at {at}, in {how_long}."
