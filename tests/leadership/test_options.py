"""What the command line refuses about elections, before anything is connected to."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from controller.cli import main


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "--lease-namespace"),  # no pod here, so nothing to take it from
        (("--lease-namespace", "ci", "--lease-duration", "10"), "must exceed the renew deadline"),
        (("--lease-namespace", "ci", "--lease-retry-period", "6"), "two renewals"),
        (("--lease-namespace", "ci", "--lease-renew-deadline", "soon"), "not a valid float"),
    ],
)
def test_an_election_that_cannot_work_is_refused(arguments: tuple[str, ...], words: str) -> None:
    done = CliRunner().invoke(main, ["run", "--leader-elect", *arguments])
    assert done.exit_code == 2
    assert words in done.output


@pytest.mark.parametrize("option", ["--namespace", "--lease-namespace", "--stop-switch-namespace"])
@pytest.mark.parametrize("name", ["Bad Name", "CI", "ci/ml", "-ci", "a" * 64, ""])
def test_what_can_be_no_namespace_is_refused_with_how_to_write_one(option: str, name: str) -> None:
    done = CliRunner().invoke(main, ["run", option, name])
    assert done.exit_code == 2
    assert "is no name of a namespace" in done.output


def test_a_stop_switch_outside_of_a_pod_needs_its_namespace() -> None:
    done = CliRunner().invoke(main, ["run", "--stop-switch", "stop"])
    assert done.exit_code == 2
    assert "--stop-switch-namespace" in done.output
