"""The store of a sandbox: the rows that a turn has seen, and the bytes of artifacts behind them."""

from __future__ import annotations

from typing import Final

from ..persistence.memory.store import MemoryStore
from ..persistence.records.shared_tables import CHUNKS, CONTENT_PARTS, CONTENTS
from ..persistence.records.tables import Key, Order, Row, Table
from ..persistence.schema.registry import schema_of
from ..persistence.schema.schema import Schema
from ..persistence.store.batch_rows import Rows
from ..persistence.store.store import StoreReader

_NAMED_BY_CONTENT: Final = frozenset({CONTENTS, CONTENT_PARTS, CHUNKS})
"""What these tables hold under a name is the same whenever it is read, so it is not recorded."""


class SandboxStore(MemoryStore):
    """Keep what a replay needs and makes; read the bytes of artifacts from another store."""

    def __init__(self, behind: StoreReader, rows: Rows) -> None:
        """Begin with some rows of declared tables."""
        super().__init__()
        self._behind = behind
        self._schemas: dict[int, Schema | None] = {}
        self._tables.write(rows)

    def begin_again(self) -> None:
        """Be as new, and held by the same owner; nobody reads or writes meanwhile."""
        leases = self._leases
        super().__init__()
        self._leases = leases

    def schema(self, number: int) -> Schema | None:
        """Return a schema of the other store by its number there; None if it is not known."""
        if number not in self._schemas:
            self._schemas[number] = schema_of(self._behind, number)
        return self._schemas[number]

    def row(self, table: Table, key: Key) -> Row | None:
        """Return a row of a declared table by its key."""
        found = super().row(table, key)
        if found is None and table in _NAMED_BY_CONTENT:
            return self._behind.row(table, key)
        return found

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return up to ``limit`` rows of a declared table, in an order."""
        found = super().page(table, order, after, limit)
        if not found and table is CONTENT_PARTS and order.equal:
            return self._behind.page(table, order, after, limit)
        return found
