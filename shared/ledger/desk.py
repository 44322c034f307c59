"""The desk: whose call on shared state this is, in which unit, seeing what, and when it counts.

Every handle (scopes, access, sessions, artifacts, patterns) has one, and asks it alone:

- *who*: the agent whose turn it is, whatever handle is used there; outside of turns whom the desk
  acts as, the system unless ``acting_as`` said otherwise;
- *in which unit*: that of the turn or transaction under way, else one of this call alone, which is
  durable when the call returns;
- *seeing what*: a turn sees what is appended, and counts as one that knows it; whoever is at the
  edge sees what is durable;
- *whether it may*: now (``allow``), and once more when the unit ends, under the ledger's lock;
- *who wants to know of it* (``listeners``): hooks, before and after;
- *what of a plain text is stored* (``plain``): values, names, notes and reasons pass the detector.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Self, TypeVar

from ...hooks.acting import apart
from ...hooks.details import Details
from ...hooks.following import FOLLOWED
from ...hooks.points import Point
from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import (
    Conflict,
    Deadlock,
    Denied,
    MailboxFull,
    PerdureError,
    SystemClosed,
)
from ...persistence.names.named import acting
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.chain import summed
from ...persistence.records.records import Commit
from ...persistence.records.tables import Row
from ...persistence.secrets.detector import SHORTEST
from ...persistence.secrets.plain import Plain
from .admission import admit
from .context import Context, Receipt
from .guard import Guard, Right, Standing, Use
from .ledger import Ledger, Stale
from .listeners import Listeners, Nobody
from .unit import Place, Step, Unit
from .view import View

logger = logging.getLogger("perdure.shared")

T = TypeVar("T")
D = TypeVar("D", bound=Details)

ATTEMPTS: Final = 100
"""Times work outside of turns is tried while others are first."""
PATIENCE: Final = 3
"""Times it is tried before what it needs is reserved for it."""
ALONE: Final = "(shared)"
"""The name in the journal of a commit of one call."""

_WRITE: Final = Right.WRITE._value_
"""Flags are not combined, but their numbers: enum's operators take a microsecond each."""
_new: Final = tuple.__new__  # a named tuple's own constructor takes twice as long
_SYSTEM: Final = Standing(Principal.SYSTEM)
_transaction: Final[ContextVar[Unit | None]] = ContextVar("perdure_transaction", default=None)
"""The transaction of this context that belongs to no turn."""


