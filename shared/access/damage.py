"""What the audit knows of rows that were set: asked where rows are damaged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...persistence.audit.entries import BY_NUMBER, PAGE, AuditEntry
from ...persistence.records.shared_tables import AUDIT, BOUNDARIES, ISOLATED, OWNERS
from ...persistence.records.tables import Key, Row, Table
from ...persistence.store.store import StoreReader

_SET: Final = {ISOLATED: "isolate: ", BOUNDARIES: "set boundary ", OWNERS: "give to "}
_TAKEN_BACK: Final = {ISOLATED: "restore", BOUNDARIES: "set boundary None"}


def last_set(store: StoreReader, table: Table) -> list[Key]:
    """Return the keys of rows that were set and not taken back since, as far as the audit goes."""
    begins, over = _SET.get(table), _TAKEN_BACK.get(table)
    found: dict[Key, None] = {}
    for entry in _allowed(store) if begins is not None else ():
        scope = entry.scope
        key: Key = scope.columns if table is OWNERS else (scope.id, scope.part)
        if entry.operation == over:
            found.pop(key, None)
        elif entry.operation.startswith(str(begins)):
            found[key] = None
    return list(found)


def _allowed(store: StoreReader) -> Iterator[AuditEntry]:
    after: Row | None = None
    while page := store.page(AUDIT, BY_NUMBER, after, PAGE):
        for row in page:
            entry = AuditEntry.of(row)
            if entry.outcome == "allowed":
                yield entry
        after = page[-1][:1]
