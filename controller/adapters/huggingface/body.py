"""Bodies of the Hub's answers: read piece by piece, and within bounds."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

import httpx2

from controller.adapters.offloop import SMALL
from controller.adapters.unpack import EncodingError, unpacked

_LONGEST_LINE = 256 * 2**10


class TooLargeError(Exception):
    """A body is larger than allowed once it is unpacked; ``limit`` in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it is longer than {limit} bytes")
        self.limit = limit


def pieces(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Return a body as it comes, unpacked (:func:`controller.adapters.unpack.unpacked`)."""
    raw = response.stream
    if not isinstance(raw, AsyncIterable):
        raise EncodingError("a body that is no stream")
    return unpacked(raw, response.headers.get("content-encoding", ""))


async def read(response: httpx2.Response, *, limit: int, grown: Callable[[], Any]) -> bytes:
    """Return a whole body.

    Args:
        response: Open, and not read yet.
        limit: Most bytes of the unpacked body.
        grown: Awaited once the body is larger than :data:`controller.adapters.offloop.SMALL`: such ones come
            one at a time.

    Raises:
        EncodingError: See :func:`pieces`.
        TooLargeError: There is more than the limit; the rest is not read.
    """
    chunks, size = [], 0
    async for piece in pieces(response):
        if size <= SMALL < size + len(piece):
            await grown()
        size += len(piece)
        if size > limit:
            raise TooLargeError(limit)
        chunks.append(piece)
    return b"".join(chunks)


async def lines(response: httpx2.Response) -> AsyncIterator[str]:
    """Yield a stream line by line, without line ends; a line of more than 256 KiB comes in parts.

    Raises:
        EncodingError: See :func:`pieces`.
    """
    rest = b""
    async for piece in pieces(response):
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")
        if len(rest) > _LONGEST_LINE:
            yield rest.decode(errors="replace")
            rest = b""
    if rest:
        yield rest.decode(errors="replace")
