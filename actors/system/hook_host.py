"""What sets of hooks get from a system, done in the system's name."""

from __future__ import annotations

from collections.abc import Callable

from ...hooks.details import Details
from ...hooks.executor import as_the_system
from ...persistence.names.scope import Principal, Scope
from ...shared.ledger.guard import Decision, Right, Standing, Use
from ...shared.scopes.state import ScopedState
from ..cell.cell import Surroundings


class SystemHost:
    """Give hooks the clock, durable values and the audit of a system (``hooks.sets.HookHost``)."""

    def __init__(self, home: Surroundings, state: ScopedState) -> None:
        """Act for the system of ``home``."""
        self._home = home
        self._state = state
        self.monotonic = home.clock.monotonic

    def update(self, what: str, key: str, change: Callable[[object], object]) -> None:
        """Change a shared value, durable when this returns."""
        scope = Scope.custom("hooks", what)

        def changed(state: ScopedState) -> None:
            state.set(scope, key, change(state.get(scope, key, default=None)))

        with as_the_system():
            self._state.transact(changed)

    def note(self, details: Details, operation: str, reason: str, *, allowed: bool) -> None:
        """Put into the audit what an agent did."""
        desk = self._home.desk
        who = Principal.agent(details.kind, details.key)
        standing = Standing(who, "", details.correlation)
        name = str(getattr(details, "name", ""))
        use = Use(Right(0), Scope.agent(details.kind, details.key), name, operation)
        said = desk.plain.reason(reason, "a reason in the audit")
        decision = Decision(allowed, said, audited=True)
        with as_the_system(), desk.entry() as unit:
            unit.audit.append(desk.guard.record(standing, use, decision))
