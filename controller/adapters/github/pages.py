"""Reading answers: JSON to values, pages to whole lists, and the store of pages that GitHub may call unchanged."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from controller.adapters.github.answer import Answer
from controller.adapters.github.errors import malformed
from controller.ports import Clock

T = TypeVar("T")

CACHE_PAGES = 4_096
"""Pages kept: 500 repositories with five statuses each, and their jobs."""

CACHE_ROWS = 50_000
"""Rows kept in all pages together: about 20 MB of jobs."""

CACHE_AGE = 7_200.0
"""Seconds after its last use at which a page is dropped: its token is dead by then."""

_NEXT = re.compile(r'<([^<>]+)>\s*;[^,]*\brel="?next\b')


def parsed(answer: Answer, parse: Callable[[Any], T]) -> T:
    """Turn a success into a value.

    Raises:
        MalformedError: It is no JSON, or lacks what ``parse`` needs.
    """
    try:
        return parse(json.loads(answer.body))
    except KeyError as error:
        problem = f"it lacks {error}"
    except (ValueError, TypeError, AttributeError, IndexError, RecursionError) as error:
        problem = _no_json(answer.body) if isinstance(error, ValueError) else "it has an unknown shape"
    # Outside of the handler: a JSONDecodeError holds the whole text, and the text may hold a token.
    raise malformed(answer, problem)


def _no_json(body: bytes) -> str:
    if not body:
        return "an empty body"
    return (
        "HTML"
        if body.lstrip()[:1] == b"<"
        else f"{len(body)} bytes that are no whole JSON of the known shape"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """One page of a list.

    Attributes:
        rows: Parsed.
        total: ``total_count``, where the answer has one.
        next: URL of the next page.
    """

    rows: tuple[T, ...]
    total: int | None
    next: str | None


def read_page(answer: Answer, key: str | None, parse: Callable[[Any], T]) -> Page[T]:
    """Read one page of a list whose rows are under ``key``, or are the answer itself.

    Raises:
        MalformedError: It cannot be read.
    """

    def whole(found: Any) -> tuple[tuple[T, ...], int | None]:  # noqa: ANN401 -- JSON
        rows = found if key is None else found[key]
        if not isinstance(rows, list):
            raise TypeError("rows")
        total = None if key is None else int(found["total_count"])
        return tuple(parse(row) for row in rows), total

    rows, total = parsed(answer, whole)
    following = _NEXT.search(answer.headers.get("link", ""))
    return Page(rows=rows, total=total, next=following[1] if following else None)


def has_moved(totals: Sequence[int], unique_rows: int) -> bool:
    """Return whether a list lost rows while its pages were read, so that others slipped over the edge of a page, unseen.

    Rows that were added meanwhile do no harm: they push others to a later page, where they are seen twice, and a list may
    miss what is newer than its first request. The first page's count is what must be there.
    """
    return bool(totals) and (min(totals) < totals[0] or unique_rows < totals[0])


@dataclass(slots=True, kw_only=True)
class _Stored:
    generation: int
    etag: str
    page: Page[Any] = field(repr=False)
    used_at: float


class PageCache:
    """Pages by URL for conditional requests, bounded in pages, rows and age.

    An ETag is only good with the token that it was got with, so a page belongs to a generation of the token.
    """

    def __init__(self, *, clock: Clock, pages: int = CACHE_PAGES, rows: int = CACHE_ROWS) -> None:
        self._clock = clock
        self._most_pages = pages
        self._most_rows = rows
        self._stored: OrderedDict[str, _Stored] = OrderedDict()
        self._rows = 0

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
        self._stored[url] = _Stored(generation=generation, etag=etag, page=page, used_at=now)
        self._rows += len(page.rows)
        while self._stored:
            oldest = next(iter(self._stored))
            too_much = len(self._stored) > self._most_pages or self._rows > self._most_rows
            if not too_much and now - self._stored[oldest].used_at <= CACHE_AGE:
                break
            self.drop(oldest)

    def drop(self, url: str) -> None:
        """Forget a page. Idempotent."""
        found = self._stored.pop(url, None)
        if found is not None:
            self._rows -= len(found.page.rows)
