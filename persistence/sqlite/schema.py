"""The SQLite file: its tables, its pragmas, how it is created and recognised."""

from __future__ import annotations

import sqlite3
import sys
import time
from functools import cache
from itertools import chain
from typing import Final

from ..errors import CorruptState, NotAStore, StoreTooNew
from ..records.shared_tables import SHARED_TABLES
from .alien import alien
from .formats import FORMAT, definitions_in, format_of, show_as_current
from .leaving import LIVING_MAIL
from .transaction import snapshot, writing

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
    correlation INTEGER NOT NULL, cause INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (kind, key, name)
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
CREATE INDEX journal_leads ON journal (cause)
    WHERE cause > 0 AND (correlation = message OR correlation < 0);
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
    ("journal", ("correlation",)),
)
BUSY_SECONDS: Final = 5
"""How long to wait for another opener's short transaction (a lease check) rather than fail."""
COMMIT_BUSY_SECONDS: Final = 0.25
"""How long a commit waits before it fails, and is tried again by the supervisor. That one counts,
opens the breaker and tells people; nobody sees what waits in SQLite."""
VIEWS: Final = {
    "state": (
        "SELECT kind, key, status, version, field, value FROM agents JOIN fields USING (agent)"
    ),
    "history": (
        "SELECT journal.sequence, datetime(journal.time, 'unixepoch') AS at,"
        " coalesce(agents.kind, tombstones.kind) AS kind,"
        " coalesce(agents.key, tombstones.key) AS key, journal.version, name, delta FROM journal"
        " LEFT JOIN agents ON agents.agent = journal.agent"
        " LEFT JOIN tombstones ON tombstones.agent = journal.agent"
    ),
    "logs": (
        "SELECT kind, key, field, position, value FROM log_items LEFT JOIN agents USING (agent)"
        " WHERE agent NOT IN (SELECT agent FROM leftovers)"
    ),
    "maps": (
        "SELECT kind, key, field, entry, value FROM map_entries LEFT JOIN agents USING (agent)"
        " WHERE agent NOT IN (SELECT agent FROM leftovers)"
    ),
    "mail": (
        "SELECT id, kind, key, datetime(sent, 'unixepoch') AS sent_at, name, body"  # noqa: S608 - ours
        " FROM mailbox"
        f" WHERE {LIVING_MAIL}"
    ),
    "schedule": (
        "SELECT kind, key, name, method, datetime(due, 'unixepoch') AS due_at, interval, body"
        " FROM timers"
    ),
    "letters": (
        "SELECT id, kind, key, datetime(died, 'unixepoch') AS died_at, name, body, attempts, reason"
        " FROM dead_letters"
    ),
}
"""For people who open the file: kinds and keys instead of numbers, times that can be read (UTC)."""


def set_up_writer(connection: sqlite3.Connection, *, sync: str) -> None:
    """Apply every pragma the writing connection needs."""
    wait_for_locks(connection, BUSY_SECONDS)
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
        # What was deleted or replaced leaves the file, however SQLite was built: secrets that were
        # sealed again (a close after that writes all pages anew), an agent that was erased.
        "secure_delete = ON",
        # Tables of others may refer to ours; that is no business of our commits.
        "foreign_keys = OFF",
        # A damaged page is noticed before it is written to.
        "cell_size_check = ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    defend(connection, on=True)


def defend(connection: sqlite3.Connection, *, on: bool) -> None:
    """Have SQLite refuse writes into its schema, and run no trigger and no view of the file.

    Before Python 3.12 its module cannot ask for that; then the look at the schema must do.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, on)
        for option in (sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW):
            connection.setconfig(option, not on)


def wait_for_locks(connection: sqlite3.Connection, seconds: float) -> None:
    """Have a connection wait so long, and no longer, for another program's lock."""
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")


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
        with writing(connection):
            pass


def set_up_reader(connection: sqlite3.Connection, *, as_current: bool) -> bool:
    """Apply every pragma a read-only connection needs; may show an earlier format as today's.

    Returns whether it does.
    """
    earlier = as_current and show_as_current(connection)
    for pragma in (
        f"busy_timeout = {BUSY_SECONDS * 1000}",
        "query_only = ON",
        "mmap_size = 0",
        "trusted_schema = OFF",
        "cell_size_check = ON",
        "cache_size = -4096",
    ):
        connection.execute(f"PRAGMA {pragma}")
    defend(connection, on=True)
    return earlier


def create_or_check(connection: sqlite3.Connection, location: str) -> None:
    """Create the tables in an empty file, or refuse a file that is no store of this format.

    Runs inside one transaction: a process killed half way leaves an empty file, which the next
    one takes for new.
    """
    with writing(connection):
        if not check(connection, location):
            _create(connection)


@cache
def definitions() -> dict[str, str]:
    """Return the statement that makes each table, and each index declared with one, by name.

    SQLite keeps them word for word.
    """
    statements = [*TABLES.split(";\n"), *chain(*(table.statements() for table in SHARED_TABLES))]
    made = (statement.strip() for statement in statements if statement.strip())
    return {sql.split(" ON ")[0].split(" (")[0].split()[-1]: sql for sql in made}


def _create(connection: sqlite3.Connection) -> None:
    # Loaded for new files only: it brings in pandas where that is installed, half a second.
    import sqlite_utils  # noqa: PLC0415

    database = sqlite_utils.Database(connection, execute_plugins=False)
    for statement in definitions().values():
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
    with snapshot(connection):
        return _check(connection, location)


def _check(connection: sqlite3.Connection, location: str) -> bool:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = format_of(connection)
    if application == APPLICATION_ID:
        if version > FORMAT:
            message = (
                f"{location} has store format {version}, this release reads up to {FORMAT}; "
                "upgrade perdure to open it"
            )
            raise StoreTooNew(message)
        refuse_altered(connection, location)
        return True
    tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if tables or application:
        message = f"{location} is a SQLite database but not a perdure store; choose another path"
        raise NotAStore(message)
    return False


def refuse_altered(connection: sqlite3.Connection, location: str) -> None:
    """Raise CorruptState unless all that acts on our tables is ours; others may stand beside."""
    for problem in alien(connection, definitions_in(connection, definitions())):
        reason = (
            f"{problem} (format {format_of(connection)}): the file is damaged or was altered;"
            " restore a backup, or drop what somebody has added"
        )
        raise CorruptState(location, reason)
