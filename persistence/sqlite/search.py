"""An index of texts by three letters, in a file of its own beside the store.

SQLite's FTS5 with trigrams, without the texts: 65 bytes for a commit of a usual size. It only says
which numbers may stand for a text that holds another. Nobody who commits writes to it; whoever
searches brings it up to date. It may be deleted at any time.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from ..errors import NotAStore
from .errors import translated
from .transaction import writing

logger = logging.getLogger("perdure.persistence")

SUFFIX: Final = "-search"
SHORTEST: Final = 3
"""Characters a text must have to be looked up."""
_PAGE: Final = 500
_FORMAT: Final = 1


class TextIndex:
    """Find numbers by what their texts hold (store.TextSearch)."""

    def __init__(self, path: Path) -> None:
        """Open or make the file; StoreUnavailable if that is impossible here."""
        self._path = path
        try:
            self._open()
        except NotAStore as error:
            logger.warning("%s is made anew: %s", path, error)
            path.unlink(missing_ok=True)
            self._open()

    def _open(self) -> None:
        with translated(str(self._path), "opening"):
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
        if connection.execute("PRAGMA user_version").fetchone()[0] == _FORMAT:
            return
        with self._writing():
            self._make()

    def _make(self) -> None:
        connection = self._connection
        for table in ("texts", "extent"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(
            "CREATE VIRTUAL TABLE texts USING fts5(text, content = '', detail = none,"
            " columnsize = 0, tokenize = 'trigram case_sensitive 1')"
        )
        connection.execute("CREATE TABLE extent (first INTEGER, last INTEGER)")
        connection.execute("INSERT INTO extent VALUES (0, 0)")
        connection.execute(f"PRAGMA user_version = {_FORMAT}")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(str(self._path), "searching"), writing(self._connection):
            yield

    def extent(self) -> tuple[int, int]:
        """Return the first and the last number that was looked at; (0, 0) for a new index."""
        first, last = self._connection.execute("SELECT first, last FROM extent").fetchone()
        return first, last

    def clear(self) -> None:
        """Begin anew."""
        with self._writing():
            self._make()

    def add(self, rows: Iterable[tuple[int, str]], behind: int, last: int) -> bool:
        """Add texts by their numbers; False if another has gone on from ``behind`` meanwhile."""
        with self._writing():
            if self.extent()[1] != behind:
                return False
            self._connection.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", rows)
            self._connection.execute(
                "UPDATE extent SET last = ?, first = CASE first WHEN 0 THEN ? ELSE first END",
                (last, behind + 1),
            )
        return True

    def find(self, text: str, after: int, *, newest: bool) -> Iterator[int]:
        """Iterate over numbers behind ``after`` whose texts may hold ``text``, in order."""
        terms = dict.fromkeys(text[at : at + SHORTEST] for at in range(len(text) - SHORTEST + 1))
        match = " AND ".join('"' + term.replace('"', '""') + '"' for term in terms)
        sign, way = ("<", "DESC") if newest else (">", "ASC")
        query = (
            f"SELECT rowid FROM texts WHERE texts MATCH ? AND rowid {sign} ?"  # noqa: S608 - ours
            f" ORDER BY rowid {way} LIMIT ?"
        )
        while True:
            with translated(str(self._path), "searching"):
                found = self._connection.execute(query, (match, after, _PAGE)).fetchall()
            if not found:
                return
            yield from (number for (number,) in found)
            after = found[-1][0]

    def close(self) -> None:
        """Give back the file."""
        self._connection.close()
