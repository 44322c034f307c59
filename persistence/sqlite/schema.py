"""The SQLite file: its tables, its pragmas, how it is created and recognised."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Final

from ..errors import CorruptState, NotAStore, StoreTooNew
from ..records.shared_tables import SHARED_TABLES

FORMAT: Final = 1
"""Version of the file format; rises when an older release could not read the file."""
APPLICATION_ID: Final = 0x70657264  # "perd": lets file(1) and ourselves recognise the file

TABLES: Final = """
CREATE TABLE lease (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    token INTEGER NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, started TEXT NOT NULL,
    realm TEXT NOT NULL, incarnation TEXT NOT NULL, renewed REAL NOT NULL,
    released INTEGER NOT NULL, file TEXT NOT NULL
);
CREATE TABLE agents (
    agent INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL,
    sequence INTEGER NOT NULL, status TEXT NOT NULL, reason TEXT NOT NULL, crc INTEGER NOT NULL,
    shape TEXT, shape_crc INTEGER, UNIQUE (kind, key)
);
CREATE TABLE fields (
    agent INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (agent, field)
) WITHOUT ROWID;
CREATE TABLE log_items (
    agent INTEGER NOT NULL, field TEXT NOT NULL, position INTEGER NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, position)
) WITHOUT ROWID;
CREATE TABLE map_entries (
    agent INTEGER NOT NULL, field TEXT NOT NULL, entry NOT NULL, value TEXT NOT NULL,
    crc INTEGER NOT NULL, PRIMARY KEY (agent, field, entry)
) WITHOUT ROWID;
CREATE TABLE mailbox (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, cause INTEGER NOT NULL, correlation INTEGER NOT NULL, sent REAL NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE timers (
    kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
    body TEXT NOT NULL, due REAL NOT NULL, interval REAL, catch_up TEXT NOT NULL,
    correlation INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key, name)
) WITHOUT ROWID;
CREATE TABLE dead_letters (
    id INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL,
    body TEXT NOT NULL, cause INTEGER NOT NULL, correlation INTEGER NOT NULL, sent REAL NOT NULL,
    attempts INTEGER NOT NULL, reason TEXT NOT NULL, died REAL NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY, agent INTEGER NOT NULL, version INTEGER NOT NULL,
    previous INTEGER NOT NULL, time REAL NOT NULL, name TEXT NOT NULL, message INTEGER NOT NULL,
    cause INTEGER NOT NULL, correlation INTEGER NOT NULL, delta TEXT NOT NULL,
    crc INTEGER NOT NULL
);
CREATE TABLE base_fields (
    agent INTEGER NOT NULL, field TEXT NOT NULL, value TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (agent, field)
) WITHOUT ROWID;
CREATE TABLE quarantine (
    agent INTEGER NOT NULL, place TEXT NOT NULL, value TEXT NOT NULL, reason TEXT NOT NULL,
    time REAL NOT NULL
);
"""
INDEXES: Final = (
    ("mailbox", ("kind", "key")),
    ("timers", ("due",)),
)
BUSY_SECONDS: Final = 5
"""How long to wait for another opener's short transaction (a lease check) rather than fail."""
VIEWS: Final = {
    "state": (
        "SELECT kind, key, status, version, field, value FROM agents JOIN fields USING (agent)"
    ),
    "history": (
        "SELECT journal.sequence, datetime(time, 'unixepoch') AS at, kind, key, journal.version,"
        " name, delta FROM journal LEFT JOIN agents USING (agent)"
    ),
}
"""For people who open the file: state and history with names instead of numbers."""


