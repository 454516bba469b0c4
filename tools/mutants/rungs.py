"""Which tests a file is held to: those of its lowest rung, which are milliseconds away from it."""

from __future__ import annotations

from pathlib import Path

RUNGS = {
    "controller/core": "tests/core",
    "controller/execute": "tests/execute",
    "controller/api/status": "tests/api/status",
}
"""Folder of the product to folder of its tests. These are checked unless files are named."""


def files(root: Path, named: list[str]) -> list[str]:
    """Return the files to change, sorted: those named, or all that have a rung.

    Raises:
        ValueError: There is no such file.
    """
    paths = [root / name for name in named or RUNGS]
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path}: no such file")
    found = {file for path in paths for file in (path.rglob("*.py") if path.is_dir() else [path])}
    return sorted(str(file.relative_to(root)) for file in found if file.name != "__init__.py")


def rung(file: str) -> str:
    """Return the tests of a file.

    Raises:
        ValueError: It has none of its own.
    """
    for folder, tests in RUNGS.items():
        if file == folder or file.startswith(f"{folder}/"):
            return tests
    raise ValueError(f"{file}: no tests of its own are known for it; name them in tools/mutants/rungs.py")
