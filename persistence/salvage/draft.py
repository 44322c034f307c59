"""The new store while it is made: a file of today's format, in which rows are put as they were."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from ..sqlite import schema
from ..sqlite.errors import translated
from ..sqlite.insert import insert
from ..sqlite.reader import UNSEEN
from ..store.lease import Owner
from .forms import Row, forms

_LEASE: Final = 10
"""Columns of the lease."""
_PAGE: Final = 500
"""Rows that are put in with one call."""


class Draft:
    """Put rows into the file of a new store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        """Write through a connection."""
        self.connection = connection
        self._waiting: dict[str, list[Row]] = {name: [] for name in forms()}

    def put(self, table: str, row: Row, *, dropped: Callable[[str, Row], object]) -> None:
        """Put in a row; where its place is taken, ``dropped`` is told."""
        waiting = self._waiting[table]
        waiting.append(row)
        if len(waiting) >= _PAGE:
            self._flush(table, dropped)

    def flush(self, dropped: Callable[[str, Row], object]) -> None:
        """Put in what waits."""
        for table in self._waiting:
            self._flush(table, dropped)

    def _flush(self, table: str, dropped: Callable[[str, Row], object]) -> None:
        rows, self._waiting[table] = self._waiting[table], []
        if not rows:
            return
        before = self.connection.total_changes
        head = f"INSERT OR IGNORE INTO {table}"
        insert(self.connection, head, rows)
        if self.connection.total_changes - before == len(rows):
            return
        columns = forms()[table].columns
        where = " AND ".join(f"{name} IS ?" for name in columns)
        for row in rows:
            query = f"SELECT 1 FROM {table} WHERE {where}"  # noqa: S608 - our own names
            if self.connection.execute(query, row).fetchone() is None:
                dropped(table, row)

    def all(self, query: str, parameters: Sequence[object] = ()) -> list[Any]:
        """Return rows of the new store."""
        return self.connection.execute(query, parameters).fetchall()

    def one(self, query: str, parameters: Sequence[object] = ()) -> Any:  # noqa: ANN401
        """Return one value of it."""
        row = self.connection.execute(query, parameters).fetchone()
        return None if row is None else row[0]

    def has(self, table: str, key: Row) -> bool:
        """Tell whether a table of it has a row with that primary key."""
        where = " AND ".join(f"{name} = ?" for name in forms()[table].key_names)
        return self.one(f"SELECT 1 FROM {table} WHERE {where}", key) is not None  # noqa: S608

    def run(self, statement: str, parameters: Sequence[object] = ()) -> int:
        """Change it; return how many rows that hit."""
        return self.connection.execute(statement, parameters).rowcount

    def quarantine(self, agent: int, place: str, value: object, reason: str) -> None:
        """Keep as text what no table can hold any more."""
        row = (agent, place, repr(value), reason, time.time())
        self.run("INSERT INTO quarantine VALUES (?, ?, ?, ?, ?)", row)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make the block one transaction; whoever reads beside it reads before or behind it."""
        self.run("BEGIN")
        yield
        self.run("COMMIT")

    def lease(self, rows: Sequence[Row]) -> None:
        """Let the next owner be numbered behind all that were, as the ids of letters are by that.

        ``rows`` is what the damaged file has of its lease.
        """
        known = [row for row in rows if len(row) == _LEASE and isinstance(row[1], int)]
        letters = [
            self.one(f"SELECT coalesce(max(id), 0) FROM {table}")  # noqa: S608 - same
            for table in ("mailbox", "dead_letters")
        ]
        letters.append(self.one("SELECT coalesce(max(message), 0) FROM journal"))
        token = max([*(row[1] for row in known), *(letter >> 40 for letter in letters)])
        killed = not known or known[0][8] != 1
        if token:
            who = Owner.this_process()
            self.run(
                "INSERT INTO lease VALUES (1, ?, ?, ?, ?, ?, ?, ?, ?, '')",
                (token, who.host, who.pid, who.started, who.realm, who.incarnation, time.time(),
                 UNSEEN if killed else 1),
            )  # fmt: skip


@contextmanager
def drawn(path: Path, location: str) -> Iterator[Draft]:
    """Give a new store at a path."""
    with (
        translated(location, "salvaging"),
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
    ):
        # Nobody needs it after a crash, and it is flushed before it gets its name.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA secure_delete = ON")
        schema.create_or_check(connection, location)
        yield Draft(connection)
