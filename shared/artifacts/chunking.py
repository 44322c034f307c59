"""How bytes are cut into chunks, and how chunks are packed."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from typing import Any, Final, Protocol, TypeAlias, cast, runtime_checkable

from ...persistence.errors import StateError

Block: TypeAlias = bytes | bytearray | memoryview

CHUNK: Final = 256 * 1024
"""Bytes of a chunk; only the last one of a content is shorter.

Part of the file format: the same bytes must give the same chunks in every release.
"""
_LEAST_SAMPLE: Final = 1024
_SAMPLE: Final = 4096
_LOOK: Final = 256
"""Bytes of a small piece that are looked at first."""
_ALIKE: Final = 145
"""Different values among so many bytes without any order: 162, and rarely fewer than this."""
_WORTH: Final = 0.9
"""What is left of a sample where packing is worth its time."""
_FAST: Final = 1
_WINDOW: Final = 12
"""The logarithm of ``_SAMPLE``."""
_MEMORY: Final = 4


@runtime_checkable
class Readable(Protocol):
    """A source of bytes, such as an open file."""

    def read(self, size: int, /) -> Any:  # noqa: ANN401 - files of text are refused
        """Return up to ``size`` bytes; none at the end."""
        ...


class Cutter:
    """Cut a stream into chunks, wherever its blocks begin and end."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._rest = bytearray()

    def push(self, block: Block) -> Iterator[bytes]:
        """Take a block and give the chunks that are full; to be iterated to the end."""
        view = memoryview(block).cast("B")
        if self._rest:
            missing = CHUNK - len(self._rest)
            self._rest += view[:missing]
            view = view[missing:]
            if len(self._rest) == CHUNK:
                yield bytes(self._rest)
                self._rest.clear()
        while len(view) >= CHUNK:
            yield bytes(view[:CHUNK])
            view = view[CHUNK:]
        self._rest += view

    def end(self) -> Iterator[bytes]:
        """Give the last chunk, if anything is left for one."""
        if self._rest:
            yield bytes(self._rest)
            self._rest.clear()


def blocks(data: Block | Readable | Iterable[Block]) -> Iterator[Block]:
    """Iterate over what was given as bytes, an open file, or pieces; StateError for text."""
    if isinstance(data, str):
        raise StateError("data", "is text; encode it first, such as text.encode()")
    if isinstance(data, bytes | bytearray | memoryview):
        yield cast("Block", data)
    elif isinstance(data, Readable):
        while block := data.read(CHUNK):
            if isinstance(block, str):
                raise StateError("data", 'is a file of text; open it with mode "rb"')
            yield block
    elif isinstance(cast("object", data), Iterable):
        yield from data
    else:
        problem = f"is {type(data).__name__}; give bytes, an open file, or pieces of bytes"
        raise StateError("data", problem)


def digest(data: bytes) -> str:
    """Return the name of a chunk: its SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def packed(data: bytes) -> tuple[int, bytes]:
    """Return 1 and the bytes compressed where that helps; else 0 and the bytes as they are."""
    if _LOOK <= len(data) <= _SAMPLE and len(set(data[:_LOOK])) >= _ALIKE:
        return 0, data  # a few kilobytes without order: to try it takes longer than all the rest
    sample = data[: max(_LEAST_SAMPLE, min(len(data) // 4, _SAMPLE))]
    if len(_squeezed(sample)) < _WORTH * len(sample):
        smaller = zlib.compress(data, _FAST) if len(data) > _SAMPLE else _squeezed(data)
        if len(smaller) < len(data):
            return 1, smaller
    return 0, data


def _squeezed(data: bytes) -> bytes:
    """Return a few kilobytes compressed; what zlib sets up for more takes longer than the work."""
    compressor = zlib.compressobj(_FAST, wbits=_WINDOW, memLevel=_MEMORY)
    return compressor.compress(data) + compressor.flush()


def unpacked(flag: int, data: bytes) -> bytes:
    """Return what was packed; zlib.error, or more than a chunk, if it is not as it was."""
    if not flag:
        return data
    # Bounded: damaged bytes must not unfold to gigabytes.
    return zlib.decompressobj().decompress(data, CHUNK + 1)
