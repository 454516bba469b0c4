"""Lists: pages of rows, whether they are whole, and the store of pages that GitHub may call unchanged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from controller.adapters.github.fields import Row, listed
from controller.ports import Clock

T = TypeVar("T")

CACHE_PAGES = 4_096
"""Pages kept: 500 repositories with five statuses each, and their jobs."""

CACHE_ROWS = 50_000
"""Rows kept in all pages together: about 20 MB of jobs."""

CACHE_CHARACTERS = 16_000_000
"""Characters of text in the rows of all pages together: 50,000 jobs have ten million."""

CACHE_AGE = 7_200.0
"""Seconds after its last use at which a page is dropped: its token is dead by then."""

MOST_TOTAL = 10**9
"""Rows that a list may say that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        rows: Parsed.
        total: ``total_count``, where the answer has one that is a number.
        counted: It should have one.
        next: URL of the next page.
    """

    rows: tuple[T, ...]
    total: int | None
    counted: bool = False
    next: str | None = None


def read_page(document: object, key: str | None, parse: Callable[[Row], T]) -> Page[T]:
    """Read one page of a list whose rows are under ``key``, or are the answer itself.

    Raises:
        FieldError: A row cannot be read: a list without it would be one that lies about absence.
    """
    if key is None:
        return Page(rows=tuple(parse(Row(row)) for row in listed(document, "rows")), total=None)
    found = Row(document)
    total = found.count_or_none("total_count")
    rows = tuple(parse(Row(row)) for row in found.rows(key))
    return Page(rows=rows, total=None if total is None else min(total, MOST_TOTAL), counted=True)


def has_moved(totals: Sequence[int], unique_rows: int) -> bool:
    """Return whether a list lost rows while its pages were read, so that others slipped over the edge of a
    page, unseen.

    Rows that were added meanwhile do no harm: they push others to a later page, where they are seen twice,
    and a list may miss what is newer than its first request. The first page's count is what must be there.
    """
    return bool(totals) and (min(totals) < totals[0] or unique_rows < totals[0])


@dataclass(slots=True, kw_only=True)
class _Stored:
    generation: int
    etag: str
    page: Page[Any] = field(repr=False)
    characters: int
    used_at: float


class PageCache:
    """Pages by URL for conditional requests, bounded in pages, rows, characters and age.

    An ETag is only good with the token that it was got with, so a page belongs to a generation of the token.
    """

    def __init__(self, *, clock: Clock, pages: int = CACHE_PAGES, rows: int = CACHE_ROWS) -> None:
        self._clock = clock
        self._most_pages = pages
        self._most_rows = rows
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._rows = 0
        self._characters = 0

    def __len__(self) -> int:
        return len(self._stored)

    def get(self, url: str, generation: int) -> tuple[str, Page[Any]] | None:
        """Return the ETag, verbatim, and the page that it stands for."""
        found = self._stored.get(url)
        if found is None or found.generation != generation:
            return None
        found.used_at = self._clock.mono()
        self._stored.move_to_end(url)
        return found.etag, found.page

    def put(self, url: str, generation: int, etag: str, page: Page[Any]) -> None:
        """Store a page and drop what is too much or too old."""
        self.drop(url)
        now = self._clock.mono()
        characters = sum(_characters(row) for row in page.rows)
        self._stored[url] = _Stored(
            generation=generation, etag=etag, page=page, characters=characters, used_at=now
        )
        self._rows += len(page.rows)
        self._characters += characters
        while self._stored:
            oldest = next(iter(self._stored))
            too_much = (
                len(self._stored) > self._most_pages
                or self._rows > self._most_rows
                or self._characters > CACHE_CHARACTERS
            )
            if not too_much and now - self._stored[oldest].used_at <= CACHE_AGE:
                break
            self.drop(oldest)

    def drop(self, url: str) -> None:
        """Forget a page. Idempotent."""
        found = self._stored.pop(url, None)
        if found is not None:
            self._rows -= len(found.page.rows)
            self._characters -= found.characters


def _characters(row: object) -> int:
    """Count the characters of a row's texts, the ones in its tuples included."""
    if isinstance(row, str):
        return len(row)
    values = (getattr(row, name) for name in getattr(row, "__slots__", ()))
    return sum(
        len(value) if isinstance(value, str) else sum(map(len, value)) if isinstance(value, tuple) else 0
        for value in values
    )
