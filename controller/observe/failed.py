"""What stays of a view when a look fails: what was seen last, which says why it is not refreshed."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from controller.core.model import Failure, Observation

T = TypeVar("T")


def still_seen(
    seen: Observation[T] | None, failure: Failure, *, asked_at: float, server_time: float
) -> Observation[T]:
    """Return the last view with a failure; where there was none, an empty one that was never answered.

    Args:
        seen: The last view.
        failure: Of the look that failed.
        asked_at: When that look was begun, in monotonic seconds.
        server_time: The same on the server's clock, as far as it is known, in epoch seconds.
    """
    if seen is None:
        return Observation(asked_at=asked_at, server_time=server_time, failure=failure, answered=False)
    return replace(seen, failure=failure)
