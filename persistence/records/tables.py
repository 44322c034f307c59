"""Declared tables: rows that are no agent's state, kept by every store in the same way.

A table is declared once; commits, batches, stores, the doctor and the growth report work on the
declaration. A row is a tuple of all its columns, the primary key first.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple, TypeAlias

Value: TypeAlias = str | int | float | bytes | None
Row: TypeAlias = tuple[Value, ...]
Key: TypeAlias = tuple[Value, ...]

_SQL_TYPES: Final = {
    "text": "TEXT", "json": "TEXT", "integer": "INTEGER", "real": "REAL", "blob": "BLOB",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Column:
    """A column; ``json`` is text that is embedded as it is where a row is written as JSON."""

    name: str
    type: Literal["text", "json", "integer", "real", "blob"] = "text"
    null: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """Columns by which pages are read, besides the primary key."""

    columns: tuple[str, ...]
    unique: bool = False
    where: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Declare a table; compared by identity."""

    name: str
    columns: tuple[Column, ...]
    key: int
    """How many leading columns are the primary key."""
    indexes: tuple[Index, ...] = ()
    sequence: str = ""
    """The column that is filled with the sequence of the commit that writes the row."""
    journaled: bool = True
    """Its changes stand in the journal."""
    numbers: str = ""
    """The column with sequences that may stand in no entry of the journal: numbering goes on behind
    that of the last row. That of the commit, unless another is named or the journal has it."""
    fixed: bool = False
    """A row never changes: one that is there already is left alone (the audit)."""
    names: tuple[str, ...] = field(init=False)
    """The names of the columns."""
    key_names: tuple[str, ...] = field(init=False)
    """The names of the columns of the primary key."""
    placeless: bool = field(init=False)
    """The sequence is part of the key, so a row has no place before its commit has one."""
    wide: bool = field(init=False)
    """It holds blobs."""
    json_at: tuple[int, ...] = field(init=False)
    """Where the columns stand that are JSON."""
    sized: Callable[[Row], tuple[str | bytes, ...]] = field(init=False)
    """Gives the values of a row that may be of any length, those of columns that may be null not
    among them."""
    _sequence_at: int = field(init=False)

    def __post_init__(self) -> None:
        """Make once what is looked at for every row."""
        names = tuple(column.name for column in self.columns)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "key_names", names[: self.key])
        object.__setattr__(self, "placeless", self.sequence in names[: self.key])
        object.__setattr__(self, "wide", any(c.type == "blob" for c in self.columns))
        json_at = tuple(at for at, column in enumerate(self.columns) if column.type == "json")
        object.__setattr__(self, "json_at", json_at)
        object.__setattr__(self, "sized", _getter([*self._sized()]))
        at = names.index(self.sequence) if self.sequence else -1
        object.__setattr__(self, "_sequence_at", at)
        if self.sequence and not self.journaled and not self.numbers:
            object.__setattr__(self, "numbers", self.sequence)

    def _sized(self) -> Iterator[int]:
        for at, column in enumerate(self.columns):
            if column.type in {"text", "json", "blob"} and not column.null:
                yield at

    def place(self, row: Row) -> Key:
        """Return a row's primary key."""
        return row[: self.key]

    def stamped(self, row: Row, sequence: int) -> Row:
        """Return a row with the sequence of its commit filled in."""
        at = self._sequence_at
        if at < 0:
            return row
        return row[:at] + (sequence,) + row[at + 1 :]  # noqa: RUF005 - half the time, twice a row

    def statements(self) -> list[str]:
        """Return the SQL that makes the table and its indexes; the checksum comes last."""
        columns = [
            f"{c.name} {_SQL_TYPES[c.type]}{'' if c.null else ' NOT NULL'}" for c in self.columns
        ]
        key = ", ".join(self.key_names)
        lone_integer = self.key == 1 and self.columns[0].type == "integer"
        tail = "" if lone_integer or self.wide else " WITHOUT ROWID"
        columns += ["crc INTEGER NOT NULL", f"PRIMARY KEY ({key})"]
        made = [f"CREATE TABLE {self.name} ({', '.join(columns)}){tail}"]
        for index in self.indexes:
            unique = "UNIQUE " if index.unique else ""
            where = f" WHERE {index.where}" if index.where else ""
            name = f"{self.name}_{'_'.join(index.columns)}"
            made.append(
                f"CREATE {unique}INDEX {name} ON {self.name} ({', '.join(index.columns)}){where}"
            )
        return made

    def __repr__(self) -> str:
        return f"<Table {self.name}>"


def _getter(places: list[int]) -> Callable[[Row], tuple[Any, ...]]:
    """Return what gives the values of a row at some places."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return operator.itemgetter(slice(places[0], places[0] + 1) if places else slice(0))


class Change(NamedTuple):
    """A row that is written, or with ``row=None`` deleted, by a commit."""

    table: Table
    key: Key
    row: Row | None


class Place(NamedTuple):
    """One thing that can change: a scoped key, a grant, a session."""

    table: Table
    key: Key


class Order(NamedTuple):
    """Which rows of a table are read in which order: those whose first columns equal ``equal``.

    ``by`` begins the primary key, or is an index. Rows come in the order of ``by``, then of the
    primary key.
    """

    by: tuple[str, ...]
    equal: tuple[Value, ...] = ()
    descending: bool = False


def checked_order(table: Table, order: Order) -> tuple[str, ...]:
    """Return all columns that rows are ordered by; ValueError where that would take a sort."""
    key = table.key_names
    indexed = [index.columns for index in table.indexes]
    if not (key[: len(order.by)] == order.by or order.by in indexed):
        message = f"{table.name} has no index by {', '.join(order.by)}"
        raise ValueError(message)
    return (*order.by, *(name for name in key if name not in order.by))
