"""Examine a store: every checksum, every reference, the lease and the size on disk."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

from .errors import ConfigurationError
from .lease import LeaseRecord, Owner
from .records import row_checksum
from .sqlite_pool import tolerant
from .sqlite_read import SqliteReader, journal_checksum
from .store import StoreReader

WAL_BUG_FIXED: Final = (3, 51, 3)
"""The first SQLite without the WAL-reset bug (two connections that checkpoint at once)."""
MOST_LISTED: Final = 1000
"""Bad rows named in a report; more are only counted."""
_PAGE: Final = 1000

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with a table, the rows examined and the rows it has, now and then."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row whose checksum does not match."""

    table: str
    kind: str
    key: str
    place: str
    """The field, with position or entry, or the sequence of a journal row."""


@dataclass(frozen=True, slots=True)
class LeaseState:
    """Who holds the store for writing, or held it last."""

    token: int
    owner: Owner
    renewed: float
    """Seconds since the epoch."""
    released: bool
    alive: bool
    """The owner must be taken for running."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an examination found."""

    location: str
    sqlite_version: str
    wal_bug: bool
    """This SQLite has the WAL-reset bug; perdure avoids it, other programs may not."""
    damage: tuple[str, ...]
    """What ``PRAGMA integrity_check`` complains about."""
    bad: tuple[BadRow, ...]
    bad_rows: int
    """Count of bad rows; ``bad`` names the first of them."""
    counts: dict[str, int]
    """Rows by table."""
    orphans: dict[str, int]
    """Rows by table that belong to no agent."""
    lease: LeaseState | None
    file_bytes: int
    wal_bytes: int
    journal_first: int
    """Sequence of the oldest entry; 0 if the journal is empty."""
    journal_last: int
    seconds: float
    """What the examination took."""

    @property
    def healthy(self) -> bool:
        """Tell whether nothing is damaged; the WAL bug and orphans are no damage."""
        return not self.damage and not self.bad_rows


@dataclass(frozen=True, slots=True)
class _Checked:
    """A table with checksums: its primary key, and what the checksum covers."""

    table: str
    primary: tuple[str, ...]
    value: str
    good: Callable[[tuple[object, ...], str], int]
    place: Callable[[tuple[object, ...]], str]


_TABLES: Final = (
    _Checked("fields", ("agent", "field"), "value", lambda k, v: row_checksum(f"{k[1]}", v),
             lambda k: f"{k[1]}"),
    _Checked("log_items", ("agent", "field", "position"), "value",
             lambda k, v: row_checksum(f"{k[1]}", v), lambda k: f"{k[1]}[{k[2]}]"),
    _Checked("map_entries", ("agent", "field", "entry"), "value",
             lambda k, v: row_checksum(f"{k[1]}\0{k[2]}", v), lambda k: f"{k[1]}[{k[2]!r}]"),
    _Checked("base_fields", ("agent", "field"), "value", lambda k, v: row_checksum(f"{k[1]}", v),
             lambda k: f"{k[1]}"),
    _Checked("journal", ("sequence",), "delta",
             lambda k, v: journal_checksum(int(f"{k[0]}"), v), lambda k: f"{k[0]}"),
)  # fmt: skip
_COUNTED: Final = (
    "agents", *(checked.table for checked in _TABLES),
    "mailbox", "timers", "dead_letters", "quarantine",
)  # fmt: skip


_OF_AGENTS: Final = tuple(checked.table for checked in _TABLES)
_ORPHANS: Final = "SELECT count(*) FROM {0} WHERE agent NOT IN (SELECT agent FROM agents)"


