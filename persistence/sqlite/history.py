"""One agent's entries in the journal, each leading to the one before.

An index by agent would cost every commit a page of its own; an entry that names the one before
costs an integer. A chain that a damaged entry breaks is gone on with by looking at every entry.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Final

from ..records.checksums import intact_record
from ..records.records import AgentRow
from .pool import fetch
from .rows import HEAD, record

PAGE: Final = 200
"""Entries read at a time, so that no reader holds up a checkpoint for long."""
_CHAIN: Final = """
WITH RECURSIVE chain(place) AS (
    SELECT ? UNION ALL
    SELECT previous FROM chain JOIN journal ON sequence = place
    WHERE agent = ? AND previous BETWEEN ? AND sequence - 1 LIMIT ?
)
SELECT journal.* FROM chain JOIN journal ON sequence = place
WHERE agent = ? AND sequence > ?
"""
_SCAN: Final = """
SELECT * FROM journal WHERE agent = ? AND sequence < ? AND sequence > ?
ORDER BY sequence DESC LIMIT ?
"""
_NEWEST: Final = 2**63 - 1

Reading = Callable[[], AbstractContextManager[sqlite3.Connection]]
Row = tuple[Any, ...]


def entries_back(reading: Reading, agent: int, after: int) -> Iterator[tuple[Row, bool]]:
    """Iterate over an agent's journal rows above ``after``, newest first, with "it is intact"."""
    with reading() as connection:
        heads = fetch(connection, f"SELECT {HEAD} FROM agents WHERE agent = ?", (agent,))  # noqa: S608
        first = fetch(connection, "SELECT min(sequence) FROM journal")[0][0] or 0
        ends = fetch(connection, "SELECT sequence FROM tombstones WHERE agent = ?", (agent,))
    head = record(AgentRow, heads[0]) if heads else None
    place = head.sequence if head is not None else ends[0][0] if ends else _NEWEST
    after = max(after, first - 1)  # what was before was trimmed away
    last = _NEWEST
    version = 0
    while place > after:
        with reading() as connection:
            rows = fetch(connection, _CHAIN, (place, agent, after + 1, PAGE, agent, after))
        whole = bool(rows)
        for row in sorted(rows, reverse=True):
            if not intact_record(row):
                whole = False
                break
            yield row, True
            last, version, place = row[0], row[2], row[3]
        if not whole:
            break
    if place > after or (place == 0 and version > 1):
        yield from _scan(reading, agent, after, last)


def _scan(reading: Reading, agent: int, after: int, before: int) -> Iterator[tuple[Row, bool]]:
    while True:
        with reading() as connection:
            rows = fetch(connection, _SCAN, (agent, before, after, PAGE))
        if not rows:
            return
        for row in rows:
            yield row, intact_record(row)
        before = rows[-1][0]
