"""Rows of a SQLite store to records, each judged by its checksum."""

from __future__ import annotations

import itertools
import logging
import sqlite3
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import msgspec

from ..errors import CorruptState
from ..records.checksums import intact, intact_record, of_field
from ..records.journal import read_shape
from ..records.records import (
    AgentRow,
    DeadLetter,
    Inbox,
    Message,
    QuarantineRow,
    Shape,
    Spoilt,
    StoredAgent,
    Timer,
)
from .insert import padded
from .pool import fetch
from .transaction import snapshot

logger = logging.getLogger("perdure.persistence")

R = TypeVar("R", AgentRow, DeadLetter, Message, Timer)

STATUSES: Final = ("active", "paused", "stopped", "quarantined")
"""What an agent's status may be; a test compares them with the life cycle's."""
_NEWEST: Final = (
    "SELECT version, sequence FROM journal WHERE agent = ? ORDER BY sequence DESC LIMIT 1"
)
HEAD: Final = "agent, kind, key, version, sequence, status, reason, crc"
_AGENT: Final = (
    f"SELECT 0, {HEAD}, shape, shape_crc, 0 FROM agents WHERE kind = ? AND key = ?"  # noqa: S608
    " UNION ALL SELECT 1, field, value, crc, 0, 0, 0, 0, 0, 0, 0, 0 FROM fields"
    " WHERE agent = (SELECT agent FROM agents WHERE kind = ? AND key = ?)"
    " UNION ALL SELECT 2, timers.* FROM timers WHERE kind = ? AND key = ?"
)
"""Everything that an activation needs. One statement, as each is a hand-off of the interpreter
lock, and as it sees one state of the store without a transaction around it."""


def record(kind: type[R], row: Sequence[object]) -> R | None:
    """Return a row, its checksum last, as a record; None if it is not as it was written."""
    if not intact_record(row):
        return None
    try:
        return msgspec.convert(row[:-1], kind)
    except msgspec.ValidationError:
        return None


def records(
    kind: type[R],
    read: Callable[[int], Sequence[Sequence[object]]],
    limit: int,
) -> list[R]:
    """Return the first ``limit`` intact rows of what ``read`` gives for a number of rows.

    Says aloud which are left out; a full page is never short because of them.
    """
    wanted = limit
    while True:
        rows = read(wanted)
        judged = [record(kind, row) for row in rows]
        good = [made for made in judged if made is not None]
        if len(rows) < wanted or len(good) >= limit:
            break
        wanted += limit
    for row, made in zip(rows, judged, strict=True):
        if made is None:
            logger.error("a stored %s fails its checksum and is left out: %r", kind.__name__, row)
    return good[:limit]


def inbox(kind: str, key: str, rows: Sequence[Sequence[object]]) -> Inbox:
    """Return an agent's mail, with the spoilt messages apart."""
    found = Inbox([], [])
    for row in rows:
        message = record(Message, row)
        if message is None or (message.kind, message.key) != (kind, key):
            number = row[0] if isinstance(row[0], int) else -1
            found.spoilt.append(Spoilt(number, repr(tuple(row[1:]))))
        else:
            found.messages.append(message)
    return found


def agent(connection: sqlite3.Connection, kind: str, key: str) -> StoredAgent | None:
    """Return an agent as it is stored, its plain fields not verified yet; None if there is none."""
    parts: tuple[list[Any], list[Any], list[Any]] = ([], [], [])
    for part, *row in fetch(connection, _AGENT, (kind, key) * 3):
        parts[part].append(row)
    heads, fields, timer_rows = parts
    if not heads:
        return None
    *row, text, crc, _ = heads[0]
    found, bad_head = head(connection, kind, key, row)
    shape_, schema, bad_shape = shape(connection, found, text, crc)
    good_timers, bad_timers = timers(found, timer_rows)
    return StoredAgent(
        found,
        {field: (value, crc) for field, value, crc, *_ in fields},
        shape_,
        good_timers,
        (*bad_head, *bad_shape),
        tuple(bad_timers.items()),
        schema,
    )


