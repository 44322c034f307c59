"""The registry in a store: every schema that anything there was ever written with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import msgspec

from ..records.shared_tables import SCHEMAS
from ..records.tables import Change, Order, Row
from ..store.store import StoreReader
from .schema import Family, Schema, read_schema

_ALL: Final = Order(("number",))
_PAGE: Final = 500
_END: Final = 2**62
"""Behind all messages and commits."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as the store has it."""

    number: int
    """Agents' heads name it by this."""
    kind: str
    schema: Schema
    fingerprint: str
    letter: int
    """The first id of a message that may have been sent under it."""
    made: float
    """When it was first used: seconds since the epoch."""
    sequence: int
    """The commit that was made durable with it."""

    def row(self) -> Row:
        """Return it as a row of the store."""
        schema = self.schema
        return (
            self.number, self.kind, schema.family, schema.name, schema.version, self.fingerprint,
            schema.text(), self.letter, self.made, self.sequence,
        )  # fmt: skip


def registered(reader: StoreReader) -> Iterator[Registered]:
    """Iterate over the schemas of a store, in the order in which they were first used."""
    after: Row | None = None
    while page := reader.page(SCHEMAS, _ALL, after, _PAGE):
        for row in page:
            yield _of(row)
        after = page[-1][:1]


def schema_of(reader: StoreReader, number: int) -> Schema | None:
    """Return a schema of a store by its number; None if it is not known."""
    row = reader.row(SCHEMAS, (number,)) if number else None
    return None if row is None else _of(row).schema


def _of(row: Row) -> Registered:
    number, kind, _, _, _, fingerprint, text, letter, made, sequence = row
    assert isinstance(number, int)
    assert isinstance(letter, int)
    assert isinstance(made, float)
    assert isinstance(sequence, int)
    return Registered(
        number, str(kind), read_schema(str(text)), str(fingerprint), letter, made, sequence
    )


class Registry:
    """The schemas of a store that is open, with those of the classes it was opened with.

    Thread-safe. A new schema has a number at once, and is stored with the next commit once
    somebody uses it.
    """

    def __init__(
        self, reader: StoreReader, keep: Callable[[Change], None], *, letter: int, sequence: int,
        moment: float,
    ) -> None:  # fmt: skip
        """Read a store; ``keep`` takes a row that rides with the next batch of commits.

        What is written from now on is in messages from ``letter`` on, or behind ``sequence``.
        """
        self._keep = keep
        self._letter = letter
        self._sequence = sequence
        self._moment = moment
        self._lock = threading.Lock()
        self._known = {each.number: each for each in registered(reader)}
        self._waiting: dict[int, Registered] = {}
        """Those that nothing was written with yet."""

    @classmethod
    def only_read(cls, reader: StoreReader) -> Self:
        """Return the registry of a store in which nothing is to be changed: new rows are lost."""
        return cls(reader, lambda _row: None, letter=_END, sequence=_END, moment=0.0)

    def enter(self, kind: str, schema: Schema) -> int:
        """Return the number of a schema of a kind, which may be new.

        Agents name theirs. Of all else it is known since when it was written with one: so a schema
        that is used again after another has a number of its own for that.
        """
        with self._lock:
            same = [
                each
                for each in [*self._known.values(), *self._waiting.values()]
                if (each.kind, each.schema.family) == (kind, schema.family)
            ]
            for each in same if schema.family == "state" else same[-1:]:
                if each.fingerprint == schema.fingerprint:
                    return each.number
            return self._entered(kind, schema, self._letter).number

    def _entered(self, kind: str, schema: Schema, letter: int) -> Registered:
        number = max([0, *self._known, *self._waiting]) + 1
        if schema.family != "state":
            schema = msgspec.structs.replace(schema, since=self._sequence + 1)
        made = Registered(number, kind, schema, schema.fingerprint, letter, self._moment, 0)
        self._waiting[number] = made
        return made

    def cover(self, kind: str, schema: Schema, letter: int) -> Change:
        """Have all messages of a kind from ``letter`` on be of a schema.

        Returns the row to commit with those that were rewritten.
        """
        number = self.enter(kind, schema)
        with self._lock:
            entry = self._known.get(number) or self._waiting.pop(number)
            made = self._known[number] = replace(entry, letter=min(entry.letter, letter))
            return Change(SCHEMAS, (number,), made.row())

    def of_letter(self, kind: str, letter: int) -> Registered | None:
        """Return what a stored message was sent under; None if that is not known."""
        found = [each for each in self.of(kind, "messages") if each.letter <= letter]
        return found[-1] if found else None

    def of_commit(self, kind: str, family: Family, sequence: int) -> Registered | None:
        """Return what a commit has written under; None if that is not known."""
        found = [each for each in self.of(kind, family) if each.schema.since <= sequence]
        return found[-1] if found else None

    def is_new(self, *, letter: int = 0, sequence: int = 0) -> bool:
        """Tell whether a message or a commit is of this very process."""
        return letter >= self._letter or sequence > self._sequence

    def use(self, number: int) -> None:
        """Have a schema stored, if it is not, with the next commit: something is written by it."""
        if number not in self._waiting:
            return
        with self._lock:
            entry = self._waiting.get(number)
            if entry is not None:
                self._keep(Change(SCHEMAS, (number,), entry.row()))
                self._known[number] = self._waiting.pop(number)

    def get(self, number: int) -> Registered | None:
        """Return a schema by its number; None if there is none."""
        return self._known.get(number) or self._waiting.get(number)

    def of(self, kind: str, family: Family = "state") -> list[Registered]:
        """Return the stored schemas of a kind, in the order in which they were first used."""
        return [
            each
            for number, each in sorted(self._known.items())
            if each.kind == kind and each.schema.family == family
        ]

    def kinds(self, family: Family) -> set[str]:
        """Return the kinds, or patterns, that there are stored schemas of a family for."""
        known = [*self._known.values()]  # in one step: others may enter theirs meanwhile
        return {each.kind for each in known if each.schema.family == family}
