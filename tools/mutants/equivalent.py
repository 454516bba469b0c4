"""Mutants that change nothing that anybody could see, as ``equivalent.toml`` lists them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tools.mutants.operators import Mutant


@dataclass(frozen=True, slots=True)
class Entry:
    """One mutant that is no fault.

    Attributes:
        file: Path of the file.
        within: Qualified name of the function; empty at a module's or a class's level.
        line: The line as it is, with single spaces between its words.
        becomes: The line as the mutant has it.
        reason: Why nobody could see the difference.
    """

    file: str
    within: str
    line: str
    becomes: str
    reason: str


def read(text: str) -> list[Entry]:
    """Return the entries of a file.

    Raises:
        ValueError: An entry has a key too many or too few, or no reason.
    """
    entries = []
    for row in tomllib.loads(text).get("equivalent", []):
        try:
            entry = Entry(**row)
        except TypeError as error:
            raise ValueError(f"{row}: {error}") from None
        if not entry.reason:
            raise ValueError(f"{row}: say why nobody could see the difference")
        entries.append(entry)
    return entries


def without(
    found: Sequence[Mutant], sources: Mapping[str, str], entries: Iterable[Entry]
) -> tuple[list[Mutant], list[Entry]]:
    """Return the mutants that are in no entry, and the entries of these files that no mutant is in."""
    left = {(e.file, e.within, e.line, e.becomes): e for e in entries if e.file in sources}
    known = set(left)
    kept = []
    for one in found:
        key = (one.file, one.within, *one.lines(sources[one.file]))
        left.pop(key, None)
        if key not in known:
            kept.append(one)
    return kept, list(left.values())
