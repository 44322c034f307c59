"""``perdure sharing``: topics, pipelines, requests, documents and families, and what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Final

from ..persistence.names.scope import INTERNAL, Scope
from ..persistence.records.shared_tables import SCOPED
from ..persistence.records.tables import Order, Row
from ..persistence.store.store import StoreReader
from ..shared.scopes.entries import KEY
from ..url import open_reader
from .listing import page, show, tell_more
from .screen import ColumnStyle

_PATTERNS: Final = ("document", "family", "pipeline", "requests", "topic")
"""What of perdure's own scopes people made; the others are its bookkeeping."""
_COLUMNS: Final[list[tuple[str, ColumnStyle]]] = [
    ("PATTERN", "word"), ("NAME", "name"), ("HOLDS", "value"),
]  # fmt: skip
_BY_SCOPE: Final = ("kind", "id", "part")
_LAST: Final = "\U0010ffff"
_PAGE: Final = 1000

Shared = tuple[str, str, dict[str, int]]
"""A pattern, a name, and how many rows there are by what they are."""


def list_patterns(
    store: str, *, pattern: str | None, after: str | None, limit: int, json: bool
) -> None:
    """Print what agents share by patterns, with what each holds."""
    with closing(open_reader(store)) as reader:
        rows, more = page(patterns(reader, pattern, after), limit)
    show(rows, _COLUMNS, cells=_cells, record=record, none="no such patterns are shared", json=json)
    if more:
        tell_more(f"--after {rows[-1][0]}/{rows[-1][1]}")


def patterns(
    reader: StoreReader, pattern: str | None = None, after: str | None = None
) -> Iterator[Shared]:
    """Iterate over the patterns of a store behind ``PATTERN/NAME``, by pattern and name."""
    kind, _, name = (after or "").partition("/")
    place: Row = (kind, name, _LAST) if after else ("", "", "")
    while rows := reader.page(SCOPED, Order(_BY_SCOPE, (INTERNAL,)), place, 1):
        scope = Scope(INTERNAL, str(rows[0][1]), str(rows[0][2]))
        place = (scope.id, scope.part, _LAST)
        if scope.id in _PATTERNS and pattern in (None, scope.id):
            yield scope.id, scope.part, _held(reader, scope)


def record(shared: Shared) -> dict[str, object]:
    """Return a pattern for programs."""
    pattern, name, held = shared
    return {"pattern": pattern, "name": name, "counts": held}


def _held(reader: StoreReader, scope: Scope) -> dict[str, int]:
    """Count the rows by what they are, which their keys say: a stage, "item", "dropped"."""
    held: Counter[str] = Counter()
    order, after = Order(_BY_SCOPE, scope.columns), None
    while True:
        rows = reader.page(SCOPED, order, after, _PAGE)
        keys = [str(row[KEY]).removeprefix("stage/") for row in rows]
        held.update(key.split("/")[0] for key in keys if "/" in key)
        if len(rows) < _PAGE:
            return dict(sorted(held.items()))
        after = (rows[-1][KEY],)


def _cells(shared: Shared) -> tuple[object, ...]:
    pattern, name, held = shared
    return pattern, name, ", ".join(f"{what} {number:,}" for what, number in held.items()) or "-"
