"""Rows of a table in an order: what is stored, with what is appended and what a unit has made."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Final

from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Key, Order, Row, Table, checked_order
from .ledger import Ledger
from .unit import Unit

PAGE: Final = 1000
_SCOPE: Final = SCOPED.key - 1
_SET: Final = SCOPED.names.index("sequence")
FIRST_PAGE: Final = 32
"""Rows read first: most who list want the first few. Each further page is four times as long."""


def rows(
    ledger: Ledger, unit: Unit | None, table: Table, order: Order, after: Row | None = None
) -> Iterator[Row]:
    """Iterate over a table's rows in an order, those behind the values ``after``.

    At the edge (no unit, or one of no turn) over what is durable, and what the unit has made.
    """
    columns = checked_order(table, order)
    equal = [table.names.index(name) for name in columns[: len(order.equal)]]
    free = [table.names.index(name) for name in columns[len(order.equal) :]]

    def place(row: Row) -> tuple[Any, ...]:
        return tuple(row[at] for at in free)

    def wanted(row: Row) -> bool:
        if tuple(row[at] for at in equal) != order.equal:
            return False
        if after is None:
            return True
        return place(row)[: len(after)] < after if order.descending else place(row) > after

    # Looked at before the store: what becomes durable meanwhile is in both.
    ended = {} if unit is None or unit.edge or table is not SCOPED else ledger.scopes_ended()
    newer = {} if unit is None else changed(ledger, unit, table)
    stored = _stored(ledger, table, order, after, free)
    if ended:
        stored = (row for row in stored if int(str(row[_SET])) >= ended.get(row[:_SCOPE], 0))
    if not newer:
        return stored
    mine = [row for row in newer.values() if row is not None and wanted(row)]
    mine.sort(key=place, reverse=order.descending)
    others = (row for row in stored if table.place(row) not in newer)
    return heapq.merge(others, mine, key=place, reverse=order.descending)


def changed(ledger: Ledger, unit: Unit, table: Table) -> dict[Key, Row | None]:
    """Return the rows that are newer than the store's."""
    newest: dict[Key, Row | None] = {} if unit.edge else ledger.appended(table)
    look = ledger.durable if unit.edge else ledger.newest
    for place in list(unit.steps):
        if place[0] is table:
            key = place[1]
            before = newest[key] if key in newest else look(table, key)
            if unit.witness is not None:
                unit.witness.saw(table, key, before)
            newest[key] = unit.seen(place, before)
    return newest


def _stored(
    ledger: Ledger, table: Table, order: Order, after: Row | None, free: list[int]
) -> Iterator[Row]:
    size = FIRST_PAGE
    while True:
        page = ledger.page(table, order, after, size)
        yield from page
        if len(page) < size:
            return
        after = tuple(page[-1][at] for at in free)
        size = min(PAGE, 4 * size)
