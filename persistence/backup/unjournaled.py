"""What the journal does not carry, at a moment between two backups: found in the later copy.

Mail, timers, dead letters and deferred hooks come and go: ``passing.py`` follows them. Where the
backup before is of an earlier format, nothing tells that. Then what was there at the moment is what
it had, less what was handled since, and what the later copy still has of what came since; what came
*and* went is named, never guessed. Rows that are only added (the audit, contents of artifacts,
traces, the history of hooks) are taken from the later copy, up to the moment.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from ..records.postings import KEPT
from ..records.shared_tables import (
    ATTEMPTS,
    CHUNKS,
    CONTENT_PARTS,
    CONTENTS,
    FORMATS,
    HOOK_RUNS,
    HOOK_SEGMENTS,
    POSTINGS,
    SCHEMAS,
    SHARED_TABLES,
)
from ..records.tables import Row, Table
from ..sqlite.pool import fetch
from ..sqlite.reader import SqliteReader
from ..sqlite.tables import intact, latest_in, write
from ..sqlite.transaction import writing
from .passing import Passing

_PAGE: Final = 500
_BESIDE: Final = [each for each in SHARED_TABLES if not each.journaled]
_NUMBERED: Final = [
    table
    for table in _BESIDE
    if "sequence" in table.names and table not in (FORMATS, ATTEMPTS, POSTINGS)
]
"""With the sequence of the commit that wrote the row, or of the one that it is about."""
_ADDED: Final = [
    table for table in _BESIDE
    if table in {CONTENTS, CONTENT_PARTS, CHUNKS} or (table.fixed and table not in _NUMBERED)
]  # fmt: skip
"""Named by what they hold: a row that is in excess is swept."""


Cut: TypeAlias = Callable[[Row, int, int], Row | None]
"""Returns what a block of the history has behind one commit and up to another."""


class Reach(NamedTuple):
    """From which commit to which."""

    behind: int
    last: int
    moment: float
    """When the last one was made."""


def complete(
    target: sqlite3.Connection, source: SqliteReader, reach: Reach, *, exact: bool, cut: Cut
) -> list[str]:
    """Bring what came between two commits from a later copy; return what is not known, in words.

    The target's agents and journal are at the last one already. Not ``exact`` is what an earlier
    release wrote, which left no trace of what came and went. ``cut`` cuts what hooks did.
    """
    behind, last, moment = reach
    unknown: list[str] = []
    with source.reading("recovering") as later, writing(target):
        for table in _ADDED:
            _copy(target, later, table, "1", ())
        for table in _NUMBERED:
            # An earlier release kept nothing of schemas there: those that came are in the copy.
            if table is SCHEMAS or not (exact and table in KEPT):
                _copy(target, later, table, "sequence > ? AND sequence <= ?", (behind, last))
        unknown += _hooks(target, later, behind, last, cut)
        if exact:
            unknown += Passing(target, later).bring(behind, last)
            return unknown
        _dead_letters(target, later, moment)
        _mail(target, later, behind, last, moment)
        unknown += _lost_mail(target, later, behind, last)
        unknown += _timers(target, later, behind, last, moment)
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


def _hooks(
    target: sqlite3.Connection, later: sqlite3.Connection, behind: int, last: int, cut: Cut
) -> Iterator[str]:
    """Take what hooks did since, out of blocks that may have what they did before and later."""
    newest = max(latest_in(target, HOOK_RUNS), latest_in(target, HOOK_SEGMENTS))
    kept = not newest
    for table in (HOOK_SEGMENTS, HOOK_RUNS):
        query = f"SELECT * FROM {table.name} WHERE last >= ? AND first <= ? ORDER BY first"  # noqa: S608
        for *values, crc in fetch(later, query, (min(newest, behind) or behind, last)):
            row: Row = tuple(values)
            kept = kept or int(str(row[0])) <= newest
            if not intact(table, (*row, crc)):
                yield f"what hooks did in the commits {row[0]!r} to {row[1]!r}: it is damaged"
                continue
            part = cut(row, behind, last)
            if part is not None:
                write(target, table, {part[:1]: part})
    if not kept:
        commits = f"{behind + 1:,} to {last:,}"
        yield f"what hooks did in the first of the commits {commits}: it was trimmed"