class Desk(View):
    """Answer for every call on shared state. Thread-safe."""

    def __init__(
        self,
        ledger: Ledger,
        supervisor: PersistenceSupervisor,
        context: Context,
        *,
        patience: float,
        plain: Plain | None = None,
        listeners: Listeners | None = None,
    ) -> None:
        """Commit by ``supervisor``; a call waits ``patience`` seconds while that is behind."""
        super().__init__(ledger)
        self._supervisor = supervisor
        self._context = context
        self._patience = patience
        self._standing = _SYSTEM
        self.plain = plain or Plain()
        self.listeners = listeners or Nobody()
        self.now, self._clock = context.now, context.clock
        self.number = context.number
        self.turn = context.turn

    # Who.

    def acting_as(self, principal: Principal) -> Desk:
        """Return a desk that acts as ``principal`` outside of turns.

        Denied on one that acts as somebody else: a handle that was handed on gets no further.
        """
        desk = copy.copy(self)
        who = acting(self._standing.principal, principal)
        desk._standing = Standing(who)  # noqa: SLF001 - its own copy
        return desk

    def standing(self) -> Standing:
        """Return who speaks, in which session and for which chain of messages."""
        said = self._context.standing()
        if said is not None:
            return said
        session = self._context.entered()
        if not session:
            return self._standing
        return Standing(self._standing.principal, self.ledger.session_of(session), session)

    @property
    def guard(self) -> Guard:
        """Who decides what is allowed."""
        return self.ledger.guard

    def allow(
        self, unit: Unit | None, right: Right, scope: Scope, key: str | None, operation: str
    ) -> None:
        """Raise Denied (Isolated) unless it is allowed, whatever is stored.

        The decision is part of ``unit``, and asked for again when that ends. Without a unit it
        counts at once, in a commit of its own where the audit wants to know of it.
        """
        if unit is not None and unit.edge and self._speaker(unit) != unit.standing.principal:
            message = (
                f"this transaction runs in the name of {unit.standing.principal}; use the handle"
                " that it gives"
            )
            raise Denied(message)
        if key is not None and right._value_ & _WRITE and (len(key) >= SHORTEST or ":" in key):
            self.plain.name(key, f"a key of a scope {scope.kind!r}")
        admit(self, unit, _new(Use, (right, scope, key, operation)))

    def allow_each(
        self, unit: Unit, right: Right, scope: Scope, keys: Sequence[str], operation: str
    ) -> None:
        """Raise as ``allow`` does, for whichever of some keys it is.

        Who owns the scope does so for every key; should that end before the unit does, each key is
        asked for then.
        """
        owned = False
        for key in keys:
            if not owned:
                self.allow(unit, right, scope, key, operation)
                owned = unit.witness is None and self.guard.unrestricted(unit.standing, scope)
                continue
            if len(key) >= SHORTEST or ":" in key:
                self.plain.name(key, f"a key of a scope {scope.kind!r}")
            unit.used.append(_new(Use, (right, scope, key, operation)))

    def _speaker(self, unit: Unit) -> Principal:
        """Return who speaks where ``unit`` is the transaction under way: outside of turns, this."""
        here = self._standing if unit.origin is None else self.standing()
        return here.principal

    # Who wants to know of it.

    def tell(self, point: Point[Any], name: str, details: type[D], *of: object) -> D:
        """Have those who listen to a point told; return the details as they left them.

        ``details`` are made of the caller and of what follows; ``name`` is what a hook may be
        limited to. HookCancelled, HookFailed.
        """
        standing = self.standing()
        who = standing.principal
        agent = (who.id, who.part) if who.kind == "agent" else ("", "")
        return self.listeners.ask(point, name, details(*agent, standing.correlation, *of))

    # In which unit.

    def unit(self) -> Unit | None:
        """Return the unit of the turn or transaction under way; None where a call stands alone."""
        unit = self._context.unit()
        if unit is None:
            if self._context.closing:
                # Also in a fork, which must not touch what it shares with its parent.
                raise _closed()
            unit = _transaction.get()
            # Valid where it was begun: not in a turn that runs inside the caller's wait, and not in
            # what the transaction began and did not wait for.
            if unit is None or unit.origin is not self._context.origin():
                return None
        return None if unit.ended else unit

    def begin(self, owner: object = None, *, edge: bool = False) -> Unit:
        """Return a new unit of this caller's."""
        return Unit(self.standing(), self.ledger.guard.epoch, owner, edge=edge)

    def begin_as_system(self, correlation: int = 0) -> Unit:
        """Return a new unit of the system's, whoever calls: for what nobody asked for."""
        return self.begin_as(Principal.SYSTEM, correlation)

    def begin_as(self, who: Principal, correlation: int) -> Unit:
        """Return a new unit in the name of ``who``, whoever calls."""
        return Unit(Standing(who, "", correlation), self.guard.epoch, edge=True)

    def entry(self, name: str = ALONE) -> OneCall:
        """Return a context manager for a call that changes something.

        Gives the unit under way, held against other threads of its turn, else a new one, which is
        committed at the end of the block.
        """
        return OneCall(self, name)

    @contextmanager
    def transaction(self, unit: Unit) -> Iterator[None]:
        """Have the calls in the block belong to ``unit``; commit it at the end, or nothing of it.

        Nothing is locked while the block runs.
        """
        unit.origin = self._context.origin()
        token = _transaction.set(unit)
        try:
            yield
        except BaseException:
            self._refuse(unit)
            raise
        finally:
            _transaction.reset(token)
        if unit.mail or not self.ledger.holds(unit) or not self.ledger.end_idle(unit):
            self.commit(unit)

    def run(
        self,
        work: Callable[[Unit], T],
        *,
        attempts: int = ATTEMPTS,
        serializable: bool = False,
    ) -> T:
        """Have ``work`` done in the unit under way, else in a transaction of its own.

        That one is durable when this returns, and made again, up to ``attempts`` times, while
        others were first. ``serializable``: whatever it has read must still be so when it ends, and
        an error is no error if it came from seeing one key before and another after a commit.
        """
        unit = self.unit()
        if unit is not None:
            with unit:
                return work(unit)
        if attempts < 1:
            raise ValueError(f"attempts={attempts}: at least one is needed")
        owner = object()
        try:
            for attempt in range(1, attempts + 1):
                alone = self.begin(owner, edge=True)
                alone.serializable = serializable
                try:
                    with self.transaction(alone):
                        return self._attempt(work, alone)
                except Conflict as error:
                    if attempt == attempts or not (serializable or isinstance(error, Stale)):
                        raise
                    if attempt >= PATIENCE:
                        self.ledger.reserve(alone)
        finally:
            self.ledger.free(owner)
        raise AssertionError("the last attempt returns or raises")

    def _attempt(self, work: Callable[[Unit], T], unit: Unit) -> T:
        try:
            return work(unit)
        except Exception as error:
            if not unit.serializable or isinstance(error, Conflict) or self.ledger.holds(unit):
                raise
            self.ledger.reserve(unit)
            raise Stale("a transaction was overtaken while it ran; try again") from error

    # Seeing what.

    def look(self, unit: Unit, place: Place) -> Row | None:
        """Return a row as the unit sees it, and remember that it did."""
        if unit.edge:
            # What belongs to no turn may be told to anybody: it waits for what is on its way.
            if self.ledger.under_way(place):
                self.wait()
            return unit.read(place, self.behold(unit, place))
        newest = self.behold(unit, place)
        # Afterwards: what is durable by now was durable, or appended, when it was read.
        if self.ledger.under_way(place):
            self.learnt()
        return unit.read(place, newest)

    def learnt(self) -> None:
        """Have the reply of the turn under way wait for what it knows and is not durable yet."""
        self._context.learnt()

    def appended(self) -> int:
        """Return the sequence of the newest commit."""
        return self.number(lambda: self._supervisor.committer.appended)

    # When it counts.

    def commit(self, unit: Unit, *, name: str = ALONE) -> None:
        """End a unit that is no turn's, and wait until it, and what it has seen, is durable.

        Stale, Denied, Isolated, TransactionEnded as ``Ledger.ending``; then it is undone.
        """
        self._refuse_in_vain()
        receipt, sequence = Receipt(), 0
        committer = self._supervisor.committer
        commit = Commit(time=self._clock(), name=name)
        self._chain(commit, unit)
        with committer.promise():
            try:
                with self.ledger.ending(unit) as ending:
                    if ending.changes or ending.audit or unit.mail:
                        ending.put_into(commit)
                        if unit.mail:
                            commit.with_effects().sends = self._context.rows(unit.mail)
                        commit.reply = receipt
                        sequence = self._supervisor.append(commit)
                        self.ledger.publish(ending, sequence)
                if not sequence:
                    committer.gate(receipt)  # what it has seen may be on its way yet
                elif unit.mail:
                    self._context.deliver(unit.mail, sequence)
            except BaseException:
                if not commit.sequence:
                    self.forgo(unit)
                raise
        receipt.wait(self.ledger.waiting)

    def _chain(self, commit: Commit, unit: Unit) -> None:
        """Have a commit that is no turn's know what led to it."""
        standing = unit.standing
        if standing is _SYSTEM and FOLLOWED.get() is None and apart.get() is None:
            return  # from outside: most come here
        correlation, commit.cause = self._context.led()
        commit.correlation = standing.correlation or correlation

    def wait(self) -> None:
        """Wait until everything appended so far is durable."""
        self._refuse_in_vain()
        receipt = Receipt()
        committer = self._supervisor.committer
        with committer.promise():
            committer.gate(receipt)
        receipt.wait(self.ledger.waiting)

    def forgo(self, unit: Unit, *, again: bool = False) -> None:
        """Undo a unit, and commit what it was refused, and what it was allowed in vain.

        And the uses of limited grants by which it has looked at something: what it saw may have
        left with its error. Not if its turn begins ``again``, where it will look once more.
        """
        seen = [] if again else unit.lasting()
        unit.undo()
        decisions, unit.audit = unit.audit, []
        if seen:
            self._spend(unit, seen)
        if decisions:
            commit = Commit()
            if unit.cause is None:
                self._chain(commit, unit)
            else:
                commit.cause, commit.correlation = unit.cause, unit.standing.correlation
            commit.with_effects().audit = summed(decisions)
            try:
                self._supervisor.append(commit)
            except PerdureError as error:
                logger.warning("decisions about access are not kept: %s", error)

    def _spend(self, unit: Unit, seen: list[tuple[Place, Step]]) -> None:
        spent = Unit(unit.standing, self.guard.epoch)
        for place, step in seen:
            spent.change(place, step, checked=False)
        try:
            with self.ledger.ending(spent) as ending:
                commit = Commit(time=self._clock(), name=ALONE)
                self._chain(commit, unit)
                ending.put_into(commit)
                self.ledger.publish(ending, self._supervisor.append(commit))
        except PerdureError as error:
            # Somebody else had the use, or the agent is cut off, or nothing can be saved.
            logger.warning("a use of a grant by a turn that failed is not counted: %s", error)

    def _refuse(self, unit: Unit) -> None:
        """Undo a transaction; its refusals are durable before its caller learns of them."""
        unit.undo()
        if unit.audit:
            refused = Unit(unit.standing, unit.epoch)
            refused.audit = unit.audit
            self.commit(refused)

    def _refuse_in_vain(self) -> None:
        committer = self._supervisor.committer
        if self._context.closing and self.turn() is None:
            raise _closed()
        if committer.writes_here():
            message = "a receiver of a save signal runs where saving is done; do not write there"
            raise Deadlock(message)
        refusal = self._supervisor.refusal()
        if refusal is not None:
            raise refusal
        if committer.dead is not None:
            raise _closed()
        if self._supervisor.swamped:
            with self.ledger.waiting():
                relieved = self._supervisor.wait_for_relief(self._patience)
            if not relieved:
                message = "too much is unsaved; write more slowly, or raise most_unsaved"
                raise MailboxFull(message)


