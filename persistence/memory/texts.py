"""Stored texts in memory: looked through, and replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..records.checksums import of_field, of_record
from ..records.records import DeadLetter, JournalRow, Message, QuarantineRow, Timer
from ..records.shared_tables import SHARED_TABLES
from ..records.tables import Key, Row, Table
from ..records.texts import TEXT_TABLES, Replacement, StoredText
from .tables import MemoryTables

Cell = tuple[StoredText, Callable[[str], None]]
"""A text, and how to put another in its place."""

Container = Any
"""A dictionary or a list of any kind of rows."""


@dataclass(frozen=True, slots=True)
class MemoryTexts:
    """The parts of a memory store that hold texts; the store's lock is held by who calls."""

    fields: dict[int, dict[str, tuple[str, int]]]
    logs: dict[tuple[int, str], list[str]]
    maps: dict[tuple[int, str], dict[str | int, str]]
    base: dict[int, dict[str, str]]
    mail: dict[int, Message]
    timers: dict[tuple[str, str, str], Timer]
    dead: dict[int, DeadLetter]
    journal: list[JournalRow]
    bad: list[QuarantineRow]
    tables: MemoryTables

    def texts(self, containing: str) -> list[StoredText]:
        """Return the texts that contain ``containing``."""
        return [stored for stored, _ in self._cells() if containing in stored.text]

    def replace(self, replacements: Sequence[Replacement]) -> None:
        """Replace the texts that still are as they were read."""
        wanted = {each[:3]: each for each in replacements}
        for stored, put in list(self._cells()) if wanted else ():
            replacement = wanted.get(stored[:3])
            if replacement is not None and replacement.old == stored.text:
                put(replacement.new)

    def _cells(self) -> Iterator[Cell]:
        yield from self._values()
        for number, message in self.mail.items():
            at = _at("mailbox", (number,), message.body, message[1:4])
            yield _cell(at, self.mail, number, _body(message))
        for place, timer in self.timers.items():
            at = _at("timers", place, timer.body, (timer.method,))
            yield _cell(at, self.timers, place, _body(timer))
        for number, letter in self.dead.items():
            at = _at("dead_letters", (number,), letter.body, letter[1:4])
            yield _cell(at, self.dead, number, _body(letter))
        for index, row in enumerate(self.journal):
            at = _at("journal", (row.sequence,), row.delta, (row.agent,))
            yield _cell(at, self.journal, index, _delta(row))
        for index, bad in enumerate(self.bad):
            at = _at("quarantine", (index,), bad.value, bad[:2])
            yield _cell(at, self.bad, index, _value(bad))
        for table in SHARED_TABLES:
            if table.name in TEXT_TABLES:
                yield from self._declared(table)

    def _values(self) -> Iterator[Cell]:
        for agent, fields in self.fields.items():
            for name, (text, _) in fields.items():
                yield _cell(_at("fields", (agent, name), text), fields, name, _summed(agent, name))
        for (agent, name), items in self.logs.items():
            for at, text in enumerate(items):
                yield _cell(_at("log_items", (agent, name, at), text), items, at, str)
        for (agent, name), entries in self.maps.items():
            for entry, text in entries.items():
                yield _cell(_at("map_entries", (agent, name, entry), text), entries, entry, str)
        for agent, base in self.base.items():
            for name, text in base.items():
                yield _cell(_at("base_fields", (agent, name), text), base, name, str)

    def _declared(self, table: Table) -> Iterator[Cell]:
        for key in self.tables.keys(table, None, 2**63):
            row = self.tables.row(table, key) or ()
            for column in TEXT_TABLES[table.name].columns:
                at = table.names.index(column)
                text = row[at]
                if isinstance(text, str):
                    yield StoredText(table.name, key, column, text, ()), self._row(table, row, at)

    def _row(self, table: Table, row: Row, at: int) -> Callable[[str], None]:
        def put(text: str) -> None:
            changed = (*row[:at], text, *row[at + 1 :])
            self.tables.write({table: {table.place(row): changed}})

        return put


def _at(table: str, key: Key, text: str, about: Key = ()) -> StoredText:
    (column,) = TEXT_TABLES[table].columns
    return StoredText(table, key, column, text, about)


def _cell(
    stored: StoredText, container: Container, place: object, made: Callable[[str], object]
) -> Cell:
    """Return the cell of a text that stands in ``container[place]`` as ``made`` makes it."""

    def put(text: str) -> None:
        container[place] = made(text)

    return stored, put


def _body(record: Message | Timer | DeadLetter) -> Callable[[str], object]:
    return lambda text: record._replace(body=text)


def _value(record: QuarantineRow) -> Callable[[str], object]:
    return lambda text: record._replace(value=text)


def _summed(agent: int, field: str) -> Callable[[str], object]:
    return lambda text: (text, of_field(agent, field, text))


def _delta(row: JournalRow) -> Callable[[str], object]:
    def made(text: str) -> JournalRow:
        changed = row._replace(delta=text)
        return changed._replace(crc=of_record(changed[:-1]))

    return made
