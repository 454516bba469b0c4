"""Text of strangers, as it may be shown."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.core.text import counted, text

ANY_TEXT = st.text(st.characters(), max_size=60) | st.text(
    st.characters(categories=["Cc", "Cf", "Cs"]), max_size=9
)


@given(ANY_TEXT, st.integers(0, 40), st.booleans())
def test_no_text_is_longer_than_its_limit_and_cleaning_it_again_changes_nothing(
    given_text: str, limit: int, lines: bool
) -> None:
    shown = text(given_text, limit, lines=lines)
    assert len(shown) <= limit
    assert text(shown, limit, lines=lines) == shown
    shown.encode()


def test_no_character_that_a_terminal_acts_on_or_nobody_sees_is_left() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    shown = text(every, len(every))
    assert {unicodedata.category(c) for c in set(shown)} & {"Cc", "Cf", "Cs", "Zl", "Zp"} == set()
    kept = text(every, len(every), lines=True)
    assert {c for c in set(kept) if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} == {"\n", "\t"}


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("build (größe=ß) 模型训练 🚀", "build (größe=ß) 模型训练 🚀"),
        ("\x1b[2J\x1b]52;c;ZXZpbA==\x07", "\ufffd[2J\ufffd]52;c;ZXZpbA==\ufffd"),
        ("\x9b31m \u202egnp.exe \u200b \ud800", "\ufffd31m \ufffdgnp.exe \ufffd \ufffd"),
        ("two\r\nlines\tand\u2028three", "two lines and three"),
        ("n" * 11, "n" * 9 + "…"),
        (None, ""),
        (17, ""),
    ],
)
def test_what_people_see(written: object, shown: str) -> None:
    assert text(written, 200 if written != "n" * 11 else 10) == shown


def test_one_is_one_and_all_others_are_several() -> None:
    assert counted(1, "runner is", "runners are") == "1 runner is"
    assert [counted(number, "pool") for number in (0, 1, 2)] == ["0 pools", "1 pool", "2 pools"]


def test_a_text_that_just_fits_is_whole_and_one_character_more_is_cut() -> None:
    assert text("n" * 10, 10) == "n" * 10
    assert text("n" * 11, 10) == "n" * 9 + "…"