class OneCall:
    """One call that changes something: the unit under way, or one of its own."""

    __slots__ = ("_desk", "_held", "_name", "alone", "unit")

    def __init__(self, desk: Desk, name: str) -> None:
        """Enter by ``desk``; a commit of its own is called ``name``."""
        self._desk = desk
        self._name = name

    def __enter__(self) -> Unit:
        """Return the unit."""
        unit = self._desk.unit()
        self.alone = unit is None
        self.unit = self._desk.begin() if unit is None else unit
        return self.unit.__enter__()

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        self.unit.__exit__()
        if self.alone and kind is None:
            self._desk.commit(self.unit, name=self._name)


class Handle:
    """What people hold of shared state: it acts by a desk."""

    def __init__(self, desk: Desk) -> None:
        """Act by ``desk``."""
        self._desk = desk

    def acting_as(self, principal: Principal) -> Self:
        """Return a handle that acts as ``principal`` outside of turns.

        Denied on a handle that acts as somebody else.
        """
        handle = copy.copy(self)
        handle._desk = self._desk.acting_as(principal)  # noqa: SLF001 - its own copy
        return handle

    def __repr__(self) -> str:
        desk = self._desk
        where, who = desk.ledger.store.location, desk.standing().principal
        return f"<{type(self).__name__} of {where}, acting as {who}>"


def _closed() -> SystemClosed:
    return SystemClosed("the agent system is closed; open it again to share anything")