def set_up_writer(connection: sqlite3.Connection, *, sync: str) -> None:
    """Apply every pragma the writing connection needs."""
    connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000}")
    _use_wal(connection)
    for pragma in (
        # FULL: fsync before a commit returns, survives power loss. NORMAL: survives kill -9.
        f"synchronous = {'FULL' if sync == 'power' else 'NORMAL'}",
        # 32 MB of page cache: batches touch many small b-tree leaves.
        "cache_size = -32768",
        # A larger WAL before a checkpoint: checkpoints fsync the whole file and stall commits.
        "wal_autocheckpoint = 4000",
        # After a burst, give the WAL's disk space back.
        "journal_size_limit = 67108864",
        # Memory-mapped I/O turns I/O errors into SIGBUS.
        "mmap_size = 0",
        "temp_store = MEMORY",
        # A damaged schema must not run code (fts, virtual tables) from the file.
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: sqlite3.Connection) -> None:
    """Have a commit be one append and one fsync, with readers that never block the writer.

    The switch takes a shared lock and then the exclusive one. Of two that switch a new file at
    once, the one which would make both wait for ever is told SQLITE_BUSY at once, whatever its
    timeout. It waits for the other, with nothing in its hands, and finds the file switched.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return
        try:
            connection.execute("BEGIN IMMEDIATE")
        finally:
            if connection.in_transaction:
                connection.execute("COMMIT")


def set_up_reader(connection: sqlite3.Connection) -> None:
    """Apply every pragma a read-only connection needs."""
    for pragma in (
        f"busy_timeout = {BUSY_SECONDS * 1000}",
        "query_only = ON",
        "mmap_size = 0",
        "trusted_schema = OFF",
        "cache_size = -4096",
    ):
        connection.execute(f"PRAGMA {pragma}")


def create_or_check(connection: sqlite3.Connection, location: str) -> None:
    """Create the tables in an empty file, or refuse a file that is no store of this format.

    Runs inside one transaction: a process killed half way leaves an empty file, which the next
    one takes for new.
    """
    try:
        # Inside, here as below: an interrupt may strike as soon as the call is made.
        connection.execute("BEGIN IMMEDIATE")
        if not check(connection, location):
            _create(connection)
        connection.execute("COMMIT")
    except BaseException:
        # A full disk may have ended the transaction already.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _create(connection: sqlite3.Connection) -> None:
    # Loaded for new files only: it brings in pandas where that is installed, half a second.
    import sqlite_utils  # noqa: PLC0415

    database = sqlite_utils.Database(connection, execute_plugins=False)
    for statement in TABLES.split(";\n"):
        if statement.strip():
            database.execute(statement)
    for table in SHARED_TABLES:
        for statement in table.statements():
            database.execute(statement)
    for name, columns in INDEXES:
        database.table(name).create_index(columns)
    for name, query in VIEWS.items():
        database.create_view(name, query)
    database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    database.execute(f"PRAGMA user_version = {FORMAT}")


def check(connection: sqlite3.Connection, location: str) -> bool:
    """Return whether the file is a store, False if it is empty.

    NotAStore, StoreTooNew, or CorruptState when its tables are not those of its format.
    """
    # Another process may be creating the store: half of what is read could be from before that.
    with _one_state(connection):
        return _check(connection, location)


@contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    mine = not connection.in_transaction
    try:
        if mine:
            connection.execute("BEGIN")  # inside the try: an interrupt behind it ends it as well
        yield
    finally:
        if mine and connection.in_transaction:
            connection.execute("ROLLBACK")


def _check(connection: sqlite3.Connection, location: str) -> bool:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION_ID:
        if version > FORMAT:
            message = (
                f"{location} has store format {version}, this release reads up to {FORMAT}; "
                "upgrade perdure to open it"
            )
            raise StoreTooNew(message)
        _refuse_altered(connection, location)
        return True
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables or application:
        message = f"{location} is a SQLite database but not a perdure store; choose another path"
        raise NotAStore(message)
    return False


def _refuse_altered(connection: sqlite3.Connection, location: str) -> None:
    """Raise CorruptState unless every table has its columns; tables of others may stand beside."""
    found = _columns(connection)
    altered = [table for table, columns in _expected().items() if found.get(table) != columns]
    if altered:
        reason = (
            f"the columns of {', '.join(altered)} are not those of format {FORMAT}; the file is"
            " damaged or was altered, restore a backup"
        )
        raise CorruptState(location, reason)


@cache
def _expected() -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(TABLES)
        for table in SHARED_TABLES:
            connection.execute(table.statements()[0])
        return _columns(connection)


def _columns(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    tables: dict[str, list[tuple[object, ...]]] = {}
    for table, *column in connection.execute(
        'SELECT tables.name, columns.name, columns.type, columns."notnull", columns.pk'
        " FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns"
        " WHERE tables.type = 'table' ORDER BY tables.name, columns.cid"
    ):
        tables.setdefault(table, []).append(tuple(column))
    return tables
