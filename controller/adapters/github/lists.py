"""A list read to its last page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from controller.adapters.github.answer import Answer
from controller.adapters.github.errors import malformed
from controller.adapters.github.pages import Page, has_moved
from controller.core.model import Disposition, Failure, Observation
from controller.core.reasons import Reason

T = TypeVar("T")

MOST_PAGES = 200
"""Pages of one list: twice the 10,000 runners that a group may have."""

MOST_BYTES = 256 * 2**20
"""Bytes of all pages of one list, unpacked. Only their rows are kept, page by page."""


async def read_through(
    url: str,
    page_at: Callable[[str], Awaitable[tuple[Page[Any], Answer, int]]],
    *,
    key: Callable[[T], object],
    cap: int | None,
) -> Observation[T]:
    """Read a list once, from its first page to its last.

    Args:
        url: Of the first page.
        page_at: Reads one page, and returns with it the answer and the number of the credentials that were
            shown it. Pages that were shown to two are no list of either, and what is absent from it may well
            be there.
        key: Identity of a value: one that is seen twice counts once, as seen last.
        cap: Most rows that the server lists, whatever its total.

    Raises:
        GitHubError: A page failed, and so the whole list.
    """
    found: dict[object, T] = {}
    totals: list[int] = []
    uncounted = False
    page, first, credential = await page_at(url)
    shown_to = {credential}
    answer, turned, size = first, 1, first.size
    while True:
        found.update((key(value), value) for value in page.rows)
        if page.total is not None:
            totals.append(page.total if cap is None else min(page.total, cap))
        uncounted |= page.counted and page.total is None
        if page.next is None:
            break
        if page.next == answer.sent_to:
            raise malformed(answer, "its next page is itself")
        if turned == MOST_PAGES or size > MOST_BYTES:
            raise malformed(answer, f"its list does not end within {turned} pages and {size >> 20} MB")
        turned += 1
        page, answer, credential = await page_at(page.next)
        shown_to.add(credential)
        size += answer.size
    # A count that cannot be read proves nothing of what may have slipped between two pages; one page is whole
    # by itself.
    moved = has_moved(totals, len(found)) or (uncounted and turned > 1) or len(shown_to) > 1
    return Observation(
        items=tuple(found.values()),
        asked_at=first.asked_at,
        server_time=first.server_time,
        failure=_moved(first) if moved else None,
    )


def _moved(answer: Answer) -> Failure:
    return Failure(
        reason=Reason.GitHubListMoved,
        message=f"GET {answer.url} changed while its pages were read; it is read again.",
        disposition=Disposition.RETRY,
        request_id=answer.request_id,
    )
