"""Bodies are unpacked piece by piece, and never beyond their bound."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import AsyncIterator, Iterable

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.adapters.huggingface import body as bodies
from controller.adapters.huggingface.body import TooLargeError
from controller.adapters.offloop import SMALL
from controller.adapters.unpack import PIECE, EncodingError
from controller.simulate.loop import run_virtual


class Chunks(httpx2.AsyncByteStream):
    """A body as it comes over the wire; counts what was taken of it."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self.chunks = list(chunks)
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            self.taken += 1
            yield chunk


def packed(content: bytes, size: int = 2**16) -> Chunks:
    whole = gzip.compress(content)
    return Chunks(whole[i : i + size] for i in range(0, len(whole), size))


def response(stream: Chunks, encoding: str = "gzip") -> httpx2.Response:
    return httpx2.Response(200, headers={"content-encoding": encoding}, stream=stream)


def whole(stream: Chunks, encoding: str = "gzip", limit: int = 10**7) -> tuple[bytes, int]:
    """Return a body, and how often it was told to have grown large."""
    grew = 0

    async def grown() -> None:
        nonlocal grew
        grew += 1

    async def main() -> bytes:
        return await bodies.read(response(stream, encoding), limit=limit, grown=grown)

    return run_virtual(main()), grew


@given(content=st.binary(max_size=300), repeats=st.sampled_from([1, 1000]), size=st.integers(1, 5000))
def test_a_packed_body_comes_out_as_it_went_in(content: bytes, repeats: int, size: int) -> None:
    assert whole(packed(content * repeats, size))[0] == content * repeats


@pytest.mark.parametrize("length", [PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE - 258])
def test_a_body_may_end_where_a_piece_does(length: int) -> None:
    assert len(whole(packed(b"x" * length))[0]) == length


def test_a_packed_body_may_have_several_members() -> None:
    assert whole(Chunks([gzip.compress(b"one, ") + gzip.compress(b"two")]))[0] == b"one, two"


def test_no_piece_of_a_bomb_is_larger_than_another() -> None:
    async def main() -> list[int]:
        return [len(piece) async for piece in bodies.pieces(response(packed(b" " * 50 * PIECE)))]

    assert max(run_virtual(main())) <= PIECE


@pytest.mark.parametrize("encoding", ["gzip", "identity"])
def test_what_is_behind_the_limit_is_not_read(encoding: str) -> None:
    stream = packed(b"x" * 10**6, 100) if encoding == "gzip" else Chunks([b"x" * 1000] * 1000)
    with pytest.raises(TooLargeError, match="50000 bytes"):
        whole(stream, encoding, limit=50_000)
    assert stream.taken < len(stream.chunks)


@pytest.mark.parametrize("length", [0, 1, SMALL, SMALL + 1, 3 * SMALL])
def test_a_large_body_is_told_once(length: int) -> None:
    assert whole(packed(b"x" * length))[1] == (1 if length > SMALL else 0)


@pytest.mark.parametrize("encoding", ["br", "zstd", "deflate", "gzip, gzip", "gzip;q=1", "x"])
def test_only_what_was_asked_for_is_unpacked(encoding: str) -> None:
    with pytest.raises(EncodingError):
        whole(Chunks([zlib.compress(b"x")]), encoding)


@pytest.mark.parametrize(
    "broken", [b"\x1f\x8b", gzip.compress(b"x" * 1000)[:-9], b"not gzip", b"\x1f\x8b" + b"\xff" * 50]
)
def test_a_broken_or_cut_body_is_no_body(broken: bytes) -> None:
    with pytest.raises(EncodingError):
        whole(Chunks([broken]))


def test_a_line_without_an_end_comes_in_parts() -> None:
    async def main() -> list[int]:
        stream = Chunks([b"x" * 2**16] * 40 + [b"\r\nlast"])
        return [len(line) async for line in bodies.lines(response(stream, "identity"))]

    lengths = run_virtual(main())
    assert sum(lengths) == 40 * 2**16 + len("last")
    assert max(lengths) <= 2**18 + 2**16
    assert lengths[-1] == len("last")
