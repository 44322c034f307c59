"""Text search: which commits hold a text, by an index that is brought up to date by the search.

A commit pays nothing for it. The index only says which commits may hold the text: each is read
from the journal and looked at before it is shown, so an index that is lost, or older than a
deletion, shows nothing wrong. Where there is none (a store in memory, a folder that cannot be
written to, a text of less than three characters), every commit is read.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Final

from ...persistence.errors import StoreError
from ...persistence.records.records import JournalEntry
from ...persistence.store.store import StoreReader, TextSearch
from .event import Event
from .selection import Selection, folded

logger = logging.getLogger("perdure.hooks")

SHORTEST: Final = 3
"""Characters of a text that an index can look up."""
PAGE: Final = 2_000
"""Commits that are added to the index at a time."""
Events = Callable[[JournalEntry], list[Event]]


def searchable(selection: Selection) -> bool:
    """Tell whether an index helps: where few events are left anyway, they are read."""
    narrow = selection.correlation is not None or selection.key is not None
    return len(selection.text.casefold()) >= SHORTEST and not narrow


def candidates(
    store: StoreReader, text: str, after: int, events: Events, *, newest: bool
) -> Iterator[JournalEntry] | None:
    """Iterate over commits behind ``after`` that may hold a text; None if there is no index."""
    try:
        index = store.text_index()
        if index is None:
            return None
        _catch_up(store, index, events)
    except StoreError as error:
        logger.info("the search reads every commit, without an index: %s", error)
        return None
    return _found(store, index, text, after, newest=newest)


def _found(
    store: StoreReader, index: TextSearch, text: str, after: int, *, newest: bool
) -> Iterator[JournalEntry]:
    with contextlib.closing(index):
        for sequence in index.find(text.casefold(), after, newest=newest):
            entries = store.journal(after=sequence - 1, limit=1)
            if entries and entries[0].sequence == sequence:
                yield entries[0]


def _catch_up(store: StoreReader, index: TextSearch, events: Events) -> None:
    """Add what was committed since; begin anew where most of what it has was trimmed away."""
    oldest, newest = store.journal(limit=1), store.journal(limit=1, newest=True)
    first, last = index.extent()
    if (
        newest
        and (
            last > newest[0].sequence
            or oldest[0].sequence - first > newest[0].sequence - oldest[0].sequence + PAGE
        )
        and first
    ):
        index.clear()
        last = 0
    while entries := store.journal(after=last, limit=PAGE):
        rows = [(entry.sequence, "\n".join(map(folded, events(entry)))) for entry in entries]
        index.add(rows, last, entries[-1].sequence)
        last = index.extent()[1]
