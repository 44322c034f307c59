"""Rows of declared tables in a SQLite file."""

from __future__ import annotations

import functools
import logging
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ..errors import CorruptState
from ..names.keys import end_of
from ..records.checksums import intact_record, of_record
from ..records.tables import Key, Order, Row, Table, Value, checked_order
from .insert import LARGEST, delete, insert, padded
from .leaving import living

logger = logging.getLogger("perdure.persistence")

NEWEST: Final = 64
"""Rows at the end of a table that are looked at for where numbering goes on: one may be damaged."""
MOST_TOGETHER: Final = 64 * 1024
"""Bytes of blobs that go in with one statement, but for one that is larger."""
Fetch = Callable[[str, Sequence[object]], list[Any]]


def write(connection: sqlite3.Connection, table: Table, places: dict[Key, Row | None]) -> None:
    """Write rows, and delete where there is none; what is ``fixed`` and there is left alone."""
    rows: list[Row] = []
    gone: list[Key] = []
    name, wide = table.name, table.wide
    for place, row in places.items():
        if row is None:
            gone.append(place)
        else:
            rows.append((*row, checksum(table, row) if wide else of_record((name, *row))))
    if gone:
        delete(connection, name, table.key_names, gone)
    head, tail = f"INSERT INTO {name}", _on_conflict(table)
    for part in _portions(rows) if wide else (rows,):
        insert(connection, head, part, tail)


def _portions(rows: list[Row]) -> Iterator[list[Row]]:
    """Give rows with blobs by as many as go in together.

    A compiled statement keeps the values it was run with: dozens of megabytes would stay behind.
    """
    part: list[Row] = []
    weight = 0
    for row in rows:
        heavy = sum(len(value) for value in row if isinstance(value, bytes))
        if part and weight + heavy > MOST_TOGETHER:
            yield part
            part, weight = [], 0
        part.append(row)
        weight += heavy
    if part:
        yield part


@functools.cache
def _on_conflict(table: Table) -> str:
    key = ", ".join(table.key_names)
    if table.fixed:
        return f"ON CONFLICT ({key}) DO NOTHING"
    others = (*table.names[table.key :], "crc")
    values = ", ".join(f"{name} = excluded.{name}" for name in others)
    return f"ON CONFLICT ({key}) DO UPDATE SET {values}"


def checksum(table: Table, row: Row) -> int:
    """Return the checksum of a row; that of one table is none of another."""
    return of_record((table.name, *(_summed(row) if table.wide else row)))


def intact(table: Table, row: Sequence[object]) -> bool:
    """Tell whether a row, its checksum last, is as it was written."""
    return intact_record((table.name, *(_summed(row) if table.wide else row)))


def _summed(row: Sequence[object]) -> list[object]:
    # A blob goes in as its sum: as base64 in JSON it would take five times as long.
    return [zlib.crc32(value) if isinstance(value, bytes) else value for value in row]


def read(fetch: Fetch, table: Table, key: Key) -> Row | None:
    """Return a row by its key, verified; None if there is none."""
    where = " AND ".join(f"{name} = ?" for name in table.key_names)
    query = f"SELECT * FROM {table.name} WHERE {where}{living(table)}"  # noqa: S608 - same
    for row in fetch(query, key):
        if not intact(table, row):
            place = "/".join(str(part) for part in key)
            raise CorruptState(f"{table.name} {place}", "its checksum does not match")
        return tuple(row[:-1])
    return None


def read_many(fetch: Fetch, table: Table, keys: Sequence[Key]) -> dict[Key, Row | None]:
    """Return the rows of some keys, verified, and None where there is none.

    Nothing for those that were looked up together with a bad row: which of them it was written for
    is for ``read`` to say. Keys that differ in their last column alone are looked up together:
    SQLite takes a list of values for one column of an index, and none for several.
    """
    found: dict[Key, Row | None] = dict.fromkeys(keys)
    alike: dict[Key, list[Value]] = {}
    for key in found:
        alike.setdefault(key[:-1], []).append(key[-1])
    for first, last in alike.items():
        for start in range(0, len(last), LARGEST):
            part = last[start : start + LARGEST]
            size, given = padded([(value,) for value in part], 1)
            rows = fetch(_by_keys(table, size), (*first, *given))  # nothing equals NULL
            if all(intact(table, row) for row in rows):
                found.update((tuple(row[: table.key]), tuple(row[:-1])) for row in rows)
            else:
                for value in part:
                    del found[*first, value]
    return found


