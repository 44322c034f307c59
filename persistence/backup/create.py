"""Make a backup: full, or of the pages that have changed since another."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from typing import Final

from ..secrets.keys import KeyProvider
from ..sqlite.reader import SqliteReader
from . import packing
from .content import NUMBER, index_of, page_map
from .cut import Cut, cut
from .erased import ErasedNames, erased_in
from .folder import Folder
from .layout import BackupFile, BackupWriter
from .manifest import FORMAT, Manifest
from .pages import PART_BYTES, PageMap, digest_of_page, pages_of, per_part, read_pages
from .progress import Progress, silent

_AHEAD: Final = 4
"""Parts that are packed while one is written."""


@dataclass(frozen=True, slots=True)
class Making:
    """What a backup is made with."""

    keys: KeyProvider | None = None
    """It is encrypted with the current one, if there are any."""
    incremental: bool = False
    note: str = ""
    tell: Progress = silent
    now: Callable[[], float] = time.time


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
        before = page_map(chain, making.keys)
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
    with BackupWriter(folder.place, name, seal) as writer:
        changed, root = _write_pages(writer, pages, before, making.tell)
        manifest = Manifest(
            format=FORMAT, name=name, parent=parent.name if parent else "",
            parent_digest=parent.digest if parent else "",
            made=made, release=_release(), store=pages.store,
            store_format=pages.store_format, first=pages.first, last=pages.last,
            last_time=pages.last_time, page_size=pages.page_size, pages=pages.pages,
            changed=changed, root=root, compression=packing.COMPRESSION,
            encryption=packing.ENCRYPTION if seal else "", key=key_id, salt=salt.hex(),
            parts=tuple(writer.parts), note=making.note, erasures=erasures, erased=erased,
        )  # fmt: skip
        writer.finish(manifest)
    return manifest


def _write_pages(
    writer: BackupWriter, pages: Cut, before: PageMap, tell: Progress
) -> tuple[int, str]:
    """Write the pages that are not as they were; return how many, and the digest of all."""
    numbers, found, whole = array(NUMBER), bytearray(), bytearray()
    size, step = pages.page_size, per_part(pages.page_size)
    with _packing(writer) as take:
        for first in range(0, pages.pages, step):
            data = read_pages(pages.file, first, step, size)
            digests = [digest_of_page(page) for page in pages_of(data, size)]
            fresh = [at for at, each in enumerate(digests) if not before.holds(first + at, each)]
            whole += b"".join(digests)
            numbers.extend(first + at for at in fresh)
            found += b"".join(digests[at] for at in fresh)
            if len(fresh) == len(digests):
                take.pages(data)
            else:
                take.pages(b"".join(data[at * size : (at + 1) * size] for at in fresh))
            tell("packing", min(first + step, pages.pages) * size, pages.pages * size)
        take.rest()
    index = index_of(numbers, bytes(found))
    writer.add(writer.packed(index)(), len(index))
    return len(numbers), PageMap(whole).root()


class _Packer:
    """Gather pages into parts, and have others pack them while more are gathered."""

    def __init__(self, writer: BackupWriter, pool: ThreadPoolExecutor) -> None:
        self._writer = writer
        self._pool = pool
        self._gathered = bytearray()
        self._under_way: deque[tuple[Future[bytes], int]] = deque()

    def pages(self, data: bytes) -> None:
        """Take some pages, no more than make a part."""
        if self._gathered:
            self._gathered += data
            data = b""
        if len(self._gathered) >= PART_BYTES:
            data, self._gathered = bytes(self._gathered[:PART_BYTES]), self._gathered[PART_BYTES:]
        if len(data) == PART_BYTES:
            self._part(data)
        else:
            self._gathered += data

    def _part(self, data: bytes) -> None:
        self._under_way.append((self._pool.submit(self._writer.packed(data)), len(data)))
        while len(self._under_way) > _AHEAD:
            self._write()

    def _write(self) -> None:
        packed, size = self._under_way.popleft()
        self._writer.add(packed.result(), size)

    def rest(self) -> None:
        """Write what is left."""
        if self._gathered:
            self._part(bytes(self._gathered))
        while self._under_way:
            self._write()


@contextmanager
def _packing(writer: BackupWriter) -> Iterator[_Packer]:
    with ThreadPoolExecutor(1, "perdure-backup") as pool:
        yield _Packer(writer, pool)


def _release() -> str:
    try:
        return metadata.version("perdure")
    except metadata.PackageNotFoundError:
        return ""
