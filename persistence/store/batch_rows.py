"""The rows of declared tables in a batch: the last change of a place counts."""

from __future__ import annotations

from collections.abc import Mapping

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
    put: dict[str, list[object]] = {}
    gone: dict[str, list[Key]] = {}
    for table, key, row in effects.rows:
        places = tables.get(table)
        if places is None:
            places = tables[table] = {}
        if row is None:
            places[key] = None
            if table.journaled:
                gone.setdefault(table.name, []).append(key)
        else:
            stamped = table.stamped(row, commit.sequence)
            places[stamped[: table.key]] = stamped
            if table.journaled:
                put.setdefault(table.name, []).append(_written(table, stamped))
    if not gone:
        return _members("rows", put) if put else ""
    return f"{_members('rows', put)},{_members('gone', gone)}" if put else _members("gone", gone)


def _members(verb: str, by_table: Mapping[str, object]) -> str:
    return f'"{verb}":{msgspec.json.encode(by_table).decode()}'


def _written(table: Table, row: Row) -> object:
    """Return what is encoded of a row: its JSON stays as it is."""
    if not table.json_at:
        return row
    values: list[object] = [*row]
    for at in table.json_at:
        text = values[at]
        if isinstance(text, str):
            values[at] = msgspec.Raw(text)
    return values


def joined(delta: str, members: str) -> str:
    """Return a delta's JSON with more members."""
    return (
        delta if not members else f"{{{members}}}" if delta == "{}" else f"{delta[:-1]},{members}}}"
    )
