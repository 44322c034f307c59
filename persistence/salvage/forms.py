"""What rows of our tables look like, and which of them prove themselves by their checksums."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Final

from ..records.checksums import intact, intact_record, of_base, of_entry, of_field, of_item
from ..records.records import AgentRow, DeadLetter, Message, Timer
from ..records.shared_tables import SHARED_TABLES
from ..sqlite import schema, tables
from ..sqlite.rows import record

Row = tuple[Any, ...]
Judge = Callable[[Row], bool]

_HEAD: Final = 8
"""Columns of an agent's head, its checksum the last of them; its shape has another."""


def _quarantined(row: Row) -> bool:
    agent, *texts, when = row
    words = all(isinstance(text, str) for text in texts)
    return words and isinstance(agent, int) and isinstance(when, float)


_JUDGES: Final[dict[str, Judge]] = {
    "agents": lambda row: record(AgentRow, row[:_HEAD]) is not None,
    "fields": lambda row: intact(of_field, *row),
    "log_items": lambda row: intact(of_item, *row),
    "map_entries": lambda row: intact(of_entry, *row),
    "base_fields": lambda row: intact(of_base, *row),
    "journal": intact_record,
    "mailbox": lambda row: record(Message, row) is not None,
    "timers": lambda row: record(Timer, row) is not None,
    "dead_letters": lambda row: record(DeadLetter, row) is not None,
    "quarantine": _quarantined,
    **{table.name: partial(tables.intact, table) for table in SHARED_TABLES},
}
"""The lease is none of them: a new store has an owner of its own."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of a table are stored."""

    name: str
    columns: tuple[str, ...]
    reals: tuple[int, ...]
    """Where numbers stand that are kept without their fraction if that is nothing."""
    key: tuple[int, ...]
    """Where the columns of its primary key stand."""
    numbered: bool
    """Its key is the number of the row, and does not stand among its values."""
    keyed: bool
    """Its rows are kept by their key."""
    good: Judge

    @property
    def key_names(self) -> tuple[str, ...]:
        """The columns of its primary key."""
        return tuple(self.columns[at] for at in self.key)

    def row(self, number: int, values: Sequence[Any]) -> Row | None:
        """Return the row that a cell is; None if it has not as many values."""
        if len(values) != len(self.columns):
            return None
        row = [*values]
        if self.numbered:
            row[0] = number
        for at in self.reals:
            if isinstance(row[at], int):
                row[at] = float(row[at])
        return tuple(row)


@dataclass(frozen=True, slots=True)
class IndexForm:
    """An index: which columns of its table stand in it."""

    name: str
    table: str
    columns: tuple[str, ...]
    complete: bool
    """It has an entry for every row."""


@cache
def forms() -> dict[str, Form]:
    """Return the form of each table, by its name."""
    with closing(_empty()) as connection:
        return {name: _form(connection, name) for name in _JUDGES}


@cache
def index_forms() -> dict[str, IndexForm]:
    """Return the indexes of our tables, by name, those that SQLite makes itself among them."""
    with closing(_empty()) as connection:
        found = connection.execute(
            "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'index'"
        ).fetchall()
        return {
            name: IndexForm(
                name, table, _columns(connection, name, forms()[table]), "WHERE" not in (sql or "")
            )
            for name, table, sql in found
        }


def _empty() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    for statement in schema.definitions().values():
        connection.execute(statement)
    for table, columns in schema.INDEXES:
        name = f"idx_{table}_{'_'.join(columns)}"
        connection.execute(f"CREATE INDEX {name} ON {table} ({', '.join(columns)})")
    return connection


def _form(connection: sqlite3.Connection, name: str) -> Form:
    found = connection.execute(f"PRAGMA table_info({name})").fetchall()
    key = tuple(at for _, at in sorted((each[5], each[0]) for each in found) if found[at][5])
    (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
    keyed = sql.endswith("WITHOUT ROWID")
    numbered = not keyed and len(key) == 1 and found[key[0]][2] == "INTEGER"
    reals = tuple(each[0] for each in found if each[2] == "REAL")
    names = tuple(each[1] for each in found)
    return Form(name, names, reals, key, numbered, keyed, _JUDGES[name])


def _columns(connection: sqlite3.Connection, index: str, form: Form) -> tuple[str, ...]:
    found = connection.execute(f"PRAGMA index_xinfo({index})").fetchall()
    number = form.columns[form.key[0]] if form.numbered else ""
    return tuple(name if cid >= 0 else number for _, cid, name, *_ in found)
