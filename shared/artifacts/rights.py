"""Whose artifacts are meant where nobody says so, and which of them are shown to whom."""

from __future__ import annotations

from collections.abc import Callable

from ...persistence.names.scope import Scope
from ..ledger.desk import Desk
from ..ledger.guard import ALL, Right


def EVERYTHING(_where: Scope, _name: str) -> bool:  # noqa: N802 - a constant
    """Show everything."""
    return True


def own_scope(desk: Desk) -> Scope:
    """Return the scope of what is made without naming one: the session's, else the agent's own.

    Not that of a session which another agent owns. Any agent may begin a session and speak to
    others in it; where these keep what they make is not its to decide.
    """
    standing = desk.standing()
    who = standing.principal
    if standing.session:
        scope = Scope.session(standing.session)
        owner = desk.guard.owner(scope)
        if owner.kind != "agent" or owner == who:
            return scope
    return Scope.agent(who.id, who.part) if who.kind == "agent" else Scope.GLOBAL


def shown(desk: Desk, scope: Scope | None) -> Callable[[Scope, str], bool]:
    """Return what tells whether an artifact is listed, without a word to the audit."""
    guard, standing, unit = desk.guard, desk.standing(), desk.unit()
    if scope is None:
        return lambda where, name: (
            guard.check(standing, Right.LIST, where, name).allowed
            or (unit is not None and unit.begins(where))
        )
    if unit is not None and unit.begins(scope):
        return EVERYTHING
    names = guard.shown(standing, scope)
    if names is ALL:
        return EVERYTHING
    return lambda _where, name: names(name)
