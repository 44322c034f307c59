"""The history of hooks as a system keeps it: packed and bounded behind everybody's back."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, ClassVar, Final, Unpack

import msgspec

from ...hooks.history.history import History, RunSelection, numbered
from ...hooks.history.record import HookRecord
from ...hooks.history.retention import HistoryRetention, outdated
from ...hooks.history.segments import pack
from ...persistence.errors import Denied
from ...persistence.records.page import LIMIT, Page
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import HOOK_PINS, HOOK_RUNS, HOOK_SEGMENTS
from ...persistence.records.tables import Change, Order
from ...shared.ledger.desk import Desk
from ...shared.ledger.sweep import AT_ONCE, Sweep
from ..cell.cell import Surroundings

EVERY: Final = 30.0
"""Seconds between two looks for what can be packed."""
SEGMENT: Final = 500
"""Commits whose executions one segment takes."""
LEAST: Final = 100
"""Fewer are left as they are: small blocks do not shrink."""
_UP: Final = Order(("sequence",))
_SEGMENTS: Final = Order(("first",))


class HookHistory(History):
    """What hooks did, in the order of commits; an agent sees what belongs to its own turns only."""

    def __init__(self, home: Surroundings, retention: HistoryRetention) -> None:
        """Read and keep the history of a system."""
        super().__init__(home.store)
        self._home = home
        self._retention = retention
        self._packing = threading.Lock()

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
            rows = self._store.page(HOOK_RUNS, _UP, None, SEGMENT)
            records = [record for row in rows for record in numbered(row)]
            if len(rows) < least or not records:
                return 0
            segment = pack(records)
            gone = [Change(HOOK_RUNS, row[:1], None) for row in rows]
            self._commit(Change(HOOK_SEGMENTS, segment[:1], segment), *gone)
            return len(records)

    def trim(self) -> int:
        """Remove the segments that are more than the retention keeps; return how many."""
        with self._packing:
            segments = []
            after: Any = None
            while page := self._store.page(HOOK_SEGMENTS, _SEGMENTS, after, 8):
                segments += [(*row[:7], b"", b"") for row in page]
                after = page[-1][:1]
            gone = outdated(segments, self._retention, self._home.clock.now())
            if gone:
                self._commit(*(Change(HOOK_SEGMENTS, (first,), None) for first in gone))
            return len(gone)

    def _commit(self, *changes: Change) -> None:
        commit = Commit()
        commit.with_effects().rows = list(changes)
        supervisor = self._home.supervisor
        sequence = supervisor.append(commit)
        with self._home.dispatcher.blocking():
            supervisor.committer.flush(sequence=sequence)


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
