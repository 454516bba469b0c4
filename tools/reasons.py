"""Writes ``docs/reference/reasons.md`` from the code: ``python -m tools.reasons [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

from controller.core.outcomes import Exit
from controller.core.reasons import Reason

PAGE = Path("docs/reference/reasons.md")

HEAD = """\
# Reasons

Every condition, Event, waiting job and failed launch has one of these words. They are stable: alert on them.
Generated from `controller/core/reasons.py` by `make docs`.

| Reason | Meaning and next step |
|---|---|
"""


def page() -> str:
    """Return the page."""
    rows = "".join(f"| `{reason.name}` | {reason.meaning} |\n" for reason in Reason)
    codes = "".join(
        f"| {end.value} | `{end.reason.name}` |\n" for end in Exit if end is not Exit.JOB_COMPLETED
    )
    return (
        f"{HEAD}{rows}\n## How a runner ended\n\nThe bootstrap's exit code, which the Hub shows as "
        f"`Job failed with exit code: N` ([bootstrap](../bootstrap.md)):\n\n| Exit code | Reason |\n|---|---|\n{codes}"
    )


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE} is out of date: run make docs")
    PAGE.write_text(page())
