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


def index_of(numbers: array[int], whole: PageMap) -> bytes:
    """Return the last part of a backup: which pages are in it, and their digests."""
    stored = array(NUMBER, numbers)
    if sys.byteorder == "big":
        stored.byteswap()
    return b"".join((stored.tobytes(), *map(whole.digest, numbers)))


class PageList:
    """Which pages are in one backup, in the order in which they stand there."""

    def __init__(self, file: BackupFile, data: bytes) -> None:
        """Read the last part of a backup; BackupDamaged if it is not one."""
        self.file = file
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


def lists_of(chain: Sequence[BackupFile], keys: KeyProvider | None) -> list[PageList]:
    """Return which pages are in each backup of a chain; BackupDamaged if one is not readable."""
    return [PageList(file, file.index(keys)) for file in chain]


def page_map(lists: Sequence[PageList]) -> PageMap:
    """Return the digests of the pages of a backup, from the lists of all that it builds on.

    BackupDamaged if together they are not what the last one says.
    """
    found = PageMap()
    for each in lists:
        found.changed(each.numbers, each.digests, each.file.manifest.pages)
        if found.root() != each.file.manifest.root:
            raise BackupDamaged(each.file.name, "the digests of its pages are not those it names")
    return found


def pages_in(
    index: PageList, wanted: PageMap, keys: KeyProvider | None
) -> Iterator[tuple[int, memoryview]]:
    """Iterate over the pages of one backup that are still wanted; whoever takes them checks them.

    The others are checked here; BackupDamaged names the first bad one.
    """
    file, at, count = index.file, 0, len(index.numbers)
    for data in file.parts(keys):
        for page in pages_of(data, file.manifest.page_size):
            if at >= count:
                raise BackupDamaged(file.name, f"page {at + 1} of those in it is another one")
            digest = index.digest(at)
            if wanted.holds(index.numbers[at], digest):
                yield index.numbers[at], page
            elif digest_of_page(page) != digest:
                raise BackupDamaged(file.name, f"page {at + 1} of those in it is another one")
            at += 1
    if at != count:
        raise BackupDamaged(file.name, "pages are missing in it")
