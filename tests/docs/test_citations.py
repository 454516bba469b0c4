"""Code, tests, charts and pages cite facts and invariants that exist, and nothing that is
outside the repository.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.docs.pages import ROOT, anchors, links, name

FACTS = ROOT / "docs" / "facts.md"
INVARIANTS = ROOT / "docs" / "invariants.md"
CITED = re.compile(r"\bdocs/(?P<page>[a-z0-9/-]+\.md)(?:#(?P<anchor>[a-z0-9-]+))?")
ENTRY = re.compile(r"^### (?P<name>[a-z0-9-]+)\n(?P<text>.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
SURE = r"(documented|read in source|measured|reported|unknown)"
SOURCE = re.compile(
    rf"^\*{SURE}\*[^\n]*\b(20\d\d-\d\d(-\d\d)?)|^\*{SURE}\*.*read 20\d\d-\d\d-\d\d", re.MULTILINE
)
KNOBS = re.compile(r"\bKnobs?: (`[a-z_]+`(?:, `[a-z_]+`)*)")
OLD_NOTES = re.compile(
    r"\b(github|hf-jobs|live-facts|scale-sets|kopf|charts|drift|models|usecases|field|container-hooks)\.md\b"
    r"|§ ?\d|\bDESIGN\b|\binvariants? \d|\blive-facts\b|docs/sources\.md"
)


def tracked() -> list[Path]:
    """Every text file of the repository, but this test and the pages of facts' own words."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\n")
    binary = (".png", ".sum", ".gz", ".ico", ".lock")
    paths = [ROOT / line for line in listed if line and not line.endswith(binary)]
    return [path for path in paths if path.is_file() and path != Path(__file__)]


def texts() -> Iterator[tuple[Path, str]]:
    """The files with their text; data that somebody else wrote is left out."""
    for path in tracked():
        if not path.is_relative_to(ROOT / "tests" / "data"):
            yield path, path.read_text(errors="replace")


def cited(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """The pages and anchors that a file names, as ``docs/PAGE#ANCHOR`` or, on a page, as a link to it."""
    for found in CITED.finditer(text):
        yield f"docs/{found['page']}", found["anchor"] or ""
    if path.suffix == ".md":
        for link in links(path):
            target, _, anchor = link.partition("#")
            resolved = (path.parent / target).resolve() if target else path
            if resolved.is_relative_to(ROOT):
                yield str(resolved.relative_to(ROOT)), anchor


def test_each_page_and_anchor_that_a_file_cites_exists() -> None:
    known: dict[str, set[str]] = {}
    dead = []
    for path, text in texts():
        for page, anchor in cited(path, text):
            target = ROOT / page
            if page not in known and target.suffix == ".md" and target.exists():
                known[page] = anchors(target)
            if not target.exists() or (anchor and anchor not in known.get(page, set())):
                dead.append(f"{name(path)}: {page}#{anchor}")
    assert dead == []


def test_each_fact_says_how_sure_it_is_and_where_and_when_it_was_read() -> None:
    entries = {entry["name"]: entry["text"] for entry in ENTRY.finditer(FACTS.read_text())}
    assert len(entries) > 50
    assert [fact for fact, text in entries.items() if not SOURCE.search(text)] == []


def test_what_is_unknown_names_a_knob_of_the_simulators() -> None:
    simulators = [path.read_text() for path in tracked() if path.name == "knobs.py"]
    assert len(simulators) == 2
    knobs = {knob for text in simulators for knob in re.findall(r"^    ([a-z_]+): ", text, re.MULTILINE)}
    for entry in ENTRY.finditer(FACTS.read_text()):
        named = {knob.strip(" `") for found in KNOBS.findall(entry["text"]) for knob in found.split(",")}
        assert named <= knobs, entry["name"]
        assert named or "*unknown*" not in entry["text"], entry["name"]


def test_each_fact_is_cited_where_somebody_relies_on_it() -> None:
    used = {
        anchor
        for path, text in texts()
        if path != FACTS
        for page, anchor in cited(path, text)
        if page == "docs/facts.md"
    }
    facts = {entry["name"] for entry in ENTRY.finditer(FACTS.read_text())}
    assert sorted(facts - used) == []


def test_nothing_cites_a_note_that_is_not_in_the_repository() -> None:
    found = [
        f"{name(path)}: {note[0]}"
        for path, text in texts()
        for note in OLD_NOTES.finditer(_without_links(text))
    ]
    assert found == []


def _without_links(text: str) -> str:
    """The text without paths of this repository, which may end like an old note."""
    return re.sub(r"(?:docs|charts|adr)/[\w./-]+", "", text)
