"""The pages of a file of SQLite, and their digests: two pages with the same one are the same."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Iterator
from typing import Final

DIGEST_BYTES: Final = 16
"""Bytes of a page's digest: 128 bits of a SHA-256."""
PART_BYTES: Final = 8 << 20
"""Bytes of pages that are packed together."""
SORTED_BYTES: Final = 4 * PART_BYTES
"""Bytes of pages among which those that are alike are put side by side."""
_HELD: Final = 2047
"""Bytes that hashlib takes without giving up the interpreter lock, which would have to be won back
for each page: beside a thread that computes, that takes a thousand times as long as the hash."""
_LEAVES: Final = {10: 1, 13: 2}
"""Pages with rows: those of an index and of a table, and how many numbers stand before each row."""
_LAST_OF_NUMBER: Final = 0x7F

digests: Final = hashlib.sha256


def digest_of_page(page: bytes) -> bytes:
    """Return the digest of a page."""
    found = digests(page[:_HELD])
    for start in range(_HELD, len(page), _HELD):
        found.update(page[start : start + _HELD])
    return found.digest()[:DIGEST_BYTES]


def likeness(page: bytes) -> int:
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


def pages_of(data: bytes, page_size: int) -> Iterator[bytes]:
    """Iterate over the pages in a piece of a file."""
    for start in range(0, len(data), page_size):
        yield data[start : start + page_size]


def per_part(page_size: int) -> int:
    """Return how many pages are packed together."""
    return PART_BYTES // page_size


def read_pages(file: int, first: int, count: int, page_size: int) -> bytes:
    """Return so many pages from a place on; fewer at the end of the file."""
    return os.pread(file, count * page_size, first * page_size)


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
