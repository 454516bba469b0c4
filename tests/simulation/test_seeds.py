"""What ``make seeds`` promises: every fault is played, and a failure comes with the one
command that replays it.
"""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from controller.adapters.github.connection import GitHubConnection
from tests.seeds import fleet, run
from tests.seeds.coverage import PLAYED, unplayed
from tests.seeds.plan import DISTURBANCES, READ_FAULTS, WRITE_FAULTS
from tests.seeds.trouble_services import CANCEL_REASONS


def test_the_table_of_what_must_be_played_names_every_fault_there_is() -> None:
    words = {
        mark.removeprefix("fault ").split()[0].rstrip(":") for needed in PLAYED.values() for mark in needed
    }
    missing = {*READ_FAULTS, *WRITE_FAULTS, *DISTURBANCES} - words - {"platform_cancels", "broken_image"}
    assert sorted(missing) == []  # the two are there by the reason, and by the exit code
    assert {f"platform cancels: {reason}" for reason in CANCEL_REASONS} == set(
        PLAYED["the platform cancels, with each reason"]
    )


def test_what_was_not_played_is_named_with_the_marks_that_are_missing() -> None:
    every = {mark: 1 for needed in PLAYED.values() for mark in needed}
    assert list(unplayed(every)) == []
    assert list(unplayed({**every, "fault limited": 0})) == ["429 with headers: no fault limited"]
    assert len(list(unplayed({}))) == len(PLAYED)


def test_a_fleet_that_met_too_little_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet.main(["--seeds", "20-20", "--workers", "1", "--all-faults"]) == 1
    assert "never played: 429 with headers" in capsys.readouterr().err


def test_a_seed_that_fails_prints_one_command_that_fails_in_the_same_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    true = GitHubConnection.register

    async def register(self: Any, scope: Any, *, labels: Any, **more: Any) -> Any:
        return await true(self, scope, labels=(*labels, "self-hosted"), **more)

    monkeypatch.setattr(GitHubConnection, "register", register)
    assert fleet.main(["--seeds", "3-3", "--workers", "1"]) == 1
    printed = capsys.readouterr().out.splitlines()
    broken = next(line.strip() for line in printed if "labels: " in line)
    commands = [line.partition("replay: ")[2] for line in printed if "replay: " in line]
    for command in commands:  # the seed as it is, and the fewest of its faults
        program, *arguments = shlex.split(command.removeprefix("python -m "))
        assert program == "tests.seeds.run"
        assert run.main(arguments) == 1
        assert "labels: " in capsys.readouterr().out
    assert run.main(shlex.split(commands[0])[3:]) == 1
    assert broken in capsys.readouterr().out


def test_a_fault_that_would_never_strike_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run.main(["--seed", "3", "--force", "truncate:POST /api/jobs/{namespace}#1"])
    assert "no such faults to force: truncate" in capsys.readouterr().err
