"""The glossary is short, has each word once, and names types that exist."""

from __future__ import annotations

import re
from importlib import import_module

from tests.docs.pages import ROOT

PAGE = (ROOT / "docs" / "glossary.md").read_text()
ROWS = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, re.MULTILINE)
WORDS = [(word, kind, meaning) for word, kind, meaning in ROWS if word not in ("Word", "---")]
OF_THE_FIELD = "a word of the field"


def test_the_glossary_has_at_most_forty_words() -> None:
    assert 20 < len(WORDS) <= 40


def test_each_word_and_each_type_is_there_once() -> None:
    words = [word for word, _, _ in WORDS]
    types = [kind for _, kind, _ in WORDS if kind != OF_THE_FIELD]
    assert sorted(set(words)) == sorted(words)
    assert sorted(set(types)) == sorted(types)


def test_each_type_of_the_glossary_exists() -> None:
    for word, kind, _ in WORDS:
        if kind != OF_THE_FIELD:
            module, _, name = kind.strip("`").partition(":")
            assert isinstance(getattr(import_module(module), name), type), word


def test_each_meaning_is_one_sentence() -> None:
    for word, _, meaning in WORDS:
        assert meaning.endswith("."), word
        assert meaning.count(". ") == 0, word
