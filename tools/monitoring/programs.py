"""Prometheus' own programs, as the machine has them."""

from __future__ import annotations

import shutil
from pathlib import Path

INSTALL = "sudo apt-get install -y --no-install-recommends prometheus   (or: brew install prometheus)"


class ProgramMissing(Exception):  # noqa: N818 - a finding about the machine
    """A program is not on PATH; the message says how to get it."""


def program(name: str) -> Path:
    """Return where ``prometheus`` or ``promtool`` is.

    Raises:
        ProgramMissing: It is not on PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise ProgramMissing(f"{name} is missing; install it with: {INSTALL}")
    return Path(found)
