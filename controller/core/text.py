"""Text that somebody else wrote, as it may be shown: in a status, on a terminal, in a log
line, as a label of a metric.

The one rule for it. Adapters apply it to what comes in, and whatever shows text applies it again to what goes
out: an object of Kubernetes may have been written by anybody who has the right to.
"""

from __future__ import annotations

import unicodedata

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_LINE_BREAKS = frozenset("\n\r\t\v\f\x1c\x1d\x1e\x85\u2028\u2029")
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that a terminal acts on or nobody sees: controls, bidi and zero-width
characters, lone surrogates."""


def text(value: object, limit: int, *, lines: bool = False) -> str:
    """Return text for people: at most ``limit`` characters, none of which a terminal acts on;
    ``""`` for what is no text.

    Line breaks and tabs become spaces, other such characters U+FFFD. What is cut ends in ``…``.
    Applied twice, it is the same.

    Args:
        value: What came.
        limit: Most characters of the result.
        lines: Keep tabs and line breaks (as line feeds), for logs.
    """
    if not isinstance(value, str):
        return ""
    if len(value) > limit:
        value = value[: max(limit - 1, 0)] + "…"[:limit]
    if value.isprintable():  # the usual case, at the speed of C
        return value
    value = value.replace("\r\n", "\n")
    return "".join(_clean_character(c, lines=lines) for c in value)


def counted(number: int, one: str, more: str = "") -> str:
    """Return a number with the word for it: ``1 runner``, ``2 runners``; ``more`` is the plural
    where that takes another form.
    """
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def _clean_character(c: str, *, lines: bool) -> str:
    if c in _LINE_BREAKS:
        return ("\t" if c == "\t" else "\n") if lines else " "
    return REPLACEMENT if unicodedata.category(c) in _UNSEEN else c
