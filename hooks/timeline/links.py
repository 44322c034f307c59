"""From an event to what led to it, and to what it led to, through the indexes of the journal."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from ...persistence.records.records import JournalEntry
from ...persistence.store.store import StoreReader
from .event import Event
from .kinds import EventKind
from .rows import turn_of
from .sources import unknown_up_to

NEAR: Final = 1_000
"""Commits behind one that was asked for, among which its asker's is looked for in other chains."""
PAGE: Final = 500
LONGEST: Final = 10_000
"""Steps back at most."""


def causes(store: StoreReader, event: Event) -> list[Event]:
    """Return the turns that led to an event, the first of all first."""
    found: list[Event] = []
    step: Event | None = event
    while step is not None and len(found) < LONGEST:
        step = cause_of(store, step)
        if step is not None:
            found.append(step)
    return found[::-1]


def cause_of(store: StoreReader, event: Event) -> Event | None:
    """Return the turn that led to an event; None at the edge, or if it is not in the journal."""
    if event.cause > 0:
        return turn_at(store, event.cause)
    if event.cause < 0 and event.cause_known:
        return _asker(store, event)
    return None


def turn_at(store: StoreReader, sequence: int) -> Event | None:
    """Return the commit of a sequence; None if the journal has it no more."""
    found = store.journal(after=sequence - 1, limit=1)
    if not found or found[0].sequence != sequence:
        return None
    return turn_of(found[0], unknown_up_to(store))


def _asker(store: StoreReader, event: Event) -> Event | None:
    """Find the turn that handled a message: it has asked, so it comes later, in the same chain.

    Where the question was asked in a session that was entered in the turn, in another chain.
    """
    chain = _chain(store, event.correlation, event.sequence)
    for entry in itertools.chain(chain, store.journal(after=event.sequence, limit=NEAR)):
        if entry.message == -event.cause:
            return turn_of(entry, unknown_up_to(store))
    return None


def effects(store: StoreReader, event: Event) -> list[Event]:
    """Return the turns an event led to, in order."""
    if event.what is not EventKind.TURN:
        return []
    unknown = unknown_up_to(store)
    chain = _chain(store, event.correlation, unknown)
    found = {entry.sequence: entry for entry in chain if _led(event, entry)}
    led = store.journal(led_from=event.sequence, after=unknown, limit=PAGE)
    while led:
        found |= {entry.sequence: entry for entry in led}
        led = store.journal(led_from=event.sequence, after=led[-1].sequence, limit=PAGE)
    return [turn_of(found[sequence], unknown) for sequence in sorted(found)]


def _led(event: Event, entry: JournalEntry) -> bool:
    asked = bool(event.message) and entry.cause == -event.message
    return asked or entry.cause == event.sequence


def _chain(store: StoreReader, correlation: int, after: int) -> Iterator[JournalEntry]:
    if not correlation:
        return
    while True:
        entries = store.journal(correlation=correlation, after=after, limit=PAGE)
        yield from entries
        if len(entries) < PAGE:
            return
        after = entries[-1].sequence
