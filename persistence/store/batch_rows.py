"""The rows of declared tables in a batch: the last change of a place counts."""

from __future__ import annotations

from typing import Any

import msgspec

from ..records.records import Commit
from ..records.tables import Key, Row, Table

Rows = dict[Table, dict[Key, Row | None]]


def fold_rows(tables: Rows, commit: Commit) -> str:
    """Add a numbered commit's rows to ``tables``; return the journaled ones as JSON members.

    ``"rows":{table:[row]},"gone":{table:[key]}``, or "" if there are none.
    """
    effects = commit.effects
    if effects is None or not effects.rows:
        return ""
    put: dict[str, list[str]] = {}
    gone: dict[str, list[str]] = {}
    for table, key, row in effects.rows:
        places = tables.setdefault(table, {})
        if row is None:
            places[key] = None
            if table.journaled:
                gone.setdefault(table.name, []).append(_encode(key))
        else:
            stamped = table.stamped(row, commit.sequence)
            places[table.place(stamped)] = stamped
            if table.journaled:
                put.setdefault(table.name, []).append(_written(table, stamped))
    if not gone:
        return _members("rows", put) if put else ""
    return f"{_members('rows', put)},{_members('gone', gone)}" if put else _members("gone", gone)


def _members(verb: str, by_table: dict[str, list[str]]) -> str:
    tables = [f'"{name}":[{",".join(values)}]' for name, values in by_table.items()]
    return f'"{verb}":{{{",".join(tables)}}}'


def joined(delta: str, members: str) -> str:
    """Return a delta's JSON with more members."""
    return (
        delta if not members else f"{{{members}}}" if delta == "{}" else f"{delta[:-1]},{members}}}"
    )


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _written(table: Table, row: Row) -> str:
    values: list[Any] = [
        msgspec.Raw(value.encode()) if column.type == "json" and isinstance(value, str) else value
        for column, value in zip(table.columns, row, strict=True)
    ]
    return _encode(values)
