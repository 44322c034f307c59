"""A consistent cut: the pages of a store at one moment, in a scratch file, while agents go on."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..errors import BackupFailed
from ..sqlite.errors import translated
from ..sqlite.formats import format_of
from ..sqlite.reader import SqliteReader
from .layout import failing
from .moments import newest_in
from .scratch import scratch_room

_WRITTEN: Final = 1 << 16
"""Bytes that SQLite writes at a time, the largest page: in pages of 4 KiB a copy takes twice the
processor time."""


@dataclass(frozen=True, slots=True)
class Cut:
    """A store's pages at one moment."""

    file: int
    """A descriptor from which they are read."""
    path: Path
    page_size: int
    pages: int
    store_format: int
    first: int
    last: int
    """The commits of its journal; ``last`` is the newest that anything in it knows of."""
    last_time: float
    store: str
    """The name of the store's file."""


@contextlib.contextmanager
def cut(store: SqliteReader) -> Iterator[Cut]:
    """Give the pages that a store has now, as one state of it; they are gone after the block.

    They are copied in one step by SQLite, for a reader: no writer waits for it, and no step begins
    again because of a commit. The scratch file stands beside the store, where whoever may read the
    one may read the other, and takes as much room.
    """
    place = Path(store.location).absolute()
    with scratch_room(place.parent) as room:
        scratch = room / "cut.db"
        _copy(store, scratch)
        with failing(f"the pages of {store.location} cannot be read in {scratch}"):
            file = os.open(scratch, os.O_RDONLY)
        try:
            yield looked_at(file, scratch, place.name)
        finally:
            os.close(file)


def _copy(store: SqliteReader, scratch: Path) -> None:
    try:
        with (
            store.reading("making a backup") as source,
            closing(sqlite3.connect(scratch, isolation_level=None)) as target,
        ):
            # Nobody needs it after a crash: it takes neither a journal nor a flush. A file that
            # has large pages keeps them while others are copied into it, so it is written 64 KiB
            # at a time; behind the copy it has the pages, the header and the size of the source.
            target.execute(f"PRAGMA page_size = {_WRITTEN}")
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            target.execute("PRAGMA locking_mode = EXCLUSIVE")
            target.execute("PRAGMA user_version = 1")  # which makes the file, with such pages
            source.backup(target, pages=-1)
    except OSError as error:
        raise BackupFailed(f"{store.location} cannot be backed up: {error}") from error


def looked_at(file: int, scratch: Path, store: str) -> Cut:
    """Return a file that nobody changes as the pages of a store of that name."""
    with (
        translated(str(scratch), "making a backup"),
        closing(reading(scratch)) as connection,
    ):
        page_size = int(connection.execute("PRAGMA page_size").fetchone()[0])
        ends = connection.execute(
            "SELECT (SELECT min(sequence) FROM journal),"
            " (SELECT time FROM journal ORDER BY sequence DESC LIMIT 1)"
        ).fetchone()
        return Cut(
            file, scratch, page_size, os.fstat(file).st_size // page_size, format_of(connection),
            int(ends[0] or 0), newest_in(connection), float(ends[1] or 0.0), store,
        )  # fmt: skip


def reading(path: Path) -> sqlite3.Connection:
    """Return a connection to a file that nobody changes, which leaves nothing beside it."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, isolation_level=None
    )
