"""Make a backup: full, or of the pages that have changed since another."""

from __future__ import annotations

import contextlib
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib import metadata
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Final, TypeVar

from ..errors import BackupError
from ..options import Options, by_keyword
from ..secrets.keys import KeyProvider
from ..sqlite.reader import SqliteReader
from . import packing
from .ahead import Ahead
from .content import NUMBER, index_of, lists_of, page_map
from .cut import Cut, cut, reading
from .erased import ErasedNames, erased_in
from .folder import Folder
from .layout import BackupFile, BackupWriter, PackedPart
from .levels import DEFAULT_LEVEL
from .manifest import FORMAT, Manifest
from .moments import goes_on
from .packing import Packing, check_level
from .pages import (
    PART_BYTES,
    SORTED_BYTES,
    PageMap,
    PageReader,
    digests_of,
    likeness,
)
from .progress import Progress, silent

_DIGESTS: Final = 256
_LIKENESSES: Final = 1_024
_COPIES: Final = 512
"""Pages whose digests or likenesses are made, or that are copied into new memory, before other
threads go on, which takes 1 ms. A commit waits for the interpreter lock several times; for who
computes without a break that is 5 ms each."""
_GIVING_WAY: Final = 5e-5
"""Seconds: long enough for another thread to wake up and take the lock."""

T = TypeVar("T")


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
            onto = chain[-1] if chain else None, before
            follows = _followed(folder, names, pages)
            return write(folder, pages, name, made, making, onto, follows=follows)


def _followed(folder: Folder, names: Sequence[str], pages: Cut) -> str | None:
    """Return which backup a store goes on from, where it is not the newest: it went back since."""
    with closing(reading(pages.path)) as connection:
        for name in reversed(names):
            with contextlib.suppress(BackupError):  # one that cannot be read is built on by nobody
                there = folder.file(name).manifest
                if goes_on(connection, pages.last, (there.last, there.last_time)):
                    return None if name == names[-1] else name
    return "" if names else None


def write(  # noqa: PLR0917 - what a backup is made of
    folder: Folder, pages: Cut, name: str, made: float, making: Making,
    onto: tuple[BackupFile | None, PageMap], *, follows: str | None = None,
) -> Manifest:  # fmt: skip
    """Write the pages that are not those of the backup it builds on; return the manifest."""
    parent, before = onto
    seal, key_id, salt = (None, "", b"")
    if making.keys is not None:
        seal, key_id, salt = packing.new_seal(making.keys)
    erasures, erased = ErasedNames(folder.place).digest()
    packed = Packing(making.level, seal)
    with BackupWriter(folder.place, name, packed) as writer:
        changed, root = _write_pages(writer, pages, before, making)
        manifest = Manifest(
            format=FORMAT, name=name, parent=parent.name if parent else "",
            parent_digest=parent.digest if parent else "",
            made=made, release=_release(), store=pages.store,
            store_format=pages.store_format, first=pages.first, last=pages.last,
            last_time=pages.last_time, page_size=pages.page_size, pages=pages.pages,
            changed=changed, root=root, compression=packed.compression,
            encryption=packing.ENCRYPTION if seal else "", key=key_id, salt=salt.hex(),
            parts=tuple(writer.parts), note=making.note, erasures=erasures, erased=erased,
            follows=follows,
        )  # fmt: skip
        writer.finish(manifest)
    return manifest


def _write_pages(
    writer: BackupWriter, pages: Cut, before: PageMap, making: Making
) -> tuple[int, str]:
    """Write the pages that are not as they were; return how many, and the digest of all."""
    size, left = pages.page_size, bytearray()
    numbers, whole = array(NUMBER), PageMap()
    # Untouched yet: a bytearray would be filled with zeros, and nobody could run meanwhile.
    held = mmap(-1, SORTED_BYTES, flags=MAP_PRIVATE | MAP_ANONYMOUS)
    reader = PageReader(pages.file, pages.pages, size, held)
    with Ahead[PackedPart](behind=True) as work:
        for first, piece in reader.pieces():
            digests = _giving_way(digests_of(piece, size), _DIGESTS)
            places: Sequence[int] = range(len(piece) // size)
            if len(before):
                whole.extend(digests)
                places = before.others(first, whole)
            if making.level:
                places = _like_beside_like(piece, places, size)
            numbers.extend(first + at for at in places)
            for part in _parts(left, piece, places, size):
                left = part
                if len(part) == PART_BYTES:
                    writer.add(work.put(writer.packed(part)))
            whole.extend(digests)  # those of a full backup, while others pack
            making.tell("packing", len(whole) * size, pages.pages * size)
        if left:
            writer.add(work.put(writer.packed(left)))
        writer.add(work.put(writer.packed(index_of(numbers, whole))))
        writer.add(work.rest())
    return len(numbers), whole.root()


def _parts(
    left: bytearray, piece: memoryview, places: Iterable[int], size: int
) -> Iterator[bytearray]:
    """Iterate over parts made of what is left and of pages of a piece; the last is not whole."""
    part = left
    for at in _giving_way(places, _COPIES):
        part += piece[at * size : (at + 1) * size]
        if len(part) == PART_BYTES:
            yield part
            part = bytearray()
    yield part


def _like_beside_like(piece: memoryview, places: Iterable[int], size: int) -> list[int]:
    """Return pages of a piece in an order in which they compress well."""
    found = (likeness(piece[at * size : (at + 1) * size]) << 32 | at for at in places)
    return [each & 0xFFFFFFFF for each in sorted(_giving_way(found, _LIKENESSES))]


def _giving_way(work: Iterable[T], pages: int) -> Iterator[T]:
    """Iterate over what is made of pages; behind so many other threads go on."""
    for number, each in enumerate(work):
        yield each
        if not number % pages:
            time.sleep(_GIVING_WAY)


def _release() -> str:
    try:
        return metadata.version("perdure")
    except metadata.PackageNotFoundError:
        return ""
