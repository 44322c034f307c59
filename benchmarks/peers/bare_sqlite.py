"""Bare SQLite: what the disk and the standard library's driver allow, without a framework.

Set-up: write-ahead log and ``synchronous=FULL``, which flushes the log at every commit. This is the
least that survives power loss, and the fastest way SQLite documents to do so. One connection,
explicit transactions, statements kept by the driver's cache, a page cache and a log large enough
never to matter.

The tables are those of our own store, and the rows are those it writes for the same turns: a line
in the journal for each turn; the agent's head and its two fields once for each agent of a group,
since later values replace earlier ones within a transaction.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import NamedTuple

from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.sqlite.schema import TABLES

from ..workload import AGENTS, burner, key, latencies, owner, percentiles

GROUP = 2_048
JOURNAL = "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
AGENT = """
INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (agent) DO UPDATE SET version = excluded.version, sequence = excluded.sequence
"""
FIELD = """
INSERT INTO fields VALUES (?, ?, ?, ?)
ON CONFLICT (agent, field) DO UPDATE SET value = excluded.value, crc = excluded.crc
"""

Rows = Sequence[tuple[object, ...]]


class Turns(NamedTuple):
    """The rows of some turns."""

    journal: Rows
    agents: Rows
    fields: Rows


def grouped(folder: Path, *, seconds: float, burning: bool = False) -> dict[str, float]:
    """Insert turns in groups of `GROUP`, one transaction each, with ``executemany``.

    Only the transactions are timed: the rows are there before the clock starts.
    """
    connection = prepared(folder)
    groups = count()
    turns, spent = 0, 0.0
    with burner(on=burning):
        while spent < seconds:
            rows = rows_of(next(groups) * GROUP, GROUP)
            start = time.perf_counter()
            _commit(connection, rows)
            spent += time.perf_counter() - start
            turns += GROUP
    connection.close()
    return {"per_second": turns / spent, "turns": turns}


def lone(folder: Path, *, turns: float) -> dict[str, float]:
    """Commit one turn at a time, and time each."""
    connection = prepared(folder)
    rows = [rows_of(number, 1) for number in range(int(turns) + 200)]
    figures = percentiles(
        latencies(lambda number: _commit(connection, rows[number]), int(turns), warm_up=200)
    )
    connection.close()
    return figures


def keys_together(folder: Path, *, keys: float, rounds: float) -> dict[str, float]:
    """Insert the rows of so many keys in one transaction, and its line in the journal.

    Only the transactions are timed, as in ``grouped``.
    """
    connection = prepared(folder)
    for statement in SCOPED.statements():
        connection.execute(statement)
    insert = f"INSERT INTO scoped VALUES ({', '.join('?' * (len(SCOPED.columns) + 1))})"  # noqa: S608
    spent = 0.0
    for number in range(int(rounds)):
        pairs = keys_of(number * int(keys), int(keys))
        rows = [
            ("workflow", "w1", "", key, str(value), 1, number + 1, None, value)
            for key, value in pairs
        ]
        delta = json.dumps({"rows": {"scoped": [row[:-1] for row in rows]}})
        entry = (number + 1, 0, 0, 0, 1_700_000_000.0, "(shared)", 0, 0, 0, delta, number)
        start = time.perf_counter()
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(insert, rows)
        connection.execute(JOURNAL, entry)
        connection.execute("COMMIT")
        spent += time.perf_counter() - start
    connection.close()
    return {"per_second": keys * rounds / spent}


def keys_of(first: int, count: int) -> list[tuple[str, int]]:
    """Return keys with their values."""
    return [(f"key/{number:09}", number) for number in range(first, first + count)]


def prepared(folder: Path) -> sqlite3.Connection:
    """Return a connection to a fresh file with our tables."""
    connection = sqlite3.connect(folder / "bare.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA cache_size = -32768")
    connection.execute("PRAGMA wal_autocheckpoint = 4000")
    connection.executescript(TABLES)
    return connection


def _commit(connection: sqlite3.Connection, rows: Turns) -> None:
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(JOURNAL, rows.journal)
    connection.executemany(AGENT, rows.agents)
    connection.executemany(FIELD, rows.fields)
    connection.execute("COMMIT")


def rows_of(first: int, turns: int) -> Turns:
    """Make the rows of the turns from `first` on, which go round robin over the agents."""
    journal: list[tuple[object, ...]] = []
    for number in range(first, first + turns):
        agent, version = number % AGENTS + 1, number // AGENTS + 1
        message = 1_000_000 + number
        delta = f'{{"open":{version},"owner":"{owner(number)}"}}'
        moment = 1_700_000_000.0 + number / 1e4
        previous = max(0, number + 1 - AGENTS)
        journal.append(
            (
                number + 1,
                agent,
                version,
                previous,
                moment,
                "assign",
                message,
                0,
                message,
                delta,
                message,
            )
        )
    latest = range(max(first, first + turns - AGENTS), first + turns)
    return Turns(
        journal,
        [
            (
                number % AGENTS + 1,
                "Desk",
                key(number),
                number // AGENTS + 1,
                number + 1,
                "active",
                "",
                number,
                '{"open":null,"owner":null}',
                number,
            )
            for number in latest
        ],
        [
            (number % AGENTS + 1, field, value, number)
            for number in latest
            for field, value in (
                ("open", str(number // AGENTS + 1)),
                ("owner", f'"{owner(number)}"'),
            )
        ],
    )
