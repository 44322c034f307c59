"""Where events come from: each source gives its own in order, behind a place, old or new first."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Final, NamedTuple, Protocol

from ...persistence.audit.entries import BY_NUMBER, AuditEntry
from ...persistence.names.scope import Principal
from ...persistence.records.records import DeadLetter, JournalEntry
from ...persistence.records.shared_tables import AUDIT, AUDIT_CAUSES, FORMATS
from ...persistence.records.tables import Order
from ...persistence.store.store import StoreReader
from ..history.history import History, Lookup
from ..history.record import HookRecord
from ..history.recording import POINT
from .event import Event, Place
from .kinds import EventKind
from .rows import decision_event, events_of, hook_event, letter_event
from .search import candidates, letters_with, searchable
from .selection import Selection, folded
from .texts import commit_at, commit_texts, decision_texts, hook_texts

FIRST_PAGE: Final = 128
"""Rows read at first: what a page of a listing needs, or a little more."""
PAGE: Final = 1024
"""Rows read at a time by who goes on."""
SLACK: Final = 1.0
"""Seconds by which commits may be out of the order of their times, with nothing missed."""
LONGEST: Final = 3600.0
"""Seconds between what happened in a turn and its commit, with nothing missed."""
FEW: Final = 64
"""Commits that are looked up one by one; of more a stretch is read."""
CAUSES: Final = 2
"""The format of stores since which every commit knows what led to it."""
_LAST: Final = 2**62
_BY_SEQUENCE: Final = Order(("sequence",))


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
    """Find between which commits the turns of a selection lie."""
    low, high = _between(store, selection, SLACK)
    return Reach(selection, low, high, after, newest, unknown_up_to(store))


def _of_parts(store: StoreReader, reach: Reach) -> Reach:
    """Return the reach of what happened in turns: some time before, or after, they committed."""
    low, high = _between(store, reach.selection, LONGEST)
    return dataclasses.replace(reach, low=low, high=high)


def _between(store: StoreReader, selection: Selection, slack: float) -> tuple[int, int]:
    low, high = 0, _LAST
    if selection.since is not None:
        low = _sequence_at(store, selection.since - slack)
    if selection.until is not None:
        # Up to the next one in the journal: some are not in it, such as those of decisions alone.
        later = store.journal(after=_sequence_at(store, selection.until + slack), limit=1)
        high = later[0].sequence - 1 if later else _LAST
    return low, high


class _Moment(NamedTuple):
    """Which commit was the last one at a time, and at which times around that it is the same."""

    sequence: int
    """0 where none was made yet."""
    since: float
    until: float
    """From then on it may be another."""


def _sequence_at(store: StoreReader, time: float) -> int:
    """Return the sequence of the last commit at or before a time, 0 if there is none."""
    return _moment(store, _ends(store), time).sequence


def _ends(store: StoreReader) -> list[JournalEntry]:
    """Return the oldest and the newest commit, of none or one twice."""
    return store.journal(limit=1) + store.journal(limit=1, newest=True)


def _moment(store: StoreReader, ends: list[JournalEntry], time: float) -> _Moment:
    """Find the last commit at or before a time among those from one end to the other.

    The times of commits rise with their sequences, as far as the clock does. Where it was set
    back, of two times the later one never has the earlier commit, as long as the ends are the same.
    """
    since, until = -math.inf, math.inf

    def made_by_then(sequence: int) -> int | None:
        nonlocal since, until
        found = store.journal(after=sequence - 1, limit=1)
        if not found:
            return None
        if found[0].time > time:
            until = min(until, found[0].time)
            return None
        since = max(since, found[0].time)
        return found[0].sequence

    if not ends or ends[0].time > time:
        return _Moment(0, since, ends[0].time if ends else until)
    since = ends[0].time
    last = _last(ends[0].sequence, ends[-1].sequence + 1, made_by_then)
    return _Moment(last, since, until)


def _last(low: int, high: int, fits: Callable[[int], int | None]) -> int:
    """Return the last number from ``low`` on and below ``high`` of a row that fits.

    ``fits`` returns the number of the first row at or behind a number; None if it does not fit,
    and so none behind it does, or there is none.
    """
    while high - low > 1:
        middle = (low + high) // 2
        found = fits(middle)
        if found is None:
            high = middle
        else:
            low = found
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
        texts, read = commit_texts(store), partial(commit_at, store)
        rest = yield from candidates(store, texts, wanted.text, after, read, newest=reach.newest)
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


def hooks(store: StoreReader, reach: Reach) -> Iterator[Event]:
    """Give what hooks did."""
    wanted, reach = reach.selection, _of_parts(store, reach)
    for record in _records(store, reach, wanted):
        if reach.beyond(record.sequence):
            return
        if record.point != POINT:  # a turn that was recorded whole is no hook's doing
            yield hook_event(record)


def _records(store: StoreReader, reach: Reach, wanted: Selection) -> Iterator[HookRecord]:
    given = {"kind": wanted.kind, "key": wanted.key, "correlation": wanted.correlation}
    chosen: Any = {name: value for name, value in given.items() if value is not None}
    after: int | None = None
    if reach.after is not None or reach.low or (reach.newest and reach.high != _LAST):
        after = reach.start()
    if searchable(wanted):
        lookup, newest = Lookup(store), reach.newest

        def read(sequence: int) -> Sequence[HookRecord]:
            found = lookup.at(sequence)
            return found[::-1] if newest else found

        start = reach.start() if after is None else after
        rest = yield from candidates(
            store, hook_texts(store), wanted.text, start, read, newest=newest
        )
        if rest is None:
            return
        after = rest
    place = None if after is None else f"{after}.{-1 if reach.newest else _LAST}"
    yield from History(store).each(after=place, newest=reach.newest, **chosen)


def decisions(store: StoreReader, reach: Reach) -> Iterator[Event]:
    """Give decisions about access."""
    wanted, reach = reach.selection, _of_parts(store, reach)
    order = BY_NUMBER
    if wanted.correlation is not None:
        order = Order(("correlation", "number"), (wanted.correlation,))
    elif wanted.kind is not None and wanted.key is not None:
        who = Principal.agent(wanted.kind, wanted.key)
        order = Order(("who_kind", "who_id", "who_part", "number"), who.columns)
    after = _number_behind(store, reach.start(), newest=reach.newest)
    for entries in _audited(store, wanted, order._replace(descending=reach.newest), after):
        causes = _causes_of(store, sorted({entry.sequence for entry in entries}))
        for entry in entries:
            if reach.beyond(entry.sequence):
                return
            yield decision_event(entry, causes.get(entry.sequence, entry.sequence))


def _audited(
    store: StoreReader, wanted: Selection, order: Order, after: int
) -> Iterator[list[AuditEntry]]:
    """Iterate over pages of the audit, or by the index over what may hold a text."""
    if searchable(wanted):
        texts = decision_texts(store)

        def read(number: int) -> list[list[AuditEntry]]:
            row = store.row(AUDIT, (number,))
            return [] if row is None else [[AuditEntry.of(row)]]

        newest = order.descending
        rest = yield from candidates(store, texts, wanted.text, after, read, newest=newest)
        if rest is None:
            return
        after = rest
    limit = FIRST_PAGE
    while True:
        rows = store.page(AUDIT, order, (after,), limit)
        yield [AuditEntry.of(row) for row in rows]
        if len(rows) < limit:
            return
        after, limit = int(str(rows[-1][0])), PAGE


def _number_behind(store: StoreReader, sequence: int, *, newest: bool) -> int:
    """Return a number of a decision such that those behind it are behind a sequence."""
    ends = decision_texts(store).ends()
    if ends is None:
        return _LAST if newest else -1

    def before(number: int) -> int | None:
        found = store.page(AUDIT, BY_NUMBER, (number - 1,), 1)
        if not found:
            return None
        entry = AuditEntry.of(found[0])
        fits = entry.sequence < sequence or (entry.sequence == sequence and not newest)
        return entry.number if fits else None

    last = _last(ends[0] - 1, ends[1] + 1, before)
    return last + 1 if newest else last


def _causes_of(store: StoreReader, sequences: list[int]) -> dict[int, int]:
    """Return what led to decisions of commits that are not in the journal, where it is known."""
    found: dict[int, int] = {}
    if len(sequences) <= FEW:
        kept = [store.row(AUDIT_CAUSES, (sequence,)) for sequence in sequences]
        return {int(str(row[0])): int(str(row[1])) for row in kept if row is not None}
    behind = sequences[0] - 1
    while rows := store.page(AUDIT_CAUSES, _BY_SEQUENCE, (behind,), PAGE):
        found |= {int(str(row[0])): int(str(row[1])) for row in rows}
        behind = int(str(rows[-1][0]))
        if behind >= sequences[-1]:
            break
    return found


def letters(store: StoreReader, reach: Reach) -> Iterator[Event]:
    """Give messages that went to the dead letters; there are few of them."""
    found = list(_letters_within(store, reach, _times_of(store, reach)))
    found.sort(key=lambda letter: letter.died, reverse=reach.newest)
    placed = _placed(store, found)
    for sequence, together in itertools.groupby(placed, key=itemgetter(0)):
        events = [letter_event(letter, sequence, reach.unknown) for _, letter in together]
        yield from sorted(events, key=lambda event: event.place, reverse=reach.newest)


def _times_of(store: StoreReader, reach: Reach) -> tuple[float, float]:
    """Return between which times letters died that are wanted and behind ``reach.after``."""
    wanted, after = reach.selection, reach.after
    since = -math.inf if wanted.since is None else wanted.since
    until = math.inf if wanted.until is None else wanted.until
    if after is None:
        return since, until
    if reach.newest:  # those of commits that came later are not behind it
        later = store.journal(after=after.sequence, limit=1)
        return since, min(until, later[0].time + SLACK) if later else until
    own = store.journal(after=after.sequence - 1, limit=1)
    if own and own[0].sequence == after.sequence:
        since = max(since, own[0].time - SLACK)
    return since, until


def _letters_within(
    store: StoreReader, reach: Reach, times: tuple[float, float]
) -> Iterator[DeadLetter]:
    wanted, (since, until) = reach.selection, times
    for letter in _dead(store, wanted):
        chosen = wanted.correlation is None or letter.correlation == wanted.correlation
        if chosen and since <= letter.died <= until:
            yield letter


def _dead(store: StoreReader, wanted: Selection) -> Iterator[DeadLetter]:
    if searchable(wanted):
        found = letters_with(store, wanted.text, lambda letter: folded(letter_event(letter, 0, 0)))
        if found is not None:
            yield from found
            return
    after: int | None = None
    while page := store.dead_letters(wanted.kind, wanted.key, after=after, limit=PAGE):
        yield from page
        after = page[-1].id


def _placed(store: StoreReader, letters: list[DeadLetter]) -> Iterator[tuple[int, DeadLetter]]:
    """Iterate over letters with the last commit before each; those of one share the search."""
    ends, moment = _ends(store) if letters else [], None
    for letter in letters:
        if moment is None or not moment.since <= letter.died < moment.until:
            moment = _moment(store, ends, letter.died)
        yield moment.sequence, letter


SOURCES: Final[dict[Source, frozenset[EventKind]]] = {
    turns: frozenset({EventKind.TURN, EventKind.ARTIFACT}),
    hooks: frozenset({EventKind.HOOK}),
    decisions: frozenset({EventKind.DECISION}),
    letters: frozenset({EventKind.LETTER}),
}
"""Each source, and the kinds of events it gives."""
