"""Bring contents into the store, once for equal bytes.

Chunk by chunk, each a commit of its own; a small one goes with the artifact's own commit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import CorruptState, Deadlock, SystemClosed
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import CHUNKS, CONTENT_PARTS, CONTENTS
from ...persistence.records.tables import Change, Order, Row, Table
from ..ledger.context import Receipt
from ..ledger.ledger import Ledger
from .chunking import digest, packed
from .traffic import Hold, Name, Traffic

logger = logging.getLogger("perdure.lifecycle")

MOST_UNDER_WAY: Final = 8 * 1024 * 1024
"""Bytes of chunks that may wait for the disk, of all uploads together."""
MANY: Final = 1000
"""Commits on their way after which a sweep waits."""
PARTS: Final = 1000
"""Rows of parts in a commit."""
SMALL: Final = 32 * 1024
"""Bytes of a content that is not looked for: to write it once more takes less time."""


class Uploads:
    """Write chunks and contents, those that are not there yet, without flooding the memory."""

    def __init__(self, ledger: Ledger, supervisor: PersistenceSupervisor) -> None:
        """Append to the supervisor."""
        committer = supervisor.committer
        self.waiting = ledger.waiting
        self.traffic = Traffic(ledger.lock, lambda: committer.durable)
        ledger.on_contents = self.traffic.wrote
        self._store = ledger.store
        self._supervisor = supervisor
        self._room = threading.Condition()
        self._used = 0

    def chunk(self, hold: Hold, data: bytes) -> str:
        """Have a chunk stored, and kept while ``hold`` lasts; return its name."""
        name = digest(data)
        if not self._there(hold, CHUNKS, name, lambda: self._good_chunk(name, len(data))):
            flag, small = packed(data)
            self._take(len(small))
            try:
                change = Change(CHUNKS, (name,), (name, len(data), flag, small))
                self._append([change], [(CHUNKS, name)], len(small))
            except BaseException:
                self._give(len(small))
                raise
        return name

    def content(self, hold: Hold, name: str, size: int, chunks: Sequence[str]) -> None:
        """Have a content stored that consists of these chunks, all of them held."""
        # One of a single chunk is that chunk, and is hashed alike: it needs no list.
        listed = chunks if len(chunks) > 1 else ()
        parts: list[Row] = [(name, position, chunk) for position, chunk in enumerate(listed)]
        row: Row = (name, size, len(chunks))
        if self._there(hold, CONTENTS, name, lambda: self._good_content(row, parts)):
            return
        changes = [Change(CONTENT_PARTS, part[:2], part) for part in parts]
        while len(changes) >= PARTS:
            self._append(changes[:PARTS], [])
            del changes[:PARTS]
        # Last, so that a content that is there is complete.
        changes.append(Change(CONTENTS, (name,), row))
        needed: list[Name] = [(CHUNKS, chunk) for chunk in chunks]
        self._append(changes, [*needed, (CONTENTS, name)])

    def small(self, hold: Hold, name: str, data: bytes) -> list[Change]:
        """Return the rows of a content that is kept while ``hold`` lasts.

        They are for the commit that refers to it, and are not looked for: if they are there, those
        that are good stay as they are, and others become so.
        """
        chunks: list[Name] = [(CHUNKS, name)] if data else []  # hashed alike: it is all of it
        self.traffic.keep(hold, [(CONTENTS, name), *chunks])
        rows = [Change(CONTENTS, (name,), (name, len(data), len(chunks)))]
        if data:
            rows.append(Change(CHUNKS, (name,), (name, len(data), *packed(data))))
        return rows

    @contextmanager
    def together(self) -> Iterator[None]:
        """Have what the block appends written at its end, by this thread, in one transaction.

        For a block that ends with a wait for its last commit.
        """
        with self._supervisor.committer.promise():
            yield

    def settle(self, content: str) -> None:
        """Wait until what was appended of a content is durable: it is read from the store alone."""
        self.flush(self.traffic.written((CONTENTS, content)))

    def flush(self, sequence: int | None = None) -> None:
        """Wait until everything appended, or a sequence, is durable; raises in an outage."""
        committer = self._supervisor.committer
        if sequence is not None and sequence <= committer.durable:
            return
        self.check()
        receipt = Receipt()
        committer.gate(receipt)
        committer.help()
        receipt.wait(self.waiting)

    def relieve(self) -> None:
        """Wait if much waits for the disk."""
        if self._supervisor.committer.backlog() > MANY:
            self.flush()

    def check(self) -> None:
        """Raise what keeps anything from being saved just now."""
        if self._supervisor.committer.dead is not None:
            raise SystemClosed("the agent system is closed; open it again to save artifacts")
        if self._supervisor.committer.writes_here():
            message = "a receiver of a save signal runs where saving is done; do not save there"
            raise Deadlock(message)
        refusal = self._supervisor.refusal()
        if refusal is not None:
            raise refusal

    def delete(self, changes: list[Change], names: Sequence[Name]) -> None:
        """Append a deletion; called under the lock of the traffic."""
        commit = Commit()
        commit.with_effects().rows = changes
        self.traffic.deletes(names, self._supervisor.append(commit))

    def _there(self, hold: Hold, table: Table, name: str, good: Callable[[], bool]) -> bool:
        """Hold a name; tell whether its row is there, or on its way.

        One that is not ``good`` is not: written again, it heals all artifacts with the same bytes.
        """
        known = self.traffic.hold(hold, (table, name))
        if known is not None:
            return known
        if self._store.count(table, Order(table.key_names, (name,))) == 0:
            return False
        try:
            return good()
        except CorruptState as error:
            logger.warning("%s; it is replaced by the same bytes, saved again", error)
            return False

    def _good_chunk(self, name: str, size: int) -> bool:
        row = self._store.row(CHUNKS, (name,))
        return row is not None and row[1] == size

    def _good_content(self, row: Row, parts: list[Row]) -> bool:
        if self._store.row(CONTENTS, row[:1]) != row:
            return False
        at = 0
        while at < len(parts):
            order = Order(("content", "position"), row[:1])
            page = self._store.page(CONTENT_PARTS, order, (at - 1,), PARTS)
            if not page or page != parts[at : at + len(page)]:
                return False
            at += len(page)
        return True

    def _append(self, changes: list[Change], names: Sequence[Name], weight: int = 0) -> None:
        self.check()
        commit = Commit()
        commit.with_effects().rows = changes
        if weight:
            left = [weight]  # an interrupted reply comes again
            commit.reply = lambda _error: self._give(left.pop()) if left else None
        with self.traffic.lock:
            self.traffic.wrote(names, self._supervisor.append(commit))

    def _take(self, weight: int) -> None:
        with self._room:
            if self._used + weight <= MOST_UNDER_WAY or not self._used:
                self._used += weight
                return
        self._supervisor.committer.help()
        with self.waiting(), self._room:
            self._room.wait_for(lambda: self._used + weight <= MOST_UNDER_WAY or not self._used)
            self._used += weight

    def _give(self, weight: int) -> None:
        with self._room:
            self._used -= weight
            self._room.notify_all()
