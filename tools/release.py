"""What a release needs of the tree: ``check v1.2.3`` that everything names that version,
``notes 1.2.3`` from the changelog.

Used by .github/workflows/release.yml, so it needs nothing but Python. The version is in
controller/__init__.py.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SIMULATORS = "simulators/hf_runner_simulators/__init__.py"
CHART = "charts/hf-runner-controller/Chart.yaml"
_SECTION = re.compile(r"^## \[(?P<name>[^]]+)\](?: - (?P<date>\S+))?$", re.MULTILINE)


def version(root: Path = ROOT) -> str:
    """Return the version that the code calls itself."""
    found = re.search(r'^__version__ = "(.+)"$', (root / "controller/__init__.py").read_text(), re.MULTILINE)
    if found is None:
        raise ValueError("controller/__init__.py has no __version__")
    return found[1]


def notes(name: str, root: Path = ROOT) -> str:
    """Return what the changelog says of a version (or of ``Unreleased``).

    Raises:
        ValueError: It says nothing.
    """
    text = (root / "CHANGELOG.md").read_text()
    headings = list(_SECTION.finditer(text))
    for heading, after in zip(headings, [*headings[1:], None], strict=True):
        if heading["name"] == name:
            body = text[heading.end() : after.start() if after else None]
            body = re.sub(r"^\[[^]]+\]: \S+$", "", body, flags=re.MULTILINE).strip()  # link definitions
            if body:
                return body + "\n"
    raise ValueError(f"CHANGELOG.md has nothing under ## [{name}]")


def mistakes(tag: str, root: Path = ROOT) -> Iterator[str]:
    """Return why a tag cannot be released from this tree: all reasons at once."""
    ours = version(root)
    if tag != f"v{ours}":
        yield f"the tag is {tag}, but controller/__init__.py says {ours}: tag v{ours}, or change the version first"
    simulators = re.search(r'^__version__ = "(.+)"$', (root / SIMULATORS).read_text(), re.MULTILINE)
    if simulators is None or simulators[1] != ours:
        yield f"{SIMULATORS} does not say {ours}, as controller/__init__.py does"
    if f'simulate = ["hf-runner-simulators=={ours}"]' not in (root / "pyproject.toml").read_text():
        yield f"pyproject.toml: the extra simulate does not ask for hf-runner-simulators=={ours}"
    chart = (root / CHART).read_text()
    for key in ("version", "appVersion"):
        found = re.search(rf"^{key}: (.+)$", chart, re.MULTILINE)
        theirs = found[1].strip("\"'") if found else None
        if theirs != ours:
            yield f"{CHART} has {key} {theirs}, but controller/__init__.py says {ours}"
    try:
        notes(ours, root)
    except ValueError as error:
        yield f"{error}: rename [Unreleased], and date it"
    dates = {
        heading["name"]: heading["date"] for heading in _SECTION.finditer((root / "CHANGELOG.md").read_text())
    }
    if ours in dates and re.fullmatch(r"\d{4}-\d\d-\d\d", dates[ours] or "") is None:
        yield f"CHANGELOG.md has no date: write ## [{ours}] - YYYY-MM-DD"


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands; 1 says that something is wrong, 2 that the command is."""
    match arguments:
        case ["check", tag]:
            found = list(mistakes(tag))
            print("\n".join(found) or f"{tag} can be released", file=sys.stderr if found else sys.stdout)
            return bool(found)
        case ["notes", name]:
            print(notes(name), end="")
            return 0
        case _:
            print("usage: python -m tools.release check TAG | notes VERSION", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
