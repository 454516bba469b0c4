"""health.lua, run by the Lua interpreter that is inside Argo CD, over the cases of its own test file."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import CHART

HOME = CHART / "argocd" / "hfrunners.dev" / "RunnerPool"
CASES = yaml.safe_load((HOME / "health_test.yaml").read_text())["tests"]


def lua(value: Any) -> str:
    """Return a value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"[{json.dumps(key)}]={lua(child)}" for key, child in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ",".join(map(lua, value)) + "}"
    return json.dumps(value)


@pytest.mark.parametrize("case", CASES, ids=[Path(case["inputPath"]).stem for case in CASES])
def test_a_pool_is_judged_as_its_conditions_say(programs: Path, tmp_path: Path, case: dict[str, Any]) -> None:
    pool = yaml.safe_load((HOME / case["inputPath"]).read_text())
    script = tmp_path / "judge.lua"
    script.write_text(
        f"obj = {lua(pool)}\nlocal found = dofile({json.dumps(str(HOME / 'health.lua'))})\n"
        "print(found.status)\nprint(found.message)\n"
    )
    done = subprocess.run(
        [programs / "glua", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [case["healthStatus"]["status"], case["healthStatus"]["message"]]


def test_every_case_is_tested() -> None:
    assert {case["inputPath"] for case in CASES} == {
        f"testdata/{path.name}" for path in (HOME / "testdata").iterdir()
    }
