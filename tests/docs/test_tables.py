"""Tables show every cell that was written: GitHub drops what a row has beyond its head, and ends
a table at an empty line.
"""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, name, prose

_UNDER_A_HEAD = re.compile(r"\|( *:?-+:? *\|)+")


def rows(page: Path) -> list[str]:
    """All lines, those of tables without blanks around them."""
    return [line.strip() for line in prose(page).splitlines()]


def cells(row: str) -> int:
    return len(re.findall(r"(?<!\\)\|", row)) - 1


def test_tables_are_found() -> None:
    assert any(row.startswith("|") for page in PAGES for row in rows(page))
    assert cells("| a | b |") == 2


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page: Path) -> None:
    odd = [
        row
        for above, row in pairwise(rows(page))
        if above.startswith("|") and row.startswith("|") and cells(row) != cells(above)
    ]
    assert odd == []


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_table_begins_with_its_head(page: Path) -> None:
    lines = ["", *rows(page), ""]
    begins = [
        (row, below)
        for above, row, below in zip(lines, lines[1:], lines[2:], strict=False)
        if row.startswith("|") and not above.startswith("|")
    ]
    assert [row for row, below in begins if not _UNDER_A_HEAD.fullmatch(below)] == []
