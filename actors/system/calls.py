"""In whose name a call to shared state runs, and what it commits with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import Deadlock, MailboxFull, SystemClosed
from ...persistence.names.scope import Principal
from ...persistence.records.records import Commit
from ...shared.ledger.guard import Standing
from ...shared.ledger.ledger import Ledger
from ...shared.ledger.unit import Unit
from ...shared.sessions.current import entered
from ..cell.cell import AgentCell, Surroundings
from ..cell.isolation import undo
from ..cell.settling import row
from ..pool.future import PooledFuture
from ..talk.turn import Letter, Turn, current, under_way

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
        self._mail: dict[Unit, list[tuple[AgentCell, Letter]]] = {}

    def standing(self) -> Standing:
        """Return in whose name this call runs: the agent's, whatever handle is used in its turn.

        Also in a task that goes on when the turn that began it is over.
        """
        turn = current.get()
        if turn is not None:
            return standing_of(turn)
        session = entered(None)
        return Standing(Principal.SYSTEM, _session_of(self._ledger, session), session)

    def unit(self) -> Unit | None:
        """Return the unit of the turn or transaction under way."""
        turn = under_way()
        if turn is None:
            if self._home.closing:
                # Also in a fork, which must not touch what it shares with its parent.
                raise SystemClosed("the agent system is closed; open it again to share anything")
            unit = _entered.get() if current.get() is None else None
            # What a transaction began and did not wait for is a call of its own.
            return None if unit is None or unit.ended else unit
        if turn.unit is None:
            turn.unit = Unit(standing_of(turn), self._ledger.guard.epoch, turn.cell)
            turn.cell.shares = True
        return None if turn.unit.ended else turn.unit

    def turn(self) -> object:
        """Return the turn under way; None outside of turns."""
        return under_way()

    def appended(self) -> int:
        """Return the sequence of the newest commit."""
        return self._supervisor.committer.appended

    def learnt(self) -> None:
        """Have the turn's reply wait for what it may know of."""
        turn = under_way()
        if turn is not None:
            turn.asked = True

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._home.clock.now()

    def enclose(self, unit: Unit, cell: AgentCell, letter: Letter, *, once: bool) -> None:
        """Have a letter leave with a unit that is no turn's; with ``once`` one of equal ones."""
        mail = self._mail.setdefault(unit, [])
        if (
            not once
            or not letter.body
            or not any(
                other is cell and (kept.name, kept.body) == (letter.name, letter.body)
                for other, kept in mail
            )
        ):
            mail.append((cell, letter))

    def commit(self, unit: Unit, *, name: str = "(shared)") -> None:
        """End a unit that is no turn's, and wait until it, and what it has seen, is durable."""
        committer = self._supervisor.committer
        mail = self._mail.pop(unit, [])
        self._refuse_in_vain()
        receipt: PooledFuture[None] = PooledFuture()
        receipt.prepare(None)
        committer.promise()
        try:
            with self._ledger.ending(unit) as ending:
                if ending.changes or ending.audit or mail:
                    commit = Commit(time=self.now(), name=name)
                    commit.correlation = unit.standing.correlation
                    ending.put_into(commit)
                    commit.with_effects().sends = [
                        row(cell.kind, cell.key, letter) for cell, letter in mail if letter.durable
                    ]
                    commit.reply = receipt
                    sequence = self._supervisor.append(commit)
                    self._ledger.publish(ending, sequence)
            if ending.commit is None:
                # What it has seen may be on its way yet.
                committer.gate(receipt)
            else:
                for cell, letter in mail:
                    letter.cause = ending.commit.sequence
                    self._home.deliver(cell.kind, cell.key, letter)
        except BaseException:
            undo(self._supervisor, unit)
            raise
        finally:
            committer.keep()
        with self._home.dispatcher.blocking():
            receipt.get()

    def wait(self) -> None:
        """Wait until everything appended so far is durable."""
        committer = self._supervisor.committer
        self._refuse_in_vain()
        receipt: PooledFuture[None] = PooledFuture()
        receipt.prepare(None)
        committer.promise()
        try:
            committer.gate(receipt)
        finally:
            committer.keep()
        with self._home.dispatcher.blocking():
            receipt.get()

    @contextmanager
    def transaction(self, unit: Unit) -> Iterator[None]:
        """Surround an outside transaction; nothing is locked while the block runs."""
        token = _entered.set(unit)
        try:
            yield
        except BaseException:
            unit.ended = True
            self._mail.pop(unit, None)
            unit.undo()
            refused = Unit(unit.standing, unit.epoch)
            refused.audit = unit.audit
            if refused.audit:
                self.commit(refused)
            raise
        finally:
            _entered.reset(token)
        if not unit.idle() or unit in self._mail or not self._ledger.holds(unit):
            self.commit(unit)
        unit.ended = True

    def _refuse_in_vain(self) -> None:
        closed = SystemClosed("the agent system is closed; open it again to share anything")
        if self._home.closing and under_way() is None:
            raise closed
        if self._supervisor.committer.writes_here():
            message = "a receiver of a save signal runs where saving is done; do not write there"
            raise Deadlock(message)
        refusal = self._supervisor.refusal()
        if refusal is not None:
            raise refusal
        if self._supervisor.committer.closed:
            raise closed
        if self._supervisor.swamped:
            with self._home.dispatcher.blocking():
                relieved = self._supervisor.wait_for_relief(self._patience)
            if not relieved:
                message = "too much is unsaved; write more slowly, or raise most_unsaved"
                raise MailboxFull(message)


def hangs_on(cell: object, other: object) -> bool:
    """Tell whether a cell's turn waits, maybe by way of others, for the reply of another cell."""
    seen: set[int] = set()
    waiting: list[Any] = [cell]
    while waiting:
        turn = getattr(waiting.pop(), "turn", None)
        for asked in turn.waits if turn is not None else ():
            if asked is other:
                return True
            if id(asked) not in seen:
                seen.add(id(asked))
                waiting.append(asked)
    return False


def standing_of(turn: Turn) -> Standing:
    """Return in whose name a turn's calls run."""
    cell: Any = turn.cell
    correlation = turn.letter.correlation
    session = _session_of(cell.home.ledger, correlation)
    return Standing(Principal.agent(cell.kind, cell.key), session, correlation)


def _session_of(ledger: Ledger, correlation: int) -> str:
    # Only sessions have correlations below 0: nothing is looked up for the others.
    watch = ledger.watch
    return watch.session_of(correlation) if correlation < 0 and watch is not None else ""
