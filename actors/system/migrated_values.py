"""Shared values and the metadata of artifacts, rewritten as their types are declared now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeAlias, cast

from ...persistence.errors import PerdureError
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import ARTIFACTS, SCOPED
from ...persistence.records.tables import Order, Row, Table
from ...persistence.schema.registry import Registry
from ...persistence.schema.rewrite import MIGRATE
from ...persistence.schema.trial import MigrationFailure, MigrationReport
from ...persistence.store.store import StoreReader
from ...shared.artifacts import records as artifacts
from ...shared.ledger.desk import Desk
from ...shared.ledger.unit import Step
from ...shared.scopes import entries
from ...shared.scopes.schemas import KINDS, Schemas

PAGE: Final = 500
Types: TypeAlias = tuple[Mapping[str, object], Mapping[str, object]]
"""The types of shared values, and of the metadata of artifacts, by their patterns."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """Where a table keeps its values."""

    table: Table
    told: str
    scope: int
    """The first column of the scope."""
    key: int
    value: int
    sequence: int
    version: int | None
    """The column that counts how often it was written."""


VALUES: Final = _Kept(
    SCOPED, "shared value", 0, entries.KEY, entries.VALUE, entries.SEQUENCE, entries.VERSION
)
METADATA: Final = _Kept(
    ARTIFACTS, "artifact", artifacts.KIND, artifacts.NAME, artifacts.META,
    artifacts.META + 1, None,
)  # fmt: skip


class KeptValues:
    """All values of one table, by their declared types."""

    def __init__(self, store: StoreReader, kept: _Kept, schemas: Schemas) -> None:
        """Read ``store``; nothing is read yet."""
        self._store = store
        self._kept = kept
        self._schemas = schemas
        schemas.look = self.refuse_unreadable

    @property
    def told(self) -> str:
        """What it is, in the singular."""
        return self._kept.told

    def refuse_unreadable(self) -> None:
        """Refuse types that cannot read what is stored, as ``Schemas.refuse_unreadable``."""
        self._schemas.refuse_unreadable(self._store.location, self._written)

    def each(self) -> Iterator[tuple[str, str, bool, str]]:
        """Iterate over the scope and key of each value of a declared type.

        With whether it is migrated, and why it cannot be read: "" if it can.
        """
        kept = self._kept
        for row in self._rows(every=True):
            kind, key = str(row[kept.scope]), str(row[kept.key])
            if not self._schemas.knows(kind, key):
                continue
            fresh, problem = row, ""
            try:
                fresh = self._fresh(row)
                self._schemas.check(self._scope(row), key, str(fresh[kept.value]), kept.told)
            except PerdureError as error:
                problem = str(error)
            yield str(self._scope(row)), key, fresh is not row, problem

    def tried(self, report: MigrationReport) -> None:
        """Compute what becomes of each, and change nothing."""
        for row in self._stale(report):
            report.values[f"{self.told}s"] += row is not None

    def aim(self, pattern: str, version: str) -> None:
        """Bring those of one pattern to another version than that of its type, and no others."""
        self._schemas.aim(pattern, version)

    def rewrite(self, desk: Desk, tell: Callable[[int], None]) -> None:
        """Rewrite what is of another type, in batches: each as it is when its turn comes.

        ``tell`` is told how many are done.
        """
        kept, stale, done = self._kept, self._stale(None), 0
        self._schemas.use()
        while page := [*islice(stale, PAGE)]:
            unit = desk.begin_as_system()
            for row in page:
                unit.change((kept.table, kept.table.place(row)), self._step, checked=False)
            desk.commit(unit, name=MIGRATE)
            done += len(page)
            tell(done)

    @property
    def _step(self) -> Step:
        def step(row: Row | None) -> Row | None:
            return row if row is None else self._fresh(row)

        return step

    def _written(self) -> Iterator[tuple[str, str, int]]:
        for row in self._rows():
            kind, key = str(row[self._kept.scope]), str(row[self._kept.key])
            yield kind, key, cast("int", row[self._kept.sequence])

    def _stale(self, report: MigrationReport | None) -> Iterator[Row]:
        for row in self._rows():
            try:
                if self._fresh(row) is not row:
                    yield row
            except PerdureError as error:
                if report is None:
                    raise
                scope, key = str(self._scope(row)), str(row[self._kept.key])
                report.failures.append(MigrationFailure(scope, key, str(error)))

    def _fresh(self, row: Row) -> Row:
        """Return a row with its value as the type of today has it; itself if it is that."""
        kept, key, text = self._kept, str(row[self._kept.key]), str(row[self._kept.value])
        if kept is METADATA and text == "{}":
            return row  # none was given
        where = f"{kept.told}, {self._scope(row)} {key!r}"
        sequence = cast("int", row[kept.sequence])
        made = self._schemas.fresh(str(row[kept.scope]), key, text, sequence, where)
        if made == text:
            return row
        values = [*row]
        values[kept.value] = made
        if kept.version is not None:
            values[kept.version] = cast("int", row[kept.version]) + 1
        return tuple(values)

    def _scope(self, row: Row) -> Scope:
        at = self._kept.scope
        return Scope(*map(str, row[at : at + 3]))

    def _rows(self, *, every: bool = False) -> Iterator[Row]:
        """Iterate over the rows that may be of an earlier type, or over ``every`` one.

        Those of the project's own scopes are of no declared type.
        """
        if not (self._schemas.aged or every):
            return
        table, after = self._kept.table, None
        order = Order(table.key_names)
        while page := self._store.page(table, order, after, PAGE):
            for row in page:
                if row[self._kept.scope] in KINDS:
                    yield row
            after = page[-1][: table.key]


def kept_values(store: StoreReader, registry: Registry, types: Types) -> list[KeptValues]:
    """Return what a store has by the types of a program that does not run: values, metadata."""
    of_values, of_metadata = Schemas(registry=registry), Schemas(None, registry, "metadata")
    found = [KeptValues(store, VALUES, of_values), KeptValues(store, METADATA, of_metadata)]
    of_values.register_all(types[0])
    of_metadata.register_all(types[1])
    return found
