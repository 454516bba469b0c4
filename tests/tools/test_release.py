"""tools/release.py: what has to agree before a tag is released."""

from __future__ import annotations

from pathlib import Path

import pytest

from controller import __version__
from tools import release

CHANGELOG = """# Changelog

## [Unreleased]

## [1.2.0] - 2026-12-01

### Added

- Something.

## [1.1.0] - 2026-11-01

- The first.

[1.2.0]: https://example.org/1.2.0
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in {
        "controller/__init__.py": '__version__ = "1.2.0"\n',
        release.SIMULATORS: '__version__ = "1.2.0"\n',
        "pyproject.toml": 'simulate = ["hf-runner-simulators==1.2.0"]\n',
        release.CHART: 'apiVersion: v2\nversion: 1.2.0\nappVersion: "1.2.0"\n',
        "CHANGELOG.md": CHANGELOG,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_a_tree_that_names_one_version_everywhere_can_be_released(tree: Path) -> None:
    assert list(release.mistakes("v1.2.0", tree)) == []


def test_the_notes_are_one_section_without_the_links_below(tree: Path) -> None:
    assert release.notes("1.2.0", tree) == "### Added\n\n- Something.\n"
    assert release.notes("1.1.0", tree) == "- The first.\n"


def test_a_version_without_notes_has_none(tree: Path) -> None:
    for name in ("Unreleased", "1.3.0"):
        with pytest.raises(ValueError, match="nothing under"):
            release.notes(name, tree)


def test_every_mistake_is_told_at_once(tree: Path) -> None:
    edit(tree / release.CHART, "version: 1.2.0\nappVersion", "version: 1.1.9\nappVersion")
    edit(tree / "CHANGELOG.md", "## [1.2.0] - 2026-12-01", "## [1.2.0]")
    edit(tree / release.SIMULATORS, "1.2.0", "1.1.9")
    edit(tree / "pyproject.toml", "1.2.0", "1.1.9")
    tag, simulators, extra, chart, date = release.mistakes("v1.2.1", tree)
    assert "v1.2.1" in tag
    assert simulators.startswith(release.SIMULATORS)
    assert "hf-runner-simulators==1.2.0" in extra
    assert "has version 1.1.9" in chart
    assert "YYYY-MM-DD" in date


def test_a_version_that_the_changelog_does_not_know_is_a_mistake(tree: Path) -> None:
    edit(tree / "CHANGELOG.md", "## [1.2.0] - 2026-12-01", "")
    (found,) = release.mistakes("v1.2.0", tree)
    assert "rename [Unreleased]" in found


def test_this_tree_has_one_version_and_tells_what_is_new() -> None:
    assert release.version() == __version__
    told = [name for name in (__version__, "Unreleased") if _has_notes(name)]
    assert told, "CHANGELOG.md tells nothing of this version"
    assert [m for m in release.mistakes(f"v{__version__}") if m.startswith(release.CHART)] == []


def _has_notes(name: str) -> bool:
    try:
        return bool(release.notes(name))
    except ValueError:
        return False
