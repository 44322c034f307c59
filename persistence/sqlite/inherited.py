"""Files that were open when this process was forked: SQLite can neither use nor open them here.

A lock on a file belongs to the process that took it, and SQLite goes by its own notes of those that
its process has. A fork has the notes without the locks: what it opens looks to every other process
as if nobody had it open, and the next one would cut the index of the log off under its feet.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from weakref import WeakKeyDictionary

from ..errors import StoreUnavailable
from .place import identity

_open: Final[WeakKeyDictionary[object, tuple[int, int]]] = WeakKeyDictionary()
"""Who has which files open in this process."""
_inherited: Final[set[tuple[int, int]]] = set()


def opened(reader: object, path: Path) -> None:
    """Take note that ``reader`` has the file at ``path`` open; OSError if there is none."""
    _open[reader] = identity(path)


def closed(reader: object) -> None:
    """Take note that ``reader`` has nothing open any more."""
    _open.pop(reader, None)


def refuse_inherited(path: Path) -> None:
    """Raise StoreUnavailable if the file was open when this process was forked; OSError: none."""
    if identity(path) in _inherited:
        raise inherited(str(path))


def inherited(location: str) -> StoreUnavailable:
    """Return the error for the use of a store in a fork of the process that has it open."""
    message = (
        f"{location} was open when this process was forked, and SQLite cannot use it here; fork"
        " before it is opened, or open it in a process that is started anew (spawn, not fork)"
    )
    return StoreUnavailable(message, location=location)


def _forked() -> None:
    _inherited.update(_open.values())
    _open.clear()


os.register_at_fork(after_in_child=_forked)
