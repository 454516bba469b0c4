"""Writes ``docs/reference/metrics.md`` from the code: ``python -m tools.metrics [--check]``."""

from __future__ import annotations

import sys
from pathlib import Path

from controller.metrics.catalog import SECTIONS, Spec, Type

PAGE = Path("docs/reference/metrics.md")

HEAD = """\
# Metrics

What `/metrics` shows, on the port of `--web-port`. Generated from `controller/metrics/catalog.py` by `make docs`; names and
labels are stable. [Observability](../operations/observability.md) says how they fit together.

- `credential` is `namespace/secret@host`: the Secret that a pool names, and the host of its API (`api.github.com`).
- `account` is `namespace/secret@hub-namespace`.
- `flavor` is one of the pool's `spec.flavors`; `other` stands for every other name that the Hub has for an HF Job's hardware, such as
  that of a flavor which the spec no longer has.
- `reason` is one of [these words](reasons.md).
- Counters start anew with the process, and no runner is counted twice by two processes. Those of a pool or a Secret that is
  gone stay for 15 minutes.
- One page is made at a time, and at most one a second, for all who ask meanwhile; who asks alone waits for nothing.
- Gauges of pools, GitHub and the Hub are shown by the leader alone.
"""


def _row(spec: Spec) -> str:
    labels = ", ".join(f"`{label}`" for label in spec.labels) or "none"
    text = spec.help.replace("|", "\\|")
    buckets = f" Buckets up to {spec.buckets[-1]:g} s." if spec.type is Type.HISTOGRAM else ""
    return f"| `{spec.name}` | {spec.type} | {labels} | {text}{buckets} |\n"


def page() -> str:
    """Return the page."""
    tables = (
        f"\n## {title}\n\n| Name | Type | Labels | Meaning |\n|---|---|---|---|\n{''.join(map(_row, specs))}"
        for title, specs in SECTIONS
    )
    return HEAD + "".join(tables)


if __name__ == "__main__":
    if "--check" in sys.argv:
        sys.exit(0 if PAGE.read_text() == page() else f"{PAGE} is out of date: run make docs")
    PAGE.write_text(page())
