"""Three ways to insert the rows of a group of turns: why the store writes as it does.

``values`` is what the store does: one multi-row ``VALUES`` statement for each table. ``json``
passes the rows of a table as one JSON array. ``many`` is the driver's ``executemany``: a step, and
with it a hand-off of the interpreter lock, for each row.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from perdure.persistence.sqlite.insert import insert

from ..peers import bare_sqlite
from ..peers.bare_sqlite import GROUP, Rows, Turns
from ..workload import burner

AGENT_TAIL = (
    "ON CONFLICT (agent) DO UPDATE SET version = excluded.version, sequence = excluded.sequence"
)
FIELD_TAIL = "ON CONFLICT (agent, field) DO UPDATE SET value = excluded.value, crc = excluded.crc"


def values(connection: sqlite3.Connection, rows: Turns) -> None:
    """Insert with one ``VALUES`` list for each table."""
    insert(connection, "INSERT INTO journal", rows.journal)
    insert(connection, "INSERT INTO agents", rows.agents, AGENT_TAIL)
    insert(connection, "INSERT INTO fields", rows.fields, FIELD_TAIL)


def as_json(connection: sqlite3.Connection, rows: Turns) -> None:
    """Insert with one JSON array for each table."""
    _from_json(connection, "journal", rows.journal, "")
    _from_json(connection, "agents", rows.agents, AGENT_TAIL)
    _from_json(connection, "fields", rows.fields, FIELD_TAIL)


def many(connection: sqlite3.Connection, rows: Turns) -> None:
    """Insert with ``executemany``."""
    connection.executemany(bare_sqlite.JOURNAL, rows.journal)
    connection.executemany(bare_sqlite.AGENT, rows.agents)
    connection.executemany(bare_sqlite.FIELD, rows.fields)


WAYS: dict[str, Callable[[sqlite3.Connection, Turns], None]] = {
    "values": values,
    "json": as_json,
    "many": many,
}


def grouped(folder: Path, *, way: str, seconds: float, burning: bool = False) -> dict[str, float]:
    """Insert turns in groups of `GROUP`, one transaction each; only the transactions are timed."""
    write = WAYS[way]
    connection = bare_sqlite.prepared(folder)
    groups = count()
    turns, spent = 0, 0.0
    with burner(on=burning):
        while spent < seconds:
            rows = bare_sqlite.rows_of(next(groups) * GROUP, GROUP)
            start = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            write(connection, rows)
            connection.execute("COMMIT")
            spent += time.perf_counter() - start
            turns += GROUP
    connection.close()
    return {"per_second": turns / spent}


def _from_json(connection: sqlite3.Connection, table: str, rows: Rows, tail: str) -> None:
    columns = ", ".join(f"value ->> {number}" for number in range(len(rows[0])))
    connection.execute(
        f"INSERT INTO {table} SELECT {columns} FROM json_each(?) WHERE true {tail}",  # noqa: S608
        (json.dumps(rows, separators=(",", ":")),),
    )
