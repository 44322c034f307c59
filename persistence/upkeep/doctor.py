"""Examine a store: every checksum, every reference, the lease and the size on disk."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from ..audit.verification import Fault, verify
from ..errors import ConfigurationError, StoreError, durable
from ..records.checksums import intact, intact_record, of_base, of_entry, of_field, of_item
from ..records.journal import read_shape
from ..records.records import AgentRow, DeadLetter, Message, Timer
from ..records.shared_tables import NUMBERED, SHARED_TABLES
from ..records.tables import Table
from ..sqlite import tables
from ..sqlite.pool import tolerant
from ..sqlite.reader import SqliteReader
from ..sqlite.rows import HEAD, record
from ..sqlite.witness import Testimony
from ..store.lease import Owner
from ..store.store import StoreReader
from .missing import missing

WAL_BUG_FIXED: Final = (3, 51, 3)
"""The first SQLite without the WAL-reset bug (two connections that checkpoint at once)."""
MOST_LISTED: Final = 1000
"""Bad rows named in a report; more are only counted."""
_PAGE: Final = 1000
_WIDE_PAGE: Final = 16
"""Rows that hold a chunk each."""

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
class Gone:
    """A commit that was durable, and that the store has no more: it went back in time."""

    sequence: int
    time: float
    """Seconds since the epoch."""
    promised: bool
    """It was to survive also a power loss: with ``sync="process"`` no more than a crash."""
    last: int
    """The newest commit that is there; not below ``sequence`` if its end is another one."""

    def __str__(self) -> str:
        seen = durable(self.sequence, self.time)
        if self.sequence > self.last:
            missing = f"{self.sequence - self.last:,} turns or more are missing"
            return f"{missing} at the end: it ends with commit {self.last:,}, and {seen}"
        return f"its end is another one: {seen}, and is not in the journal"


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
    audit: tuple[Fault, ...]
    """Rows of the audit that are missing, changed or misplaced; without looking at keys."""
    gone: Gone | None
    """What the witness beside the store has seen, if the store went back behind it."""
    seconds: float
    """What the examination took."""

    @property
    def healthy(self) -> bool:
        """Tell whether nothing is damaged or gone that was promised; notices are no damage."""
        lost = self.gone is not None and self.gone.promised
        return not (self.damage or self.bad_rows or self.audit or lost)

    @property
    def faults(self) -> list[str]:
        """What is damaged, in words: of the file, of the audit, then the bad rows that it names."""
        bad = [f"{row.table} {row.kind}/{row.key} {row.place}" for row in self.bad]
        gone = [] if self.gone is None else [str(self.gone)]
        return [*self.damage, *gone, *(what for _, what in self.audit), *bad]


@dataclass(frozen=True, slots=True)
class _Checked:
    """A table with checksums: its primary key, its columns with the checksum last, its judge."""

    table: str
    primary: tuple[str, ...]
    columns: str
    good: Callable[[tuple[object, ...]], bool]
    place: Callable[[tuple[object, ...]], str]
    name_at: int = 0
    """Where kind and key are, in tables of rows that are not found by an agent's number."""
    page: int = _PAGE
    """Rows read at once."""


def _key_of(table: Table, row: tuple[object, ...]) -> str:
    return "/".join(str(part) for part in row[: table.key])


_TABLES: Final = (
    _Checked("agents", ("agent",), HEAD,
             lambda r: record(AgentRow, r) is not None, lambda _: "(head)", 1),
    _Checked("fields", ("agent", "field"), "agent, field, value, crc",
             lambda r: intact(of_field, *r), lambda r: f"{r[1]}"),
    _Checked("log_items", ("agent", "field", "position"), "agent, field, position, value, crc",
             lambda r: intact(of_item, *r), lambda r: f"{r[1]}[{r[2]}]"),
    _Checked("map_entries", ("agent", "field", "entry"), "agent, field, entry, value, crc",
             lambda r: intact(of_entry, *r), lambda r: f"{r[1]}[{r[2]!r}]"),
    _Checked("base_fields", ("agent", "field"), "agent, field, value, crc",
             lambda r: intact(of_base, *r), lambda r: f"{r[1]}"),
    _Checked("journal", ("sequence",),
             "agent, sequence, version, previous, time, name, message, cause, correlation, delta,"
             " crc",
             lambda r: intact_record((r[1], r[0], *r[2:])), lambda r: f"{r[1]}"),
    _Checked("mailbox", ("id",), "*",
             lambda r: record(Message, r) is not None, lambda r: f"{r[0]}", 1),
    _Checked("timers", ("kind", "key", "name"), "*",
             lambda r: record(Timer, r) is not None, lambda r: f"{r[2]}"),
    _Checked("dead_letters", ("id",), "*",
             lambda r: record(DeadLetter, r) is not None, lambda r: f"{r[0]}", 1),
)  # fmt: skip
_SHARED: Final = tuple(
    _Checked(
        table.name,
        table.key_names,
        "*",
        partial(tables.intact, table),
        partial(_key_of, table),
        page=_WIDE_PAGE if any(column.type == "blob" for column in table.columns) else _PAGE,
    )
    for table in SHARED_TABLES
)
_COUNTED: Final = (*(checked.table for checked in (*_TABLES, *_SHARED)), "quarantine")


