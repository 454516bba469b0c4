"""Fields of what GitHub sends, each kind read in one way: the only place where JSON of GitHub's becomes
values.

A field that decides something is taken as it is, or the whole call fails with the field's name: a list
without its odd row would be a list that lies about absence. A field that any author of a workflow may write
(names, labels) is cleaned instead, since it must not stop the queue of others: no pool has a label that
:func:`controller.adapters.incoming.text` had to change.
"""

from __future__ import annotations

from typing import Any, TypeVar
from urllib.parse import urlsplit

from controller.adapters.incoming import exact, moment, url_of, whole
from controller.core.labels import normalized
from controller.core.text import text

T = TypeVar("T")

LARGEST_ID = 2**63 - 1
"""GitHub's ids are 64 bits."""

LONGEST_WORD = 128
"""Characters of a word such as a status, and of a time."""

LONGEST_NAME = 256
"""Characters of a name or label: GitHub allows 39 for an owner, 100 for a repository, 64 for a runner and 256
for a label."""

MOST_LABELS = 100
"""Labels of one job or runner that are read; with more, it has one that no pool has."""

MOST_ROWS = 1_000
"""Rows of one page; 100 are asked for."""

_UNSET = "0001-01-01T"
"""How a time begins that was never set, where the service is written in C# or Go."""


class FieldError(ValueError):
    """What is wrong with a field, in words that quote no value."""


class Row:
    """One JSON object of GitHub's. It has a method for each kind of field, and no other, however many kinds
    there are.

    Raises:
        FieldError: It is none; and so does each method whose field is missing or odd.
    """

    __slots__ = ("_fields",)

    def __init__(self, found: object) -> None:
        if not isinstance(found, dict):
            raise FieldError("a value is no object")
        self._fields: dict[str, Any] = found

    def has(self, key: str) -> bool:
        """Return whether a field is there and not null."""
        return self._fields.get(key) is not None

    def id(self, key: str = "id") -> int:
        """Return an id."""
        return self._sure(key, whole(self._fields.get(key), 0, LARGEST_ID))

    def id_or_none(self, key: str) -> int | None:
        """Return an id; None for null, absent or 0, with which GitHub says "none"."""
        return self.id(key) if self._fields.get(key) else None

    def count(self, key: str, *, otherwise: int | None = None) -> int:
        """Return an integer of 0 or more; ``otherwise``, if given, where it is null or absent."""
        if otherwise is not None and not self.has(key):
            return otherwise
        return self._sure(key, whole(self._fields.get(key), 0, LARGEST_ID))

    def count_or_none(self, key: str) -> int | None:
        """Return an integer of 0 or more; None for anything else, where a call can do without it."""
        return whole(self._fields.get(key), 0, LARGEST_ID)

    def word(self, key: str) -> str:
        """Return text that decides something, as it came."""
        return self._sure(key, exact(self._fields.get(key), LONGEST_WORD))

    def word_or_none(self, key: str) -> str | None:
        """Return a word; None for null or absent."""
        return self.word(key) if self.has(key) else None

    def name(self, key: str = "name") -> str:
        """Return a name, cleaned."""
        found = self._fields.get(key)
        if not isinstance(found, str):
            raise self._odd(key)
        return text(found, LONGEST_NAME)

    def name_or_none(self, key: str) -> str | None:
        """Return a name, cleaned; None for null, absent or empty."""
        return (self.name(key) or None) if self.has(key) else None

    def flag(self, key: str, *, otherwise: bool | None = None) -> bool:
        """Return a bool; ``otherwise``, if given, where it is null or absent."""
        if otherwise is not None and not self.has(key):
            return otherwise
        found = self._fields.get(key)
        if not isinstance(found, bool):
            raise self._odd(key)
        return found

    def time(self, key: str) -> float:
        """Return epoch seconds."""
        return self._sure(key, moment(self._fields.get(key)))

    def time_or_none(self, key: str) -> float | None:
        """Return epoch seconds; None for null, absent or never set."""
        found = self._fields.get(key)
        if found is None or (isinstance(found, str) and found.startswith(_UNSET)):
            return None
        return self.time(key)

    def url(self, key: str, api_url: str) -> str:
        """Return a URL for people if it is on the host of this REST base, or on the one of its pages, or
        ``""``.
        """
        found = self._fields.get(key)
        return url_of(found, web_origin(api_url)) or url_of(found, api_url)

    def labels(self, key: str = "labels") -> tuple[str, ...]:
        """Return labels as the controller compares them, whether GitHub writes strings or objects with a
        name; null is none.
        """
        found = self._fields.get(key)
        if found is None:
            return ()
        if not isinstance(found, list):
            raise self._odd(key)
        cleaned = [_label(label, key) for label in found[:MOST_LABELS]]
        return normalized(cleaned + ["…"] * (len(found) > MOST_LABELS))

    def spaced(self, key: str) -> bool:
        """Return whether a word of a list begins or ends with a space; False where it is no list of words."""
        found = self._fields.get(key)
        words = found[:MOST_LABELS] if isinstance(found, list) else ()
        return any(isinstance(word, str) and word != word.strip() for word in words)

    def secret(self, key: str, *, most: int) -> str:
        """Return a token or the like: printable ASCII without spaces, since it travels in headers and
        arguments.
        """
        found = exact(self._fields.get(key), most)
        if not found or not found.isascii() or " " in found:
            raise self._odd(key)
        return found

    def row(self, key: str) -> Row:
        """Return an object within this one."""
        if not isinstance(self._fields.get(key), dict):
            raise self._odd(key)
        return Row(self._fields[key])

    def rows(self, key: str) -> list[Any]:
        """Return a list, :data:`MOST_ROWS` at most."""
        return listed(self._fields.get(key), key)

    def words(self, key: str) -> dict[str, str]:
        """Return an object of words by name, cleaned; null is an empty one."""
        if not self.has(key):
            return {}
        found = self.row(key)._fields
        if len(found) > MOST_ROWS:
            raise self._odd(key)
        return {text(k, LONGEST_WORD): text(v, LONGEST_WORD) for k, v in found.items()}

    def names(self, key: str) -> tuple[str, ...]:
        """Return a list of names, cleaned; null is an empty one."""
        return tuple(text(name, LONGEST_NAME) for name in self.rows(key)) if self.has(key) else ()

    def _sure(self, key: str, value: T | None) -> T:
        if value is None:
            raise self._odd(key)
        return value

    def _odd(self, key: str) -> FieldError:
        return FieldError(f"it lacks '{key}'" if key not in self._fields else f"its '{key}' is odd")


def listed(found: object, what: str) -> list[Any]:
    """Return the rows of a page.

    Raises:
        FieldError: It is no list, or a longer one than was asked for.
    """
    if not isinstance(found, list):
        raise FieldError(f"its '{what}' is no list")
    if len(found) > MOST_ROWS:
        raise FieldError(f"its '{what}' has {len(found)} rows")
    return found


def web_origin(api_url: str) -> str:
    """Return where the pages for people are of a REST base: ``https://github.com`` of
    ``https://api.github.com``.
    """
    parts = urlsplit(api_url)
    # Only where GitHub is hosted: an Enterprise Server serves pages and REST on one host, whatever that is
    # called.
    host = parts.netloc if parts.path.strip("/") else parts.netloc.removeprefix("api.")
    return f"{parts.scheme}://{host}"


def _label(found: object, key: str) -> str:
    if isinstance(found, dict):
        found = found.get("name")
    if not isinstance(found, str):
        raise FieldError(f"its '{key}' is odd")
    return text(found, LONGEST_NAME)
