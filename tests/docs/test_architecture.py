"""The page of the architecture names files that exist."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT, inline

PAGE = ROOT / "docs" / "architecture.md"
FILE = re.compile(r"[a-z_0-9-]+(/[a-z_0-9-]+)+(\.py)?")


def test_each_file_and_folder_that_the_page_names_exists() -> None:
    named = [code for code in inline(PAGE) if FILE.fullmatch(code)]
    assert len(named) > 20
    places = (ROOT, ROOT / "controller")
    assert [path for path in named if not any((place / path).exists() for place in places)] == []


def test_the_page_begins_with_where_to_find_what() -> None:
    headings = re.findall(r"^## (.+)$", PAGE.read_text(), re.MULTILINE)
    assert headings[0] == "Where do I find ...?"
