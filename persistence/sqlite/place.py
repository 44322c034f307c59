"""Notice that the file of an open store was deleted, moved away or replaced."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from ..errors import StoreUnavailable

LOOK_SECONDS: Final = 1.0
"""Seconds between two looks of a writer: each costs a hand-off of the interpreter lock."""


class Place:
    """Remember which file a path led to.

    SQLite goes on reading and writing the file it has opened, also when no path leads there any
    more; a new connection would open whatever stands in its place.
    """

    def __init__(self, path: Path) -> None:
        """Remember the file that is at ``path`` now; OSError if there is none."""
        self._path = path
        self._file = identity(path)
        self._next = 0.0

    def check(self) -> None:
        """Raise StoreUnavailable unless the path still leads to the file."""
        try:
            same = identity(self._path) == self._file
        except OSError:
            same = False
        if not same:
            message = (
                f"{self._path} was deleted, moved or replaced while it was open; put the file back,"
                " or close this process"
            )
            raise StoreUnavailable(message)

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
