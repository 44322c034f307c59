"""Files of earlier formats: how they are recognised, read as they stand, and brought to this one.

Who owns a file brings it up to date, in the transaction that takes the lease. Who only reads sees
it through temporary tables and views of its own connection, and leaves it alone.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from typing import Final

import msgspec

from ..records.checksums import intact_record, of_record
from ..records.records import NOT_KNOWN
from ..records.shared_tables import (
    ATTEMPTS,
    AUDIT,
    AUDIT_CAUSES,
    BACKUP_SCHEDULES,
    FORMATS,
    HOOK_PINS,
    HOOK_QUEUE,
    HOOK_RUNS,
    HOOK_SEGMENTS,
    LEFTOVERS,
    POSTINGS,
    REPLAY_RESULTS,
    REPLAY_SCHEDULES,
    SCHEMAS,
    TRACES,
)
from ..records.tables import Column, Row, Table, Value
from .insert import insert
from .tables import Fetch, checksum, intact

FORMAT: Final = 5
"""Version of the file format; rises when an older release could not read the file.

1: no commit knew for sure what led to it, and a timer not at all. The first of them kept no
history of hooks.
2: nobody knew which schema an agent was written with; what hooks did had a row for each commit.
3: what came and went beside the journal, mail above all, left no trace.
4: a content of one chunk had a list of chunks as others have, and what deleted agents have left was
their state alone.
"""
POSTED: Final = 4
"""The first format that keeps what comes and goes beside the journal."""
_TIMERS_1: Final = """CREATE TABLE timers (
    kind TEXT NOT NULL, key TEXT NOT NULL, name TEXT NOT NULL, method TEXT NOT NULL,
    body TEXT NOT NULL, due REAL NOT NULL, interval REAL, catch_up TEXT NOT NULL,
    correlation INTEGER NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (kind, key, name)
) WITHOUT ROWID"""
_RUNS_2: Final = Table(
    HOOK_RUNS.name,
    (Column("sequence", "integer"), Column("time", "real"), Column("runs", "json")),
    key=1,
)
_BLOCKS: Final = (
    "SELECT sequence AS first, sequence AS last, time AS since, time AS until,"
    " CASE WHEN json_valid(runs) THEN json_array_length(runs) ELSE 0 END AS count,"
    " length(CAST(runs AS BLOB)) AS size, 2 AS weight, x'' AS words, CAST(runs AS BLOB) AS data,"
    " block_crc(sequence, time, runs, crc) AS crc FROM main.hook_runs"
)
"""The executions that each commit had, as blocks."""
_HISTORY: Final = (HOOK_RUNS, HOOK_QUEUE, HOOK_SEGMENTS, HOOK_PINS)
_NEW_IN_2: Final = (FORMATS, TRACES, REPLAY_SCHEDULES, REPLAY_RESULTS)
_NEW_IN_3: Final = (SCHEMAS, ATTEMPTS, LEFTOVERS, AUDIT_CAUSES)
_NEW_IN_4: Final = (POSTINGS, BACKUP_SCHEDULES)
_INDEXES: Final = ("journal_leads", f"{AUDIT.name}_correlation_number")
_CHAINS: Final = "CREATE INDEX IF NOT EXISTS idx_journal_correlation ON journal (correlation)"
_LATEST: Final = "SELECT coalesce(max(sequence), 0) FROM journal"
_ALL: Final = 2**62
"""A sequence that no commit reaches."""


def format_of(connection: sqlite3.Connection) -> int:
    """Return the version of a file's format."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def definitions_in(connection: sqlite3.Connection, current: Mapping[str, str]) -> Mapping[str, str]:
    """Return the statements that made a file's tables, where ``current`` has those of today."""
    if format_of(connection) == FORMAT:
        return current
    lacks, older = {*_names(_lacking(connection))}, dict[str, str]()
    if _in_commits(connection):
        older[HOOK_RUNS.name] = _RUNS_2.statements()[0]
    if format_of(connection) == 1:
        lacks |= {*_INDEXES}
        older["timers"] = _TIMERS_1
    return {name: older.get(name, sql) for name, sql in current.items() if name not in lacks}


def _in_commits(connection: sqlite3.Connection) -> bool:
    """Tell whether what hooks did stands in a file by commits, and not in blocks."""
    return format_of(connection) < 3  # noqa: PLR2004 - the format that brought blocks


def _names(tables: tuple[Table, ...]) -> set[str]:
    indexes = {f"{t.name}_{'_'.join(index.columns)}" for t in tables for index in t.indexes}
    return indexes | {table.name for table in tables}


def _lacking(connection: sqlite3.Connection) -> tuple[Table, ...]:
    """Return the tables that a file has not; in format 1 the history came as a whole."""
    query = "SELECT 1 FROM main.sqlite_schema WHERE name = ?"

    def has(table: Table) -> bool:
        return connection.execute(query, (table.name,)).fetchone() is not None

    # The last release of format 2 had some.
    new = tuple(table for table in (*_NEW_IN_3, *_NEW_IN_4) if not has(table))
    if format_of(connection) > 1:
        return new
    return (*new, *_NEW_IN_2) if any(map(has, _HISTORY)) else (*new, *_NEW_IN_2, *_HISTORY)


