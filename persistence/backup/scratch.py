"""Rooms for scratch files. One that a killed process has left is removed by whoever looks next."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from .layout import failing

_MARK: Final = ".perdure-scratch-"


@contextlib.contextmanager
def scratch_room(beside: Path) -> Iterator[Path]:
    """Give a folder of this process alone, in another one; it is gone after the block.

    It is locked meanwhile. The system takes the lock from a process that is killed, whoever gets
    its number later: so it is known which folders nobody needs any more.
    """
    remove_left_rooms(beside)
    with failing(f"{beside} cannot take scratch files"):
        room, lock = _made(beside)
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)
        os.close(lock)


def remove_left_rooms(folder: Path) -> None:
    """Remove the rooms in a folder that killed processes have left."""
    with contextlib.suppress(OSError):
        for left in folder.glob(f"{_MARK}*"):
            _remove_left(left)


def _made(beside: Path) -> tuple[Path, int]:
    """Make a room; return it with the descriptor that has its lock."""
    while True:
        room = beside / f"{_MARK}{secrets.token_hex(8)}"
        room.mkdir(mode=0o700)
        lock = -1
        # Before it is locked another process may take it for one that was left: then the next one.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(room, os.O_RDONLY | os.O_DIRECTORY)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if os.path.samestat(room.stat(), os.fstat(lock)):
                return room, lock
        if lock >= 0:
            os.close(lock)


def _remove_left(room: Path) -> None:
    """Remove a room, if it is one of this user that nobody has locked."""
    with contextlib.suppress(OSError):
        lock = os.open(room, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            if os.fstat(lock).st_uid == os.geteuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(room, ignore_errors=True)
        finally:
            os.close(lock)
