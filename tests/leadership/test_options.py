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
