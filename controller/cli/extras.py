"""What an extra of the distribution installs, and how to get it where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from controller.cli.exits import MISTAKEN

SIMULATORS = "hf_runner_simulators"
"""The import package that the extra ``simulate`` installs."""


class MissingExtra(click.ClickException):
    """A command needs a package that is not installed; the message says how to get it."""

    exit_code = MISTAKEN


@contextmanager
def simulators_needed() -> Iterator[None]:
    """Let a command import the simulated services: around its imports, and nothing else.

    Raises:
        MissingExtra: They are not installed. Another package that is missing is a mistake of ours, and is
            raised as it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != SIMULATORS:
            raise
        raise MissingExtra(
            "this command needs the simulated GitHub and Hub, which are not installed: "
            "pip install 'hf-runner-controller[simulate]'"
        ) from error
