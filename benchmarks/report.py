"""One table of figures, and the machine that they were measured on."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing that was measured, once or several times.

    Attributes:
        what: A few words.
        unit: Of the values: ``ms``, ``s``, ``MB``, ``%``, ``/h``.
        values: One for each run; never empty.
        aim: What the median should not exceed, None where there is no aim.
        note: What else to know.
    """

    what: str
    unit: str
    values: Sequence[float]
    aim: float | None = None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the row: what, median, range of the runs, aim, note."""
        runs = f"{_short(min(self.values))}–{_short(max(self.values))} ({len(self.values)})"
        return (
            self.what,
            f"{_short(statistics.median(self.values))} {self.unit}",
            runs if len(self.values) > 1 else "",
            "" if self.aim is None else f"≤ {_short(self.aim)} {self.unit}",
            self.note,
        )


def _short(value: float) -> str:
    """Return three digits, without a decimal point where they are enough."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


HEAD = ("figure", "median", "min–max (runs)", "aim", "note")


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a Markdown table with aligned columns."""
    rows = [HEAD, *(figure.cells() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def machine() -> str:
    """Describe this machine in one line."""
    load = "{:.1f}/{:.1f}/{:.1f}".format(*os.getloadavg())
    return (
        f"{_cpu()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, load {load} at the start"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown CPU"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown CPU"
