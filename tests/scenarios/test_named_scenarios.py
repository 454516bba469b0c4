"""The scenarios that ship as examples, each judged by its own ``expect``."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.sim.play import play
from controller.sim.scenario_file import load_scenario

FOLDER = Path(__file__).parents[2] / "examples" / "scenarios"
FILES = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_named_scenario_comes_out_as_it_says(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.expectations, "a scenario without expectations shows nothing"
    report = play(scenario).report
    unmet = [f"{one.path} {one.wanted}: found {one.found}" for one in report.expectations if not one.met]
    assert (unmet, report.violations) == ([], [])
