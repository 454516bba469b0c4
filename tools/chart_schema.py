"""Keeps the RunnerPool's fields in the chart's ``values.schema.json``:
``python -m tools.chart_schema [--check]``.

The rest of that file is written by hand. A wrong field of a pool then fails when the chart
is rendered, with its path.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from controller.api.schema import Schema, structural
from controller.api.spec.pool import RunnerPoolSpec

FILE = Path("charts/hf-runner-controller/values.schema.json")
NAME = "RunnerPoolSpec"


def partial(node: Schema, *, inside_list: bool = False) -> Schema:
    """Return what Helm can check of a part of a spec, whose rest may come from ``poolDefaults``.

    Lists are replaced as a whole, so what is required within them stays required. Rules in
    CEL are the API server's.
    """
    kept: dict[str, Any] = {
        keyword: value
        for keyword, value in node.items()
        if not keyword.startswith("x-") and keyword not in ("default", "format")
    }
    if not inside_list:
        kept.pop("required", None)
    if "items" in kept:
        kept["items"] = partial(kept["items"], inside_list=True)
    if "properties" in kept:
        kept["properties"] = {
            name: partial(child, inside_list=inside_list) for name, child in kept["properties"].items()
        }
        kept["additionalProperties"] = False
    elif isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = partial(kept["additionalProperties"], inside_list=inside_list)
    return kept


def current(text: str) -> str:
    """Return the file's text with the RunnerPool's fields as they are now."""
    schema = json.loads(text)
    schema["$defs"][NAME] = partial(structural(RunnerPoolSpec))
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    found = FILE.read_text(encoding="utf-8")
    if "--check" in sys.argv:
        sys.exit(0 if found == current(found) else f"{FILE} is not current: run make crds")
    FILE.write_text(current(found), encoding="utf-8")
