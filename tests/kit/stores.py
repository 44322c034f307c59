"""A memory store that counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.tables import Key, Order, Row, Table
from perdure.persistence.store.batch import Batch


class CountingStore(MemoryStore):
    """A memory store that knows what was asked of it, and how much mail it got."""

    def __init__(self) -> None:
        super().__init__()
        self.mail_written = 0
        """Rows of mailboxes that reached the store."""
        self.asked: list[tuple[str, str]] = []
        """Each look at a declared table: the call, and the table."""
        self.before_commit: Callable[[], object] = lambda: None

    def commit(self, batch: Batch) -> None:
        self.before_commit()
        self.mail_written += len(batch.mail)
        super().commit(batch)

    def row(self, table: Table, key: Key) -> Row | None:
        self.asked.append(("row", table.name))
        return super().row(table, key)

    def rows(self, table: Table, keys: Sequence[Key]) -> dict[Key, Row | None]:
        self.asked.append(("rows", table.name))
        return super().rows(table, keys)

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        self.asked.append(("page", table.name))
        return super().page(table, order, after, limit)
