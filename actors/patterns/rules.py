"""Who may do what with a shared thing: its owner everything, others what their part is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

from ...persistence.errors import ConfigurationError, Denied
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.chain import AuditRecord
from ...shared.ledger.guard import Right, Standing, refusal
from ...shared.ledger.unit import Unit
from .rows import Office

Members: TypeAlias = Principal | Sequence[Principal] | None
"""One or several; None stands for everybody."""


def checked_principal(who: object, part: str) -> Principal:
    """Return a principal; ConfigurationError for anything else, as the name of one."""
    if not isinstance(who, Principal):
        message = f"{part} must be a Principal, not {who!r:.40}; give one, as in"
        raise ConfigurationError(f'{message} Principal.user("mira") or Principal.agents("Desk")')
    return who


def names_of(members: Members, part: str) -> list[str] | None:
    """Return members as they are stored; ConfigurationError unless they are principals."""
    if members is None:
        return None
    several = isinstance(members, Iterable) and not isinstance(members, str)
    listed: Iterable[object] = members if several else [members]  # type: ignore[assignment]
    return [str(checked_principal(one, f"who plays {part!r}")) for one in listed]


def roles_of(roles: Mapping[str, Members]) -> dict[str, list[str]]:
    """Return roles as they are stored: those of everybody are left out."""
    return {
        role: names for role, one in roles.items() if (names := names_of(one, role)) is not None
    }


def is_one_of(who: Principal, names: Sequence[str]) -> bool:
    """Tell whether somebody is named, or all agents of that kind are."""
    if str(who) in names:
        return True
    return who.kind == "agent" and str(Principal.agents(who.id)) in names


def admit(office: Office, unit: Unit, scope: Scope, operation: str) -> Standing:
    """Return in whose name a call runs; Isolated if that agent is cut off from everything.

    A turn under way loses its right to commit when its agent is cut off, so nothing needs to be
    looked at again when it ends.
    """
    standing = unit.standing
    who = standing.principal
    if who.kind == "agent":
        own = Scope.agent(who.id, who.part)
        if office.desk.ledger.guard.check(standing, Right.WRITE, own, None).isolated:
            unit.audit.append(recorded(office, unit, scope, operation, "isolated", "refused"))
            raise refusal(standing, operation, scope, isolated=True)
    return standing


def deny(office: Office, unit: Unit, scope: Scope, operation: str, why: str) -> Denied:
    """Return the refusal of a call, and have it stand in the audit."""
    unit.audit.append(recorded(office, unit, scope, operation, why, "refused"))
    _, pattern, name = scope.columns
    return Denied(f"{unit.standing.principal} may not {operation} {pattern} {name!r}: {why}")


def recorded(  # noqa: PLR0917 - the columns of a decision
    office: Office, unit: Unit, scope: Scope, operation: str, why: str, outcome: str
) -> AuditRecord:
    """Return a decision of a pattern as the audit keeps it."""
    standing = unit.standing
    return AuditRecord(
        office.now(), standing.principal.columns, scope.columns, "", operation, outcome,
        why, 1, standing.correlation,
    )  # fmt: skip
