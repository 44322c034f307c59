"""The texts that are looked through by an index, by numbers that rise with the commits."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Final

from ...persistence.audit.entries import BY_NUMBER, AuditEntry
from ...persistence.records.records import JournalEntry
from ...persistence.records.shared_tables import AUDIT
from ...persistence.records.tables import Row
from ...persistence.store.store import Shelf, StoreReader
from ..history.history import History, Lookup
from ..history.record import HookRecord
from ..history.recording import POINT
from .event import Event
from .rows import decision_event, events_of, hook_event
from .search import PAGE, Text, Texts
from .selection import folded

_LAST: Final = 2**62


def commit_texts(store: StoreReader) -> Texts:
    """Return the texts of commits, and of the artifacts that they made, by sequence."""

    def behind(sequence: int) -> Iterator[Text]:
        while entries := store.journal(after=sequence, limit=PAGE):
            yield from ((entry.sequence, _text(events_of(entry, 0))) for entry in entries)
            sequence = entries[-1].sequence

    def at(sequence: int) -> str | None:
        return next((_text(events_of(entry, 0)) for entry in commit_at(store, sequence)), None)

    def ends() -> tuple[int, int] | None:
        found = store.journal(limit=1) + store.journal(limit=1, newest=True)
        return (found[0].sequence, found[-1].sequence) if found else None

    return Texts(Shelf.COMMITS, behind, at, ends)


def commit_at(store: StoreReader, sequence: int) -> list[JournalEntry]:
    """Return the commit of a sequence; none where it was trimmed."""
    return [x for x in store.journal(after=sequence - 1, limit=1) if x.sequence == sequence]


def _text(events: Iterable[Event]) -> str:
    return "\n".join(map(folded, events))


def hook_texts(store: StoreReader) -> Texts:
    """Return the texts of what hooks did, by the commit; none of turns that were recorded."""
    history, lookup = History(store), Lookup(store)

    def behind(sequence: int) -> Iterator[Text]:
        records = history.each(after=f"{sequence}.{_LAST}")
        for number, together in itertools.groupby(records, key=attrgetter("sequence")):
            yield number, _text_of_records(together)

    def at(sequence: int) -> str | None:
        found = lookup.at(sequence)
        return _text_of_records(found) if found else None

    return Texts(Shelf.HOOKS, behind, at, history.ends)


def _text_of_records(records: Iterable[HookRecord]) -> str:
    return _text(hook_event(record) for record in records if record.point != POINT)


def decision_texts(store: StoreReader) -> Texts:
    """Return the texts of decisions, by number."""

    def behind(number: int) -> Iterator[Text]:
        while rows := store.page(AUDIT, BY_NUMBER, (number,), PAGE):
            yield from ((int(str(row[0])), text(row)) for row in rows)
            number = int(str(rows[-1][0]))

    def text(row: Row) -> str:
        return folded(decision_event(AuditEntry.of(row), 0))

    def at(number: int) -> str | None:
        row = store.row(AUDIT, (number,))
        return None if row is None else text(row)

    def ends() -> tuple[int, int] | None:
        found = store.page(AUDIT, BY_NUMBER, None, 1)
        found += store.page(AUDIT, BY_NUMBER._replace(descending=True), None, 1)
        return (int(str(found[0][0])), int(str(found[-1][0]))) if found else None

    return Texts(Shelf.DECISIONS, behind, at, ends)