_OF_AGENTS: Final = ("fields", "log_items", "map_entries", "base_fields", "journal")
# Agent 0 stands for commits that have none.
_ORPHANS: Final = (
    "SELECT count(*) FROM {0} WHERE agent NOT IN (SELECT agent FROM agents) AND agent <> 0"
    " AND agent NOT IN (SELECT agent FROM leftovers)"
)
_DELETED: Final = " AND agent NOT IN (SELECT agent FROM tombstones)"
"""The journal keeps the entries of deleted agents, which have a tombstone; nothing else may."""


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
    seen = reader.testimony()  # before the store is looked at, which goes on meanwhile
    with reader.reading("examining") as connection, tolerant(connection):
        look = _Look(connection, reader)
        look.integrity()
        counts = {table: look.one(table, f"SELECT count(*) FROM {table}") for table in _COUNTED}  # noqa: S608
        for checked in (*_TABLES, *_SHARED):
            look.table(checked, counts[checked.table], progress)
        look.missing()
        look.missing_contents()
        orphans = {
            table: look.one(
                table, _ORPHANS.format(table) + (_DELETED if table == "journal" else "")
            )
            for table in _OF_AGENTS
        }
        lease = look.lease()
        first, last = (
            look.one("journal", f"SELECT coalesce({end}(sequence), 0) FROM journal")  # noqa: S608
            for end in ("min", "max")
        )
        gone = look.gone(seen, last)
    disk = reader.disk()
    audit: tuple[Fault, ...] = ()
    with contextlib.suppress(StoreError):  # a damaged file: the damage is told already
        audit = verify(reader).faults
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
        audit=audit,
        gone=gone,
        seconds=time.monotonic() - started,
    )


class _Look:
    """One examination: goes on to the next table where SQLite finds one damaged."""

    def __init__(self, connection: sqlite3.Connection, reader: SqliteReader) -> None:
        self._connection = connection
        self._reader = reader
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
                for row in page:
                    if not checked.good(row):
                        self._report(checked, row)
                done += len(page)
                if done > 2 * total + _PAGE:
                    return  # a damaged tree leads round in circles; integrity_check has told of it
                if progress is not None:
                    progress(checked.table, done, max(total, done))

    def lease(self) -> LeaseState | None:
        """Return who holds the lease."""
        record = None
        with self._noting("lease"):
            record = self._reader.lease_record(self._connection)
        if record is None:
            return None
        alive = record.holder_alive(Owner.this_process(), time.time())
        return LeaseState(record.token, record.owner, record.renewed, record.released, alive)

    def gone(self, seen: Testimony | None, last: int) -> Gone | None:
        """Return what was seen to be durable and is not there; the journal ends with ``last``."""
        with self._noting("journal"):
            if seen is not None and seen.gone(self._connection):
                newest = [tables.latest_in(self._connection, each) for each in NUMBERED]
                return Gone(seen.seen.sequence, seen.seen.time, seen.power, max(last, *newest))
        return None

    def missing(self) -> None:
        """Find the plain fields and the ends of logs that an agent has and no row holds."""
        with self._noting("agents"):
            last = -(2**63)
            while page := self._connection.execute(
                "SELECT agent, kind, key, shape, shape_crc FROM agents WHERE agent > ?"
                " ORDER BY agent LIMIT ?", (last, _PAGE)
            ).fetchall():  # fmt: skip
                self._missing_in(page)
                last = page[-1][0]

    def missing_contents(self) -> None:
        """Find what artifacts need and is not there."""
        with self._noting("contents"):
            for table, kind, key, place in missing(self._connection):
                self._bad(table, kind, key, f"{place} is missing")

    def _missing_in(self, page: list[tuple[Any, ...]]) -> None:
        ends = (page[0][0], page[-1][0])
        plain = set(self._connection.execute(
            "SELECT agent, field FROM fields WHERE agent BETWEEN ? AND ?", ends
        ))  # fmt: skip
        logs = {(agent, field): length for agent, field, length in self._connection.execute(
            "SELECT agent, field, max(position) + 1 FROM log_items"
            " WHERE agent BETWEEN ? AND ? GROUP BY agent, field", ends
        )}  # fmt: skip
        for agent, kind, key, text, crc in page:
            if not intact(of_field, agent, "", text, crc):
                self._bad("agents", kind, key, "(shape)")
                continue
            for name, length in read_shape(text)[0].items():
                if length is None and (agent, name) not in plain:
                    self._bad("fields", kind, key, name)
                elif length and length > 0 and logs.get((agent, name)) != length:
                    self._bad("log_items", kind, key, f"{name}[{length - 1}]")

    def _bad(self, table: str, kind: object, key: object, place: str) -> None:
        self.bad_rows += 1
        if len(self.bad) < MOST_LISTED:
            self.bad.append(BadRow(table, str(kind), str(key), place))

    def _report(self, checked: _Checked, row: tuple[object, ...]) -> None:
        if checked.columns.startswith("agent") and checked.table != "agents":
            query = "SELECT kind, key FROM agents WHERE agent = ?"
            name = self._connection.execute(query, row[:1]).fetchone()
            kind, key = name or ("?", f"agent {row[0]}")
        else:
            kind, key = row[checked.name_at], row[checked.name_at + 1]
        self._bad(checked.table, kind, key, checked.place(row))

    @contextlib.contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            self.damage.append(f"{what}: {error}")


def _pages(connection: sqlite3.Connection, checked: _Checked) -> Iterator[list[tuple[object, ...]]]:
    primary = ", ".join(checked.primary)
    width = len(checked.primary)
    marks = ", ".join("?" * width)
    query = f"SELECT {primary}, {checked.columns} FROM {checked.table}"  # noqa: S608
    page = connection.execute(f"{query} ORDER BY {primary} LIMIT {checked.page}").fetchall()
    while page:
        yield [row[width:] for row in page]
        page = connection.execute(
            f"{query} WHERE ({primary}) > ({marks}) ORDER BY {primary} LIMIT {checked.page}",
            page[-1][:width],
        ).fetchall()
