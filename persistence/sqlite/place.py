"""Notice that a file of an open store was deleted, moved away or replaced."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import StoreUnavailable

LOOK_SECONDS: Final = 1.0
"""Seconds between two looks of a writer: each costs a hand-off of the interpreter lock."""
BESIDE: Final = ("-wal", "-shm")
"""What SQLite keeps beside a file that is open: the log of writes, and the index of the log."""


class LogLost(StoreUnavailable):
    """Say that the log of an open store is gone; whoever has it open still has what it holds."""


class StoreFile:
    """Remember which files a path led to.

    SQLite goes on reading and writing the files it has opened, also when no path leads there any
    more; a new connection would open whatever stands in their place.
    """

    def __init__(self, path: Path, *, name: str = "") -> None:
        """Remember the file that is at ``path`` now; OSError if there is none.

        Errors call it ``name``.
        """
        self._path = path
        self._name = name or str(path)
        self._file = identity(path)
        self._beside: dict[Path, tuple[int, int]] = {}
        self._next = 0.0

    def remember_the_log(self) -> None:
        """Remember the files of the log, which are there from the first read to the last close."""
        for suffix in BESIDE:
            file = beside(self._path, suffix)
            if file.exists():
                self._beside[file] = identity(file)

    def check(self) -> None:
        """Raise StoreUnavailable unless the path still leads to the file, LogLost for its log."""
        if not _same(self._path, self._file):
            message = (
                f"{self._name} was deleted, moved or replaced while it was open; put the file back,"
                " or close this process"
            )
            raise StoreUnavailable(message)
        for file, known in self._beside.items():
            if not _same(file, known):
                message = (
                    f"{file.name}, the log of {self._name}, was deleted, moved or replaced while it"
                    " was open; leave the files beside a store alone"
                )
                raise LogLost(message)

    def check_now_and_then(self) -> None:
        """Do so once in LOOK_SECONDS, and again at once after it has raised."""
        now = time.monotonic()
        if now >= self._next:
            self.check()
            self._next = now + LOOK_SECONDS


def identity(path: Path) -> tuple[int, int]:
    """Return the device and number of the file at ``path``; OSError if there is none."""
    # The number of a file that is held open is given to no other.
    status = path.stat()
    return status.st_dev, status.st_ino


def identified(path: Path) -> str:
    """Return what tells a file from every other of this host; "" if nobody can say."""
    try:
        device, number = identity(path)
    except OSError:
        return ""
    return f"{device}:{number}"


def beside(path: Path, suffix: str) -> Path:
    """Return a file that SQLite keeps beside a store, which it does where a symlink leads."""
    return Path(f"{os.path.realpath(path)}{suffix}")


@contextlib.contextmanager
def looking_at(path: Path) -> Iterator[None]:
    """Raise StoreUnavailable where the block may not look at a path, or nothing is named so."""
    try:
        yield
    except OSError as error:
        message = f"{path} cannot be looked at: {error.strerror}; name a file that you may open"
        raise StoreUnavailable(message, location=str(path)) from error


def refuse_two_names(path: Path) -> None:
    """Raise StoreUnavailable if the file has a second name; OSError if there is none.

    SQLite names its log after the file: who opens it by the other name has another log, and sees
    neither what the first has written nor that the store is owned.
    """
    if path.stat().st_nlink > 1:
        message = (
            f"{path} is a hard link: the same file has another name, and a store must have one;"
            " remove one of the two names, or open a copy"
        )
        raise StoreUnavailable(message)


def _same(path: Path, known: tuple[int, int]) -> bool:
    try:
        return identity(path) == known
    except OSError:
        return False
