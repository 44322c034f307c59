"""The one place where errors of the SQLite driver become ours."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Final

from ..errors import NotAStore, StoreError, StoreUnavailable

_ADVICE = {
    sqlite3.SQLITE_FULL: "free some disk space",
    sqlite3.SQLITE_IOERR: "check the disk, and the room on it",
    sqlite3.SQLITE_BUSY: "another process holds the database lock; close it",
    sqlite3.SQLITE_LOCKED: "another connection holds a lock",
    sqlite3.SQLITE_READONLY: "make the file and its directory writable, or read a copy: SQLite"
    " keeps an index beside a file also to read it",
    sqlite3.SQLITE_CANTOPEN: "check that the directory exists and is writable, and that the process"
    " may open more files (ulimit -n)",
    sqlite3.SQLITE_CORRUPT: "the file is damaged; run `perdure doctor` and restore a backup",
    sqlite3.SQLITE_PERM: "check the file's permissions",
}

_BEYOND: Final = (
    "the file is damaged beyond reading; restore a backup, or save what is whole of it with"
    " `perdure doctor --repair`"
)
"""What to do where `perdure doctor` cannot look either, or was looking."""

FROM_THE_DRIVER: Final = (sqlite3.Error, UnicodeDecodeError)
"""What the driver raises."""


class translated:  # noqa: N801 - reads as a function
    """Turn driver errors raised inside into StoreUnavailable or NotAStore, of that store."""

    __slots__ = ("_doing", "_location")

    def __init__(self, location: str, doing: str) -> None:
        """Say whose errors they are, and what they keep from being done."""
        self._location = location
        self._doing = doing

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(
        self, _kind: object, error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if error is None:
            return
        if isinstance(error, StoreUnavailable):
            error.location = error.location or self._location
        elif isinstance(error, FROM_THE_DRIVER):
            raise translate(error, self._location, self._doing) from error


def translate(error: sqlite3.Error | UnicodeDecodeError, location: str, doing: str) -> StoreError:
    """Return our error for a driver error."""
    if isinstance(error, UnicodeDecodeError):
        # The driver meets it in names and messages that a damaged schema gives it.
        advice = _advice(sqlite3.SQLITE_CORRUPT, doing)
        return StoreUnavailable(f"{location}: {doing} failed: {error}; {advice}", location=location)
    code = getattr(error, "sqlite_errorcode", 0) or 0
    primary = code & 0xFF
    if primary == sqlite3.SQLITE_NOTADB:
        return NotAStore(
            f"{location} is not a SQLite file; choose another path, or save what is whole of a"
            " damaged store with `perdure doctor --repair`"
        )
    message = f"{location}: {doing} failed: {error}; {_advice(primary, doing)}"
    return StoreUnavailable(message, full=primary == sqlite3.SQLITE_FULL, location=location)


def _advice(primary: int, doing: str) -> str:
    if primary == sqlite3.SQLITE_CORRUPT and doing in {"opening", "examining"}:
        return _BEYOND
    return _ADVICE.get(primary, "see the error before this one")


def damage(message: str) -> sqlite3.DatabaseError:
    """Return what the driver raises for a damaged file, where we are who noticed."""
    error = sqlite3.DatabaseError(message)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


class Mended(StoreUnavailable):
    """Say that a reading failed because the file was damaged; it is mended: read again."""


def damaged(error: BaseException | None) -> bool:
    """Tell whether SQLite says by a driver error that it found the file damaged."""
    return _code(error) == sqlite3.SQLITE_CORRUPT


def malformed(error: StoreUnavailable) -> bool:
    """Tell whether SQLite found the file damaged."""
    return damaged(error.__cause__)


def locked(error: StoreUnavailable) -> bool:
    """Tell whether another process kept the file's lock for too long."""
    return _code(error.__cause__) == sqlite3.SQLITE_BUSY


def conflicting(error: StoreUnavailable) -> bool:
    """Tell whether a row had no place beside one that is there, which only damage explains."""
    return _code(error.__cause__) == sqlite3.SQLITE_CONSTRAINT


def _code(error: BaseException | None) -> int:
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
