"""In whose name artifacts are used, and what with: as keys of their scopes are."""

from __future__ import annotations

from collections.abc import Callable

from ...persistence.names.scope import Principal, Scope
from ...persistence.records.tables import Row
from ..access.named import acting
from ..ledger.guard import Right
from ..ledger.unit import Place, Unit
from ..scopes.state import ScopedState


class Rights(ScopedState):
    """Ask for artifacts what shared state asks for keys: the name of an artifact is its key."""

    def __init__(self, state: ScopedState, principal: Principal | None = None) -> None:
        """Ask as ``state`` does; outside turns in the name of ``principal``."""
        if principal is not None:
            principal = acting(state._principal, principal)  # noqa: SLF001 - one of its own kind
        super().__init__(state.ledger, state.calls, largest=state.largest, principal=principal)

    def unit(self) -> Unit:
        """Return the unit of the turn or transaction under way, or a fresh one."""
        return self.calls.unit() or Unit(self._standing(), self.ledger.guard.epoch)

    def own(self) -> Scope:
        """Return the scope of what is made without naming one."""
        standing = self._standing()
        if standing.session:
            return Scope.session(standing.session)
        if standing.principal.kind == "agent":
            return Scope.agent(standing.principal.id, standing.principal.part)
        return Scope.GLOBAL

    def allow(
        self, unit: Unit | None, right: Right, scope: Scope, name: str | None, operation: str
    ) -> None:
        """Raise Denied unless it is allowed, whatever is stored."""
        self._allow(unit, right, scope, name, operation)

    def shown(self, scope: Scope | None) -> Callable[[Scope, str], bool]:
        """Return what tells whether an artifact is listed, without a word to the audit."""
        guard, standing, unit = self.ledger.guard, self._standing(), self.calls.unit()
        if scope is None:
            return lambda where, name: (
                guard.check(standing, Right.LIST, where, name).allowed
                or (unit is not None and unit.begins(where))
            )
        if unit is not None and unit.begins(scope):
            return lambda _where, _name: True
        names = guard.shown(standing, scope)
        return lambda _where, name: names(name)

    def look(self, unit: Unit, place: Place) -> Row | None:
        """Return a row as a unit sees it: it must be the newest when the unit ends."""
        return self._look(unit, place)

    def commit(self, unit: Unit) -> None:
        """End a unit that is no turn's; the turn's ends with it."""
        if self.calls.unit() is not unit:
            self.calls.commit(unit)
