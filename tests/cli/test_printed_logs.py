"""How ``logs`` prints what runners say, in a pipe and raw."""

from __future__ import annotations

import pytest

from controller.adapters.huggingface.logs import LogLine
from controller.cli.logs_command import Printer

EVIL = LogLine(
    at="2026-11-21T12:00:00Z", text="\x1b[32mok\x1b[0m\x1b]52;c;eA==\x07 50%\r\x1b[2Jt4-hfr-2 | mine \ud800"
)


def test_in_a_pipe_lines_have_no_sequence_and_none_passes_for_another_runners(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    Printer(timestamps=True).line("t4-hfr-1\x1b[2J", EVIL)
    assert capsysbinary.readouterr().out.decode() == (
        "t4-hfr-1\ufffd[2J | 2026-11-21T12:00:00Z ok 50%\n"
        "t4-hfr-1\ufffd[2J | 2026-11-21T12:00:00Z t4-hfr-2 | mine \ufffd\n"
    )


def test_raw_lines_are_printed_as_they_came(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    Printer(timestamps=False, raw=True).line("", EVIL)
    assert capsysbinary.readouterr().out == f"{EVIL.text}\n".encode("utf-8", "surrogatepass")
