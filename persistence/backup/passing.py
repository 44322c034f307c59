"""What came and went between two copies: mail, timers, dead letters, calls of hooks.

The rows of ``POSTINGS`` tell it commit by commit, so it is brought to any of them exactly. What is
sealed stands in no such row: if it is in the later copy no more, it is named.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import partial
from typing import Any, Final

from ..errors import BackupFailed
from ..records.checksums import of_record
from ..records.postings import (
    CANCELLED,
    CONSUMED,
    DELETED,
    DIED,
    GONE,
    PUT,
    REVIVED,
    SENT,
    SET,
    Event,
    events,
    packed,
    table_of,
)
from ..records.shared_tables import POSTINGS, SCHEMAS
from ..records.tables import Row
from ..sqlite import deletion, tables
from ..sqlite.pool import fetch

_SLICE: Final = 200
_TABLES: Final = {SENT: "mailbox", DIED: "dead_letters", SET: "timers"}
_KEYS: Final = {"mailbox": ("id",), "dead_letters": ("id",), "timers": ("kind", "key", "name")}
_ENDS: Final = {CONSUMED: "mailbox", REVIVED: "dead_letters", CANCELLED: "timers"}


class Passing:
    """Bring what passes from one commit to another."""

    def __init__(self, target: sqlite3.Connection, later: sqlite3.Connection) -> None:
        """Write into one copy what a later one knows."""
        self._target = target
        self._later = later
        self._come: dict[tuple[str, tuple[Any, ...]], tuple[Any, ...]] = {}
        """Rows by table and key that came since and are there."""

    def bring(self, behind: int, last: int) -> list[str]:
        """Go on from one commit to another; return what is not known, in words."""
        for old in deletion.old_ones(partial(fetch, self._target)):
            deletion.remove_old(self._target, old, slices=False)
        for row in self._rows(behind, last):
            found = events(row)
            within = [event for event in found if behind < event[0] <= last]
            for event in within:
                self._pass(event)
            if within:
                kept = row if len(within) == len(found) else packed(within[-1][0], within)
                tables.write(self._target, POSTINGS, {kept[:1]: kept})
        words = (self._put(*place, row) for place, row in self._come.items())
        return [word for word in words if word]

    def _rows(self, behind: int, last: int) -> Iterator[Row]:
        query = "SELECT * FROM postings WHERE sequence > ? AND first <= ? ORDER BY sequence LIMIT ?"
        while rows := fetch(self._later, query, (behind, last, _SLICE)):
            for *values, crc in rows:
                row = tuple(values)
                if not tables.intact(POSTINGS, (*row, crc)):
                    message = f"what came and went up to commit {row[0]!r} is damaged"
                    raise BackupFailed(f"{message}; restore to a moment before it")
                yield row
            behind = int(rows[-1][0])

    def _pass(self, event: Event) -> None:
        verb, about = event[1], event[2:]
        if verb in _TABLES:
            name = _TABLES[verb]
            self._come[name, about[: len(_KEYS[name])]] = about
        elif verb in _ENDS:
            name = _ENDS[verb]
            if self._come.pop((name, about), None) is None:
                self._delete(name, about)
        elif verb == DELETED:
            self._end(*about)
        else:
            table = table_of(event)
            row = about[1:] if verb == PUT else None
            assert verb in (PUT, GONE)
            if row is not None and None in [row[at] for at in table.json_at]:
                row = self._with_text(row) if table is SCHEMAS else None
                if row is None:
                    return  # it has a sealed value
            tables.write(self._target, table, {about[1 : 1 + table.key]: row})

    def _with_text(self, row: Row) -> Row | None:
        """Return the row of a schema with its text, as far as the later copy has it intact."""
        found = fetch(self._later, "SELECT * FROM schemas WHERE number = ?", row[:1])
        if not found or not tables.intact(SCHEMAS, found[0]):
            return None
        return tuple(found[0][at] if value is None else value for at, value in enumerate(row))

    def _delete(self, name: str, key: tuple[Any, ...]) -> None:
        where = " AND ".join(f"{column} = ?" for column in _KEYS[name])
        self._target.execute(f"DELETE FROM {name} WHERE {where}", key)  # noqa: S608

    def _end(self, kind: str, key: str) -> None:
        """Leave nothing of a name, whose agent is deleted."""
        for place, row in [*self._come.items()]:
            at = 0 if place[0] == "timers" else 1
            if row[at : at + 2] == (kind, key):
                del self._come[place]
        for name in _KEYS:
            self._target.execute(f"DELETE FROM {name} WHERE kind = ? AND key = ?", (kind, key))  # noqa: S608

    def _put(self, name: str, key: tuple[Any, ...], row: tuple[Any, ...]) -> str:
        """Write a row that is there at the end; return what is not known of it."""
        if None in row[:5]:
            where = " AND ".join(f"{column} = ?" for column in _KEYS[name])
            found = fetch(self._later, f"SELECT * FROM {name} WHERE {where}", key)  # noqa: S608
            if not found:
                return _named(name, row)
            row = found[0][:-1]
        marks = ", ".join("?" * (len(row) + 1))
        # What replaces a row has its key: a letter that was put back, a timer that was set anew.
        self._target.execute(
            f"INSERT OR REPLACE INTO {name} VALUES ({marks})",  # noqa: S608
            (*row, of_record(row)),
        )
        return ""


def _named(name: str, row: tuple[Any, ...]) -> str:
    if name == "timers":
        return f"timer {row[2]} of {row[0]}/{row[1]}: it has a sealed value"
    what = "message" if name == "mailbox" else "dead letter"
    return f"{what} {row[0]} to {row[1]}/{row[2]}, {row[3] or 'on_receive'}: it has a sealed value"
