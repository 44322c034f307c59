"""What is in a backup and in those that it builds on: which pages, and their bytes."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence
from typing import Final

from ..errors import BackupDamaged
from ..secrets.keys import KeyProvider
from .layout import BackupFile
from .pages import DIGEST_BYTES, PageMap, digest_of_page, pages_of

NUMBER: Final = "I"
"""How the numbers of pages are kept: four bytes each, the lowest first, as SQLite counts them."""


def index_of(numbers: array[int], digests: bytes) -> bytes:
    """Return the last part of a backup: which pages are in it, and their digests."""
    stored = array(NUMBER, numbers)
    if sys.byteorder == "big":
        stored.byteswap()
    return stored.tobytes() + digests


class PageList:
    """Which pages are in one backup, in the order in which they stand there."""

    def __init__(self, file: BackupFile, data: bytes) -> None:
        """Read the last part of a backup; BackupDamaged if it is not one."""
        count = file.manifest.changed
        self.numbers = array(NUMBER)
        if len(data) != count * (self.numbers.itemsize + DIGEST_BYTES):
            raise BackupDamaged(file.name, "its list of pages is of another size")
        end = count * self.numbers.itemsize
        self.numbers.frombytes(data[:end])
        if sys.byteorder == "big":
            self.numbers.byteswap()
        self.digests = data[end:]
        if count and max(self.numbers) >= file.manifest.pages:
            raise BackupDamaged(file.name, "its list of pages names one that is not there")

    def digest(self, at: int) -> bytes:
        """Return the digest of the page at a place in the list."""
        return self.digests[at * DIGEST_BYTES : (at + 1) * DIGEST_BYTES]


def page_map(chain: Sequence[BackupFile], keys: KeyProvider | None) -> PageMap:
    """Return the digests of the pages of a backup, from the lists of all that it builds on.

    BackupDamaged if together they are not what the last one says.
    """
    found = PageMap()
    for file in chain:
        index = PageList(file, next(file.parts(keys)))
        found.changed(index.numbers, index.digests, file.manifest.pages)
        if found.root() != file.manifest.root:
            raise BackupDamaged(file.name, "the digests of its pages are not those it names")
    return found


def pages_in(file: BackupFile, keys: KeyProvider | None) -> Iterator[tuple[int, bytes]]:
    """Iterate over the pages of one backup, each checked; BackupDamaged names the first bad one."""
    parts = file.parts(keys)
    index, at = PageList(file, next(parts)), 0
    for data in parts:
        for page in pages_of(data, file.manifest.page_size):
            if at >= len(index.numbers) or digest_of_page(page) != index.digest(at):
                raise BackupDamaged(file.name, f"page {at + 1} of those in it is another one")
            yield index.numbers[at], page
            at += 1
    if at != len(index.numbers):
        raise BackupDamaged(file.name, "pages are missing in it")
