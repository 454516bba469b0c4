"""The table of runners: what it reads of a status, and how it looks on a terminal and in a pipe."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controller.cli import main
from controller.cli.runners import WIDEST, draw, read_fleet
from controller.cli.terminal import Console

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
JOB = "https://huggingface.co/jobs/acme/6b019cd5fd44eefd778d23c3"
WORK = "https://github.com/acme/lib/actions/runs/7/job/41"


def pool(name: str, *, live: int = 0, runners: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    status = {
        "counts": {"live": live},
        "flavors": [{"name": "t4-small", "usdPerHour": "0.40"}, {"name": "l4x1"}],
        "runners": runners or [],
    }
    return {"metadata": {"namespace": "ci", "name": name}, "status": status}


BUSY = {
    "name": "t4-hfr-1-busy",
    "phase": "Busy",
    "flavor": "t4-small",
    "since": "2026-11-21T11:47:00Z",
    "hfJobId": "6b019cd5fd44eefd778d23c3",
    "hfJobUrl": JOB,
    "workflowJobUrl": WORK,
}
SCHEDULING = {
    "name": "t4-hfr-2",
    "phase": "Scheduling",
    "flavor": "t4-small",
    "since": "2026-11-21T11:59:30Z",
}


def text(*pools: dict[str, Any], terminal: bool = False) -> str:
    fleet = read_fleet(pools)
    console = Console(
        origins=fleet.origins,
        file=io.StringIO(),
        force_terminal=terminal,
        width=120 if terminal else WIDEST,
        color_system="truecolor" if terminal else None,
    )
    console.print(draw(fleet, now=NOW, links=terminal))
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_a_runner_is_shown_with_its_phase_age_price_and_both_pages() -> None:
    shown = text(pool("t4", live=2, runners=[BUSY, SCHEDULING]), pool("idle"))
    busy, scheduling = (line.split() for line in shown.splitlines()[1:3])
    assert busy == ["ci/t4", "t4-hfr-1-busy", "Busy", "13m", "t4-small", "0.40", JOB, WORK]
    assert scheduling == ["ci/t4", "t4-hfr-2", "Scheduling", "30s", "t4-small"]
    assert shown.splitlines()[3].strip() == "2 runners in 2 pools, 1 without any; $0.40 per hour"


def test_in_a_pipe_there_are_no_colors_no_boxes_and_no_line_is_cut() -> None:
    shown = text(pool("t4", live=1, runners=[{**BUSY, "name": "n" * 64}]))
    assert "\x1b" not in shown
    assert "─" not in shown
    assert "n" * 64 in shown


def test_on_a_terminal_the_pages_are_links_behind_short_names() -> None:
    shown = text(pool("t4", live=1, runners=[BUSY]), terminal=True)
    assert JOB in shown
    assert WORK in shown
    assert all(len(line) < 400 for line in shown.splitlines())


@pytest.mark.parametrize("width", [60, 80, 100])
def test_on_a_narrow_terminal_names_and_phases_stay_whole_and_other_columns_go(width: int) -> None:
    name = "t4-hfr-0a1b2c-1234567890-abcdefghij"
    fleet = read_fleet([pool("t4-of-a-team", live=1, runners=[{**BUSY, "name": name}])])
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(draw(fleet, now=NOW, links=True, width=width))
    lines = str(console.file.getvalue()).splitlines()  # type: ignore[attr-defined]
    assert [line for line in lines if name in line and "Busy" in line]
    assert "RUNNER" in lines[0] + lines[1]
    assert ("HF JOB" in lines[0] + lines[1]) is (width > 100)
    assert all(len(line) <= width for line in lines)


def test_runners_that_a_status_has_no_room_for_are_counted() -> None:
    shown = text(pool("t4", live=25, runners=[BUSY, SCHEDULING]))
    assert "ci/t4: 23 more, not in its status" in shown


def test_pools_without_runners_or_status_make_no_table() -> None:
    assert (
        text({"metadata": {"namespace": "ci", "name": "new"}}).strip()
        == "0 runners in 1 pool, 1 without any; $0.00 per hour"
    )


def test_for_scripts_it_is_json_with_names_as_in_the_status() -> None:
    found = read_fleet([pool("t4", live=2, runners=[BUSY, SCHEDULING])]).to_json()
    assert found["usdPerHour"] == 0.4
    assert found["runners"][0]["hfJobUrl"] == JOB
    assert found["runners"][0]["usdPerHour"] == 0.4
    assert "usdPerHour" not in found["runners"][1]


# -------------------------------------------------------------------------- statuses that somebody else wrote
def links(shown: str) -> list[str]:
    return re.findall(r"\x1b\]8;[^;]*;([^\x1b]+)\x1b\\", shown)


@pytest.mark.parametrize(
    "url",
    [
        "https://x/\x1b\\\x1b[2J\x1b]52;c;ZXZpbA==\x07",
        "http://github.com/acme/lib/actions/runs/7/job/41",
        "https://github.com@evil.example/job",
        "javascript:alert(1)",
        "file:///etc/passwd",
        "https://[::1/job",
        "https://evil.example/\u202ebj",
    ],
)
@pytest.mark.parametrize("terminal", [True, False])
def test_what_is_no_plain_https_address_is_no_link_and_reaches_no_terminal(url: str, terminal: bool) -> None:
    shown = text(pool("t4", live=1, runners=[{**BUSY, "workflowJobUrl": url}]), terminal=terminal)
    assert links(shown) == ([JOB] if terminal else [])
    assert "]52;" not in re.sub("\ufffd]52;", "", shown)
    assert "\x07" not in shown
    assert "\u202e" not in shown


def test_pages_of_a_simulator_that_the_pool_names_are_links() -> None:
    simulated = pool(
        "t4", live=1, runners=[{**BUSY, "workflowJobUrl": "http://127.0.0.1:8801/acme/lib/job/41"}]
    )
    simulated["spec"] = {"github": {"url": "http://127.0.0.1:8801/acme/lib"}}
    assert "http://127.0.0.1:8801/acme/lib/job/41" in links(text(simulated, terminal=True))


def test_names_and_flavors_with_escape_sequences_are_shown_harmless() -> None:
    odd = {
        **BUSY,
        "name": "r\x1b[2J",
        "flavor": "[link=https://evil.example]f[/link]\x9b31m",
        "since": "soon",
    }
    shown = text(pool("t4", live=1, runners=[odd]), terminal=True)
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown
    assert "evil.example]f" in shown  # written out, and no link


def test_a_kubeconfig_that_is_not_there_is_told_once(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["runners", "--kubeconfig", str(tmp_path / "none")])
    assert done.exit_code == 1
    assert "Config not found" not in done.output
    assert done.output.count("there is no file") == 1
