"""Versions of actions/runner: when each came out and when it ends, as github.com tells and enforces it.

GitHub ends a version some time after its successor came out: "within 30 days" by its documentation, 63 to 71
days later by ten ends of ten that were announced until 2026-09-29 at
``GET .../actions/runners/deprecations/{version}``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime

DAY = 86_400.0

ENDS: tuple[tuple[str, str], ...] = (
    ("2.329.0", "2026-01-23"),
    ("2.330.0", "2026-03-13"),
    ("2.331.0", "2026-04-30"),
    ("2.332.0", "2026-05-25"),
    ("2.333.0", "2026-05-29"),
    ("2.333.1", "2026-06-30"),
    ("2.334.0", "2026-08-10"),
    ("2.335.0", "2026-08-14"),
    ("2.335.1", "2026-09-24"),
    ("2.336.0", "2026-11-05"),
)
"""Versions and their ends as announced (seen)."""

RELEASED: tuple[tuple[str, str], ...] = (("2.337.0", "2026-08-26"), ("2.338.0", "2026-10-06"))
"""Versions after those, and the days they came out (seen)."""

END_AFTER_SUCCESSOR = 67 * DAY
"""From a version's successor to its end where none is announced: the middle of what was seen."""

MADE_UP_EVERY = 60 * DAY
"""After the last known release one is made up so often, so that versions go on ending however
long a simulation lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerRelease:
    """A version; epoch seconds. ``ends`` is None while no successor is out."""

    version: str
    released: float
    ends: float | None


class Calendar:
    """The versions at a moment.

    Args:
        latest: A version that is the latest whatever the day; empty follows the calendar.
    """

    def __init__(self, latest: str = "") -> None:
        self._latest = latest

    def at(self, now: float) -> list[RunnerRelease]:
        """Return the versions that are out, oldest first; ends that lie ahead are announced already."""
        out = [(version, released) for version, released in _all(now) if released <= now]
        rows = [
            RunnerRelease(version=version, released=released, ends=_end(version, following))
            for (version, released), following in zip(out, [*(day for _, day in out[1:]), None], strict=True)
        ]
        known = {row.version for row in rows}
        if self._latest and self._latest not in known:
            rows.append(RunnerRelease(version=self._latest, released=now, ends=None))
        return rows

    def latest(self, now: float) -> str:
        """Return the version that GitHub hands out."""
        return self._latest or self.at(now)[-1].version

    def find(self, version: str, now: float) -> RunnerRelease | None:
        """Return a version, or None for one that is not out."""
        return next((row for row in self.at(now) if row.version == version), None)

    def ended(self, version: str, now: float) -> bool:
        """Tell whether a version's end is past; one that is unknown here has none."""
        found = self.find(version, now)
        return found is not None and found.ends is not None and found.ends <= now


def _all(now: float) -> list[tuple[str, float]]:
    """Return every version with the time it came out, as far as ``now``."""
    ends = [_seconds(day) for _, day in ENDS]
    # The days of the older releases follow from the ends of the versions before them.
    older = [ends[0] - 2 * END_AFTER_SUCCESSOR, *(end - END_AFTER_SUCCESSOR for end in ends[:-1])]
    rows = [(version, at) for (version, _), at in zip(ENDS, older, strict=True)]
    rows += [(version, _seconds(day)) for version, day in RELEASED]
    minor = int(RELEASED[-1][0].split(".")[1])
    while rows[-1][1] + MADE_UP_EVERY <= now:
        minor += 1
        rows.append((f"2.{minor}.0", rows[-1][1] + MADE_UP_EVERY))
    return rows


def _end(version: str, successor: float | None) -> float | None:
    announced = dict(ENDS).get(version)
    if announced is not None:
        return _seconds(announced) if successor is not None else None
    return None if successor is None else successor + END_AFTER_SUCCESSOR


def _seconds(day: str) -> float:
    return datetime.combine(date.fromisoformat(day), datetime.min.time(), UTC).timestamp()
