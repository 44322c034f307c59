"""What happens before a call may look at anything: decided, counted, and put into the audit."""

from __future__ import annotations

from typing import Protocol

from ...persistence.errors import Denied
from ...persistence.records.shared_tables import GRANTS
from ...persistence.records.tables import Row
from .guard import Decision, Guard, Right, Standing, Use, refusal
from .unit import Step, Unit

_USES = GRANTS.names.index("uses")
_LOOKING = Right.READ | Right.LIST


class Guarded(Protocol):
    """Know who decides: the ledger."""

    guard: Guard


class Counter(Protocol):
    """Where a call is admitted: the desk."""

    @property
    def ledger(self) -> Guarded:
        """Where what is shared changes."""
        ...

    def standing(self) -> Standing:
        """Return who speaks."""
        ...

    def unit(self) -> Unit | None:
        """Return the unit of the turn or transaction under way; None outside of both."""
        ...

    def begin(self) -> Unit:
        """Return a new unit of this caller's."""
        ...

    def commit(self, unit: Unit) -> None:
        """End a unit that is no turn's, and wait until it is durable."""
        ...


def admit(desk: Counter, unit: Unit | None, use: Use) -> None:
    """Let a call go on, or raise Denied (Isolated) without having looked at what is stored.

    The decision commits with ``unit``; without one, alone and at once. That of a refused call
    does so in any case. A use of a limited grant is a change of its row in the same commit: it is
    not used by what is undone, and nobody uses it twice.
    """
    alone = unit is None
    guard = desk.ledger.guard
    if unit is not None:
        decision = unit.ask(guard, use)
    else:
        standing = desk.standing()
        decision = guard.check(standing, use.right, use.scope, use.key)
        if not decision.audited and not decision.uses:
            _refuse(decision, standing, use)
            return
        unit = desk.begin()
    if decision.audited:
        unit.audit.append(guard.record(unit.standing, use, decision))
    if not decision.allowed:
        # A call of its own: its refusal is all there is of it.
        if decision.audited and desk.unit() is not unit:
            desk.commit(unit)
        _refuse(decision, unit.standing, use)
    if decision.uses:
        _spend(desk, unit, use, decision)
    if alone:
        desk.commit(unit)
    else:
        unit.used.append(use)


def _spend(desk: Counter, unit: Unit, use: Use, decision: Decision) -> None:
    """Use what limited grants the decision needs; Denied where there are no uses left."""
    guard = desk.ledger.guard
    for number in decision.uses:
        place = (GRANTS, (number,))
        # What was seen stays seen: undoing the part of a turn that saw it gives no use back.
        seen = bool(use.right & _LOOKING)
        unit.change(place, _used(guard, unit, use, number), checked=False, lasting=seen)
        try:
            unit.seen(place, guard.granted(number))
        except Denied:
            unit.withdraw(place)  # whoever catches this may go on with the rest
            if decision.audited:  # it was not allowed in the end
                del unit.audit[-2]
            if desk.unit() is not unit:
                desk.commit(unit)
            raise


def _refuse(decision: Decision, standing: Standing, use: Use) -> None:
    if not decision.allowed:
        raise refusal(standing, use.operation, use.scope, isolated=decision.isolated)


def _used(guard: Guard, unit: Unit, use: Use, number: int) -> Step:
    """Return the step that uses a grant once; Denied where somebody else had the last use."""

    def step(row: Row | None) -> Row | None:
        left = None if row is None else row[_USES]
        if row is None or not isinstance(left, int) or left < 1:
            refused = Decision(allowed=False, reason=f"grant {number} is used up", audited=True)
            unit.audit.append(guard.record(unit.standing, use, refused))
            raise refusal(unit.standing, use.operation, use.scope)
        return None if left == 1 else (*row[:_USES], left - 1, *row[_USES + 1 :])

    return step
