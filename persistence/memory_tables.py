"""Rows of declared tables in memory."""

from __future__ import annotations

from typing import Any

from .batch_rows import Rows
from .tables import Key, Order, Row, Table, Value, checked_order


class MemoryTables:
    """Keep rows in dictionaries; orders other than by key are sorted when they are read."""

    def __init__(self) -> None:
        """Begin empty."""
        self._tables: dict[Table, dict[Key, Row]] = {}

    def write(self, changes: Rows) -> None:
        """Take over the rows of a batch; may be done twice."""
        for table, places in changes.items():
            rows = self._tables.setdefault(table, {})
            for key, row in places.items():
                if row is None:
                    rows.pop(key, None)
                elif not (table.fixed and key in rows):
                    rows[key] = row

    def row(self, table: Table, key: Key) -> Row | None:
        """Return a row by its key."""
        return self._tables.get(table, {}).get(key)

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return up to ``limit`` rows in an order, those after the values ``after``."""
        columns = checked_order(table, order)
        free = [table.names.index(name) for name in columns[len(order.equal) :]]

        def place(row: Row) -> tuple[tuple[bool, Value], ...]:
            return tuple((row[at] is not None, row[at]) for at in free)

        rows = sorted(self._matching(table, order), key=place, reverse=order.descending)
        if after is not None:
            last = tuple((value is not None, value) for value in after)
            rows = [
                row
                for row in rows
                if (place(row) < last if order.descending else place(row) > last)
            ]
        return rows[:limit]

    def keys(self, table: Table, after: Key | None, limit: int) -> list[Key]:
        """Return up to ``limit`` primary keys behind ``after``, in order."""
        found: list[Any] = sorted(self._tables.get(table, {}))
        return [key for key in found if after is None or key > after][:limit]

    def count(self, table: Table, order: Order) -> int:
        """Return how many rows an order has."""
        checked_order(table, order)
        return len(self._matching(table, order))

    def _matching(self, table: Table, order: Order) -> list[Row]:
        places = [table.names.index(name) for name in order.by[: len(order.equal)]]
        partial = any(i.where and i.columns == order.by for i in table.indexes)
        ordered_by = [table.names.index(name) for name in order.by]
        return [
            row
            for row in self._tables.get(table, {}).values()
            if tuple(row[at] for at in places) == order.equal
            and not (partial and any(row[at] is None for at in ordered_by))
        ]
