"""The command line of what is generated from the models: write the file, or say that it is not current."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path


def write_or_check(
    arguments: Sequence[str] | None,
    *,
    description: str | None,
    file_name: str,
    render: Callable[[], str],
    command: str,
) -> int:
    """Write one generated file, or compare it.

    Args:
        arguments: ``--write DIR`` or ``--check DIR``; those of the process if None.
        description: For ``--help``.
        file_name: Name of the file in DIR.
        render: Returns its text.
        command: What to run when the file is not current.

    Returns:
        The exit code: 1 if ``--check`` found another text, or no file.
    """
    parser = argparse.ArgumentParser(description=description)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", type=Path, metavar="DIR", help=f"write DIR/{file_name}")
    action.add_argument(
        "--check", type=Path, metavar="DIR", help=f"exit with 1 if DIR/{file_name} is not current"
    )
    options = parser.parse_args(arguments)
    file: Path = (options.write or options.check) / file_name
    if options.write:
        file.write_text(render(), encoding="utf-8")
        return 0
    there = file.read_text(encoding="utf-8") if file.is_file() else ""
    wanted = render()
    if there == wanted:
        return 0
    sys.stderr.write(f"{file} is not current: run {command}\n")
    sys.stderr.writelines(
        difflib.unified_diff(
            there.splitlines(keepends=True), wanted.splitlines(keepends=True), str(file), "wanted", n=1
        )
    )
    return 1
