"""Who may do what with a shared thing: its owner everything, others what their part is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from ...persistence.chain import AuditRecord
from ...persistence.errors import Denied
from ...persistence.shared.guard import Right, Standing, Use, refusal
from ...persistence.shared.scope import Principal, Scope
from ...persistence.shared.unit import Unit
from .shelf import Office

Members: TypeAlias = Principal | Sequence[Principal] | None
"""One or several; None stands for everybody."""


def names_of(members: Members) -> list[str] | None:
    """Return members as they are stored."""
    if members is None:
        return None
    return [str(one) for one in ([members] if isinstance(members, Principal) else members)]


def roles_of(roles: Mapping[str, Members]) -> dict[str, list[str]]:
    """Return roles as they are stored: those of everybody are left out."""
    return {role: names for role, one in roles.items() if (names := names_of(one)) is not None}


def is_one_of(who: Principal, names: Sequence[str]) -> bool:
    """Tell whether somebody is named, or all agents of that kind are."""
    if str(who) in names:
        return True
    return who.kind == "agent" and str(Principal.agents(who.id)) in names


def admit(office: Office, unit: Unit | None, scope: Scope, operation: str) -> Standing:
    """Return in whose name a call runs; Denied if that agent is cut off from everything."""
    standing = office.standing() if unit is None else unit.standing
    who = standing.principal
    if who.kind == "agent":
        # One's own scope is refused to those alone who are isolated.
        own = Scope.agent(who.id, who.part)
        use = Use(Right.WRITE, own, None, operation)
        decision = office.ledger.guard.check(standing, use.right, own, None)
        if not decision.allowed:
            raise refusal(standing, operation, scope, isolated=decision.isolated)
        if unit is not None and unit.used[-1:] != [use]:
            unit.used.append(use)
    return standing


def deny(
    office: Office, unit: Unit | None, scope: Scope, standing: Standing, *, operation: str, why: str
) -> Denied:
    """Return the refusal of a call, and have it stand in the audit."""
    record = recorded(office, standing, scope, operation, why, outcome="refused")
    if unit is not None:
        unit.audit.append(record)
    else:
        alone = Unit(standing, office.ledger.guard.epoch)
        alone.audit.append(record)
        office.calls.commit(alone)
    _, pattern, name = scope.columns
    return Denied(f"{standing.principal} may not {operation} {pattern} {name!r}: {why}")


def recorded(  # noqa: PLR0917 - the columns of a decision
    office: Office, standing: Standing, scope: Scope, operation: str, why: str, outcome: str
) -> AuditRecord:
    """Return a decision of a pattern as the audit keeps it."""
    return AuditRecord(
        office.calls.now(), standing.principal.columns, scope.columns, "", operation, outcome,
        why, 1, standing.correlation,
    )  # fmt: skip
