"""Where events come from: each source gives its own in order, behind a place, old or new first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import msgspec

from ...persistence.audit.entries import BY_NUMBER, AuditEntry
from ...persistence.names.scope import Principal
from ...persistence.records.records import NOT_KNOWN, DeadLetter, JournalEntry
from ...persistence.records.shared_tables import ARTIFACTS, AUDIT, FORMATS
from ...persistence.records.tables import Order
from ...persistence.secrets.masking import masked
from ...persistence.store.store import StoreReader
from ..history.history import History
from ..history.record import HookRecord
from ..history.recording import POINT
from .event import Event, Place
from .kinds import EventKind
from .search import candidates, searchable
from .selection import Selection

FIRST_PAGE: Final = 128
"""Rows read at first: what a page of a listing needs, or a little more."""
PAGE: Final = 1024
"""Rows read at a time by who goes on."""
SLACK: Final = 1.0
"""Seconds by which commits may be out of the order of their times, with nothing missed."""
CAUSES: Final = 2
"""The format of stores since which every commit knows what led to it."""
_LAST: Final = 2**62
_rows: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_tables: Final = msgspec.json.Decoder(dict[str, list[msgspec.Raw]]).decode
_row: Final = msgspec.json.Decoder(list[Any]).decode


@dataclass(frozen=True, slots=True)
class Reach:
    """Which part of a store is read: the selection, and the sequences between which it lies."""

    selection: Selection
    low: int
    """Nothing at or below it is wanted."""
    high: int
    """Nothing above it is."""
    after: Place | None
    newest: bool
    unknown: int
    """Up to which commit nobody knows what led to each."""

    def beyond(self, sequence: int) -> bool:
        """Tell whether nothing that is wanted comes any more."""
        return sequence <= self.low if self.newest else sequence > self.high

    def start(self) -> int:
        """Return the sequence behind which commits are read; that of ``after`` is read again."""
        if self.newest:
            last = self.high + 1
            return last if self.after is None else min(last, self.after.sequence + 1)
        return self.low if self.after is None else max(self.low, self.after.sequence - 1)

    def holds(self, event: Event) -> bool:
        """Tell whether an event is behind the place, and wanted."""
        if self.after is not None:
            place = event.place
            if not (place < self.after if self.newest else place > self.after):
                return False
        return self.selection.wants(event)


class Source(Protocol):
    """Give events of some kinds."""

    def __call__(self, store: StoreReader, reach: Reach) -> Iterator[Event]:
        """Iterate over events in the order of their places, reversed with ``reach.newest``."""
        ...


def reach_of(
    store: StoreReader, selection: Selection, after: Place | None, *, newest: bool
) -> Reach:
    """Find between which commits the events of a selection lie."""
    low, high = 0, _LAST
    if selection.since is not None:
        low = _sequence_at(store, selection.since - SLACK)
    if selection.until is not None:
        high = _sequence_at(store, selection.until + SLACK)
    return Reach(selection, low, high, after, newest, unknown_up_to(store))


def _sequence_at(store: StoreReader, time: float) -> int:
    """Return the sequence of the last commit at or before a time, 0 if there is none.

    A binary search: the times of commits rise with their sequences, as far as the clock does.
    """
    ends = store.journal(limit=1), store.journal(limit=1, newest=True)
    if not ends[0] or ends[0][0].time > time:
        return 0
    low, high = ends[0][0].sequence, ends[1][0].sequence + 1
    while high - low > 1:
        middle = (low + high) // 2
        found = store.journal(after=middle - 1, limit=1)
        if found and found[0].time <= time:
            low = max(found[0].sequence, low + 1)
        else:
            high = middle
    return low


def unknown_up_to(store: StoreReader) -> int:
    """Return the last commit of which an earlier release kept no cause that is sure; else 0."""
    row = store.row(FORMATS, (CAUSES,))
    return 0 if row is None else int(str(row[1]))


def turns(store: StoreReader, reach: Reach) -> Iterator[Event]:
    """Give commits, and the artifacts that they made."""
    wanted = reach.selection
    for entry in _entries(store, reach):
        if reach.beyond(entry.sequence):
            return
        if wanted.since is None or entry.time >= wanted.since:
            events = events_of(entry, reach.unknown)
            yield from reversed(events) if reach.newest else events


def _entries(store: StoreReader, reach: Reach) -> Iterator[JournalEntry]:
    wanted, after, limit = reach.selection, reach.start(), FIRST_PAGE
    if searchable(wanted):
        rest = yield from candidates(store, wanted.text, after, _texts_of, newest=reach.newest)
        if rest is None:
            return
        after = rest
    while True:
        entries = store.journal(
            wanted.kind, wanted.key, after=after, limit=limit, newest=reach.newest,
            correlation=wanted.correlation,
        )  # fmt: skip
        yield from entries
        if len(entries) < limit:
            return
        after = entries[-1].sequence
        # A page of one agent begins its walk at its newest commit: each is twice as long.
        limit = limit * 2 if wanted.key is not None else PAGE


def events_of(entry: JournalEntry, unknown: int) -> list[Event]:
    """Return a commit, and the artifacts that it made."""
    return [turn_of(entry, unknown), *artifacts_of(entry)]


def turn_of(entry: JournalEntry, unknown: int) -> Event:
    """Return a commit as an event; up to the commit ``unknown`` its cause is not known."""
    cause = entry.cause if entry.sequence > unknown else NOT_KNOWN
    return Event(
        entry.sequence, EventKind.TURN, 0, entry.kind, entry.key, entry.name or "on_receive",
        entry.time, entry.message, cause, entry.correlation, masked(entry.delta),
    )  # fmt: skip


def _texts_of(entry: JournalEntry) -> list[Event]:
    return events_of(entry, 0)


def artifacts_of(entry: JournalEntry) -> list[Event]:
    """Return the artifacts a commit made."""
    if '"artifacts":[' not in entry.delta:
        return []
    try:
        rows = _tables(_rows(entry.delta)["rows"]).get(ARTIFACTS.name, [])
        found = [dict(zip(ARTIFACTS.names, _row(raw), strict=True)) for raw in rows]
    except (msgspec.DecodeError, KeyError, ValueError):
        return []  # the text stood in a value
    return [
        Event(
            entry.sequence, EventKind.ARTIFACT, row["number"], entry.kind, entry.key,
            f"{row['name']} version {row['version']}", entry.time, entry.message, entry.sequence,
            entry.correlation, masked(msgspec.json.encode(row).decode()),
        )
        for row in found
    ]  # fmt: skip


def hooks(store: StoreReader, reach: Reach) -> Iterator[Event]:
    """Give what hooks did."""
    wanted = reach.selection
    given = {"kind": wanted.kind, "key": wanted.key, "correlation": wanted.correlation}
    chosen: Any = {name: value for name, value in given.items() if value is not None}
    after = None
    if reach.after is not None or reach.low or (reach.newest and reach.high != _LAST):
        after = f"{reach.start()}.{-1 if reach.newest else _LAST}"
    for record in History(store).each(after=after, newest=reach.newest, **chosen):
        if reach.beyond(record.sequence):
            return
        if record.point != POINT:  # a turn that was recorded whole is no hook's doing
            yield hook_event(record)


def hook_event(record: HookRecord) -> Event:
    """Return an execution of a hook as an event."""
    told = {
        "point": record.point, "hook": record.hook, "version": record.version,
        "outcome": record.outcome, "told": msgspec.Raw(record.context.encode()),
        "answer": msgspec.Raw((record.result or "null").encode()), "error": record.error,
    }  # fmt: skip
    cause = record.sequence if record.cause is None else record.cause
    return Event(
        record.sequence, EventKind.HOOK, record.position, record.kind, record.key,
        f"{record.hook}: {record.outcome}", record.time, record.message, cause, record.correlation,
        masked(msgspec.json.encode(told).decode()), record.seconds,
    )  # fmt: skip


def decisions(store: StoreReader, reach: Reach) -> Iterator[Event]:
    """Give decisions about access."""
    wanted = reach.selection
    order = BY_NUMBER
    if wanted.correlation is not None:
        order = Order(("correlation", "number"), (wanted.correlation,))
    elif wanted.kind is not None and wanted.key is not None:
        who = Principal.agent(wanted.kind, wanted.key)
        order = Order(("who_kind", "who_id", "who_part", "number"), who.columns)
    after = _number_behind(store, reach.start(), newest=reach.newest)
    order, limit = order._replace(descending=reach.newest), FIRST_PAGE
    while True:
        rows = store.page(AUDIT, order, (after,), limit)
        for row in rows:
            entry = AuditEntry.of(row)
            if reach.beyond(entry.sequence):
                return
            yield _decision(entry)
        if len(rows) < limit:
            return
        after, limit = int(str(rows[-1][0])), PAGE


def _number_behind(store: StoreReader, sequence: int, *, newest: bool) -> int:
    """Return a number of a decision such that those behind it are behind a sequence."""
    ends = [
        store.page(AUDIT, BY_NUMBER._replace(descending=down), None, 1) for down in (False, True)
    ]
    if not ends[0]:
        return _LAST if newest else -1
    low, high = int(str(ends[0][0][0])) - 1, int(str(ends[1][0][0])) + 1
    while high - low > 1:
        middle = (low + high) // 2
        found = store.page(AUDIT, BY_NUMBER, (middle - 1,), 1)
        number, place = int(str(found[0][0])), int(str(found[0][1]))
        if place < sequence or (place == sequence and not newest):
            low = max(number, low + 1)
        else:
            high = middle
    return high if newest else low


def _decision(entry: AuditEntry) -> Event:
    who = entry.who
    agent = (who.id, who.part) if who.kind == "agent" else ("", "")
    told = {
        "who": str(who), "scope": str(entry.scope), "key": entry.key, "outcome": entry.outcome,
        "operation": entry.operation, "reason": entry.reason, "times": entry.times,
    }  # fmt: skip
    return Event(
        entry.sequence, EventKind.DECISION, entry.number, *agent,
        f"{entry.operation} {entry.scope} {entry.outcome}", entry.time, 0, entry.sequence,
        entry.correlation, masked(msgspec.json.encode(told).decode()),
    )  # fmt: skip


def letters(store: StoreReader, reach: Reach) -> Iterator[Event]:
    """Give messages that went to the dead letters; there are few of them."""
    wanted, found = reach.selection, []
    after: int | None = None
    while page := store.dead_letters(wanted.kind, wanted.key, after=after, limit=PAGE):
        found += [
            letter
            for letter in page
            if wanted.correlation is None or letter.correlation == wanted.correlation
        ]
        after = page[-1].id
    events = [_letter(letter, _sequence_at(store, letter.died), reach.unknown) for letter in found]
    for event in sorted(events, key=lambda event: event.place, reverse=reach.newest):
        if reach.beyond(event.sequence):
            return
        yield event


def _letter(letter: DeadLetter, sequence: int, unknown: int) -> Event:
    # Of a message that an agent sent, all releases have kept the cause.
    cause = letter.cause or (0 if sequence > unknown else NOT_KNOWN)
    told = {
        "body": msgspec.Raw((letter.body or "null").encode()), "reason": letter.reason,
        "attempts": letter.attempts, "sent": letter.sent,
    }  # fmt: skip
    return Event(
        sequence, EventKind.LETTER, letter.id, letter.kind, letter.key,
        letter.name or "on_receive", letter.died, letter.id, cause, letter.correlation,
        masked(msgspec.json.encode(told).decode()),
    )  # fmt: skip


SOURCES: Final[dict[Source, frozenset[EventKind]]] = {
    turns: frozenset({EventKind.TURN, EventKind.ARTIFACT}),
    hooks: frozenset({EventKind.HOOK}),
    decisions: frozenset({EventKind.DECISION}),
    letters: frozenset({EventKind.LETTER}),
}
"""Each source, and the kinds of events it gives."""
