"""Whether what Kubernetes tells of RunnerPools is still fresh.

A watch that has died looks like one that has nothing to report (docs/facts.md#watch-misses-deletions,
docs/facts.md#watch-goes-silent). What tells them apart is a list: one that shows changes which the watch kept
silent about, although it had all the time since the list before.
"""

from __future__ import annotations

import math

from controller.ports import Clock

SILENT_FOR = 30.0
"""Seconds that the watch has to tell by itself what a list has just shown: the two may race."""

UNREAD_FOR = 60.0
"""Seconds for which lists may fail before that is called a problem."""


class Freshness:
    """What is known of the watch, and of the lists that it is compared with."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._message_at = -math.inf
        self._compared_at = clock.mono()
        self._silent_since: float | None = None
        self._failing: tuple[float, str] | None = None

    def message_came(self) -> None:
        """Record that a message of the watch came."""
        self._message_at = self._clock.mono()
        self._silent_since = None

    def compared(self, differences: int) -> None:
        """Note that a list was read, and how many objects it shows otherwise than the watch has told."""
        now = self._clock.mono()
        if differences and self._message_at < self._compared_at and self._silent_since is None:
            self._silent_since = now
        self._compared_at = now
        self._failing = None

    def not_compared(self, why: str) -> None:
        """Note that a list could not be read."""
        since = self._failing[0] if self._failing else self._clock.mono()
        self._failing = (since, why)

    def stale(self) -> str | None:
        """Return why the watch must be begun anew, if it must: a restart does that."""
        if self._silent_since is None:
            return None
        age = self._clock.mono() - self._silent_since
        return (
            f"the watch of RunnerPools is stale: it has not told what a list showed {age:.0f} s ago"
            if age > SILENT_FOR
            else None
        )

    def unread(self) -> str | None:
        """Return why RunnerPools cannot be read, if they cannot for a while; a restart would not help."""
        if self._failing is None:
            return None
        age = self._clock.mono() - self._failing[0]
        return (
            f"RunnerPools could not be listed for {age:.0f} s: {self._failing[1]}"
            if age > UNREAD_FOR
            else None
        )
