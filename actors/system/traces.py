"""Which trace each chain of messages belongs to: given at the edge, kept with it, given out."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextvars import ContextVar
from typing import ClassVar, Final

from ...hooks.trace import TraceContext, read_traceparent, read_tracestate, stored_trace
from ...lifecycle.clock import Clock
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.records.records import NOT_KNOWN, Commit
from ...persistence.records.shared_tables import TRACES
from ...persistence.records.tables import Change, Order, Row
from ...persistence.store.store import Store
from ...shared.ledger.sweep import AT_ONCE, Sweep
from ..talk.turn import Letter

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
        self._makers: OrderedDict[int, int] = OrderedDict()
        self.watched = False
        self._known: OrderedDict[int, TraceContext] = OrderedDict()
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def given(self, traceparent: str, tracestate: str) -> Iterator[None]:
        """Have what is sent from outside in the block belong to a trace."""
        context = read_traceparent(traceparent)._replace(state=read_tracestate(tracestate))
        token = GIVEN.set(context)
        try:
            yield
        finally:
            GIVEN.reset(token)

    def begins(self, correlation: int) -> None:
        """Take note that a chain begins here, before its first message leaves."""
        trace = GIVEN.get()
        if trace is not None and not self._is_known(correlation, trace):
            self._keep(correlation, trace)

    def made(self, sequence: int, message: int) -> None:
        """Take note that the turn of a message made a commit."""
        with self._lock:
            self._makers[sequence] = message
            while len(self._makers) > MOST:
                self._makers.popitem(last=False)

    def span(self, letter: Letter) -> TraceContext:
        """Return the trace and the span of a message's turn."""
        return self.of(letter.correlation).below(str(letter.id))

    def spanned(self, letter: Letter) -> tuple[TraceContext, str]:
        """Return the trace and the span of a message's turn, and the span of what led to it.

        A chain that was given no trace begins with the span of its first message.
        """
        trace, cause = self.of(letter.correlation), letter.cause
        own = self.span(letter)
        message = -cause if cause < NOT_KNOWN else self._maker(cause)
        if message:
            return own, trace.below(str(message)).span
        begun = trace.span in {own.span, trace.below(str(letter.correlation)).span}
        return own, "" if begun else trace.span

    def _maker(self, sequence: int) -> int:
        """Return the message whose turn made a commit; 0 if nobody knows."""
        self.watched = True
        if sequence <= 0:
            return 0
        with self._lock:
            known = self._makers.get(sequence)
        if known is not None:
            return known
        found = self._store.journal(after=sequence - 1, limit=1)
        return found[0].message if found and found[0].sequence == sequence else 0

    def of(self, correlation: int) -> TraceContext:
        """Return the trace of a chain."""
        with self._lock:
            known = self._known.get(correlation)
        if known is None:
            row = self._store.row(TRACES, (correlation,))
            if row is not None:
                known = stored_trace(str(row[1]))
                self._remember(correlation, known)
        if known is None:
            drawn = TraceContext(secrets.token_hex(16), "", "01").below(str(correlation))
            with self._lock:  # of several that ask at once one draws
                known = self._known.setdefault(correlation, drawn)
            if known is drawn:
                self._keep(correlation, known)
        return known

    def _is_known(self, correlation: int, trace: TraceContext) -> bool:
        with self._lock:
            return self._known.get(correlation) == trace

    def _keep(self, correlation: int, trace: TraceContext) -> None:
        """Store it. Before its message in the order of commits: where that is, its trace is."""
        self._remember(correlation, trace)
        commit = Commit()
        row = (correlation, trace.stored(), self._clock.now(), 0)
        commit.with_effects().rows = [Change(TRACES, row[:1], row)]
        self._supervisor.append(commit)

    def _remember(self, correlation: int, trace: TraceContext) -> None:
        with self._lock:
            self._known[correlation] = trace
            while len(self._known) > MOST:
                self._known.popitem(last=False)

    def sweep(self) -> bool:
        """Delete some of what is older than the journal; tell whether there may be more.

        A chain of which the journal has later commits goes on: its trace is written once more.
        """
        first, _ = self._store.journal_extent()
        rows = self._store.page(TRACES, Order(("sequence",)), None, SLICE)
        old = [row for row in rows if int(str(row[-1])) < first]
        if old:
            commit = Commit()
            commit.with_effects().rows = [
                Change(TRACES, row[:1], row if self._lives(row) else None) for row in old
            ]
            self._supervisor.append(commit)
            self._supervisor.committer.flush()
        return len(old) == SLICE

    def _lives(self, row: Row) -> bool:
        return bool(self._store.journal(correlation=int(str(row[0])), limit=1))


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
