"""Bodies of HTTP answers, unpacked piece by piece.

HTTP libraries unpack each packet at once, however large the result is: 64 kB of gzip may be 64 MB. So their
streams are read as they came, and unpacked here, at most :data:`PIECE` bytes at a time.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterable

ACCEPTED = "gzip"
"""What we ask for in ``Accept-Encoding``, and take."""

PIECE = 64 * 2**10
"""Bytes that are unpacked at a time, in well under a millisecond."""

_GZIP = 16 + zlib.MAX_WBITS


class EncodingError(Exception):
    """A body cannot be unpacked; the text says why, and quotes nothing of it."""


async def unpacked(raw: AsyncIterable[bytes], encoding: str) -> AsyncGenerator[bytes, None]:
    """Yield a body as it comes, unpacked, at most :data:`PIECE` bytes at a time for what was packed.

    Args:
        raw: The body as it came.
        encoding: The header ``Content-Encoding``; empty where there is none.

    Raises:
        EncodingError: It is packed in a way that was not asked for, is broken, or was cut short.
    """
    match encoding.strip().lower():
        case "" | "identity":
            async for chunk in raw:
                yield chunk
        case "gzip" | "x-gzip":
            async for piece in _gunzipped(raw):
                yield piece
        case _:
            raise EncodingError("an encoding that was not asked for")


async def _gunzipped(raw: AsyncIterable[bytes]) -> AsyncGenerator[bytes, None]:
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
                # What is left of the output comes with the next input: there is one, as the checksum ends the
                # member.
                left = member.unused_data if member.eof else member.unconsumed_tail
                if left:
                    await asyncio.sleep(0)  # a packet may hold a thousand pieces: let others have a turn
    except zlib.error:
        raise EncodingError("a body that cannot be unpacked") from None
    if begun and not member.eof:
        raise EncodingError("a body that was cut short")
