"""Grants and isolations as they are stored, and as people see them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...persistence.names.scope import Principal, Scope
from ...persistence.records.tables import Row
from ..ledger.guard import Right


@dataclass(frozen=True, slots=True)
class Grant:
    """A right that the owner of a scope has given away."""

    number: int
    """Never used again, also when the grant is gone."""
    to: Principal
    scope: Scope
    rights: Right
    keys: str
    """A key, or a prefix and ``*``."""
    expires: float | None
    """Seconds since the epoch."""
    uses: int | None
    """How many are left; None for any number."""
    inherit: bool
    """It holds for the steps of a workflow, too, as far as they have the same owner."""
    by: Principal
    made: float

    def row(self) -> Row:
        """Return the grant as it is stored; the commit fills in its sequence."""
        return (
            self.number, *self.to.columns, *self.scope.columns, self.keys, int(self.rights),
            int(self.inherit), self.expires, self.uses, *self.by.columns, self.made, 0,
        )  # fmt: skip

    @classmethod
    def of(cls, row: Row) -> Grant:
        """Return a stored grant."""
        number, who_kind, who_id, who_part, kind, scope_id, part, keys, rights = _any(row[:9])
        inherit, expires, uses, by_kind, by_id, by_part, made, _ = _any(row[9:])
        return cls(
            number, Principal(who_kind, who_id, who_part), Scope(kind, scope_id, part),
            Right(rights), keys, expires, uses, bool(inherit),
            Principal(by_kind, by_id, by_part), made,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Isolation:
    """An agent that was cut off from everything."""

    agent: Principal
    reason: str
    since: float
    """Seconds since the epoch."""


def _any(values: Row) -> tuple[Any, ...]:
    return values
