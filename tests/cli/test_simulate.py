"""The command ``simulate``: what it prints, its exit codes, and that the same seed gives the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controller.cli import main

PLAIN = Path(__file__).parents[2] / "examples" / "scenarios" / "plain-burst.yaml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, arguments)])


def test_a_report_for_people_names_waits_cost_waste_requests_and_what_was_expected() -> None:
    result = run(PLAIN)
    assert result.exit_code == 0, result.output
    for text in (
        "p95",
        "12 workflow jobs",
        "12 succeeded",
        "waste",
        "requests to GitHub",
        "no violations",
        "met",
    ):
        assert text in result.output


def test_an_expectation_that_is_not_met_makes_the_exit_code_1() -> None:
    result = run(PLAIN, "--until", "4m", "--json")
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert report["jobs"]["queued"] + report["jobs"]["running"] > 0
    assert [one["path"] for one in report["expectations"] if not one["met"]]


def test_mistakes_are_all_printed_to_stderr_with_exit_code_2(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("until: soon\npools: []\nworkload:\n  - {repository: lib, at: 1m}\n")
    result = run(path)
    assert result.exit_code == 2
    assert [line.split(":")[1] for line in result.stderr.splitlines()] == ["1", "2", "4"]
    assert result.stdout == ""


@pytest.mark.parametrize("setting", ["t4.maxRunners", "maxRunners=4", ".x=1", "t4.=1"])
def test_a_malformed_setting_is_refused(setting: str) -> None:
    result = run(PLAIN, "--set", setting)
    assert result.exit_code == 2
    assert "POOL.FIELD=VALUE" in result.stderr


def test_a_setting_changes_the_pool_and_what_it_costs() -> None:
    result = run(PLAIN, "--set", "t4.maxRunners=1", "--until", "10m", "--json")
    pool = json.loads(result.stdout)["pools"]["t4"]
    assert (pool["maxRunners"], pool["mostLive"]) == (1, 1)


def test_a_plot_is_drawn(tmp_path: Path) -> None:
    target = tmp_path / "out.png"
    result = run(PLAIN, "--until", "6m", "--plot", target)
    assert "Traceback" not in result.output
    assert target.read_bytes().startswith(b"\x89PNG")


def test_a_plot_without_matplotlib_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run(PLAIN, "--plot", tmp_path / "out.png")
    assert result.exit_code == 2
    assert "pip install 'hf-runner-controller[plot]'" in result.stderr


@pytest.mark.parametrize("name", ["out.gif", "nowhere/out.png"])
def test_a_plot_that_cannot_be_written_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    result = run(PLAIN, "--plot", tmp_path / name)
    assert result.exit_code == 2
    assert "--plot" in result.stderr


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "controller", "simulate", str(PLAIN), *arguments]


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed_and_another_seed_does_not() -> None:
    def output(seed: str, hash_seed: str) -> bytes:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            command("--json", "--seed", seed, "--until", "12m"),
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    assert output("7", "1") == output("7", "2") != output("8", "1")


def test_ctrl_c_prints_the_report_so_far() -> None:
    process = subprocess.Popen(
        command("--until", "9d", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # who runs the tests may ignore it
    )
    assert process.stderr is not None
    assert "Ctrl-C" in process.stderr.readline()
    time.sleep(3)  # real: so that something has happened; the end is far
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 130, err
    report = json.loads(out)
    assert report["interrupted"] is True
    assert 0 < report["seconds"] < 9 * 86_400
