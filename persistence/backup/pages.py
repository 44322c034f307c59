"""The pages of a file of SQLite, and their digests: two pages with the same one are the same."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterable, Iterator
from mmap import mmap
from typing import Final

DIGEST_BYTES: Final = 16
"""Bytes of a page's digest: 128 bits of a SHA-256."""
PART_BYTES: Final = 8 << 20
"""Bytes of pages that are packed together."""
SORTED_BYTES: Final = 4 * PART_BYTES
"""Bytes of pages among which those that are alike are put side by side."""
_HELD: Final = 1984
"""Bytes that hashlib takes without giving up the interpreter lock (below 2,048, in whole blocks of
the hash), which would have to be won back for each page: beside a thread that computes, that takes
a thousand times as long as the hash."""
_LEAVES: Final = {10: 1, 13: 2}
"""Pages with rows: those of an index and of a table, and how many numbers stand before each row."""
_LAST_OF_NUMBER: Final = 0x7F

digests: Final = hashlib.sha256


def digest_of_page(page: bytes | memoryview) -> bytes:
    """Return the digest of a page."""
    return next(digests_of(page, len(page)))


def digests_of(data: bytes | memoryview, page_size: int) -> Iterator[bytes]:
    """Iterate over the digests of the pages in a piece of a file."""
    view, first = memoryview(data), min(_HELD, page_size)
    rest = [(start, min(start + _HELD, page_size)) for start in range(first, page_size, _HELD)]
    for page in range(0, len(view), page_size):
        found = digests(view[page : page + first])
        for start, end in rest:
            found.update(view[page + start : page + end])
        yield found.digest()[:DIGEST_BYTES]


def likeness(page: bytes | memoryview) -> int:
    """Return a number that pages of one table or index have in common, and many others have not.

    What kind of page SQLite says it is, and how many bytes describe the columns of its first row.
    """
    kind = page[0]
    if kind not in _LEAVES:
        return kind << 8
    place = (page[8] << 8 | page[9]) % (len(page) - 20)  # where its first row begins
    try:
        for _ in range(_LEAVES[kind]):
            while page[place] > _LAST_OF_NUMBER:
                place += 1
            place += 1
        return kind << 8 | page[place]
    except IndexError:  # it has no row, and what stands there is of what the page was before
        return kind << 8


def pages_of(data: bytes | memoryview, page_size: int) -> Iterator[memoryview]:
    """Iterate over the pages in a piece of a file, without a copy of them."""
    view = memoryview(data)
    for start in range(0, len(view), page_size):
        yield view[start : start + page_size]


def per_part(page_size: int) -> int:
    """Return how many pages are packed together."""
    return PART_BYTES // page_size


class PageReader:
    """Read a file piece by piece, each into the same memory: new one costs more than the bytes."""

    def __init__(self, file: int, pages: int, page_size: int, held: bytearray | mmap) -> None:
        """Read the pages of a file into some memory, which has room for one piece."""
        self._file = file
        self._pages = pages
        self._size = page_size
        self._held = memoryview(held)
        self._step = len(self._held) // page_size

    def pieces(self) -> Iterator[tuple[int, memoryview]]:
        """Iterate over pieces, each with the number of its first page; one lasts until the next.

        A file that is cut off gives what there is.
        """
        for first in range(0, self._pages, self._step):
            piece = self._held[: min(self._step, self._pages - first) * self._size]
            done = 0
            while done < len(piece):
                read = os.preadv(self._file, [piece[done:]], first * self._size + done)
                if not read:
                    break
                done += read
            yield first, piece[:done]


class PageMap:
    """The digests of all pages of a store at one moment, in order."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | bytearray = b"") -> None:
        """Take digests that stand behind one another."""
        self.data = bytearray(data)

    def __len__(self) -> int:
        return len(self.data) // DIGEST_BYTES

    def holds(self, number: int, digest: bytes) -> bool:
        """Tell whether a page is the one that it was."""
        start = number * DIGEST_BYTES
        return self.data[start : start + DIGEST_BYTES] == digest

    def digest(self, number: int) -> bytes:
        """Return the digest of a page."""
        return bytes(self.data[number * DIGEST_BYTES : (number + 1) * DIGEST_BYTES])

    def extend(self, found: Iterable[bytes]) -> None:
        """Take the digests of the pages that follow."""
        self.data += b"".join(found)

    def others(self, first: int, now: PageMap) -> list[int]:
        """Return which pages are not what they are now, of those from one on: 0 is that one."""
        start = first * DIGEST_BYTES
        found = bytes(now.data[start:])
        were = bytes(self.data[start : start + len(found)])
        if were == found:
            return []
        places = range(0, len(found), DIGEST_BYTES)
        return [
            place // DIGEST_BYTES
            for place in places
            if found[place : place + DIGEST_BYTES] != were[place : place + DIGEST_BYTES]
        ]

    def root(self) -> str:
        """Return the digest of all: that of the whole file."""
        return digests(self.data).hexdigest()

    def changed(self, numbers: array[int], found: bytes, pages: int) -> None:
        """Put the digests of some pages in their places, and have so many pages."""
        size = pages * DIGEST_BYTES
        del self.data[size:]
        self.data.extend(bytes(size - len(self.data)))
        for at, number in enumerate(numbers):
            start = number * DIGEST_BYTES
            digest = found[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]
            self.data[start : start + DIGEST_BYTES] = digest
