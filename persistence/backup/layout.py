"""A backup as a file: a mark, the parts, the manifest, and a tail that leads to it.

    mark | part | part | ... | manifest | seal of the manifest | its size | its digest | mark

Every byte is covered by a digest, and no byte is between them.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from ..errors import BackupDamaged, BackupFailed
from ..secrets.keys import KeyProvider
from . import manifest as manifests
from .ahead import Ahead
from .destination import Destination
from .manifest import Manifest, StoredPart
from .packing import TAG_BYTES, BackupSeal, Packing, digest_of, seal_of, unpack

HEAD: Final = b"perdure backup\n\x01"
TAIL: Final = struct.Struct(">16sQ32s16s")
"""The seal of the manifest (zeros where it has none), its size, its digest, a mark."""
END: Final = b"\x01end of backup.\n"
SUFFIX: Final = ".backup"
MOST: Final = 1 << 30
"""Bytes of the largest manifest."""
_NO_SEAL: Final = bytes(TAG_BYTES)
PackedPart: TypeAlias = tuple[bytes | bytearray, StoredPart]


@contextlib.contextmanager
def failing(what: str) -> Iterator[None]:
    """Make BackupFailed of what the operating system refuses."""
    try:
        yield
    except BackupFailed:
        raise
    except OSError as error:
        raise BackupFailed(f"{what}: {error.strerror or error}") from error


class BackupWriter:
    """Write a backup, which nobody finds until it is whole."""

    def __init__(self, place: Destination, name: str, packing: Packing) -> None:
        """Begin to write the backup of that name."""
        self._what = f"{place}: a backup cannot be written"  # each try has another name
        self._draft = place.draft(file_of(name))
        self._packing = packing
        self._numbered = 0
        # By another thread: who waits for the disk makes no digests meanwhile.
        self._writing = Ahead[None](behind=True, threads=1)
        self.parts: list[StoredPart] = []
        """What has been written."""

    def __enter__(self) -> Self:
        with failing(self._what):
            self._file = self._draft.__enter__()
        try:
            self._write(HEAD)
        except BaseException as error:
            self._draft.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._writing.__exit__()
        self._draft.__exit__(kind, value, traceback)

    def packed(self, data: bytes | bytearray) -> Callable[[], PackedPart]:
        """Return what packs the next part, by any thread; ``add`` takes them in that order."""
        number, self._numbered = self._numbered, self._numbered + 1

        def work() -> PackedPart:
            stored = self._packing.pack(number, data)
            return stored, StoredPart(len(stored), len(data), digest_of(stored))

        return work

    def add(self, packed: Iterable[PackedPart]) -> None:
        """Have parts written that were packed; what one before met with is raised."""
        for data, part in packed:
            self._writing.put(functools.partial(self._write, data))
            self.parts.append(part)

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, and give the file its name once all of it is on the disk."""
        data = manifests.write(manifest)
        seal = _NO_SEAL if self._packing.seal is None else self._packing.seal.mark(data)
        list(self._writing.rest())
        self._write(data)
        self._write(TAIL.pack(seal, len(data), hashlib.sha256(seal + data).digest(), END))
        with failing(self._what):
            self._file.publish()

    def _write(self, data: bytes | bytearray) -> None:
        with failing(self._what):
            self._file.write(data)


def file_of(name: str) -> str:
    """Return the name of a backup's file."""
    return f"{name}{SUFFIX}"


def draft_of(path: Path) -> Path:
    """Return what a file is called until it is whole."""
    return path.with_name(f".{path.name}.draft")


def give_name(draft: Path, path: Path) -> None:
    """Give a file that is written whole its name, durably."""
    sync(draft)
    draft.rename(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have what is in a file, or the names in a folder, survive power loss."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BackupFile:
    """A backup that is there: its manifest, and its parts one by one."""

    def __init__(self, place: Destination, name: str) -> None:
        """Read the manifest; BackupDamaged if it is not whole, BackupFailed if it cannot be read.

        No key is needed for that.
        """
        self._place = place
        self.name = name
        self._what = f"{place}: {name} cannot be read"
        with failing(self._what):
            self.bytes = place.size(file_of(name)) or 0
            data, self._mark = self._tail()
        self.manifest = manifests.read(name, data)
        self._data = data
        stored = (part.stored for part in self.manifest.parts)
        *self._places, end = itertools.accumulate(stored, initial=len(HEAD))
        if end + len(data) + TAIL.size != self.bytes:
            raise BackupDamaged(name, "the sizes of its parts do not add up to that of its file")

    def _read(self, start: int, length: int) -> bytes:
        return self._place.read(file_of(self.name), start, length)

    def _tail(self) -> tuple[bytes, bytes]:
        if self.bytes < len(HEAD) + TAIL.size:
            raise BackupDamaged(self.name, "it is cut off: not even its end is there")
        if self._read(0, len(HEAD)) != HEAD:
            raise BackupDamaged(self.name, "its first bytes are not those of a backup")
        end = self.bytes - TAIL.size
        seal, size, digest, mark = TAIL.unpack(self._read(end, TAIL.size))
        if mark != END or size > min(end - len(HEAD), MOST):
            raise BackupDamaged(self.name, "it is cut off, or its end was changed")
        data = self._read(end - size, size)
        if hashlib.sha256(seal + data).digest() != digest:
            raise BackupDamaged(self.name, "the digest of its manifest does not match")
        return data, seal

    @property
    def digest(self) -> str:
        """The digest of the manifest, which holds the digest of every part."""
        return digest_of(self._data)

    def seal(self, keys: KeyProvider | None) -> BackupSeal | None:
        """Return what opens its parts, None if they are not sealed.

        KeyMissing if there is no key, BackupDamaged if it is another one of the same id.
        """
        manifest = self.manifest
        if not manifest.encryption:
            if self._mark != _NO_SEAL:
                raise BackupDamaged(self.name, "it has a seal, and says that it is not encrypted")
            return None
        seal = seal_of(self.name, keys, manifest.key, bytes.fromhex(manifest.salt))
        if seal.mark(self._data) != self._mark:
            problem = (
                f"its manifest was changed, or key {manifest.key!r} is not the one it was made with"
            )
            raise BackupDamaged(self.name, problem)
        return seal

    def index(self, keys: KeyProvider | None) -> bytes:
        """Return the last part, checked and unpacked: it says what the others are."""
        return self._unpacked(len(self.manifest.parts) - 1, self.seal(keys))()

    def parts(self, keys: KeyProvider | None) -> Iterator[bytes]:
        """Iterate over the other parts, checked and unpacked.

        BackupDamaged names the first that is not as it was written.
        """
        seal = self.seal(keys)
        with Ahead[bytes](behind=False) as work:
            for number in range(len(self.manifest.parts) - 1):
                yield from work.put(self._unpacked(number, seal))
            yield from work.rest()

    def _unpacked(self, number: int, seal: BackupSeal | None) -> Callable[[], bytes]:
        """Read a part; return what checks and unpacks it, by any thread."""
        part = self.manifest.parts[number]
        with failing(self._what):
            data = self._read(self._places[number], part.stored)

        def work() -> bytes:
            if digest_of(data) != part.digest:
                raise BackupDamaged(self.name, f"the digest of part {number} does not match")
            return unpack(self.name, number, data, seal, self.manifest.compression, part.size)

        return work
