"""An index of texts by three letters, in a file of its own beside the store.

SQLite's FTS5 with trigrams, without the texts: 65 bytes for a commit of a usual size. It only says
which numbers may stand for a text that holds another: of commits, of executions of hooks, of
decisions, of dead letters. Nobody who commits writes to it; whoever searches brings it up to date.
It may be deleted at any time, and is where it is damaged.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from ..errors import StoreError, StoreUnavailable
from ..store.store import Indexed, Shelf
from .errors import damage, translated
from .transaction import writing

logger = logging.getLogger("perdure.persistence")

SUFFIX: Final = "-search"
SHORTEST: Final = 3
"""Characters a text must have to be looked up."""
_PAGE: Final = 500
_FORMAT: Final = 3
_NEW: Final = 0
"""The format of a file that SQLite has just made."""
_TO_BLAME: Final = frozenset({
    sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH,
})  # fmt: skip
"""What SQLite says where the file is not as we made it: no table, for one. Not what a lock, a
full disk or a missing right says."""


class _Broken(StoreUnavailable):
    """Say that the file was not as we made it, and is gone."""


class TextIndex:
    """Find numbers by what their texts hold (store.TextSearch)."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; StoreUnavailable if that is impossible here."""
        self._path = path
        try:
            self._open()
        except _Broken:
            self._open()

    def _open(self) -> None:
        _make_file(self._path)
        with self._using("opening"):
            self._connection = sqlite3.connect(
                self._path, timeout=1.0, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def _prepare(self) -> None:
        connection = self._connection
        connection.execute("PRAGMA synchronous = OFF")  # lost, it is made again
        connection.execute("PRAGMA trusted_schema = OFF")
        found = self._format()
        if found == _NEW:
            with writing(connection):
                if self._format() == _NEW:  # nobody else was faster
                    self._make()
        elif found != _FORMAT:
            raise damage(f"its format is {found}, not {_FORMAT}")

    def _format(self) -> int:
        return int(self._connection.execute("PRAGMA user_version").fetchone()[0])

    def _make(self) -> None:
        connection = self._connection
        for table in ("extent", "dead"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(
            "CREATE TABLE extent"
            " (shelf TEXT PRIMARY KEY, first INTEGER, last INTEGER, mark INTEGER)"
        )
        connection.execute(
            "CREATE TABLE dead (number INTEGER PRIMARY KEY, id INTEGER, crc INTEGER)"
        )
        for shelf in Shelf:
            self._make_shelf(shelf)
        connection.execute(f"PRAGMA user_version = {_FORMAT}")

    def _make_shelf(self, shelf: Shelf) -> None:
        connection = self._connection
        connection.execute(f"DROP TABLE IF EXISTS {shelf}")
        connection.execute(
            f"CREATE VIRTUAL TABLE {shelf} USING fts5(text, content = '', detail = none,"
            " columnsize = 0, tokenize = 'trigram case_sensitive 1')"
        )
        if shelf is Shelf.LETTERS:
            connection.execute("DELETE FROM dead")
        connection.execute("INSERT OR REPLACE INTO extent VALUES (?, 0, 0, 0)", (shelf.value,))

    @contextlib.contextmanager
    def _using(self, doing: str) -> Iterator[None]:
        """Turn errors of the driver into ours; where the file is to blame, delete it."""
        try:
            with translated(str(self._path), doing):
                yield
        except StoreError as error:
            if not _to_blame(error.__cause__):
                raise
            # Who has it open keeps the old file, and finds out by itself.
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            logger.warning("%s was no good and is made anew: %s", self._path, error.__cause__)
            message = f"{self._path} was no good: {error.__cause__}; the next search makes it anew"
            raise _Broken(message, location=str(self._path)) from error

    def extent(self, shelf: Shelf) -> Indexed:
        """Return what was looked at; StoreUnavailable."""
        with self._using("searching"):
            return self._extent(shelf)

    def _extent(self, shelf: Shelf) -> Indexed:
        rows = self._connection.execute(
            "SELECT first, last, mark FROM extent WHERE shelf = ?", (shelf.value,)
        ).fetchall()
        if len(rows) != 1 or {*map(type, rows[0])} != {int}:
            raise damage("it does not say what it has looked at")
        return Indexed(*rows[0])

    def clear(self, shelf: Shelf, known: Indexed) -> None:
        """Begin anew, unless another has changed the extent from ``known`` meanwhile."""
        with self._using("searching"), writing(self._connection):
            if self._extent(shelf) == known:
                self._make_shelf(shelf)

    def add(
        self,
        shelf: Shelf,
        rows: Sequence[tuple[int, str]],
        known: Indexed,
        last: int,
        mark: int,
        *,
        letters: Iterable[tuple[int, int, int]] = (),
    ) -> bool:
        """Add texts by their numbers; False if another has gone on from ``known`` meanwhile."""
        connection = self._connection
        with self._using("searching"), writing(connection):
            if self._extent(shelf) != known:
                return False
            insert = f"INSERT INTO {shelf} (rowid, text) VALUES (?, ?)"  # noqa: S608 - ours
            connection.executemany(insert, (row for row in rows if row[1]))
            connection.executemany("INSERT INTO dead VALUES (?, ?, ?)", letters)
            first = known.first or (rows[0][0] if rows else last + 1)
            connection.execute(
                "UPDATE extent SET first = ?, last = ?, mark = ? WHERE shelf = ?",
                (first, last, mark, shelf.value),
            )
        return True

    def find(self, shelf: Shelf, text: str, after: int, *, newest: bool) -> Iterator[int]:
        """Iterate over numbers behind ``after`` whose texts may hold ``text``, in order."""
        terms = dict.fromkeys(text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1))
        match = " AND ".join('"' + term.replace('"', '""') + '"' for term in terms)
        sign, way = ("<", "DESC") if newest else (">", "ASC")
        query = (
            f"SELECT rowid FROM {shelf} WHERE {shelf} MATCH ? AND rowid {sign} ?"  # noqa: S608
            f" ORDER BY rowid {way} LIMIT ?"
        )
        while True:
            with self._using("searching"):
                rows = self._connection.execute(query, (match, after, _PAGE)).fetchall()
                found = [after, *(number for (number,) in rows)]
                if found != sorted(set(found), reverse=newest):
                    raise damage("its numbers are out of order")
            if not rows:
                return
            yield from found[1:]
            after = found[-1]

    def letters(self, numbers: Iterable[int]) -> set[int]:
        """Return the ids of the dead letters of some numbers."""
        query, ids = "SELECT id FROM dead WHERE number = ?", set[int]()
        with self._using("searching"):
            for number in numbers:
                ids.update(row[0] for row in self._connection.execute(query, (number,)))
        return ids

    def all_letters(self) -> set[tuple[int, int]]:
        """Return the ids and the checksums of all dead letters that it holds."""
        with self._using("searching"):
            return {*self._connection.execute("SELECT id, crc FROM dead")}

    def close(self) -> None:
        """Give back the file."""
        self._connection.close()


def _make_file(path: Path) -> None:
    """Make an empty file if there is none; StoreUnavailable."""
    try:
        # SQLite would make the file for all to read. It holds letters of people's data.
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        message = f"{path} cannot be created: {error.strerror}; make its directory writable"
        raise StoreUnavailable(message, location=str(path)) from error


def _to_blame(error: BaseException | None) -> bool:
    """Tell whether an error of the driver comes from what stands in the file."""
    if isinstance(error, UnicodeDecodeError):
        return True
    return (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF in _TO_BLAME
