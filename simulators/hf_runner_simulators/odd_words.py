"""Odd but legal words, links and numbers, for the fields of answers that people or nobody chose with care.

Everything here is valid JSON once it is spelt in ASCII; none of it is what a careful client
prints, follows or counts with.
"""

from __future__ import annotations

NAMES = (
    "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x1b]52;c;cm0gLXJmIH4=\x07",
    "left \u202eto right\u202c \u2066isolated\u2069 \u200bwidth\ufeff",
    "long " * 600,
    "lone \ud800 surrogate \udfff",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 family \U0001f3f3\ufe0f\u200d\U0001f308 z\u0351\u036b\u0343\u036a",
    "nul \x00 bell \x07 delete \x7f next \x85 line\r\nHost: elsewhere.example",
    "<script>alert(1)</script> ${{ secrets.TOKEN }} %s {0} `id` $(id) ../../etc/passwd",
)
"""What somebody may call a job: escape sequences (one writes to the clipboard), bidi marks, 3,000 characters,
lone surrogates, emoji, control characters, and what other languages take for code."""

ELSEWHERE = "https://elsewhere.example"
"""An origin that nobody asked."""

LINKS = (
    f"{ELSEWHERE}/steal?q=1",
    "javascript:alert(1)",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1",
    "file:///etc/passwd",
)
"""Links that do not lead back to who sent them."""

COUNT = 10**399
"""A legal JSON number that no 64-bit integer and no float holds."""

EXIT_CODE = "9" * 5_000
"""More digits than Python turns into a number."""

OVERFLOW = "<1e400>"
"""Stands in a payload for the number 1e400, which Python cannot spell; :func:`spelt` puts it in."""


def spelt(text: str) -> str:
    """Return JSON text with the number 1e400 in its places."""
    return text.replace(f'"{OVERFLOW}"', "1e400")
