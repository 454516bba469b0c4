"""The rows of a recorded load: a CSV file of jobs that were run somewhere."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic import ValidationError

from controller.simulate.scenario import Work

TRACE_COLUMNS = ("at", "repository", "labels", "seconds")
OPTIONAL_COLUMNS = ("result", "cancelled_after")


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceRow:
    """One job of a trace.

    Attributes:
        at: Seconds after the trace's first job.
        repository: ``owner/repo``.
        labels: ``runs-on``.
        seconds: How long it ran.
        result: How its own steps ended.
        cancelled_after: Seconds after which somebody cancelled it, or None.
    """

    at: float
    repository: str
    labels: tuple[str, ...]
    seconds: float
    result: Literal["success", "failure"]
    cancelled_after: float | None


def defaults_of(entry: Mapping[str, Any]) -> dict[str, str]:
    """Return what the workload entry says for all rows of its trace that do not say it themselves."""
    try:
        work = Work.model_validate(entry)
    except ValidationError:
        return {}
    found = {}
    if work.labels:
        found["labels"] = " ".join(work.labels)
    if work.repository:
        found["repository"] = work.repository[0]
    return found


def row_of(row: Mapping[str, str | None]) -> TraceRow:
    """Read one row.

    Raises:
        ValueError: Something in it cannot be read; the message names the column.
    """
    repository = (row.get("repository") or "").strip()
    if re.fullmatch(r"[\w.-]+/[\w.-]+", repository) is None:
        raise ValueError("repository: write OWNER/REPOSITORY")
    result = (row.get("result") or "success").strip()
    if result not in ("success", "failure"):
        raise ValueError("result: write success or failure")
    cancelled = (row.get("cancelled_after") or "").strip()
    return TraceRow(
        at=_moment((row.get("at") or "").strip()),
        repository=repository,
        labels=tuple((row.get("labels") or "").split()),
        seconds=_number("seconds", row.get("seconds")),
        result="success" if result == "success" else "failure",
        cancelled_after=_number("cancelled_after", cancelled) if cancelled else None,
    )


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        raise ValueError("at: write seconds, or a time such as 2026-09-21T14:13:20Z") from None


def _number(name: str, text: str | None) -> float:
    try:
        number = float(text or "")
    except ValueError:
        raise ValueError(f"{name}: write a number of seconds") from None
    if not 0 <= number < 10_000_000:
        raise ValueError(f"{name}: write a number of seconds")
    return number


def shifted(row: TraceRow, first: float) -> TraceRow:
    """Return a row whose time counts from the trace's first job, which was at ``first``."""
    return TraceRow(
        at=row.at - first,
        repository=row.repository,
        labels=row.labels,
        seconds=row.seconds,
        result=row.result,
        cancelled_after=row.cancelled_after,
    )
