"""What came and went with a batch beside the journal: mail, timers, dead letters, calls of hooks.

A recovery to a moment between two backups needs it: a message that waited then may be handled now,
and its text is in no table any more. One row for a batch, whatever is in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from .kinds import Name
from .records import Commit, Effects, Message
from .shared_tables import (
    BACKUP_SCHEDULES,
    HOOK_PINS,
    HOOK_QUEUE,
    POSTINGS,
    REPLAY_SCHEDULES,
    SCHEMAS,
)
from .tables import Row, Table, Value
from .zstd import zstd

Event: TypeAlias = tuple[Any, ...]
"""The sequence of a commit, a verb, and what it is about."""
SENT, CONSUMED, SET, CANCELLED, DIED, REVIVED, DELETED, PUT, GONE = "+-tTdDxrR"
"""The verbs: of mail, of timers, of dead letters, of agents, of rows of declared tables."""
KEPT: Final = (HOOK_QUEUE, HOOK_PINS, REPLAY_SCHEDULES, BACKUP_SCHEDULES, SCHEMAS)
"""The declared tables whose rows come and go, or change, and are not in the journal."""
_SEALED: Final = '"perdure:'
"""What begins a sealed or signed value: those stand where they can be sealed again, only."""
_SMALL: Final = 1024
"""Bytes that are stored as they are."""
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(list[tuple[Any, ...]]).decode


def posting(commits: Sequence[Commit]) -> Row | None:
    """Return the row of numbered commits; None if nothing came and nothing went."""
    found: list[Event] = []
    for commit in commits:
        effects = commit.effects
        if effects is None:
            continue
        # In the order in which a batch counts it. Most have nothing but mail.
        at = commit.sequence
        if effects.sends:
            found += _sent(commit, effects.sends)
        if effects.dead or effects.revived or effects.timers or effects.cancelled:
            found += _others(commit, effects)
        if effects.deleted is not None:
            found.append((at, DELETED, effects.deleted.kind, effects.deleted.key))
        for consumed in effects.consumed:
            found.append((at, CONSUMED, consumed))
        for change in effects.rows:
            if change[0] in KEPT:
                found.append(_changed(at, *change))
    return packed(commits[-1].sequence, found) if found else None


def _sent(commit: Commit, messages: Sequence[Message]) -> list[Event]:
    at, sender = commit.sequence, commit.sequence if commit.agent else 0
    return [
        (at, SENT, i, kind, key, name, None if _SEALED in body else body, cause or sender, *rest)
        for i, kind, key, name, body, cause, *rest in messages
    ]


def _others(commit: Commit, effects: Effects) -> Iterator[Event]:
    at, sender = commit.sequence, commit.sequence if commit.agent else 0
    for letter in effects.dead:
        yield at, DIED, *letter[:4], _open(letter.body), *letter[5:]
    for revived in effects.revived:
        yield at, REVIVED, revived
    for timer in effects.timers:
        yield at, SET, *timer[:4], _open(timer.body), *timer[5:9], timer.cause or sender
    for place in effects.cancelled:
        yield at, CANCELLED, *place


def _changed(at: int, table: Table, key: Row, row: Row | None) -> Event:
    if row is None:
        return at, GONE, table.name, *key
    values: list[Value] = [*table.stamped(row, at)]
    for place in table.json_at:
        # The text of a schema is long, and never changes: any later copy has it.
        values[place] = None if table is SCHEMAS else _open(str(values[place]))
    return at, PUT, table.name, *values


def _open(text: str) -> str | None:
    return None if _SEALED in text else text


def packed(sequence: int, found: Sequence[Event]) -> Row:
    """Return events as a row; the last of them is of ``sequence``, or of one before."""
    data = _encode(found)
    if len(data) > _SMALL:
        data = zstd().compress(data, level=1)
    return sequence, found[0][0] if found else sequence, data


def events(row: Row) -> list[Event]:
    """Return the events of a row that is intact."""
    data = row[POSTINGS.names.index("data")]
    assert isinstance(data, bytes)
    return _decode(data if data[:1] == b"[" else zstd().decompress(data))


def without(row: Row, names: Sequence[Name]) -> Row | None:
    """Return a row without what it has of an agent; None if it has nothing of it."""
    found = events(row)
    kept = [event for event in found if not _is_of(event, names)]
    if len(kept) == len(found):
        return None
    sequence = row[0]
    assert isinstance(sequence, int)
    return packed(sequence, kept)


def _is_of(event: Event, names: Sequence[Name]) -> bool:
    verb = event[1]
    if verb == PUT:
        return is_of(table_of(event), event[3:], names)
    if verb not in (SENT, DIED, SET, CANCELLED, DELETED):
        return False
    kind, key = event[3:5] if verb in (SENT, DIED) else event[2:4]
    return any(each.has(kind, key, event[0]) for each in names)


def is_of(table: Table, row: Row, names: Sequence[Name]) -> bool:
    """Tell whether a row is a stored call or a pinned run of a hook that tells of an agent."""
    if table not in {HOOK_QUEUE, HOOK_PINS} or row[-1] is None:
        return False
    told, sequence = msgspec.json.decode(str(row[-1])), int(str(row[0]))
    if table is HOOK_PINS:
        kind, key = told[3:5]
    else:
        kind, key = (told.get("kind"), told.get("agent")) if isinstance(told, dict) else (0, 0)
    return any(each.has(kind, key, sequence) for each in names)


def table_of(event: Event) -> Table:
    """Return the declared table that an event is about."""
    return next(table for table in KEPT if table.name == event[2])
