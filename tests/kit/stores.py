"""Memory stores that fail, wait and count, as a test commands."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

from perdure.persistence.errors import StoreError, StoreUnavailable
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.tables import Key, Order, Row, Table
from perdure.persistence.store.batch import Batch
from tests.kit.deadline import DEADLINE


class FailingStore(MemoryStore):
    """A memory store whose commits fail on command."""

    def __init__(self) -> None:
        """Begin in good health."""
        super().__init__()
        self.fails_with: StoreError | None = None
        self.batches: list[list[str]] = []
        """The names of the commits of each batch that was taken."""

    def break_down(self, error: StoreError | None = None) -> None:
        """Refuse every commit from now on."""
        self.fails_with = error or StoreUnavailable("memory://: the disk is on fire")

    def mend(self) -> None:
        """Take commits again."""
        self.fails_with = None

    def commit(self, batch: Batch) -> None:
        """Take over a batch, or fail as commanded."""
        if self.fails_with is not None:
            raise self.fails_with
        super().commit(batch)
        self.batches.append([commit.name for commit in batch.commits])


class Valve(MemoryStore):
    """A store whose commits wait until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.opened.set()
        self.waiting = threading.Event()

    def shut(self) -> None:
        """Let nothing become durable from now on."""
        self.waiting.clear()
        self.opened.clear()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Let nothing become durable before the end of the block."""
        self.shut()
        try:
            yield
        finally:
            self.opened.set()

    def commit(self, batch: Batch) -> None:
        if not self.opened.is_set():
            self.waiting.set()
            assert self.opened.wait(DEADLINE)
        super().commit(batch)


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
