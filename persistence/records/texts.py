"""Every stored text by its place: to look through, and to write again what says the same.

Sealing secrets with another key changes texts and not what they mean, so it needs no turn of an
agent; it is conditional on the text it replaces, and part of a commit like everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from .checksums import of_base, of_entry, of_field, of_item, of_record
from .shared_tables import SHARED_TABLES
from .tables import Key, Table


class StoredText(NamedTuple):
    """A text, and where it stands."""

    table: str
    key: Key
    column: str
    text: str
    about: Key
    """What else its row says of where it stands: the columns that ``TextTable.about`` names."""


class Replacement(NamedTuple):
    """A text that takes the place of ``old``, unless something else stands there by now."""

    table: str
    key: Key
    column: str
    old: str
    new: str


class TextTable(NamedTuple):
    """Which columns of a table hold the texts of values."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    checksum: Callable[[Sequence[object]], int] | None
    """Of a row's columns in order; None where rows have none."""
    about: tuple[str, ...] = ()
    """What one must know besides the key, to tell what a text belongs to."""


def _chained(function: Callable[..., int]) -> Callable[[Sequence[object]], int]:
    return lambda row: function(*row)


def _declared(table: Table) -> TextTable:
    columns = tuple(column.name for column in table.columns if column.type == "json")
    name = table.name
    return TextTable(name, table.key_names, columns, lambda row: of_record((name, *row)))


TEXT_TABLES: Final[Mapping[str, TextTable]] = {
    table.name: table
    for table in (
        TextTable("fields", ("agent", "field"), ("value",), _chained(of_field)),
        TextTable("log_items", ("agent", "field", "position"), ("value",), _chained(of_item)),
        TextTable("map_entries", ("agent", "field", "entry"), ("value",), _chained(of_entry)),
        TextTable("base_fields", ("agent", "field"), ("value",), _chained(of_base)),
        TextTable("mailbox", ("id",), ("body",), of_record, ("kind", "key", "name")),
        TextTable("timers", ("kind", "key", "name"), ("body",), of_record, ("method",)),
        TextTable("dead_letters", ("id",), ("body",), of_record, ("kind", "key", "name")),
        TextTable("journal", ("sequence",), ("delta",), of_record, ("agent",)),
        TextTable("quarantine", ("rowid",), ("value",), None, ("agent", "place")),
        *(_declared(table) for table in SHARED_TABLES if not table.fixed),
    )
    if table.columns
}
"""The tables whose rows hold values, in the order in which they are looked through."""
