"""The history of hooks as a system keeps it: packed and bounded behind everybody's back."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, Final, Unpack

import msgspec

from ...hooks.history.erasure import rows_of, without
from ...hooks.history.history import MANY, PAGE, History, RunSelection, readable
from ...hooks.history.record import HookRecord
from ...hooks.history.retention import HistoryRetention, outdated
from ...hooks.history.segments import LEAST, SEGMENT, is_whole, pack
from ...persistence.errors import Denied, StoreUnavailable
from ...persistence.records.kinds import Name
from ...persistence.records.page import LIMIT, Page
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import HOOK_PINS, HOOK_RUNS, HOOK_SEGMENTS
from ...persistence.records.tables import Change, Order, Row
from ...shared.ledger.desk import Desk
from ...shared.ledger.sweep import AT_ONCE, Sweep
from ..cell.cell import Surroundings

EVERY: Final = 30.0
"""Seconds between two looks for what can be packed."""
HEAD: Final = 7
"""Columns of a segment before its words and its data."""
_UP: Final = Order(("first",))


class HookHistory(History):
    """What hooks did, in the order of commits; an agent sees what belongs to its own turns only."""

    def __init__(self, home: Surroundings, retention: HistoryRetention) -> None:
        """Read and keep the history of a system."""
        super().__init__(home.store)
        self._home = home
        self._retention = retention
        self._packing = threading.Lock()
        self._heads: tuple[Row, ...] | None = None
        home.hooks.erasing = self._erasing

    def list(
        self, *, after: str | None = None, limit: int = LIMIT, newest: bool = False,
        **wanted: Unpack[RunSelection],
    ) -> Page[HookRecord]:  # fmt: skip
        """As ``History.list``; Denied to a handler that asks for others than its own agent."""
        _refuse_others(self._home.desk, wanted)
        return super().list(after=after, limit=limit, newest=newest, **wanted)

    def each(
        self, *, after: str | None = None, newest: bool = False, **wanted: Unpack[RunSelection]
    ) -> Iterator[HookRecord]:
        """As ``History.each``; Denied as ``list``."""
        _refuse_others(self._home.desk, wanted)
        return super().each(after=after, newest=newest, **wanted)

    def pin(self, run: str) -> None:
        """Keep an execution whatever the retention says; UnknownHook if it is not kept any more."""
        record = self.get(run)
        row = (record.sequence, record.position, msgspec.json.encode(record).decode())
        self._commit(Change(HOOK_PINS, row[:2], row))

    def unpin(self, run: str) -> None:
        """Leave an execution to the retention; UnknownHook if it is not kept any more."""
        record = self.get(run)
        self._commit(Change(HOOK_PINS, (record.sequence, record.position), None))

    def pack(self, least: int = 1) -> int:
        """Pack up to a segment of what is durable; return how many executions that were."""
        with self._packing:
            self._flush()  # what was erased a moment ago is still there before
            rows = self._oldest()
            count = sum(int(str(row[4])) for row in rows)
            packed = rows if rows and is_whole(rows[0]) else []
            if not packed:
                if count < least:
                    return 0
                records = [record for row in rows for record in readable(row)]
                packed = [pack(records)] if records else []
            heads = self._segment_heads()
            self._commit(
                *(Change(HOOK_RUNS, row[:1], None) for row in rows),
                *(Change(HOOK_SEGMENTS, segment[:1], segment) for segment in packed),
            )
            self._heads = (*heads, *(segment[:HEAD] for segment in packed))
            return count

    def _oldest(self) -> Sequence[Row]:
        """Return the oldest blocks that are no segment yet: a whole one, or those that make one."""
        found = []
        count, after, limit = 0, None, PAGE
        while page := self._store.page(HOOK_RUNS, _UP, after, limit):
            for row in page:
                found.append(row)
                count += int(str(row[4]))
                if count >= SEGMENT or is_whole(found[0]):
                    return found
            after, limit = page[-1][:1], MANY
        return found

    def trim(self) -> int:
        """Remove the segments that are more than the retention keeps; return how many."""
        with self._packing:
            heads = self._segment_heads()
            gone = outdated(heads, self._retention, self._home.clock.now())
            if gone:
                self._commit(*(Change(HOOK_SEGMENTS, (first,), None) for first in gone))
                self._heads = tuple(head for head in heads if head[0] not in gone)
            return len(gone)

    @contextmanager
    def _erasing(self, names: Sequence[Name]) -> Iterator[Sequence[Change]]:
        """Give what takes an agent out of the history; nothing is packed until it is appended."""
        with self._packing:
            self._flush()
            self._heads = None
            yield tuple(without(self._store, names))

    def _segment_heads(self) -> tuple[Row, ...]:
        """Return what the segments say of themselves, oldest first; read once in a process."""
        if self._heads is None:
            self._heads = tuple(row[:HEAD] for row in rows_of(self._store, HOOK_SEGMENTS))
        return self._heads

    def _flush(self) -> None:
        with self._home.dispatcher.blocking():
            if not self._home.supervisor.committer.flush(while_held=False):
                raise StoreUnavailable("the store fails; what hooks did is kept as it is till then")

    def _commit(self, *changes: Change) -> None:
        commit = Commit()
        commit.with_effects().rows = list(changes)
        self._home.supervisor.append(commit)
        self._flush()


class HistorySweep(Sweep):
    """Pack the history of hooks, and bound it."""

    what: ClassVar[str] = "the history of hooks is not packed"

    def __init__(self, history: HookHistory) -> None:
        """See to a history."""
        super().__init__()
        self._history = history

    def slice(self) -> float:
        """Pack a segment."""
        if self._history.pack(LEAST):
            self._history.trim()
            return AT_ONCE
        return EVERY


def _refuse_others(desk: Desk, wanted: RunSelection) -> None:
    who = desk.standing().principal
    if who.kind != "agent" or (who.id, who.part) == (wanted.get("kind"), wanted.get("key")):
        return
    message = f"{who} may see what hooks did in its own turns only; give kind= and key= of itself"
    raise Denied(message)
