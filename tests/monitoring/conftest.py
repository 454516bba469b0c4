from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

import pytest

from tools.monitoring.programs import ProgramMissing, program

Promtool = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """Run promtool; where it is missing, tests of it are left out, but not in CI."""
    try:
        path = program("promtool")
    except ProgramMissing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))

    def run(*arguments: object, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(path), *map(str, arguments)],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )

    return run
