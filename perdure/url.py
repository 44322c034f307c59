"""Store URLs: a path, ``sqlite:///path`` or ``memory://``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from .persistence.backup.scratch import remove_left_rooms
from .persistence.errors import ConfigurationError
from .persistence.memory.store import MemoryStore
from .persistence.sqlite.reader import SqliteReader
from .persistence.sqlite.store import SqliteStore
from .persistence.store.store import Store, StoreReader

_FORMS: Final = "use a path, sqlite:///PATH or memory://"
_SCHEMES: Final = ("file:", "sqlite:", "memory:", ":memory:")
"""How names begin that other libraries take for more than a name of a file."""


def open_store(url: str | Path, *, sync: str) -> Store:
    """Open the store a URL names, for writing."""
    if str(url) == "memory://":
        return MemoryStore()
    path = path_of(url)
    remove_left_rooms(path.parent)
    return SqliteStore(path, sync=sync)


def open_reader(url: str | Path) -> StoreReader:
    """Open the store a URL names, read-only, also while another process owns it."""
    if str(url) == "memory://":
        message = "a memory:// store lives inside its process; name a file"
        raise ConfigurationError(message)
    return SqliteReader(path_of(url))


def path_of(url: object) -> Path:
    """Return the path that a URL names; ConfigurationError before anything is touched."""
    if not isinstance(url, str | os.PathLike) or not isinstance(os.fspath(url), str):
        message = f"store={url!r} is a {type(url).__name__}, which names no store; {_FORMS}"
        raise ConfigurationError(message)
    text = os.fspath(url)
    path = text.removeprefix("sqlite:///")
    if not path:
        raise ConfigurationError(f"the store has no path; {_FORMS}")
    if "\0" in path:
        raise ConfigurationError(f"store={text!r} holds a zero character; {_FORMS}")
    if path.startswith(_SCHEMES) or "://" in path:
        advice = "" if "/" in path else f" (./{path} for a file of that very name)"
        raise ConfigurationError(f"{text!r} names no known store; {_FORMS}{advice}")
    return Path(path)
