"""Argo CD's view of an object: a Lua script over it, in the interpreter that is inside Argo CD."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.chart.conftest import CHART, Body

HOME = CHART / "argocd" / "hfrunners.dev" / "RunnerPool"


def lua(value: Any) -> str:
    """Return a value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"[{json.dumps(key)}]={lua(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ",".join(map(lua, value)) + "}"
    return json.dumps(value, ensure_ascii=False)


def judge(programs: Path, directory: Path, pool: Body) -> tuple[str, str]:
    """Return the health of a RunnerPool, and the sentence beside it."""
    script = directory / "judge.lua"
    script.write_text(
        f"obj = {lua(pool)}\nlocal found = dofile({json.dumps(str(HOME / 'health.lua'))})\n"
        "print(found.status)\nprint(found.message)\n"
    )
    done = subprocess.run(
        [programs / "glua", script], capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stderr
    status, message = done.stdout.splitlines()
    return status, message
