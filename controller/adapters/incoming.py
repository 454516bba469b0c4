"""What comes from outside, turned into bounded values: text, numbers, times, JSON and URLs of services that
nobody here controls.

A service may be broken, or belong to somebody who wishes us ill. Each function here takes whatever it sent
and returns a value that the rest of the controller can rely on, in time that is linear in what was sent. All
are pure.

Two ways to refuse: a function that returns ``None`` (or ``""``) leaves it to the caller what a missing value
means, and :func:`parse_json` raises :class:`UnreadableError`, which an adapter turns into its own error.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from controller.core.text import text

PAGE_BYTES = 8 * 2**20
"""Bytes that one answer may have once it is unpacked."""

MOST_VALUES = 100_000
"""Values that one JSON document may hold. A page of a hundred GitHub jobs with a hundred steps each has
90,000. Parsed, this many take 10 MB."""

LONG = 2**18
"""Bytes from which on other threads get their turns between the objects of a document."""

DEEPEST = 64
"""Levels of arrays and objects that a JSON document may have. The services that we know need six."""

LONGEST_INTEGER = 64
"""Digits that an integer in JSON may have: reading one takes a time that grows with their square."""

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC).timestamp()
LATEST = datetime(2200, 1, 1, tzinfo=UTC).timestamp()
"""Epoch seconds between which a time is believed."""

LONGEST_WAIT = 3_600.0
"""Seconds that a service may make us wait: no rate limit of GitHub's or the Hub's has a longer window."""

LONGEST_URL = 1_024
"""Characters of a URL that is kept."""

LONGEST_HEADER = 4_096
"""Characters of a header that are looked at."""

LONGEST_MASKED = 8_192
"""Characters of a text in which patterns of secrets are looked for; the rest is dropped."""

SECRET = "[secret]"  # noqa: S105 -- what stands in a secret's place


_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?")
_URL_CHARACTERS = re.compile(r"[!#$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~]+")
_PORTS = {"https": 443, "http": 80}

_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))

_SECRETS = re.compile(
    # No alternative can fail after it has read more than 64 characters, so the whole is linear.
    r"gh[a-z]_[\w.~+/=-]+"  # GitHub's tokens; an installation's token may hold a JWT
    r"|github_pat_\w+"
    r"|hf_[A-Za-z0-9]{8,}"
    r"|eyJ[\w-]{8,}[\w.=-]*"  # base64 of '{"': JWTs and JIT configurations
    r"|(?i:bearer|basic)\s+\S+"
    r"|-----BEGIN.*"
    r"|[A-Za-z0-9+/=_-]{64,}",  # other blobs
    re.DOTALL,
)


class UnreadableError(ValueError):
    """A body that is no JSON within our bounds; its text says why, and quotes nothing of the body."""


# ------------------------------------------------------------------------------------------------------- text
def exact(value: object, limit: int) -> str | None:
    """Return text that decides something, such as a name: as it came, or None where :func:`text` would change
    it.
    """
    return value if isinstance(value, str) and text(value, limit) == value else None


# ---------------------------------------------------------------------------------------------------- numbers
def number(value: object, low: float, high: float) -> float | None:
    """Return a JSON number from ``low`` to ``high``, both included; None for anything else, a bool or NaN
    included.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # Comparing is exact for integers of any size, which float() is not, and false for NaN.
    top = sys.float_info.max
    return float(value) if max(low, -top) <= value <= min(high, top) else None


