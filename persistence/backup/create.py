"""Make a backup: full, or of the pages that have changed since another."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from ..options import Options, by_keyword
from ..secrets.keys import KeyProvider
from ..sqlite.reader import SqliteReader
from . import packing
from .ahead import Ahead
from .content import NUMBER, index_of, lists_of, page_map
from .cut import Cut, cut
from .erased import ErasedNames, erased_in
from .folder import Folder
from .layout import BackupFile, BackupWriter, PackedPart
from .manifest import FORMAT, Manifest
from .packing import DEFAULT_LEVEL, Packing, check_level
from .pages import (
    DIGEST_BYTES,
    PART_BYTES,
    SORTED_BYTES,
    PageMap,
    digest_of_page,
    likeness,
    pages_of,
    read_pages,
)
from .progress import Progress, silent

_IN_ONE_GO: Final = 256
"""Pages whose digests are made before other threads go on, which takes 1 ms. A commit waits for
the interpreter lock several times; for who computes without a break that is 5 ms each."""
_GIVING_WAY: Final = 5e-5
"""Seconds: long enough for another thread to wake up and take the lock."""


@dataclass(frozen=True, slots=True)
class Making:
    """What a backup is made with."""

    keys: KeyProvider | None = None
    """It is encrypted with the current one, if there are any."""
    incremental: bool = False
    note: str = ""
    tell: Progress = silent
    now: Callable[[], float] = time.time
    level: int = DEFAULT_LEVEL
    """Of compression; 0 is none."""

    def __post_init__(self) -> None:
        """Refuse what is no level."""
        check_level(Options(self, by_keyword("backup")), self.level)


def create(store: SqliteReader, folder: Folder, making: Making = Making()) -> Manifest:
    """Make a backup of a store as it is now, also while its owner writes; return its manifest.

    An incremental one builds on the newest backup that is there, and is a full one where there is
    none. Either it is there as a whole or nothing is.

    Raises:
        BackupFailed: a file cannot be written; or somebody else makes a backup there just now.
        BackupDamaged: the one that it would build on is not as it was written.
        KeyMissing: there is no key to encrypt it with, or to read the one it builds on.
        StoreUnavailable: the store cannot be read.
    """
    with folder.locked():
        names = folder.names()
        chain = folder.chain(names[-1]) if making.incremental and names else []
        before = page_map(lists_of(chain, making.keys))
        if making.keys is not None:
            packing.new_seal(making.keys)  # before anything is copied: is there a key?
        making.tell("copying", 0, 1)
        with cut(store) as pages:
            if chain and chain[-1].manifest.page_size != pages.page_size:
                chain, before = [], PageMap()  # somebody has changed that: nothing is the same
            # First: without the list, this backup could bring back what was erased before it.
            ErasedNames(folder.place).add(erased_in(pages.path))
            made = making.now()
            name = folder.new_name(made, pages.last)
            return write(folder, pages, name, made, making, (chain[-1] if chain else None, before))


def write(  # noqa: PLR0917 - what a backup is made of
    folder: Folder, pages: Cut, name: str, made: float, making: Making,
    onto: tuple[BackupFile | None, PageMap],
) -> Manifest:  # fmt: skip
    """Write the pages that are not those of the backup it builds on; return the manifest."""
    parent, before = onto
    seal, key_id, salt = (None, "", b"")
    if making.keys is not None:
        seal, key_id, salt = packing.new_seal(making.keys)
    erasures, erased = ErasedNames(folder.place).digest()
    packed = Packing(making.level, seal)
    with BackupWriter(folder.place, name, packed) as writer:
        changed, root = _write_pages(writer, pages, before, making.tell)
        manifest = Manifest(
            format=FORMAT, name=name, parent=parent.name if parent else "",
            parent_digest=parent.digest if parent else "",
            made=made, release=_release(), store=pages.store,
            store_format=pages.store_format, first=pages.first, last=pages.last,
            last_time=pages.last_time, page_size=pages.page_size, pages=pages.pages,
            changed=changed, root=root, compression=packed.compression,
            encryption=packing.ENCRYPTION if seal else "", key=key_id, salt=salt.hex(),
            parts=tuple(writer.parts), note=making.note, erasures=erasures, erased=erased,
        )  # fmt: skip
        writer.finish(manifest)
    return manifest


def _write_pages(
    writer: BackupWriter, pages: Cut, before: PageMap, tell: Progress
) -> tuple[int, str]:
    """Write the pages that are not as they were; return how many, and the digest of all."""
    numbers, found, whole, gathered = array(NUMBER), bytearray(), bytearray(), bytearray()
    size, step = pages.page_size, SORTED_BYTES // pages.page_size
    with Ahead[PackedPart](behind=True) as work:
        for first in range(0, pages.pages, step):
            data = read_pages(pages.file, first, step, size)
            for at in _fresh(data, first, size, before, whole):
                numbers.append(first + at)
                place = (first + at) * DIGEST_BYTES
                found += whole[place : place + DIGEST_BYTES]
                gathered += data[at * size : (at + 1) * size]
                if len(gathered) == PART_BYTES:
                    writer.add(work.put(writer.packed(gathered)))
                    gathered = bytearray()
            tell("packing", min(first + step, pages.pages) * size, pages.pages * size)
        if gathered:
            writer.add(work.put(writer.packed(gathered)))
        writer.add(work.put(writer.packed(index_of(numbers, bytes(found)))))
        writer.add(work.rest())
    return len(numbers), PageMap(whole).root()


def _fresh(data: bytes, first: int, size: int, before: PageMap, whole: bytearray) -> Iterator[int]:
    """Return which pages in a piece of a file are not as they were, like beside like.

    The digests of all go to ``whole``.
    """
    found = []
    for at, page in enumerate(pages_of(data, size)):
        digest = digest_of_page(page)
        whole += digest
        if not before.holds(first + at, digest):
            found.append(likeness(page) << 32 | at)
        if not at % _IN_ONE_GO:
            time.sleep(_GIVING_WAY)
    return (each & 0xFFFFFFFF for each in sorted(found))


def _release() -> str:
    try:
        return metadata.version("perdure")
    except metadata.PackageNotFoundError:
        return ""
