"""Workers of pytest-xdist begin only where all of them find the same tests by the same names."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def test_another_process_finds_the_same_tests_by_the_same_names(request: pytest.FixtureRequest) -> None:
    ours = sorted(item.nodeid for item in request.session.items)
    collect = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-n", "0", "-p", "no:cacheprovider"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    found = subprocess.run(
        [*collect, *dict.fromkeys(name.partition("::")[0] for name in ours)],
        cwd=request.config.rootpath,
        env={**environment, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = sorted(line for line in found.stdout.splitlines() if "::" in line)
    assert sorted(set(ours) - set(theirs)) == []
