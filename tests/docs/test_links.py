"""Every link in the README, the docs, the examples and the chart leads somewhere, and every
page can be found.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, anchors, links, name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    dead = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            dead.append(link)
    assert dead == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, new = set(), {ROOT / "README.md"}
    while new:
        page = new.pop()
        reached.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in links(page)}
        new |= {target for target in targets if target in PAGES and target not in reached}
    assert [name(page) for page in PAGES if page not in reached] == []


def test_the_index_of_the_docs_names_every_page_of_a_reader() -> None:
    index = ROOT / "docs" / "README.md"
    named = {(index.parent / link).resolve() for link in links(index)}
    pages = [page for page in PAGES if page.is_relative_to(ROOT / "docs") and page != index]
    lists = {ROOT / "docs" / folder for folder in ("adr", "runbooks")}  # have an index of their own
    assert [name(page) for page in pages if page not in named and page.parent not in lists] == []
