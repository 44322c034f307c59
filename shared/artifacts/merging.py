"""Rows of a table in an order: what is stored, with what is appended and what a unit has made."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any, Final

from ...persistence.records.tables import Key, Order, Row, Table, checked_order
from ..ledger.ledger import Ledger
from ..ledger.unit import Place, Unit

PAGE: Final = 200


def rows(
    ledger: Ledger, unit: Unit | None, table: Table, order: Order, after: Row | None = None
) -> Iterator[Row]:
    """Iterate over a table's rows in an order, those behind the values ``after``.

    At the edge (no unit, or one of no turn) only over what is durable, and its own.
    """
    columns = checked_order(table, order)
    equal = [table.names.index(name) for name in columns[: len(order.equal)]]
    free = [table.names.index(name) for name in columns[len(order.equal) :]]

    def place(row: Row) -> tuple[Any, ...]:
        return tuple(row[at] for at in free)

    def behind(row: Row) -> bool:
        if after is None:
            return True
        return place(row) < after if order.descending else place(row) > after

    # Looked at before the store: what becomes durable meanwhile is in both.
    changed = {} if unit is None else _changed(ledger, unit, table)
    mine = [
        row
        for row in changed.values()
        if row is not None and tuple(row[at] for at in equal) == order.equal and behind(row)
    ]
    stored = _stored(ledger, table, order, after, free)
    if not changed:
        return stored
    mine.sort(key=place, reverse=order.descending)
    others = (row for row in stored if table.place(row) not in changed)
    return heapq.merge(others, mine, key=place, reverse=order.descending)


def beheld(ledger: Ledger, unit: Unit | None, place: Place) -> Row | None:
    """Return a row as the call may know it, without what its own unit makes of it."""
    return ledger.durable(*place) if unit is None or unit.edge else ledger.newest(*place)


def _changed(ledger: Ledger, unit: Unit, table: Table) -> dict[Key, Row | None]:
    """Return the rows that are newer than the store's."""
    newest: dict[Key, Row | None] = {} if unit.edge else ledger.appended(table)
    for place in list(unit.steps):
        if place[0] is table:
            key = place[1]
            before = newest[key] if key in newest else beheld(ledger, unit, place)
            newest[key] = unit.seen(place, before)
    return newest


def _stored(
    ledger: Ledger, table: Table, order: Order, after: Row | None, free: list[int]
) -> Iterator[Row]:
    while True:
        page = ledger.page(table, order, after, PAGE)
        yield from page
        if len(page) < PAGE:
            return
        after = tuple(page[-1][at] for at in free)
