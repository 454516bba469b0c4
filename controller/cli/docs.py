"""The page ``docs/reference/cli.md``: what ``--help`` says of every command.

``python -m controller.cli.docs --write docs/reference/`` writes it, ``--check docs/reference/``
fails when it is not current.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click

from controller.api.generated import write_or_check
from controller.cli import main as program

NAME = "hf-runner-controller"
FILE_NAME = "cli.md"
WIDTH = 100
_COMMAND = "python -m controller.cli.docs --write docs/reference/"

HEAD = f"""\
<!-- Generated from controller/cli by `{_COMMAND}`; do not edit. -->

# Command line

One program, `{NAME}`, is the operator and the tools around it. `--help` prints what is here.

Exit codes are those of each command; all share these: 0 done, 1 it was tried and is not as it should be, 2 wrong arguments or
input, 130 Ctrl-C. Colors and live tables appear on a terminal only; with `--json`, and where output is piped, there are none.
"""


def render() -> str:
    """Return the text of the page."""
    root = program.make_context(NAME, [], resilient_parsing=True)
    return HEAD + "".join(_section(name, command, root) for name, command in _commands(program))


def _commands(group: click.Group) -> Iterator[tuple[str, click.Command]]:
    yield from sorted(group.commands.items())


def _section(name: str, command: click.Command, root: click.Context) -> str:
    context = command.make_context(name, [], parent=root, resilient_parsing=True, terminal_width=WIDTH)
    return f"\n## {name}\n\n```text\n{command.get_help(context)}\n```\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write or check the generated page; return the exit code."""
    return write_or_check(
        arguments, description=__doc__, file_name=FILE_NAME, render=render, command=_COMMAND
    )


if __name__ == "__main__":
    raise SystemExit(main())
