"""health.lua, run by the Lua interpreter that is inside Argo CD, over the cases of its own test file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.argo import HOME, judge

CASES = yaml.safe_load((HOME / "health_test.yaml").read_text())["tests"]


@pytest.mark.parametrize("case", CASES, ids=[Path(case["inputPath"]).stem for case in CASES])
def test_a_pool_is_judged_as_its_conditions_say(programs: Path, tmp_path: Path, case: dict[str, Any]) -> None:
    pool = yaml.safe_load((HOME / case["inputPath"]).read_text())
    assert judge(programs, tmp_path, pool) == (
        case["healthStatus"]["status"],
        case["healthStatus"]["message"],
    )


def test_every_case_is_tested() -> None:
    assert {case["inputPath"] for case in CASES} == {
        f"testdata/{path.name}" for path in (HOME / "testdata").iterdir()
    }
