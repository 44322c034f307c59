"""Insert any number of rows with one statement.

Every statement is a hand-off of the interpreter lock: next to a computing thread each costs up to
a switch interval (5 ms). So all rows of a table go in as one ``VALUES`` list. Its length is
rounded up to one of a few sizes and padded with NULL rows that a ``WHERE`` drops, so that the
statement is compiled once per size. Measured against ``executemany`` and ``json_each`` by
``python -m benchmarks --only insert``.
"""

from __future__ import annotations

import bisect
import functools
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Final

LARGEST: Final = 2048
"""Rows per statement; more go in with further statements."""
MOST_VARIABLES: Final = 32_766
"""Values per statement, where SQLite was built as it comes."""
MOST_TERMS: Final = 256
"""Rows per deletion by several columns: SQLite bounds the depth of an expression."""
_SIZES: Final = (
    1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048,
)  # fmt: skip


@functools.cache
def _most(width: int) -> int:
    return max(size for size in _SIZES if size * width <= MOST_VARIABLES)


@functools.cache
def _insert(head: str, tail: str, width: int, rows: int) -> str:
    row = "(" + ",".join("?" * width) + ")"
    if rows == 1:
        return f"{head} VALUES {row} {tail}"
    values = ",".join([row] * rows)
    return f"{head} SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL {tail}"  # noqa: S608


@functools.cache
def _delete(table: str, columns: tuple[str, ...], rows: int) -> str:
    if len(columns) == 1:
        values = ",".join(["(?)"] * rows)
        return f"DELETE FROM {table} WHERE {columns[0]} IN (VALUES {values})"  # noqa: S608
    # SQLite looks a row value up by its first column only; terms joined by OR it looks up whole.
    term = "(" + " AND ".join(f"{column} = ?" for column in columns) + ")"
    return f"DELETE FROM {table} WHERE {' OR '.join([term] * rows)}"  # noqa: S608


def insert(
    connection: sqlite3.Connection,
    head: str,
    rows: Sequence[Sequence[object]],
    tail: str = "",
) -> None:
    """Insert ``rows``, whose first column is never NULL; nothing happens if there are none."""
    if not rows:
        return
    width = len(rows[0])
    if len(rows) == 1:  # as a lone caller's, who waits
        connection.execute(_insert(head, tail, width, 1), rows[0])
        return
    most = _most(width)
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        size, parameters = padded(part, width)
        connection.execute(_insert(head, tail, width, size), parameters)


def delete(
    connection: sqlite3.Connection,
    table: str,
    columns: tuple[str, ...],
    rows: Sequence[Sequence[object]],
) -> None:
    """Delete the rows whose ``columns`` equal one of ``rows``; padding equals nothing."""
    most = LARGEST if len(columns) == 1 else MOST_TERMS
    for start in range(0, len(rows), most):
        part = rows[start : start + most]
        size, parameters = padded(part, len(columns))
        connection.execute(_delete(table, columns, size), parameters)


def padded(part: Sequence[Sequence[object]], width: int) -> tuple[int, list[object]]:
    """Return a part's values, filled up to the next of the few sizes, and that size.

    So few statements are ever compiled.
    """
    size = _SIZES[bisect.bisect_left(_SIZES, len(part))]
    parameters = list(chain.from_iterable(part))
    parameters += [None] * ((size - len(part)) * width)
    return size, parameters