def agents(connection: sqlite3.Connection, kind: str, keys: Sequence[str]) -> list[StoredAgent]:
    """Return those of many agents that are sound, as ``agent`` does each."""
    size, given = padded([(key,) for key in keys], 1)
    named = f"kind = ? AND key IN ({', '.join('?' * size)})"
    numbered = f"agent IN (SELECT agent FROM agents WHERE {named})"  # noqa: S608 - our own names
    heads = f"SELECT {HEAD}, shape, shape_crc FROM agents WHERE {named}"  # noqa: S608
    values = f"SELECT agent, field, value, crc FROM fields WHERE {numbered}"  # noqa: S608
    with snapshot(connection):
        rows, field_rows, timer_rows = (
            fetch(connection, query, (kind, *given))
            for query in (heads, values, f"SELECT * FROM timers WHERE {named}")  # noqa: S608
        )
    plain: defaultdict[object, dict[str, tuple[str, int]]] = defaultdict(dict)
    for number, field, value, crc in field_rows:
        plain[number][field] = (value, crc)
    pending: defaultdict[object, list[Sequence[object]]] = defaultdict(list)
    for row in timer_rows:
        pending[row[1]].append(row)
    wanted, found = {*keys}, list[StoredAgent]()
    for *row, text, crc in rows:
        made = record(AgentRow, row)
        if made is None or made.kind != kind or made.key not in wanted:
            continue
        if not intact(of_field, made.agent, "", text, crc):
            continue
        good, bad = timers(made, pending[made.key])
        shape_, schema = read_shape(str(text))
        found.append(
            StoredAgent(made, plain[made.agent], shape_, good, (), tuple(bad.items()), schema)
        )
    return found


def head(
    connection: sqlite3.Connection, kind: str, key: str, row: Sequence[object]
) -> tuple[AgentRow, tuple[QuarantineRow, ...]]:
    """Return an agent's head, mended if need be, and what was bad; CorruptState if that fails.

    The journal knows the version and the sequence, and the status is one of a few: one of these
    may prove itself by the checksum. If nothing does, the reason or the checksum itself was hit,
    unless version and sequence are not the journal's or the status is none.
    """
    found = record(AgentRow, row)
    if found is not None and (found.kind, found.key) == (kind, key):
        return found, ()
    agent, *name, version, sequence, status, reason, crc = row
    where = f"{kind}/{key}"
    if name != [kind, key]:
        raise _misled(kind, key, name)
    newest = fetch(connection, _NEWEST, (agent,))
    known = [tuple(entry) for entry in newest]
    for (ver, seq), stat in itertools.product([*known, (version, sequence)], [status, *STATUSES]):
        guess = AgentRow(agent, kind, key, ver, seq, stat, reason)  # type: ignore[arg-type]
        if intact_record((*guess, crc)):
            break
    else:
        if (version, sequence) not in known or status not in STATUSES:
            advice = "restore a backup, or delete the agent"
            raise CorruptState(where, f"its row in agents fails its checksum; {advice}")
        guess = AgentRow(agent, kind, key, version, sequence, status, str(reason))  # type: ignore[arg-type]
    return guess, (_bad(guess.agent, "(head)", row, "its checksum does not match"),)


def remains(connection: sqlite3.Connection, kind: str, key: str, row: Sequence[object]) -> AgentRow:
    """Return a head of which nothing is believed but the number that stands beside the name."""
    agent, *name = row
    if name != [kind, key] or not isinstance(agent, int):
        raise _misled(kind, key, name)
    newest = fetch(connection, _NEWEST, (agent,))
    version, sequence = newest[0] if newest else (0, 0)
    return AgentRow(agent, kind, key, version, sequence, STATUSES[0], "")


def _misled(kind: str, key: str, name: Sequence[object]) -> CorruptState:
    there = f"{name[0]}/{name[1]}"
    return CorruptState(f"{kind}/{key}", f"the index leads to {there}; the file is damaged")


def shape(
    connection: sqlite3.Connection, head: AgentRow, text: object, crc: object
) -> tuple[Shape, int, tuple[QuarantineRow, ...]]:
    """Return an agent's shape and its schema; if bad, what the rows that are there say it is."""
    if intact(of_field, head.agent, "", text, crc):
        return *read_shape(str(text)), ()
    plain = fetch(connection, "SELECT field FROM fields WHERE agent = ?", (head.agent,))
    logs = fetch(
        connection,
        "SELECT field, max(position) + 1 FROM log_items WHERE agent = ? GROUP BY field",
        (head.agent,),
    )
    made: Shape = {**{str(field): None for (field,) in plain}, **dict(logs)}
    return made, 0, (_bad(head.agent, "(shape)", [text], "its checksum does not match"),)


def timers(
    agent: AgentRow, rows: Sequence[Sequence[object]]
) -> tuple[list[Timer], dict[str, QuarantineRow]]:
    """Return an agent's timers, and the bad ones by name."""
    good: list[Timer] = []
    bad: dict[str, QuarantineRow] = {}
    for row in rows:
        timer = record(Timer, row)
        if timer is None:
            reason = "its checksum does not match"
            bad[str(row[2])] = _bad(agent.agent, f"timer {row[2]}", row, reason)
        else:
            good.append(timer)
    return good, bad


def _bad(agent: int, place: str, row: Sequence[object], reason: str) -> QuarantineRow:
    return QuarantineRow(agent, place, repr(tuple(row)), reason, time.time())
