"""Figures that pages show came from the commands that they name: the same seed still gives
the same output.
"""

from __future__ import annotations

from click.testing import CliRunner

from controller.cli import main
from tests.docs.pages import ROOT, blocks


def test_what_simulate_prints_is_what_its_page_shows() -> None:
    scenario = "examples/scenarios/plain-burst.yaml"
    texts = [block.text for block in blocks(ROOT / "docs" / "simulate.md")]
    (shown,) = (text for text in texts if text.startswith("$ hf-runner-controller simulate"))
    command, *lines = shown.splitlines()
    assert command.endswith(scenario)
    expected = [line.rstrip() for line in lines if line.strip() and line != "..."]
    assert len(expected) > 8
    printed = CliRunner().invoke(main, ["simulate", str(ROOT / scenario)]).stdout
    told = [line.rstrip() for line in printed.splitlines()]
    assert [line for line in expected if line not in told] == []
