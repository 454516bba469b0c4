"""A fresh place for the bootstrap script in each test."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bootstrap.bootstrap_box import Box

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def box() -> Iterator[Box]:
    """Not below pytest's own directory, which other users may not enter."""
    with tempfile.TemporaryDirectory(prefix="bootstrap-") as name:
        root = Path(name)
        root.chmod(0o755)
        yield Box(root=root)
