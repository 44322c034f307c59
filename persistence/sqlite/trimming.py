"""The old end of the journal: its rows go, and what they set becomes the base of those kept."""

from __future__ import annotations

import logging
import secrets
import sqlite3
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from ..records.checksums import intact_record, of_base
from ..records.erasures import HASHED, hashed, read
from ..records.records import FieldRow
from ..records.shared_tables import TOMBSTONES
from . import tables
from .insert import insert
from .leaving import NUMBERS
from .pool import fetch
from .reader import LOST

logger = logging.getLogger("perdure.persistence")

_Row: TypeAlias = Sequence[Any]
_SALT_BYTES: Final = 16
_TICKS: Final = 2.0**22
"""Ticks of a second in which the time of a row is told: every double is a whole number of them
from 2004 on, so it comes back exactly, which no text that SQLite makes of it promises."""
_OLDEST: Final = (
    "sequence <= (SELECT max(sequence) FROM"
    " (SELECT sequence FROM journal WHERE sequence < ? ORDER BY sequence LIMIT ?))"
)
_AS_ONE: Final = (
    "SELECT json_group_array(json_array(sequence, agent, version, previous,"  # noqa: S608
    f" CAST(time * {_TICKS} AS INTEGER), name, message, cause, correlation, delta, crc))"
    f" FROM journal WHERE {_OLDEST}"
)
_PASSED: Final = f"sequence > ? AND sequence <= ? AND agent NOT IN ({NUMBERS})"
_FORGET: Final = f"DELETE FROM tombstones WHERE NOT erased AND {_PASSED}"  # noqa: S608
"""The number of a deleted agent is free when nothing of it is left, also not to be removed."""
_ERASED: Final = f"SELECT * FROM tombstones WHERE erased = 1 AND {_PASSED}"  # noqa: S608
_rows_of: Final = msgspec.json.Decoder(
    list[tuple[int, int, int, int, int, str, int, int, int, str, int]]
).decode


class _Set(msgspec.Struct):
    """Decode of a delta what it set."""

    set: dict[str, msgspec.Raw] = {}


_read_set: Final = msgspec.json.Decoder(_Set).decode


class Trimmed(NamedTuple):
    """What a slice has done."""

    rows: int
    """How many rows went."""
    buried: int
    """Up to this commit every tombstone was seen to: those that are there have a hash."""


def trim(connection: sqlite3.Connection, below: int, limit: int, buried: int) -> Trimmed:
    """Fold up to ``limit`` rows with a sequence below ``below`` into the base.

    In the transaction that is open. ``buried`` is of the slice before, or 0: hashes stay for ever,
    and are not looked past again.
    """
    rows = _at_once(connection, below, limit)
    lost: frozenset[int] = frozenset()
    if rows is None:
        query = f"SELECT * FROM journal WHERE {_OLDEST} ORDER BY sequence"  # noqa: S608
        rows = fetch(connection, query, (below, limit))
        lost = frozenset(row[0] for row in rows if not intact_record(row))
    if not rows:
        return Trimmed(0, buried)
    dead = _deleted(connection, {row[1] for row in rows})
    base = _base(connection, [row for row in rows if row[1] not in dead], lost)
    conflict = "ON CONFLICT DO UPDATE SET value = excluded.value, crc = excluded.crc"
    insert(connection, "INSERT INTO base_fields", base, conflict)
    last = (rows[-1][0],)
    connection.execute("DELETE FROM journal WHERE sequence <= ?", last)
    connection.execute("DELETE FROM postings WHERE sequence <= ?", last)
    connection.execute(_FORGET, (buried, *last))
    _hash_erased(connection, (buried, *last))
    held = connection.execute("SELECT 1 FROM leftovers WHERE agent <> 0 LIMIT 1").fetchone()
    return Trimmed(len(rows), buried if held else last[0])


def _hash_erased(connection: sqlite3.Connection, passed: tuple[int, int]) -> None:
    """Keep who was erased as hashes: backups that have them may be brought back for ever."""
    rows = fetch(connection, _ERASED, passed)
    if not rows:
        return
    query = "SELECT key FROM tombstones WHERE erased = ? LIMIT 1"
    before = connection.execute(query, (HASHED,)).fetchone()
    # One salt in all of a store, so that a name is hashed once to look for it.
    salt = read(before[0]).salt if before else secrets.token_hex(_SALT_BYTES)
    tables.write(
        connection, TOMBSTONES,
        {
            (agent,): (agent, *hashed(salt, kind, key).columns, version, 0.0, HASHED, sequence)
            for agent, kind, key, version, _, _, sequence, _ in rows
        },
    )  # fmt: skip


def _at_once(connection: sqlite3.Connection, below: int, limit: int) -> Sequence[_Row] | None:
    """Return the rows, read as one row of JSON: cheaper than a step for each.

    None if one is not as it was written, or of a time that does not come through exactly.
    """
    try:
        found = _rows_of(connection.execute(_AS_ONE, (below, limit)).fetchone()[0])
    except (sqlite3.Error, ValueError) as error:
        logger.debug("the oldest rows of the journal are read one by one: %s", error)
        return None
    rows = [(*row[:4], row[4] / _TICKS, *row[5:]) for row in found]
    return sorted(rows) if all(map(intact_record, rows)) else None


def _deleted(connection: sqlite3.Connection, agents: set[object]) -> set[object]:
    """Return those of some agents that are deleted.

    By a look at each: there may be many more tombstones than rows.
    """
    numbers = msgspec.json.encode([agent for agent in agents if isinstance(agent, int)]).decode()
    dead = "SELECT agent FROM tombstones WHERE agent IN (SELECT value FROM json_each(?))"
    return {agent for (agent,) in connection.execute(dead, (numbers,)).fetchall()}


def _base(
    connection: sqlite3.Connection, rows: Sequence[_Row], lost: AbstractSet[int]
) -> list[FieldRow]:
    """Return what rows leave in the base; nothing of what a ``lost`` one may have replaced."""
    base: dict[tuple[int, str], str] = {}
    for row in rows:
        agent = row[1]
        if row[0] not in lost:
            for name, raw in _read_set(row[9]).set.items():
                base[agent, name] = bytes(raw).decode()
            continue
        # What it set is unknown, so whatever earlier entries set may be out of date.
        connection.execute("DELETE FROM base_fields WHERE agent = ?", (agent,))
        base = {place: text for place, text in base.items() if place[0] != agent}
        base[agent, LOST] = "true"
    return [
        FieldRow(agent, name, text, of_base(agent, name, text))
        for (agent, name), text in base.items()
    ]
