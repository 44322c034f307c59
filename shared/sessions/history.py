"""What of a session's commits a reader may see: agents share a session, not their states."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from ...persistence.names.scope import Principal, Scope
from ...persistence.records.records import JournalEntry
from ...persistence.records.shared_tables import SCOPED
from ..ledger.guard import Guard, Right, Standing
from ..scopes.entries import KEY

_STATE: Final = ("set", "append", "put", "delete", "truncate")
"""Members of a delta that are of the agent's own state."""


def readable(entry: JournalEntry, guard: Guard, standing: Standing) -> JournalEntry:
    """Return a commit as ``standing`` may read it: all of it for the system and its own.

    Of others' it keeps who did what and when, and those shared keys that may be read without using
    up a grant.
    """
    who = standing.principal
    if who == Principal.SYSTEM:
        return entry
    if who.kind == "agent" and (entry.kind, entry.key) == (who.id, who.part):
        kept: tuple[str, ...] = _STATE
    else:
        kept = ()
    delta: dict[str, Any] = msgspec.json.decode(entry.delta or "{}")
    shown = {name: delta[name] for name in kept if name in delta}
    for name in ("rows", "gone"):
        keys = [
            row for row in delta.get(name, {}).get(SCOPED.name, ()) if _may(row, guard, standing)
        ]
        if keys:
            shown[name] = {SCOPED.name: keys}
    return entry._replace(delta=msgspec.json.encode(shown).decode())


def _may(row: Iterable[object], guard: Guard, standing: Standing) -> bool:
    *scope, key = [str(value) for value in row][: KEY + 1]
    if not scope[0].isidentifier():
        return False
    decision = guard.check(standing, Right.READ, Scope(*scope), key)
    return decision.allowed and not decision.uses
