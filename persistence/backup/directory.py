"""Backups in a directory: a draft is flushed, renamed, and the directory is flushed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from .layout import draft_of, give_name, sync

_LOCK: Final = ".lock"
_READERS: Final = ".readers"
_FLUSHED: Final = 16 << 20
"""Bytes of a draft after which it is flushed to the disk."""


class Directory:
    """A folder. Files in it that are no backups are nobody's business."""

    def __init__(self, path: Path) -> None:
        """Use the folder at ``path``, which is made with the first file."""
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def there(self) -> bool:
        """Tell whether there is such a folder."""
        return self.path.is_dir()

    def names(self) -> list[str]:
        """Return the names of what is in it."""
        return [file.name for file in self.path.iterdir() if not file.name.startswith(".")]

    def size(self, name: str) -> int | None:
        """Return the bytes of a file; None if it is not there."""
        try:
            return (self.path / name).stat().st_size
        except FileNotFoundError:
            return None

    def read(self, name: str, start: int, length: int) -> bytes:
        """Return bytes of a file."""
        with (self.path / name).open("rb", buffering=0) as file:
            return os.pread(file.fileno(), length, start)

    def put(self, name: str, data: bytes) -> None:
        """Write a small file."""
        path = self.path / name
        draft = draft_of(path)
        draft.write_bytes(data)
        give_name(draft, path)

    def draft(self, name: str) -> _Draft:
        """Begin a file."""
        return _Draft(self.path / name)

    def remove(self, name: str) -> None:
        """Remove a file, durably."""
        (self.path / name).unlink(missing_ok=True)
        sync(self.path)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of who makes and removes."""
        self.path.mkdir(mode=0o700, exist_ok=True)
        with self._held(_LOCK):
            for draft in self.path.glob(".*.draft"):
                draft.unlink(missing_ok=True)
            yield

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Hold the lock of who reads, with others."""
        file = -1
        with contextlib.suppress(OSError):
            file = os.open(self.path / _READERS, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(file, fcntl.LOCK_SH)
        try:
            yield
        finally:
            if file >= 0:
                os.close(file)

    def alone(self) -> contextlib.AbstractContextManager[None]:
        """Hold the lock of who reads, alone."""
        return self._held(_READERS)

    @contextlib.contextmanager
    def _held(self, lock: str) -> Iterator[None]:
        file = os.open(self.path / lock, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(file)


class _Draft:
    """Write under a name that nobody takes for a backup, until it is whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._draft = draft_of(path)

    def __enter__(self) -> Self:
        # Only for its owner: it holds all that the store holds.
        descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(descriptor, "wb")
        self._unflushed = 0
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with contextlib.suppress(OSError):
            self._file.close()
        self._draft.unlink(missing_ok=True)

    def write(self, data: bytes | bytearray) -> None:
        """Write on."""
        self._file.write(data)
        self._unflushed += len(data)
        if self._unflushed >= _FLUSHED:
            # All at the end would hold up whoever else waits for the disk, commits among them.
            self._file.flush()
            os.fdatasync(self._file.fileno())
            self._unflushed = 0

    def publish(self) -> None:
        """Give the file its name once all of it is on the disk."""
        self._file.flush()
        give_name(self._draft, self._path)
