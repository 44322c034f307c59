"""Cutting and packing: the same bytes give the same chunks, whatever pieces they come in."""

import io
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.persistence.errors import StateError
from perdure.shared.artifacts.chunking import CHUNK, Cutter, blocks, packed, unpacked
from tests.artifacts.looks import SIZES, noise


def cut(pieces: list[bytes]) -> list[bytes]:
    """Cut pieces into chunks."""
    cutter = Cutter()
    return [chunk for piece in pieces for chunk in cutter.push(piece)] + list(cutter.end())


@given(st.lists(st.integers(0, 3 * CHUNK), max_size=6))
def test_chunks_do_not_depend_on_the_pieces(sizes: list[int]) -> None:
    """However a stream is cut into pieces, its chunks are the stream cut every 256 KiB."""
    whole = noise(sum(sizes))
    pieces, at = [], 0
    for size in sizes:
        pieces.append(whole[at : at + size])
        at += size
    assert cut(pieces) == [whole[n : n + CHUNK] for n in range(0, len(whole), CHUNK)]


@pytest.mark.parametrize("size", SIZES)
def test_every_size_is_given_back(size: int) -> None:
    """All bytes come back, and only the last chunk is shorter than the others."""
    whole = noise(size)
    chunks = cut([whole])
    assert b"".join(chunks) == whole
    assert all(len(chunk) == CHUNK for chunk in chunks[:-1])
    assert all(chunks)


@given(st.binary(max_size=2000), st.integers(1, 300))
def test_packing_is_undone(piece: bytes, times: int) -> None:
    """What was packed unpacks to the same, and is never larger."""
    data = (piece * times)[:CHUNK]
    flag, small = packed(data)
    assert unpacked(flag, small) == data
    assert len(small) <= len(data)


def test_only_what_shrinks_is_packed() -> None:
    """Text is stored compressed, noise as it is."""
    assert packed(b"to perdure is to go on existing " * 1000)[0] == 1
    assert packed(noise(CHUNK)) == (0, noise(CHUNK))
    assert packed(noise(4096)) == (0, noise(4096))
    assert packed(noise(CHUNK).hex().encode()[:1000])[0] == 1


def test_unpacking_is_bounded() -> None:
    """Bytes that would unfold to more than a chunk are not unfolded further."""
    bomb = zlib.compress(bytes(200 * CHUNK))
    assert len(unpacked(1, bomb)) == CHUNK + 1


def test_what_is_no_bytes_is_refused() -> None:
    """Text, and files of text, are refused in a sentence that says what to do."""
    with pytest.raises(StateError, match="encode it first"):
        list(blocks("text"))  # type: ignore[arg-type]
    with pytest.raises(StateError, match='mode "rb"'):
        list(blocks(io.StringIO("text")))
    assert list(blocks(io.BytesIO(b"ab"))) == [b"ab"]