def whole(value: object, low: int, high: int) -> int | None:
    """Return a JSON integer from ``low`` to ``high``, both included (``7.0`` is one); None for anything
    else.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if low <= value <= high else None


def exit_code(value: object) -> int | None:
    """Return the exit code of a process, 0 to 255, or None."""
    return whole(value, 0, 255)


def header_number(value: str | None, low: float, high: float) -> float | None:
    """Return a header's decimal number from ``low`` to ``high``; None for anything else (signs and exponents
    included).
    """
    found = _NUMBER.fullmatch(value.strip()) if value and len(value) <= 64 else None
    return number(float(found[0]), low, high) if found else None


# ------------------------------------------------------------------------------------------------------ times
def moment(value: object) -> float | None:
    """Return the epoch seconds of a time as RFC 3339 writes it, years 2000 to 2200; None for anything else.

    A time without its offset from UTC could mean anything, so it is none.
    """
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return _believed(found)


def http_date(value: str | None) -> float | None:
    """Return the epoch seconds of a header such as ``Date``, years 2000 to 2200; None for anything else."""
    if not value or len(value) > 64:
        return None
    try:
        return _believed(parsedate_to_datetime(value))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _believed(found: datetime) -> float | None:
    if found.tzinfo is None or not 1999 <= found.year <= 2200:
        return None
    seconds = found.timestamp()
    return seconds if EARLIEST <= seconds < LATEST else None


def wait(value: object, *, now: float) -> float | None:
    """Return the seconds of ``Retry-After`` or of a number of seconds, an hour at most; None for what is
    neither.

    Args:
        value: A header (seconds, or a date) or a JSON number.
        now: Epoch seconds on the clock of the service that answered, for a date.
    """
    found: float | None
    if isinstance(value, str):
        found = header_number(value, 0, math.inf)
        if found is None:
            at = http_date(value)
            found = None if at is None else max(at - now, 0.0)
    else:
        found = number(value, 0, math.inf)
    return None if found is None else min(found, LONGEST_WAIT)


# ------------------------------------------------------------------------------------------------------- JSON
def parse_json(body: bytes, *, limit: int = PAGE_BYTES, values: int = MOST_VALUES) -> Any:  # noqa: ANN401 -- JSON
    """Parse a JSON document of bounded size; of a key that comes twice, the last one counts.

    Args:
        body: UTF-8.
        limit: Most bytes.
        values: Most values, counted together with the commas and brackets within strings.

    Raises:
        UnreadableError: It is no JSON, or larger or deeper (:data:`DEEPEST`) than allowed.

    NaN, an infinity, and a number too large to be one or of more than :data:`LONGEST_INTEGER` digits are read
    as null: where the field is needed it is missing then, and where nobody needs it, nothing is lost by it.
    """
    if len(body) > limit:
        raise UnreadableError(f"{len(body)} bytes, and {limit} are read at most")
    brackets = body.translate(None, _NO_BRACKETS)
    if brackets.count(b"[") + brackets.count(b"{") + body.count(b",") > values:
        raise UnreadableError(f"more than {values} values")
    problem = "no whole JSON"
    try:
        document = json.loads(
            body,
            object_hook=_breathe if len(body) > LONG else None,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_bounded,
        )
    except RecursionError:
        problem = f"more than {DEEPEST} levels"
    except ValueError:  # JSONDecodeError and UnicodeDecodeError
        pass
    else:
        if not _is_shallow(brackets) and _is_deep(document):
            raise UnreadableError(f"more than {DEEPEST} levels")
        return document
    # Outside of the handlers: a JSONDecodeError holds the whole text, and the text may hold a secret.
    raise UnreadableError(problem)


def _breathe(found: dict[str, Any]) -> dict[str, Any]:
    """Do nothing, in Python: the parser is written in C, and lets other threads have the interpreter only
    where it leaves C.
    """
    return found


def _no_number(word: str) -> None:
    """Read NaN or an infinity as nothing."""


def _finite(digits: str) -> float | None:
    found = float(digits)
    return None if math.isinf(found) else found


def _bounded(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_INTEGER else None


def _is_shallow(brackets: bytes) -> bool:
    """Return whether brackets close within :data:`DEEPEST` levels. This is quick; brackets within strings may
    spoil it.
    """
    for _ in range(DEEPEST // 2):
        fewer = brackets.replace(b"[]", b"").replace(b"{}", b"")  # the innermost level, or the two innermost
        if len(fewer) == len(brackets):
            break
        brackets = fewer
    return not brackets


def _is_deep(document: object) -> bool:
    level = [document]
    for _ in range(DEEPEST):
        if not level:
            return False
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
    return bool(level)


# ------------------------------------------------------------------------------------------------------- URLs
def url_of(value: object, origin: str) -> str:
    """Return a URL for people if it is on ``origin`` (such as ``https://github.com``), or ``""``.

    It has at most :data:`LONGEST_URL` characters, no user and no password, and no character that ends a link
    in a terminal.
    """
    if not isinstance(value, str) or len(value) > LONGEST_URL or not _URL_CHARACTERS.fullmatch(value):
        return ""
    found, wanted = _split(value), _split(origin)
    if found is None or wanted is None or "@" in found.netloc or _origin(found) != _origin(wanted):
        return ""
    return value


def next_page(link: str | None, asked: str) -> str | None:
    """Return the next page's URL after ``asked``, or None: what was asked, with the query that ``Link`` gives
    for ``next``.

    Scheme, host and path stay those that were asked, so whatever ``Link`` says, no credential goes anywhere
    else.

    Args:
        link: The header.
        asked: URL of the page that it came with.
    """
    for part in re.split(r",\s*(?=<)", (link or "")[:LONGEST_HEADER]):
        target, _, parameters = part.strip().removeprefix("<").partition(">")
        if not re.search(r';\s*rel="?next\b', parameters):
            continue
        found = _split(target)
        if found is None or not found.query or not _URL_CHARACTERS.fullmatch(found.query):
            return None
        return urlsplit(asked)._replace(query=found.query[:LONGEST_URL], fragment="").geturl()
    return None


def redirected(location: str | None, asked: str) -> str | None:
    """Return where a redirect of ``asked`` leads: a path and query on the same origin, or None for anywhere
    else.
    """
    if not location or len(location) > LONGEST_URL or not _URL_CHARACTERS.fullmatch(location):
        return None
    try:
        found = _split(urljoin(asked, location))
    except ValueError:
        return None
    origin = urlsplit(asked)
    if found is None or _origin(found) != _origin(origin) or "@" in found.netloc:
        return None
    return origin._replace(path=found.path, query=found.query, fragment="").geturl()


def _split(url: str) -> SplitResult | None:
    try:
        found = urlsplit(url)
        found.port  # noqa: B018 -- raises what would be raised later
    except ValueError:
        return None
    return found


def _origin(parts: SplitResult) -> tuple[str, str, int | None]:
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme)


# ---------------------------------------------------------------------------------------------------- secrets
def mask(words: str, secrets: Iterable[str] = ()) -> str:
    """Return a text without secrets: first those that are known, wherever they are, then whatever looks like
    one.

    To be done before a text is cut, cleaned or squeezed: half a secret is recognized by nobody. At most
    :data:`LONGEST_MASKED` characters are returned.

    Args:
        words: The text as it came.
        secrets: Known ones. They are also found as JSON or a URL writes them, with white space squeezed, and
            by each of their lines of 8 characters or more.
    """
    for form in sorted({f for s in secrets for f in _forms(s)}, key=lambda f: (-len(f), f)):
        words = words.replace(form, SECRET)
    if len(words) > LONGEST_MASKED:
        # The last word may be the beginning of a secret that is cut in two.
        head = words[:LONGEST_MASKED]
        words = head[: head.rfind(" ")] if " " in head else head
    return _SECRETS.sub(SECRET, words)


def _forms(secret: str) -> set[str]:
    lines = (line.strip() for line in secret.splitlines())
    plain = {secret, secret.strip(), " ".join(secret.split()), *(line for line in lines if len(line) >= 8)}
    plain.discard("")
    escaped = {json.dumps(form, ensure_ascii=a)[1:-1] for form in plain for a in (True, False)}
    return plain | escaped | {quote(form, safe="", errors="replace") for form in plain}
