"""In whose name a call to shared state runs, and what it commits with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from ..lifecycle.supervisor import PersistenceSupervisor
from ..persistence.errors import Deadlock, MailboxFull, SystemClosed
from ..persistence.records import Commit
from ..persistence.shared.guard import Standing
from ..persistence.shared.ledger import Ledger
from ..persistence.shared.scope import Principal
from ..persistence.shared.unit import Unit
from .cell import Surroundings
from .future import PooledFuture
from .turn import Turn, current, under_way

_entered: Final[ContextVar[Unit | None]] = ContextVar("perdure_transaction", default=None)
"""The outside transaction of this context."""


class SharedCalls:
    """Know the turn or the transaction a call belongs to; commit what belongs to neither."""

    def __init__(
        self,
        home: Surroundings,
        supervisor: PersistenceSupervisor,
        ledger: Ledger,
        *,
        patience: float,
    ) -> None:
        """Serve ``home``; a call outside waits ``patience`` seconds while too much is unsaved."""
        self._home = home
        self._supervisor = supervisor
        self._ledger = ledger
        self._patience = patience

    def standing(self) -> Standing:
        """Return in whose name this call runs: the agent's, whatever handle is used in its turn.

        Also in a task that goes on when the turn that began it is over.
        """
        turn = current.get()
        return Standing(Principal.SYSTEM) if turn is None else standing_of(turn)

    def unit(self) -> Unit | None:
        """Return the unit of the turn or transaction under way."""
        turn = under_way()
        if turn is None:
            return _entered.get() if current.get() is None else None
        if turn.unit is None:
            turn.unit = Unit(standing_of(turn), self._ledger.guard.epoch, turn.cell)
        return turn.unit

    def learnt(self) -> None:
        """Have the turn's reply wait for what it may know of."""
        turn = under_way()
        if turn is not None:
            turn.asked = True

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._home.clock.now()

    def commit(self, unit: Unit) -> None:
        """End a unit that is no turn's, and wait until it, and what it has seen, is durable."""
        committer = self._supervisor.committer
        self._refuse_in_vain()
        receipt: PooledFuture[None] = PooledFuture()
        committer.promise()
        try:
            with self._ledger.ending(unit) as ending:
                commit = Commit(time=self.now(), name="(shared)")
                commit.correlation = unit.standing.correlation
                if ending.changes or ending.audit:
                    effects = commit.with_effects()
                    effects.rows, effects.audit = ending.changes, ending.audit
                    receipt.prepare(None)
                    commit.reply = receipt
                    sequence = self._supervisor.append(commit)
                    self._ledger.publish(ending, sequence)
                else:
                    sequence = committer.appended  # what it has seen may be on its way yet
        finally:
            committer.keep()
        with self._home.dispatcher.blocking():
            if commit.reply is None:
                committer.flush(sequence=sequence)
            else:
                receipt.get()

    @contextmanager
    def transaction(self, standing: Standing) -> Iterator[None]:
        """Surround an outside transaction; nothing is locked while the block runs."""
        unit = Unit(standing, self._ledger.guard.epoch)
        unit.serializable = True
        token = _entered.set(unit)
        try:
            yield
        except BaseException:
            unit.undo()
            if unit.audit:
                self.commit(unit)
            raise
        finally:
            _entered.reset(token)
        self.commit(unit)

    def _refuse_in_vain(self) -> None:
        if self._supervisor.committer.closed:
            raise SystemClosed("the agent system is closed; open it again to share anything")
        if self._supervisor.committer.writes_here():
            message = "a receiver of a save signal runs where saving is done; do not write there"
            raise Deadlock(message)
        refusal = self._supervisor.refusal()
        if refusal is not None:
            raise refusal
        if self._supervisor.swamped:
            with self._home.dispatcher.blocking():
                relieved = self._supervisor.wait_for_relief(self._patience)
            if not relieved:
                message = "too much is unsaved; write more slowly, or raise most_unsaved"
                raise MailboxFull(message)


def standing_of(turn: Turn) -> Standing:
    """Return in whose name a turn's calls run."""
    cell: Any = turn.cell
    return Standing(Principal.agent(cell.kind, cell.key), "", turn.letter.correlation)
