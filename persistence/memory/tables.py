"""Rows of declared tables in memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import Any

from ..names.keys import end_of
from ..records.shared_tables import SCOPED
from ..records.tables import Key, Order, Row, Table, Value, checked_order
from ..store.batch_rows import Rows
from ..store.growth import Sum, texts


class MemoryTables:
    """Keep rows in dictionaries.

    Keys are sorted when they are first read in order, and again when there are others; orders that
    are not the key's are sorted at each read.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._tables: dict[Table, dict[Key, Row]] = {}
        self._sorted: dict[Table, list[Any]] = {}  # keys whose columns compare, as the SQL does

    def write(self, changes: Rows) -> None:
        """Take over the rows of a batch; may be done twice."""
        for table, places in changes.items():
            rows = self._tables.setdefault(table, {})
            before = len(rows)
            for key, row in places.items():
                if row is None:
                    if rows.pop(key, None) is not None:
                        self._sorted.pop(table, None)
                elif not (table.fixed and key in rows):
                    rows[key] = row
            if len(rows) != before:
                self._sorted.pop(table, None)

    def row(self, table: Table, key: Key) -> Row | None:
        """Return a row by its key."""
        return self._tables.get(table, {}).get(key)

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return up to ``limit`` rows in an order, those after the values ``after``."""
        columns = checked_order(table, order)
        if columns == table.key_names:
            return self._page_by_key(table, order, after, limit)
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
        found = self._in_order(table)
        start = 0 if after is None else bisect_right(found, after)
        return found[start : start + limit]

    def count(self, table: Table, order: Order, prefix: str = "") -> int:
        """Return how many rows an order has, of those with a prefix."""
        columns = checked_order(table, order)
        if columns == table.key_names:
            keys = self._in_order(table)
            first, last = self._span(keys, order)
            if prefix:
                end = end_of(prefix)
                high = last if end is None else bisect_left(keys, (*order.equal, end))
                return high - bisect_left(keys, (*order.equal, prefix))
            return last - first
        rows = self._matching(table, order)
        at = table.names.index(columns[len(order.equal)]) if prefix else 0
        return sum(1 for row in rows if not prefix or str(row[at]).startswith(prefix))

    def growth(self) -> Iterator[Sum]:
        """Iterate over what the rows take, added up by scope for keys and by table for others."""
        sums: dict[tuple[Table, tuple[str, str, str]], list[int]] = {}
        for table, rows in self._tables.items():
            measured = [table.names.index(name) for name in texts(table)]
            for row in rows.values():
                keys = table is SCOPED
                scope = (str(row[0]), str(row[1]), str(row[2])) if keys else ("", "", "")
                total = sums.setdefault((table, scope), [0, 0])
                values = (row[4],) if keys else tuple(row[at] for at in measured)
                total[0] += 1
                total[1] += sum(map(_size, values))
        for (table, scope), (number, size) in sums.items():
            yield table, scope, number, size

    def _page_by_key(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        keys, rows = self._in_order(table), self._tables.get(table, {})
        first, last = self._span(keys, order)
        if after is not None:
            place = (*order.equal, *after)
            if order.descending:
                last = min(last, bisect_left(keys, place))
            else:
                first = max(first, bisect_right(keys, place))
        if order.descending:
            return [rows[key] for key in reversed(keys[max(first, last - limit) : last])]
        return [rows[key] for key in keys[first : min(last, first + limit)]]

    def _in_order(self, table: Table) -> list[Any]:
        found = self._sorted.get(table)
        if found is None:
            keys: list[Any] = list(self._tables.get(table, {}))
            found = self._sorted[table] = sorted(keys)
        return found

    def _span(self, keys: list[Any], order: Order) -> tuple[int, int]:
        """Return where the keys of an order begin and end."""
        if not order.equal:
            return 0, len(keys)
        width = len(order.equal)
        first = bisect_left(keys, order.equal)
        return first, bisect_right(keys, order.equal, lo=first, key=lambda key: key[:width])

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


def _size(value: Value) -> int:
    return len(value.encode() if isinstance(value, str) else value or b"")  # type: ignore[arg-type]
