"""What ``upgrade-check`` finds, and how it is reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from controller.core.text import text

MOST_NAMED = 200
"""What is named of one finding; all of it counts."""

_LONGEST_LINE = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something that would stop.

    Attributes:
        what: One or more sentences: what would stop, why, and what to do.
        where: What it is about, each for a line of its own: pools, Secrets, namespaces.
        values: Values of the chart that keep it going, by their path with dots; those of several findings
            must not contradict each other.
        commands: Commands that keep it going, as they are typed.
    """

    what: str
    where: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    commands: tuple[str, ...] = ()


def report_lines(findings: Sequence[Finding]) -> list[str]:
    """Return the lines that tell a person all that was found, and what to set."""
    lines: list[str] = []
    for one in findings:
        lines += [text(one.what, 2 * _LONGEST_LINE), *(f"  {each}" for each in some(one.where)), ""]
    commands = [command for one in findings for command in one.commands]
    if commands:
        lines += ["Run before the upgrade:", "", *(f"  {text(each, _LONGEST_LINE)}" for each in commands), ""]
    values = {path: value for one in findings for path, value in one.values.items()}
    if values:
        lines += ["Set these values, and upgrade again:", "", *(f"  {line}" for line in _yaml(values)), ""]
    return lines


def some(lines: Sequence[str]) -> list[str]:
    """Return lines as a person reads them: each clean and of bounded length, and of very many the first."""
    shown = [text(each, _LONGEST_LINE) for each in lines[:MOST_NAMED]]
    return [*shown, f"and {len(lines) - MOST_NAMED} more"] if len(lines) > MOST_NAMED else shown


def _yaml(values: Mapping[str, Any]) -> Iterable[str]:
    """Return values by paths as the lines of a values file."""
    tree: dict[str, Any] = {}
    for path, value in values.items():
        *parents, last = path.split(".")
        at = tree
        for parent in parents:
            at = at.setdefault(parent, {})
        at[last] = value
    return yaml.safe_dump(tree, sort_keys=True, width=10_000).splitlines()
