"""What a check found: how bad, why, about what, and the next step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from controller.core.model import Failure
from controller.core.reasons import Reason


class Severity(IntEnum):
    """How bad a finding is; the worst first."""

    ERROR = 0
    WARNING = 1
    NOTE = 2

    def __str__(self) -> str:
        """As shown."""
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: ``ERROR``: the pool will not work. ``WARNING``: it works, and somebody should
            look. ``NOTE``: good to know.
        reason: Stable word.
        subject: What it is about: a pool, a Secret, a file.
        message: A sentence with the next step; never a secret.
        where: ``FILE:LINE``; empty for what is in no file.
        request_id: Of GitHub, the Hub or Kubernetes, for their support.
    """

    severity: Severity
    reason: Reason
    subject: str
    message: str
    where: str = ""
    request_id: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it for scripts."""
        more = {"where": self.where, "requestId": self.request_id}
        return {
            "severity": str(self.severity),
            "reason": str(self.reason),
            "subject": self.subject,
            "message": self.message,
            **{name: value for name, value in more.items() if value},
        }


class Findings:
    """Collects findings; one that was collected already is not kept twice."""

    def __init__(self) -> None:
        self._found: dict[Finding, None] = {}

    def add(self, severity: Severity, reason: Reason, subject: str, message: str, *, where: str = "") -> None:
        """Note something."""
        self._found[
            Finding(severity=severity, reason=reason, subject=subject, message=message, where=where)
        ] = None

    def failed(
        self, subject: str, failure: Failure, *, severity: Severity = Severity.ERROR, where: str = ""
    ) -> None:
        """Note a call that failed."""
        self._found[
            Finding(
                severity=severity,
                reason=failure.reason,
                subject=subject,
                message=failure.message,
                where=where,
                request_id=failure.request_id,
            )
        ] = None

    def sorted(self) -> list[Finding]:
        """Return all, the worst first."""
        return sorted(self._found, key=lambda one: (one.severity, one.subject, one.where, str(one.reason)))

    def count(self, severity: Severity) -> int:
        """Return how many there are of one severity."""
        return sum(one.severity is severity for one in self._found)


def some(names: Iterable[str], *, most: int = 3, each: Callable[[str], str] = str) -> str:
    """Return names as a person would list them: the first few, and how many more."""
    listed: Sequence[str] = sorted(names)
    shown = [each(name) for name in listed[:most]]
    if len(listed) > most:
        return f"{', '.join(shown)} and {len(listed) - most} more"
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
