"""What the journal does not carry, at a moment between two backups: found in the later copy.

Mail, timers and dead letters are rows that come and go. What was there at the moment is what the
backup before had, less what was handled since, and what the later copy still has of what came
since. Something that came *and* went between the two copies, with the moment in between, is in
neither: that is named, never guessed. Rows that are only added (the audit, contents of artifacts,
traces, the history of hooks) are taken from the later copy, up to the moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final

from ..records.shared_tables import (
    ATTEMPTS,
    CHUNKS,
    CONTENT_PARTS,
    CONTENTS,
    FORMATS,
    HOOK_SEGMENTS,
    SHARED_TABLES,
)
from ..records.tables import Table
from ..sqlite.pool import fetch
from ..sqlite.reader import SqliteReader
from ..sqlite.transaction import writing

_PAGE: Final = 500
_BESIDE: Final = [each for each in SHARED_TABLES if not each.journaled]
_NUMBERED: Final = [
    table for table in _BESIDE if "sequence" in table.names and table not in (FORMATS, ATTEMPTS)
]
"""With the sequence of the commit that wrote the row, or of the one that it is about."""
_ADDED: Final = [
    table for table in _BESIDE
    if table in {CONTENTS, CONTENT_PARTS, CHUNKS} or (table.fixed and table not in _NUMBERED)
]  # fmt: skip
"""Named by what they hold: a row that is in excess is swept."""


def complete(
    target: sqlite3.Connection, source: SqliteReader, behind: int, last: int, moment: float
) -> list[str]:
    """Bring what came between two commits from a later copy; return what is not known, in words.

    ``moment`` is the time of ``last``. The target's agents and journal are at ``last`` already.
    """
    unknown: list[str] = []
    with source.reading("recovering") as later, writing(target):
        for table in _ADDED:
            _copy(target, later, table, "1", ())
        for table in _NUMBERED:
            _copy(target, later, table, "sequence > ? AND sequence <= ?", (behind, last))
        _copy(target, later, HOOK_SEGMENTS, "first > ? AND last <= ?", (behind, last))
        _dead_letters(target, later, moment)
        _mail(target, later, behind, last, moment)
        unknown += _lost_mail(target, later, behind, last)
        unknown += _timers(target, later, behind, last, moment)
        unknown += _lost_hooks(target, later, behind, last)
    return unknown


def _copy(
    target: sqlite3.Connection, later: sqlite3.Connection, table: Table | str, where: str,
    given: tuple[object, ...],
) -> None:  # fmt: skip
    """Add rows, with the checksums they have, that are not there yet."""
    name = table if isinstance(table, str) else table.name
    cursor = later.execute(f"SELECT * FROM {name} WHERE {where}", given)  # noqa: S608
    marks = ", ".join("?" * len(cursor.description))
    while rows := cursor.fetchmany(_PAGE):
        target.executemany(f"INSERT OR IGNORE INTO {name} VALUES ({marks})", rows)  # noqa: S608


def _dead_letters(target: sqlite3.Connection, later: sqlite3.Connection, moment: float) -> None:
    _copy(target, later, "dead_letters", "died <= ?", (moment,))
    target.execute("DELETE FROM mailbox WHERE id IN (SELECT id FROM dead_letters)")


def _mail(
    target: sqlite3.Connection, later: sqlite3.Connection, behind: int, last: int, moment: float
) -> None:
    """Add what was sent since and still waits in the later copy."""
    _copy(
        target, later, "mailbox",
        "(cause > ? AND cause <= ?) OR (cause = 0 AND sent <= ? AND id > ?)",
        (behind, last, moment, _newest_letter(target)),
    )  # fmt: skip


def _newest_letter(target: sqlite3.Connection) -> int:
    return int(target.execute("SELECT coalesce(max(id), 0) FROM mailbox").fetchone()[0])


def _lost_mail(
    target: sqlite3.Connection, later: sqlite3.Connection, behind: int, last: int
) -> Iterator[str]:
    """Name the messages that were sent since, and handled between the moment and the later copy."""
    handled = fetch(
        later,
        "SELECT message, name, journal.agent, kind, key FROM journal LEFT JOIN agents"
        " ON agents.agent = journal.agent"
        " WHERE journal.sequence > ? AND cause > ? AND cause <= ? AND message > 0",
        (last, behind, last),
    )
    for message, name, agent, kind, key in handled:
        found = target.execute("SELECT 1 FROM mailbox WHERE id = ?", (message,)).fetchone()
        if found is None:
            who = f"{kind}/{key}" if kind is not None else f"agent {agent}"
            yield f"message {message} to {who}, {name or 'on_receive'}: what it said"


def _timers(
    target: sqlite3.Connection, later: sqlite3.Connection, behind: int, last: int, moment: float
) -> Iterator[str]:
    """Take timers that were set since and are still set; drop those that were due before."""
    keys = ("kind", "key", "name")
    marks = " AND ".join(f"{key} = ?" for key in keys)
    still: dict[tuple[Any, ...], tuple[Any, ...]] = {
        row[:3]: row for row in fetch(later, "SELECT * FROM timers")
    }
    cause = 9
    for row in fetch(target, "SELECT * FROM timers"):
        if still.get(row[:3]) == row:
            continue
        name, due, interval = f"{row[0]}/{row[1]}, timer {row[2]}", row[5], row[6]
        if interval is None and due <= moment:
            target.execute(f"DELETE FROM timers WHERE {marks}", row[:3])  # noqa: S608
        else:
            yield f"{name}: whether it was cancelled or set anew by then; it is as it was before"
    for row in still.values():
        if behind < row[cause] <= last:
            target.execute(f"DELETE FROM timers WHERE {marks}", row[:3])  # noqa: S608
            target.execute("INSERT INTO timers VALUES (?,?,?,?,?,?,?,?,?,?,?)", row)


def _lost_hooks(
    target: sqlite3.Connection, later: sqlite3.Connection, behind: int, last: int
) -> Iterator[str]:
    """Say if what hooks did since is packed together with what they did later."""
    query = "SELECT first, last FROM hook_segments WHERE first <= ? AND last > ?"
    for first, end in fetch(later, query, (last, last)):
        if end > behind and first <= last:
            yield f"what hooks did in the commits {max(first, behind + 1):,} to {last:,}"
    segments = fetch(later, "SELECT first, last FROM hook_segments WHERE first <= ?", (behind,))
    for _, end in segments:
        known = target.execute("SELECT 1 FROM hook_segments WHERE last >= ?", (end,)).fetchone()
        if behind < end <= last and known is None:
            yield f"what hooks did in the commits {behind + 1:,} to {end:,}"
