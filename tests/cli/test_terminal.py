"""What reaches a terminal, whatever others wrote."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.table import Table

from controller.cli.terminal import RESET, Console, Program, is_link, lines_of_log, print_line, print_lines
from controller.core.text import text

PIECES = st.lists(
    st.sampled_from(
        [
            "\x1b[31m",
            "\x1b[0m",
            "\x1b[2J",
            "\x1b]8;;https://evil\x1b\\",
            "\x1b]52;c;eA==\x07",
            "\x1b",
            "\x9b",
            "\x9d",
            "\r",
        ]
    )
    | st.text(st.characters(), max_size=6),
    max_size=12,
).map("".join)


@given(PIECES)
def test_a_line_of_a_log_has_no_sequence_in_a_file_and_colors_alone_on_a_terminal(line: str) -> None:
    for shown in lines_of_log(line, colors=False):
        assert text(shown, len(shown), lines=True) == shown
        assert "\n" not in shown
    for shown in lines_of_log(line, colors=True):
        plain = click.unstyle(shown)
        assert text(plain, len(plain), lines=True) == plain
        assert "\x1b" not in shown or shown.endswith(RESET)


@pytest.mark.parametrize(
    ("line", "in_a_file", "on_a_terminal"),
    [
        ("plain\ttext", ["plain\ttext"], ["plain\ttext"]),
        ("\x1b[1;32mok\x1b[0m done", ["ok done"], [f"\x1b[1;32mok\x1b[0m done{RESET}"]),
        ("a\x1b[2J\x1b[1;1Hb", ["ab"], ["ab"]),
        ("a\x1b]0;title\x07b\x1b]8;;https://x\x1b\\c", ["abc"], ["abc"]),
        ("a\x1b]52;c;never ended", ["a52;c;never ended"], ["a52;c;never ended"]),
        (" 10%\r 20%\r100%", [" 10%", " 20%", "100%"], [" 10%", " 20%", "100%"]),
        ("\u202eexe.\ud800", ["\ufffdexe.\ufffd"], ["\ufffdexe.\ufffd"]),
        ("", [""], [""]),
    ],
)
def test_what_people_read_of_a_log(line: str, in_a_file: list[str], on_a_terminal: list[str]) -> None:
    assert lines_of_log(line, colors=False) == in_a_file
    assert lines_of_log(line, colors=True) == on_a_terminal


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "odd", ["\x9d" * 200_000, "\x1b]" * 100_000, "\x1b[" + "0" * 200_000, "\x1b" * 200_000]
)
def test_a_long_line_is_read_once(odd: str) -> None:
    # Quadratic time would be minutes here, and the test's timeout.
    assert "\x1b" not in lines_of_log(odd, colors=True)[0]


def test_what_is_said_is_one_line_without_anything_that_a_terminal_obeys(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_line("left: ci/t4: \x1b[2Jx\nnothing is left")
    print_lines("a\x1b[2J\n  b\n")
    assert capsys.readouterr().out == "left: ci/t4: \ufffd[2Jx nothing is left\na\ufffd[2J\n  b\n"


def test_an_error_is_cleaned_before_it_is_shown() -> None:
    program = Program("program")

    @program.command("fail")
    def fail() -> None:
        raise click.ClickException("GitHub said \x1b]0;owned\x07\x1b[2J")

    done = CliRunner().invoke(program, ["fail"])
    assert done.exit_code == 1
    assert done.output == "Error: GitHub said \ufffd]0;owned\ufffd\ufffd[2J\n"


def test_a_console_cleans_what_it_draws_and_keeps_its_own_styles() -> None:
    console = Console(force_terminal=True, color_system="truecolor", width=60, record=True, file=None)
    table = Table("name")
    table.add_row("[bold]mine[/bold] \x1b[2J\x1b]52;c;eA==\x07")
    table.add_row("[link=https://huggingface.co/x]good[/link] [link=http://evil.example]bad[/link]")
    with console.capture() as captured:
        console.print(table)
    shown = captured.get()
    assert "\x1b[1mmine" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b]52" not in shown
    assert "\x07" not in shown
    assert "https://huggingface.co/x" in shown
    assert "evil.example" not in shown


@pytest.mark.parametrize(
    ("url", "link"),
    [
        ("https://github.com/acme/lib/actions/runs/7/job/41", True),
        ("https://github.com/acme/lib?a=b;c#d", True),
        ("http://127.0.0.1:8801/acme", True),
        ("http://127.0.0.1:8802/acme", False),
        ("https://a b/", False),
        ("https:///nohost", False),
        ("https://u:p@github.com/", False),
        ("HTTPS://github.com/", True),
        ("https://github.com/" + "x" * 3_000, False),
        ("https://exämple.com/", False),
    ],
)
def test_a_link_is_plain_https_or_the_simulator_that_was_named(url: str, link: bool) -> None:
    assert is_link(url, {"http://127.0.0.1:8801"}) is link
