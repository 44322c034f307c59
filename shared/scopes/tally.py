"""How many keys a scope has, without looking at each of them where nothing hides one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ...persistence.errors import CorruptState
from ...persistence.names.keys import matches
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Key, Order, Row
from ..ledger import merged
from ..ledger.ledger import Ledger
from ..ledger.unit import Unit
from .entries import EXPIRES, KEY

_BY_SCOPE: Final = ("kind", "id", "part")
_BY_TIME: Final = Order(("expires",))
ATTEMPTS: Final = 5
"""Times it is tried while others write; after that they have to wait."""
MOVED: Final = -1
"""What a count is that others have disturbed."""
MOST_CHANGED: Final = 10_000
"""Keys that are not durable, or this unit's, above which that is no slower."""


def counted(
    ledger: Ledger, unit: Unit | None, scope: Scope, now: float, patterns: Sequence[str] = ("*",)
) -> int | None:
    """Return how many keys a scope has, as the caller sees them; None where only a look can tell.

    Of those that ``patterns`` cover, of which none may cover what another does.

    Stored ones are counted by the store, and corrected by those that are newer: appended, or made
    by the unit. A batch may become durable in between, so both are looked at before and after.
    """
    for _ in range(ATTEMPTS):
        found = _tried(ledger, unit, scope, now, patterns)
        if found != MOVED:
            return found
    # Nothing is appended meanwhile, and one batch at most becomes durable: it is noted under this
    # lock as well. So the second look, at the latest, is at something that stands still.
    with ledger.lock:
        for _ in range(ATTEMPTS):
            found = _tried(ledger, unit, scope, now, patterns)
            if found != MOVED:
                return found
    return None


def _tried(
    ledger: Ledger, unit: Unit | None, scope: Scope, now: float, patterns: Sequence[str]
) -> int | None:
    """Count once; MOVED if others wrote meanwhile, None where only a look can tell."""
    before = _newer(ledger, unit, scope, patterns)
    if before is None or _any_over(ledger, now):
        return None
    there = _there(ledger, before)
    stored = sum(_stored(ledger, scope, pattern) for pattern in patterns)
    after = _newer(ledger, unit, scope, patterns)
    if after != before or _there(ledger, before) != there:
        return MOVED
    mine = sum(
        row is not None and (row[EXPIRES] is None or float(str(row[EXPIRES])) > now)
        for row in before.values()
    )
    return stored - sum(there) + mine


def _stored(ledger: Ledger, scope: Scope, pattern: str) -> int:
    if pattern.endswith("*"):
        return ledger.store.count(SCOPED, Order(_BY_SCOPE, scope.columns), pattern[:-1])
    return _has(ledger, (*scope.columns, pattern))


def _newer(
    ledger: Ledger, unit: Unit | None, scope: Scope, patterns: Sequence[str]
) -> dict[Key, Row | None] | None:
    """Return the scope's rows that are newer than the store's; None if they are very many.

    None as well where the scope ends, and the store has all of it yet.
    """
    if unit is not None and not unit.edge and scope.columns in ledger.scopes_ended():
        return None
    if unit is None:
        return {}
    changed = merged.changed(ledger, unit, SCOPED)
    if len(changed) > MOST_CHANGED:
        return None
    return {
        key: row
        for key, row in changed.items()
        if key[:KEY] == scope.columns and any(matches(each, str(key[KEY])) for each in patterns)
    }


def _there(ledger: Ledger, keys: dict[Key, Row | None]) -> list[bool]:
    """Tell which keys the store has; one whose row is damaged is there."""
    return [_has(ledger, key) for key in keys]


def _has(ledger: Ledger, key: Key) -> bool:
    try:
        return ledger.store.row(SCOPED, key) is not None
    except CorruptState:
        return True


def _any_over(ledger: Ledger, now: float) -> bool:
    """Tell whether any stored key has expired and is not swept yet, in whatever scope."""
    first = ledger.store.page(SCOPED, _BY_TIME, None, 1)
    return bool(first) and float(str(first[0][EXPIRES])) <= now
