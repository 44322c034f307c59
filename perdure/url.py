"""Store URLs: a path, ``sqlite:///path`` or ``memory://``."""

from __future__ import annotations

from pathlib import Path

from .persistence.errors import ConfigurationError
from .persistence.memory.store import MemoryStore
from .persistence.sqlite.reader import SqliteReader
from .persistence.sqlite.store import SqliteStore
from .persistence.store.store import Store, StoreReader


def open_store(url: str | Path, *, sync: str) -> Store:
    """Open the store a URL names, for writing."""
    if str(url) == "memory://":
        return MemoryStore()
    return SqliteStore(_path(url), sync=sync)


def open_reader(url: str | Path) -> StoreReader:
    """Open the store a URL names, read-only, also while another process owns it."""
    if str(url) == "memory://":
        message = "a memory:// store lives inside its process; name a file"
        raise ConfigurationError(message)
    return SqliteReader(_path(url))


def _path(url: str | Path) -> Path:
    text = str(url)
    if text.startswith("sqlite:///"):
        text = text.removeprefix("sqlite:///")
    elif "://" in text:
        message = f"{text!r} names no known store; use a path, sqlite:///PATH or memory://"
        raise ConfigurationError(message)
    if not text:
        message = "the store has no path; use a path, sqlite:///PATH or memory://"
        raise ConfigurationError(message)
    return Path(text)
