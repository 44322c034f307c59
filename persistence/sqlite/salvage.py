"""Read what can be read of a damaged table, around the places that cannot."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

PAGE: Final = 256
"""Rows read with one statement."""
MOST_SEEKS: Final = 20_000
"""Attempts to find readable rows between two damaged places of a table."""
_HIGHEST: Final = 2**40
_RANKS: Final = {type(None): 0, int: 1, float: 1, str: 2, bytes: 3}

Row = tuple[Any, ...]
Take = Callable[[list[Row]], None]


@dataclass(frozen=True, slots=True)
class Gap:
    """Where rows could not be read: somewhere behind one key and before another."""

    after: Row | None
    before: Row | None


class Salvage:
    """Read a table in the order of its key: forwards to the damage, then backwards to it.

    Between the two, where the key begins with a number, it is tried again from a number in the
    middle, as more than one place may be damaged.
    """

    def __init__(
        self, connection: sqlite3.Connection, table: str, key: Sequence[str], take: Take
    ) -> None:
        """Give each row that can be read to ``take`` once, a page at a time."""
        self._connection = connection
        self._table = table
        self._key = key
        self._take = take
        self._seeks = MOST_SEEKS
        self.gap: Gap | None = None
        """From the first to the last row that could not be read."""

    def run(self) -> Gap | None:
        """Read all that can be; return where something could not."""
        self._read(None, None)
        return self.gap

    def _read(self, after: Row | None, before: Row | None) -> None:
        first = self._walk(after, before, "ASC")
        if first is True:
            return
        last = self._walk(first or after, before, "DESC")
        if last is True:
            return
        after, before = first or after, last or before
        low, high = _number(after, -1, math.floor), _number(before, _HIGHEST, math.ceil)
        between = 0 if low is None or high is None else high - low - 1
        if low is None or between <= 1 or self._seeks <= 0:
            self.gap = Gap(after if self.gap is None else self.gap.after, before)
            return
        middle = low + 1 + between // 2 - 0.5  # no row is there
        self._read(after, (middle,))
        self._read((middle,), before)

    def _walk(self, after: Row | None, before: Row | None, direction: str) -> Row | bool | None:
        """Read on until the damage; return the last key, None for no row; True if all was read."""
        reached: Row | None = None
        width, limit = len(self._key), PAGE
        while True:
            self._seeks -= 1
            forward = direction == "ASC"
            here = (reached or after, before) if forward else (after, reached or before)
            page, whole = self._page(*here, direction, limit)
            self._take([row[width:] for row in page])
            if page:
                new = page[-1][:width]
                if reached is not None and (_order(new) > _order(reached)) is not forward:
                    return reached  # a damaged tree leads round in circles
                reached = new
            if whole and len(page) < limit:
                return True
            if not whole:
                if limit == 1:
                    return reached
                limit = 1  # the driver drops a row when the one behind it cannot be read

    def _page(
        self, after: Row | None, before: Row | None, direction: str, limit: int
    ) -> tuple[list[Row], bool]:
        """Return the next rows, and whether no error cut them short."""
        query, given = self._query(after, before, direction, limit)
        page: list[Row] = []
        try:
            for row in self._connection.execute(query, given):
                page.append(row)  # noqa: PERF402 - what came before an error counts
        except sqlite3.DatabaseError:
            return page, False
        return page, True

    def _query(
        self, after: Row | None, before: Row | None, direction: str, limit: int
    ) -> tuple[str, Row]:
        terms: list[str] = []
        given: Row = ()
        for bound, sign in ((after, ">"), (before, "<")):
            if bound is not None:
                names = ", ".join(self._key[: len(bound)])
                marks = ", ".join("?" * len(bound))
                terms.append(f"({names}) {sign} ({marks})")
                given = (*given, *bound)
        where = f" WHERE {' AND '.join(terms)}" if terms else ""
        order = ", ".join(f"{name} {direction}" for name in self._key)
        names = ", ".join(self._key)
        query = f"SELECT {names}, * FROM {self._table} NOT INDEXED{where}"  # noqa: S608
        return f"{query} ORDER BY {order} LIMIT {limit}", given


def _number(key: Row | None, otherwise: int, whole: Callable[[float], int]) -> int | None:
    if key is None:
        return otherwise
    return whole(key[0]) if isinstance(key[0], int | float) else None


def _order(key: Row) -> list[tuple[int, Any]]:
    """Return a key as Python compares it the way SQLite does."""
    return [(_RANKS[type(value)], 0 if value is None else value) for value in key]
