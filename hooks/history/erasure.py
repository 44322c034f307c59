"""What takes an erased agent out of the history of hooks, wherever that has something of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from ...persistence.records.kinds import Name
from ...persistence.records.postings import is_of
from ...persistence.records.shared_tables import (
    HOOK_PINS,
    HOOK_QUEUE,
    HOOK_RUNS,
    HOOK_SEGMENTS,
    REPLAY_RESULTS,
)
from ...persistence.records.tables import Change, Order, Row, Table
from ...persistence.store.store import StoreReader
from .history import readable
from .record import HookRecord
from .segments import is_whole, may_hold, pack, words_of

PAGE: Final = 8
"""Rows that are in memory at once: a segment may be large."""


def rows_of(store: StoreReader, table: Table) -> Iterator[Row]:
    """Iterate over all rows of a table in the order of its key, page by page."""
    after: Row | None = None
    order = Order(table.key_names[:1])
    while page := store.page(table, order, after, PAGE):
        yield from page
        after = page[-1][: table.key]


def without(store: StoreReader, names: Sequence[Name]) -> Iterator[Change]:
    """Iterate over the changes that leave nothing of an agent in what is durable."""
    for table in (HOOK_SEGMENTS, HOOK_RUNS):
        for row in rows_of(store, table):
            if any(may_hold(row, *words_of(kind=each.kind, key=each.key)) for each in names):
                yield from _repacked(table, row, names)
    for table in (HOOK_PINS, HOOK_QUEUE):
        for row in rows_of(store, table):
            if is_of(table, row, names):
                yield Change(table, row[:2], None)
    for row in rows_of(store, REPLAY_RESULTS):
        if _shows(row, names):
            yield Change(REPLAY_RESULTS, row[:1], None)


def _shows(row: Row, names: Sequence[Name]) -> bool:
    """Tell whether a result of a scheduled replay has both sides of a turn of an agent."""
    turns = msgspec.json.decode(str(row[2])).get("differing", ())
    return any(each.has(turn["kind"], turn["key"]) for turn in turns for each in names)


def _repacked(table: Table, row: Row, names: Sequence[Name]) -> Iterator[Change]:
    records = readable(row)
    left = [record for record in records if not _is_of(record, names)]
    if len(left) == len(records) > 0:
        return
    yield Change(table, row[:1], None)
    if left:
        block = pack(left, whole=is_whole(row))
        yield Change(table, block[:1], block)


def _is_of(record: HookRecord, names: Sequence[Name]) -> bool:
    return any(each.has(record.kind, record.key, record.sequence) for each in names)
