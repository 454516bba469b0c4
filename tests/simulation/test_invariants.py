"""The page of the invariants says what the judge and the mutants do."""

from __future__ import annotations

import re
from pathlib import Path

from controller.simulate.invariants import FURTHER, INVARIANTS, PROMISES
from tests.simulation.test_mutants import MUTANTS

PAGE = (Path(__file__).parents[2] / "docs" / "invariants.md").read_text()
ROW = re.compile(r'^\| <a id="(?P<anchor>[a-z-]+)"></a>`(?P<name>[a-z-]+)` \|(?P<text>.+)\|$', re.MULTILINE)
ROWS = {found["name"]: found["text"] for found in ROW.finditer(PAGE) if found["anchor"] == found["name"]}


def test_the_page_has_every_invariant_in_the_order_of_the_code() -> None:
    assert tuple(ROWS) == tuple(INVARIANTS) == (*PROMISES, *FURTHER)


def test_the_page_names_for_each_invariant_exactly_the_mutants_that_break_it() -> None:
    for name, text in ROWS.items():
        mutants = {switch.__name__ for switch, broken, _ in MUTANTS if name in broken}
        assert set(re.findall(r"`([a-z0-9_]+)`", text.rpartition("|")[2])) == mutants, name
