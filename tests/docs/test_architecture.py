"""The page of the architecture names files that exist."""

from __future__ import annotations

import re
from pathlib import Path

from tests.docs.pages import ROOT, inline

PAGE = ROOT / "docs" / "architecture.md"
FILE = re.compile(r"[a-z_0-9-]+(/[a-z_0-9-]+)+(\.py)?")


def test_each_file_and_folder_that_the_page_names_exists() -> None:
    named = [code for code in inline(PAGE) if FILE.fullmatch(code)]
    assert len(named) > 20
    there = list((ROOT / "controller").rglob("*"))
    lost = [
        path for path in named if not (ROOT / path).exists() and not any(_ends(one, path) for one in there)
    ]
    assert lost == []


def _ends(path: Path, end: str) -> bool:
    """Whether a path ends with these parts."""
    return path.parts[-end.count("/") - 1 :] == tuple(end.split("/"))


def test_the_page_begins_with_where_to_find_what() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    assert headings[0] == "Where do I find ...?"
