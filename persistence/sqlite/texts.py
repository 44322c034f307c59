"""Stored texts in a SQLite file, looked through page by page, and replaced."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from ..records.checksums import intact
from ..records.tables import Key
from ..records.texts import TEXT_TABLES, Replacement, StoredText, TextTable

PAGE: Final = 1000
"""Rows that are read at a time."""

Fetch = Callable[[str, Sequence[object]], list[Any]]


def texts(fetch: Fetch, containing: str) -> Iterator[StoredText]:
    """Iterate over the texts that contain ``containing``, table by table in key order."""
    for table in TEXT_TABLES.values():
        for column in table.columns:
            after: Key | None = None
            while True:
                query, given = _page(table, column, after)
                rows = fetch(query, (containing, *given, PAGE))
                width = len(table.key)
                for *known, text in rows:
                    if isinstance(text, str):
                        key, about = tuple(known[:width]), tuple(known[width:])
                        yield StoredText(table.name, key, column, text, about)
                if len(rows) < PAGE:
                    break
                after = tuple(rows[-1][:width])


def _page(table: TextTable, column: str, after: Key | None) -> tuple[str, Key]:
    key = ", ".join(table.key)
    where = ""
    if after is not None:
        where = f" WHERE ({key}) > ({', '.join('?' * len(table.key))})"
    # What is not wanted is not handed over: values may be large.
    wanted = f"CASE WHEN instr({column}, ?) THEN {column} END"
    known = ", ".join((*table.key, *table.about))
    query = f"SELECT {known}, {wanted} FROM {table.name}{where} ORDER BY {key} LIMIT ?"  # noqa: S608
    return query, after or ()


def replace(connection: sqlite3.Connection, replacements: Sequence[Replacement]) -> None:
    """Replace the texts that still are as they were read; rows that fail their checksum stay."""
    for replacement in replacements:
        table = TEXT_TABLES[replacement.table]
        where = " AND ".join(f"{name} = ?" for name in table.key)
        cursor = connection.execute(
            f"SELECT * FROM {table.name} WHERE {where} AND {replacement.column} = ?",  # noqa: S608
            (*replacement.key, replacement.old),
        )
        names = [description[0] for description in cursor.description]
        row = cursor.fetchone()
        if row is None:
            continue
        values = list(row)
        values[names.index(replacement.column)] = replacement.new
        changes, given = f"{replacement.column} = ?", [replacement.new]
        if table.checksum is not None:
            if not intact(lambda *whole, of=table.checksum: of(whole), *row):
                continue
            changes += ", crc = ?"
            given.append(table.checksum(values[:-1]))  # type: ignore[arg-type]
        connection.execute(
            f"UPDATE {table.name} SET {changes} WHERE {where}",  # noqa: S608
            (*given, *replacement.key),
        )
