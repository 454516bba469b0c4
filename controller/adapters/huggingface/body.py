"""Bodies of the Hub's answers: read piece by piece, and unpacked within bounds.

The HTTP library unpacks each packet at once, however large the result is: 64 kB of gzip may be 64 MB. So its stream is read as
it came, and unpacked here.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable
from typing import Any

import httpx2

from controller.adapters.offloop import SMALL

ACCEPTED = "gzip"
"""What we ask for in ``Accept-Encoding``, and take."""

PIECE = 64 * 2**10
"""Bytes that are unpacked at a time, in well under a millisecond."""

_GZIP = 16 + zlib.MAX_WBITS
_LONGEST_LINE = 256 * 2**10


class EncodingError(Exception):
    """A body cannot be unpacked."""


class TooLargeError(Exception):
    """A body is larger than allowed once it is unpacked; ``limit`` in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"it is longer than {limit} bytes")
        self.limit = limit


async def pieces(response: httpx2.Response) -> AsyncIterator[bytes]:
    """Yield a body as it comes, unpacked, at most :data:`PIECE` bytes at a time for what was packed.

    Raises:
        EncodingError: It is packed in a way that was not asked for, or is broken.
    """
    raw = response.stream
    if not isinstance(raw, AsyncIterable):
        raise EncodingError
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding in ("", "identity"):
        async for chunk in raw:
            yield chunk
    elif encoding in (ACCEPTED, "x-gzip"):
        async for piece in _unpacked(raw):
            yield piece
    else:
        raise EncodingError


async def _unpacked(raw: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    member, begun = zlib.decompressobj(_GZIP), False
    try:
        async for chunk in raw:
            left = chunk
            while left:
                if member.eof:
                    member = zlib.decompressobj(_GZIP)
                piece = member.decompress(left, PIECE)
                begun = True
                if piece:
                    yield piece
                # What is left of the output comes with the next input: there is one, as the checksum ends the member.
                left = member.unused_data if member.eof else member.unconsumed_tail
                if left:
                    await asyncio.sleep(0)  # a packet may hold a thousand pieces: let others have a turn
    except zlib.error:
        raise EncodingError from None
    if begun and not member.eof:
        raise EncodingError


async def read(response: httpx2.Response, *, limit: int, grown: Callable[[], Any]) -> bytes:
    """Return a whole body.

    Args:
        response: Open, and not read yet.
        limit: Most bytes of the unpacked body.
        grown: Awaited once the body is larger than :data:`controller.adapters.offloop.SMALL`: such ones come one at a time.

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
