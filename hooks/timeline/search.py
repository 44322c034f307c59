"""Text search: which commits hold a text, by an index that is brought up to date by the search.

A commit pays nothing for it. The index only says which commits may hold the text: each is read
from the journal and looked at before it is shown, so an index that is lost, or older than a
deletion, shows nothing wrong. Where there is none (a store in memory, a folder that cannot be
written to, a text of less than three characters), or it fails, every commit is read.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from typing import Final

from ...persistence.errors import StoreError
from ...persistence.records.checksums import of_record
from ...persistence.records.records import JournalEntry
from ...persistence.store.store import Indexed, StoreReader, TextSearch
from .event import Event
from .selection import Selection, folded

logger = logging.getLogger("perdure.hooks")

SHORTEST: Final = 3
"""Characters of a text that an index can look up."""
PAGE: Final = 2_000
"""Commits that are added to the index at a time."""
NUL: Final = "\0"
"""Where SQLite takes a text to end."""
Events = Callable[[JournalEntry], list[Event]]


def searchable(selection: Selection) -> bool:
    """Tell whether an index helps: where few events are left anyway, they are read."""
    text = selection.text.casefold()
    narrow = selection.correlation is not None or selection.key is not None
    return len(text) >= SHORTEST and not narrow and NUL not in text and _is_unicode(text)


def _is_unicode(text: str) -> bool:
    """Tell whether a text has no half of a surrogate pair, which no database takes."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def candidates(
    store: StoreReader, text: str, after: int, events: Events, *, newest: bool
) -> Generator[JournalEntry, None, int | None]:
    """Iterate over commits behind ``after`` that may hold a text.

    Returns None when those are all; else, where there is no index or it failed, the sequence
    behind which every commit must be read.
    """
    try:
        index = store.text_index()
        if index is None:
            return after
        with contextlib.closing(index):
            _catch_up(store, index, events)
            for sequence in index.find(text.casefold(), after, newest=newest):
                after = sequence
                entry = _entry(store, sequence)
                if entry is not None:
                    yield entry
    except StoreError as error:
        logger.info("the search reads every commit, without an index: %s", error)
        return after
    return None


def _entry(store: StoreReader, sequence: int) -> JournalEntry | None:
    entries = store.journal(after=sequence - 1, limit=1)
    return entries[0] if entries and entries[0].sequence == sequence else None


def _catch_up(store: StoreReader, index: TextSearch, events: Events) -> None:
    """Add what was committed since; begin anew where most of what it has is not in the journal."""
    known = index.extent()  # before the journal, which others add to
    if known.last and (_mostly_trimmed(store, known) or _differs(store, known)):
        index.clear(known)
        known = index.extent()
    while entries := store.journal(after=known.last, limit=PAGE):
        rows = [(entry.sequence, "\n".join(map(folded, events(entry)))) for entry in entries]
        index.add(rows, known, entries[-1].sequence, of_record(entries[-1]))
        known = index.extent()


def _mostly_trimmed(store: StoreReader, known: Indexed) -> bool:
    """Tell whether the index has more of what was trimmed away than the journal has at all."""
    oldest, newest = store.journal(limit=1), store.journal(limit=1, newest=True)
    if not oldest or not newest:
        return False
    return oldest[0].sequence - known.first > newest[0].sequence - oldest[0].sequence + PAGE


def _differs(store: StoreReader, known: Indexed) -> bool:
    """Tell whether the journal has another commit where the index ends: a backup was put back.

    Not where that commit was trimmed: whatever stood there, a search finds it no more.
    """
    entry = _entry(store, known.last)
    if entry is not None:
        return of_record(entry) != known.mark
    oldest = store.journal(limit=1)
    return bool(oldest) and known.last > oldest[0].sequence