@functools.cache
def _by_keys(table: Table, size: int) -> str:
    *first, last = table.key_names
    where = "".join(f"{name} = ? AND " for name in first)
    marks = ", ".join("?" * size)
    return f"SELECT * FROM {table.name} WHERE {where}{last} IN ({marks}){living(table)}"  # noqa: S608 - declared names


def page(fetch: Fetch, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
    """Return up to ``limit`` intact rows in an order, those after the values ``after``.

    Bad ones are left out and named; a full page is never short because of them.
    """
    columns = checked_order(table, order)
    free = columns[len(order.equal) :]
    if not free and after is not None:
        return []  # there is one row at most, and nothing comes after it
    where, parameters = _where(table, order)
    names = table.names
    places = [names.index(column) for column in free]
    found: list[Row] = []
    while True:
        query = f"SELECT * FROM {table.name}{where}"  # noqa: S608 - same
        given = [*parameters]
        if after is not None:
            marks = ", ".join("?" * len(free))
            comparison = f"({', '.join(free)}) {'<' if order.descending else '>'} ({marks})"
            query += f"{' AND' if where else ' WHERE'} {comparison}"
            given += after
        direction = " DESC" if order.descending else ""
        query += " ORDER BY " + ", ".join(f"{column}{direction}" for column in free or columns)
        query += " LIMIT ?"
        rows = fetch(query, [*given, limit])
        for row in rows:
            if intact(table, row):
                found.append(tuple(row[:-1]))
            else:
                logger.error("a row of %s fails its checksum and is left out: %r", table.name, row)
        if len(rows) < limit or len(found) >= limit or not free:
            return found[:limit]
        after = tuple(rows[-1][place] for place in places)


def keys(fetch: Fetch, table: Table, after: Key | None, limit: int) -> list[Key]:
    """Return up to ``limit`` primary keys behind ``after``, in order; the rows are not read."""
    names = ", ".join(table.key_names)
    behind = "1" if after is None else f"({names}) > ({', '.join('?' * len(after))})"
    where = f" WHERE {behind}{living(table)}"
    query = f"SELECT {names} FROM {table.name}{where} ORDER BY {names} LIMIT ?"  # noqa: S608 - same
    return [tuple(row) for row in fetch(query, (*(after or ()), limit))]


def count(fetch: Fetch, table: Table, order: Order, prefix: str = "") -> int:
    """Return how many rows an order has, of those with a prefix."""
    columns = checked_order(table, order)
    where, parameters = _where(table, order)
    if prefix:
        # Two bounds rather than a function of the column: the index leads to the rows.
        column, end = columns[len(order.equal)], end_of(prefix)
        where += f"{' AND' if where else ' WHERE'} {column} >= ?"
        parameters = (*parameters, prefix)
        if end is not None:
            where += f" AND {column} < ?"
            parameters = (*parameters, end)
    return int(fetch(f"SELECT count(*) FROM {table.name}{where}", parameters)[0][0])  # noqa: S608


def latest_in(connection: sqlite3.Connection, table: Table) -> int:
    """Return the latest commit that the end of a table knows of, by its column ``numbers``."""
    found = connection.execute(
        f"SELECT coalesce(max({table.numbers}), 0) FROM (SELECT {table.numbers} FROM {table.name}"  # noqa: S608 - declared names
        f" ORDER BY {', '.join(f'{name} DESC' for name in table.key_names)} LIMIT ?)",
        (NEWEST,),
    )
    return int(found.fetchone()[0])


def _where(table: Table, order: Order) -> tuple[str, Sequence[object]]:
    terms = [f"{column} = ?" for column in order.by[: len(order.equal)]]
    terms += [i.where for i in table.indexes if i.where and i.columns == order.by]
    terms += filter(None, [living(table).removeprefix(" AND ")])
    return (" WHERE " + " AND ".join(terms) if terms else ""), order.equal
