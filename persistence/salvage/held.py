"""A damaged file is held while it is read: nobody opens it meanwhile."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ..errors import SalvageFailed, StoreUnavailable

_LOCKS: Final = 0x40000000
"""Where SQLite's locks on a file begin."""
_WIDTH: Final = 512
_OPEN: Final = Path("/proc/self/fd")


@contextlib.contextmanager
def held(path: Path) -> Iterator[int]:
    """Give a descriptor of a store's file that nobody has open with SQLite, or opens meanwhile.

    StoreUnavailable if somebody has, this process among them: to close a descriptor would drop
    the locks of the one that it has open.
    """
    _refuse_own(path)
    try:
        writable = os.access(path, os.W_OK)
        file = os.open(path, os.O_RDWR if writable else os.O_RDONLY)
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}") from error
    try:
        if writable:
            _lock(path, file)
        yield file
    finally:
        os.close(file)


def _refuse_own(path: Path) -> None:
    try:
        wanted = path.stat()
    except OSError as error:
        raise StoreUnavailable(f"{path} cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise SalvageFailed(f"{path} is no file")
    for name in _OPEN.iterdir() if _OPEN.is_dir() else ():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            there = name.stat()
            if (there.st_dev, there.st_ino) == (wanted.st_dev, wanted.st_ino):
                raise _in_use(path, "this process")


def _lock(path: Path, file: int) -> None:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _WIDTH, _LOCKS)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN):
            raise _in_use(path, "another process") from error
        raise StoreUnavailable(f"{path} cannot be locked: {error.strerror}") from error


def _in_use(path: Path, who: str) -> StoreUnavailable:
    message = f"{path} is open in {who}; end that first, and salvage then"
    return StoreUnavailable(message)
