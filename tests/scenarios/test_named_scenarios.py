"""The scenarios that ship as examples, each judged by its own ``expect``."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller.simulate.play import play
from controller.simulate.scenario_file import load_scenario

FOLDER = Path(__file__).parents[2] / "examples" / "scenarios"
WHAT_IF = FOLDER / "what-if.yaml"
FILES = sorted(set(FOLDER.glob("*.yaml")) - {WHAT_IF})


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_named_scenario_comes_out_as_it_says(path: Path) -> None:
    scenario = load_scenario(path)
    assert scenario.expectations, "a scenario without expectations shows nothing"
    report = play(scenario).report
    unmet = [f"{one.path} {one.wanted}: found {one.found}" for one in report.expectations if not one.met]
    assert (unmet, report.violations) == ([], [])


@pytest.mark.timeout(300)
def test_the_example_of_a_real_days_load_can_be_asked_what_other_settings_cost() -> None:
    bills = []
    for min_idle in ("0", "1"):
        scenario = load_scenario(WHAT_IF, overrides=[("t4", "minIdle", min_idle)])
        report = play(scenario, until=2 * 3600).report
        assert report.violations == []
        assert report.jobs.succeeded > 10
        bills.append((report.total.usd, report.waits.p50))
    (cheap, slow), (dear, fast) = bills
    assert cheap < dear
    assert fast < slow
