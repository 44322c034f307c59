"""Pages of the journal for people: secrets stand in them as ``***``."""

from __future__ import annotations

from operator import attrgetter

from ..records.page import Page, checked_limit, page_of
from ..records.records import JournalEntry
from ..secrets.masking import masked
from ..store.store import StoreReader


def entries(
    store: StoreReader,
    kind: str | None,
    key: str | None,
    *,
    after: int | None,
    limit: int,
    newest: bool,
) -> Page[JournalEntry]:
    """Return a page of the commits, of all agents, of a kind or of one agent."""
    found = store.journal(kind, key, after=after, limit=checked_limit(limit) + 1, newest=newest)
    shown = (entry._replace(delta=masked(entry.delta)) for entry in found)
    return page_of(shown, limit, attrgetter("sequence"))