def examine(reader: StoreReader, progress: Progress | None = None) -> Report:
    """Examine every row of a store, also one that a live process owns; changes nothing.

    Reads page by page, so that it holds up no checkpoint of the owner for long.

    Raises:
        ConfigurationError: the store is not a SQLite file.
        StoreUnavailable: it cannot be read at all.
    """
    if not isinstance(reader, SqliteReader):
        message = f"{reader.location} is no SQLite file; there is nothing to examine"
        raise ConfigurationError(message)
    started = time.monotonic()
    with reader.reading("examining") as connection, tolerant(connection):
        look = _Look(connection)
        look.integrity()
        counts = {table: look.one(table, f"SELECT count(*) FROM {table}") for table in _COUNTED}  # noqa: S608
        for checked in _TABLES:
            look.table(checked, counts[checked.table], progress)
        orphans = {table: look.one(table, _ORPHANS.format(table)) for table in _OF_AGENTS}
        lease = look.lease()
        first, last = (
            look.one("journal", f"SELECT coalesce({end}(sequence), 0) FROM journal")  # noqa: S608
            for end in ("min", "max")
        )
    disk = reader.disk()
    return Report(
        location=reader.location,
        sqlite_version=sqlite3.sqlite_version,
        wal_bug=sqlite3.sqlite_version_info < WAL_BUG_FIXED,
        damage=tuple(look.damage),
        bad=tuple(look.bad),
        bad_rows=look.bad_rows,
        counts=counts,
        orphans=orphans,
        lease=lease,
        file_bytes=disk.file,
        wal_bytes=disk.log,
        journal_first=first,
        journal_last=last,
        seconds=time.monotonic() - started,
    )


class _Look:
    """One examination: goes on to the next table where SQLite finds one damaged."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.damage: list[str] = []
        self.bad: list[BadRow] = []
        self.bad_rows = 0

    def integrity(self) -> None:
        """Have SQLite check the structure of the file."""
        with self._noting("integrity_check"):
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
            self.damage += [] if found == ["ok"] else found

    def one(self, table: str, query: str) -> int:
        """Return the number a query gives; 0 where the table is damaged."""
        try:
            return int(self._connection.execute(query).fetchone()[0])
        except sqlite3.DatabaseError as error:
            self.damage.append(f"{table}: {error}")
            return 0

    def table(self, checked: _Checked, total: int, progress: Progress | None) -> None:
        """Verify every checksum of a table."""
        done = 0
        with self._noting(checked.table):
            for page in _pages(self._connection, checked):
                for agent, value, crc, *primary in page:
                    if not _matches(checked, tuple(primary), value, crc):
                        self._report(checked, agent, tuple(primary))
                done += len(page)
                if done > 2 * total + _PAGE:
                    return  # a damaged tree leads round in circles; integrity_check has told of it
                if progress is not None:
                    progress(checked.table, done, max(total, done))

    def lease(self) -> LeaseState | None:
        """Return who holds the lease."""
        row = None
        with self._noting("lease"):
            row = self._connection.execute(
                "SELECT token, host, pid, started, realm, incarnation, renewed, released FROM lease"
            ).fetchone()
        if row is None:
            return None
        token, host, pid, started, realm, incarnation, renewed, released = row
        owner = Owner(host, pid, started, realm, incarnation)
        record = LeaseRecord(token, owner, renewed, bool(released))
        alive = record.holder_alive(Owner.this_process(), time.time())
        return LeaseState(token, owner, renewed, bool(released), alive)

    def _report(self, checked: _Checked, agent: object, primary: tuple[object, ...]) -> None:
        self.bad_rows += 1
        if len(self.bad) < MOST_LISTED:
            query = "SELECT kind, key FROM agents WHERE agent = ?"
            name = self._connection.execute(query, (agent,)).fetchone()
            kind, key = name or ("?", f"agent {agent}")
            self.bad.append(BadRow(checked.table, kind, key, checked.place(primary)))

    @contextlib.contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            self.damage.append(f"{what}: {error}")


def _matches(checked: _Checked, primary: tuple[object, ...], value: object, crc: object) -> bool:
    # A flipped byte may have made the text undecodable, or the value another type.
    return isinstance(value, str) and checked.good(primary, value) == crc


def _pages(connection: sqlite3.Connection, checked: _Checked) -> Iterator[list[tuple[object, ...]]]:
    primary = ", ".join(checked.primary)
    marks = ", ".join("?" * len(checked.primary))
    query = f"SELECT agent, {checked.value}, crc, {primary} FROM {checked.table}"  # noqa: S608
    page = connection.execute(f"{query} ORDER BY {primary} LIMIT {_PAGE}").fetchall()
    while page:
        yield page
        page = connection.execute(
            f"{query} WHERE ({primary}) > ({marks}) ORDER BY {primary} LIMIT {_PAGE}", page[-1][3:]
        ).fetchall()
