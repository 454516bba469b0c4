"""The pages that people read, and what is in them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "charts/**/*.md")
    for path in ROOT.glob(pattern)
)
_BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>[a-z]*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)|\b(?:href|src)=\"([^\"]+)\"")
_INLINE = re.compile(r"`([^`\n]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code."""

    language: str
    text: str


def name(path: Path) -> str:
    """The page, as a test's id."""
    return str(path.relative_to(ROOT))


def blocks(page: Path) -> Iterator[Block]:
    for found in _BLOCK.finditer(page.read_text()):
        yield Block(language=found["language"], text=textwrap.dedent(found["text"]))


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return _BLOCK.sub("", page.read_text())


def links(page: Path) -> list[str]:
    """What the page links to within the repository, as ``PATH``, ``PATH#ANCHOR`` or ``#ANCHOR``."""
    found = ["".join(either) for either in _LINK.findall(_INLINE.sub("", prose(page)))]
    return [link for link in found if not re.match(r"[a-z]+:", link)]


def inline(page: Path) -> list[str]:
    """Code within sentences."""
    return _INLINE.findall(prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors of the page: those that GitHub gives its headings, and those written as
    ``<a id="...">``.
    """
    seen: dict[str, int] = {}
    found = set(re.findall(r'<a id="([^"]+)">', prose(page)))
    for heading in _HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = seen.get(slug, 0)
        seen[slug] = number + 1
        found.add(f"{slug}-{number}" if number else slug)
    return found