def upgrade(
    connection: sqlite3.Connection,
    fetch: Fetch,
    current: Mapping[str, str],
    views: Mapping[str, str],
) -> None:
    """Bring a file to the format of today, inside the transaction of its owner."""
    earlier = format_of(connection)
    if earlier == FORMAT:
        return
    lacking = _lacking(connection)
    if _in_commits(connection) and HOOK_RUNS not in lacking:
        _make_blocks(connection)
    for table in lacking:
        for statement in table.statements():
            connection.execute(statement)
    if earlier == 1:
        _upgrade_1(connection, fetch, current)
    _renew(connection, views)
    connection.execute(f"PRAGMA user_version = {FORMAT}")


def _renew(connection: sqlite3.Connection, views: Mapping[str, str]) -> None:
    """Make the views for people as they are today, where nothing else has their names."""
    found = dict(connection.execute("SELECT name, type FROM main.sqlite_schema"))
    for name, query in views.items():
        if found.get(name, "view") == "view":
            connection.execute(f'DROP VIEW IF EXISTS "{name}"')
            connection.execute(f'CREATE VIEW "{name}" AS {query}')


def _upgrade_1(connection: sqlite3.Connection, fetch: Fetch, current: Mapping[str, str]) -> None:
    """Give timers and the journal of format 1 what they had not."""
    timers = fetch("SELECT * FROM timers", ())
    connection.execute("DROP TABLE timers")
    connection.execute(current["timers"])
    connection.execute("CREATE INDEX idx_timers_due ON timers (due)")
    if timers:
        insert(connection, "INSERT INTO timers", [_timer(row) for row in timers])
    for index in _INDEXES:
        connection.execute(current[index])
    connection.execute(_CHAINS)
    (latest,) = connection.execute(_LATEST).fetchone()
    insert(connection, f"INSERT INTO {FORMATS.name}", [_mark(latest, time.time())])


def _timer(row: Row) -> Row:
    """Return a timer with a cause that is not known; one that was damaged stays so."""
    *values, crc = row
    made = (*values, NOT_KNOWN)
    return (*made, of_record(made) if intact_record(row) else crc)


def _make_blocks(connection: sqlite3.Connection) -> None:
    """Have what hooks did stand in blocks."""
    connection.create_function("block_crc", 4, _block_crc, deterministic=True)
    blocks = connection.execute(_BLOCKS).fetchall()
    connection.execute(f"DROP TABLE {HOOK_RUNS.name}")
    connection.execute(HOOK_RUNS.statements()[0])
    insert(connection, f"INSERT INTO {HOOK_RUNS.name}", blocks)


def _block_crc(*row: Value) -> int:
    """Return the checksum of a block, for the executions of a commit; the bad one of a bad row."""
    sequence, when, runs, crc = row
    if not intact(_RUNS_2, row):
        return int(str(crc))
    data = str(runs).encode()
    count = len(msgspec.json.decode(data, type=list[msgspec.Raw]))
    return checksum(HOOK_RUNS, (sequence, sequence, when, when, count, len(data), 2, b"", data))


def _mark(latest: int, when: float) -> Row:
    """Return the row that says up to which commit the causes are not known."""
    row = (2, latest, when)
    return (*row, checksum(FORMATS, row))


def is_earlier(connection: sqlite3.Connection) -> bool:
    """Tell whether a file is of an earlier format."""
    return format_of(connection) not in (0, FORMAT)


def show_as_current(connection: sqlite3.Connection) -> bool:
    """Have a connection that only reads see a file of an earlier format as one of today.

    Returns whether it is one; when its owner has brought it to today's, that connection is to end.
    """
    if not is_earlier(connection):
        return False
    lacking = _lacking(connection)
    if _in_commits(connection) and HOOK_RUNS not in lacking:
        connection.create_function("block_crc", 4, _block_crc, deterministic=True)
        connection.execute(f"CREATE TEMP VIEW {HOOK_RUNS.name} AS {_BLOCKS}")
    for table in lacking:
        statement = table.statements()[0]
        connection.execute(statement.replace("CREATE TABLE", "CREATE TEMP TABLE", 1))
    if format_of(connection) == 1:
        _show_1(connection)
    return True


def _show_1(connection: sqlite3.Connection) -> None:
    marks = ", ".join("?" * (len(FORMATS.columns) + 1))
    mark = f"INSERT INTO temp.{FORMATS.name} VALUES ({marks})"  # noqa: S608 - our own names
    connection.execute(mark, _mark(_ALL, 0.0))
    connection.create_function("timer_crc", -1, lambda *row: _timer(row)[-1], deterministic=True)
    names = "kind, key, name, method, body, due, interval, catch_up, correlation"
    connection.execute(
        f"CREATE TEMP VIEW timers AS SELECT {names}, {NOT_KNOWN} AS cause,"  # noqa: S608 - same
        f" timer_crc({names}, crc) AS crc FROM main.timers"
    )
