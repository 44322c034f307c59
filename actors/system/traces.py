"""Which trace each chain of messages belongs to: given at the edge, kept with it, given out."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from typing import ClassVar, Final

from ...hooks.timeline.trace import TraceContext, read_traceparent
from ...lifecycle.clock import Clock
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.records.records import Commit
from ...persistence.records.shared_tables import TRACES
from ...persistence.records.tables import Change, Order
from ...persistence.store.store import Store
from ...shared.ledger.sweep import AT_ONCE, Sweep

MOST: Final = 10_000
"""Traces kept in memory; the others are read again."""
SLICE: Final = 500
EVERY: Final = 60.0
GIVEN: Final[ContextVar[TraceContext | None]] = ContextVar("perdure_trace", default=None)
"""The trace to which what is sent from outside, here, belongs."""


class Traces:
    """Keep the trace of each chain; a chain that was given none begins one when it is asked."""

    def __init__(self, store: Store, supervisor: PersistenceSupervisor, clock: Clock) -> None:
        """Keep them in ``store``."""
        self._store = store
        self._supervisor = supervisor
        self._clock = clock
        self._known: OrderedDict[int, TraceContext] = OrderedDict()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def given(self, traceparent: str) -> Iterator[None]:
        """Have what is sent from outside in the block belong to a trace."""
        token = GIVEN.set(read_traceparent(traceparent))
        try:
            yield
        finally:
            GIVEN.reset(token)

    def begins(self, correlation: int) -> None:
        """Take note that a chain begins here, before its first message leaves."""
        trace = GIVEN.get()
        if trace is not None:
            self._keep(correlation, trace)

    def of(self, correlation: int) -> TraceContext:
        """Return the trace of a chain."""
        with self._lock:
            known = self._known.get(correlation)
        if known is None:
            row = self._store.row(TRACES, (correlation,))
            if row is not None:
                known = read_traceparent(str(row[1]))
                self._remember(correlation, known)
        if known is None:
            known = TraceContext(secrets.token_hex(16), secrets.token_hex(8), "01")
            self._keep(correlation, known)
        return known

    def _keep(self, correlation: int, trace: TraceContext) -> None:
        """Store it. Before its message in the order of commits: where that is, its trace is."""
        self._remember(correlation, trace)
        commit = Commit()
        row = (correlation, str(trace), self._clock.now(), 0)
        commit.with_effects().rows = [Change(TRACES, row[:1], row)]
        self._supervisor.append(commit)

    def _remember(self, correlation: int, trace: TraceContext) -> None:
        with self._lock:
            self._known[correlation] = trace
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def sweep(self) -> bool:
        """Delete some of what is older than the journal; tell whether there may be more."""
        first, _ = self._store.journal_extent()
        rows = self._store.page(TRACES, Order(("sequence",)), None, SLICE)
        old = [row for row in rows if int(str(row[-1])) < first]
        if old:
            commit = Commit()
            commit.with_effects().rows = [Change(TRACES, row[:1], None) for row in old]
            self._supervisor.append(commit)
            self._supervisor.committer.flush()
        return len(old) == SLICE


class TraceSweep(Sweep):
    """Delete traces of chains that the journal has no more."""

    what: ClassVar[str] = "traces are not deleted"

    def __init__(self, traces: Traces) -> None:
        """See to some traces."""
        super().__init__()
        self._traces = traces

    def slice(self) -> float:
        """Delete a slice."""
        return AT_ONCE if self._traces.sweep() else EVERY
