"""The keys of a scope in order: what is stored, with what is appended and what a unit has made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Key, Order, Row
from ..ledger.ledger import Ledger
from ..ledger.unit import Unit
from .entries import KEY

PAGE: Final = 1000
FIRST_PAGE: Final = 32
"""Rows read first: most who list want the first few. Each further page is four times as long."""
_BY_SCOPE: Final = ("kind", "id", "part")
_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF


def listed(
    ledger: Ledger, unit: Unit | None, columns: tuple[str, str, str], prefix: str, after: str
) -> Iterator[Row]:
    """Iterate over a scope's rows with a prefix, those after the key ``after``, in key order.

    At the edge (no unit, or one of no turn) only what is durable. What expired is given as well.
    """
    changed = {} if unit is None else _changed(ledger, unit, columns)
    waiting = sorted(
        key for key in changed if key.startswith(prefix) and key > after
    )[::-1]  # fmt: skip
    for row in _stored(ledger, columns, prefix, after):
        key = str(row[KEY])
        while waiting and waiting[-1] <= key:
            mine = changed[waiting.pop()]
            if mine is not None:
                yield mine
        if key not in changed:
            yield row
    for key in reversed(waiting):
        mine = changed[key]
        if mine is not None:
            yield mine


def _changed(ledger: Ledger, unit: Unit, columns: tuple[str, str, str]) -> dict[str, Row | None]:
    """Return the scope's rows that are newer than the store's, by key."""
    # Looked at before the store: what becomes durable meanwhile is in both.
    newest: dict[Key, Row | None] = {}
    if not unit.edge:
        newest = {key: row for key, row in ledger.appended(SCOPED).items() if key[:KEY] == columns}
    look = ledger.durable if unit.edge else ledger.newest
    for table, key in unit.steps:
        if table is SCOPED and key[:KEY] == columns:
            before = newest[key] if key in newest else look(table, key)
            newest[key] = unit.seen((table, key), before)
    return {str(key[KEY]): row for key, row in newest.items()}


def _stored(
    ledger: Ledger, columns: tuple[str, str, str], prefix: str, after: str
) -> Iterator[Row]:
    start = max(after, start_of(prefix))
    order = Order(_BY_SCOPE, columns)
    size = FIRST_PAGE
    while True:
        rows = ledger.page(SCOPED, order, (start,) if start else None, size)
        for row in rows:
            key = str(row[KEY])
            if key.startswith(prefix):
                yield row
            elif key > prefix:
                return
        if len(rows) < size:
            return
        start = str(rows[-1][KEY])
        size = min(PAGE, 4 * size)


def start_of(prefix: str) -> str:
    """Return a text that is less than every one that begins with ``prefix``, and hardly less."""
    if not prefix or prefix[-1] == "\0":
        return prefix[:-1]
    code = ord(prefix[-1]) - 1
    if _FIRST_SURROGATE <= code <= _LAST_SURROGATE:
        code = _FIRST_SURROGATE - 1
    return prefix[:-1] + chr(code) + "\U0010ffff"
