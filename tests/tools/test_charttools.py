"""The programs that check the chart: found, or said how to get them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tools import charttools


def test_what_is_missing_is_not_taken_for_present(tmp_path: Path) -> None:
    env = {"XDG_CACHE_HOME": str(tmp_path)}
    assert charttools.present(env) is None
    directory = charttools.cache_directory(env)
    directory.mkdir(parents=True)
    everything = [*charttools.PROGRAMS, *charttools.CRDS]
    for name in everything[:-1]:
        (directory / name).touch()
        assert charttools.present(env) is None
    (directory / everything[-1]).touch()
    assert charttools.present(env) == directory


def test_without_go_the_command_that_installs_it_is_named(tmp_path: Path) -> None:
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "apt-get").touch(mode=0o755)
    done = subprocess.run(
        [sys.executable, "-m", "tools.charttools"],
        cwd=Path(__file__).parents[2],
        env={"XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": str(bin_), "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 1
    assert "go is not on PATH; install it with: sudo apt-get install -y golang-go" in done.stderr


def test_every_program_is_pinned() -> None:
    imports = (charttools.MODULE / "tools.go").read_text()
    assert all(f'_ "{package}"' in imports for package in charttools.PROGRAMS.values())
