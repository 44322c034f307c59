"""Whose artifacts are meant where nobody says so, and which of them are shown to whom."""

from __future__ import annotations

from collections.abc import Callable

from ...persistence.names.scope import Scope
from ..ledger.desk import Desk
from ..ledger.guard import Right, Standing


def own_scope(standing: Standing) -> Scope:
    """Return the scope of what is made without naming one."""
    if standing.session:
        return Scope.session(standing.session)
    if standing.principal.kind == "agent":
        return Scope.agent(standing.principal.id, standing.principal.part)
    return Scope.GLOBAL


def shown(desk: Desk, scope: Scope | None) -> Callable[[Scope, str], bool]:
    """Return what tells whether an artifact is listed, without a word to the audit."""
    guard, standing, unit = desk.guard, desk.standing(), desk.unit()
    if scope is None:
        return lambda where, name: (
            guard.check(standing, Right.LIST, where, name).allowed
            or (unit is not None and unit.begins(where))
        )
    if unit is not None and unit.begins(scope):
        return lambda _where, _name: True
    names = guard.shown(standing, scope)
    return lambda _where, name: names(name)
