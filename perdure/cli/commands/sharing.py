"""``perdure sharing``: topics, pipelines, requests, documents and families, and what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from ...persistence.errors import ConfigurationError
from ...persistence.names.scope import INTERNAL, Scope
from ...persistence.records.shared_tables import SCOPED
from ...persistence.records.tables import Order, Row
from ...persistence.store.store import StoreReader
from ...shared.scopes.entries import KEY, SEQUENCE
from ...url import open_reader
from ..terminal.listing import Lines, latest, show
from ..terminal.options import Listing

_PATTERNS: Final = ("document", "family", "pipeline", "requests", "topic")
"""What of perdure's own scopes people made; the others are its bookkeeping."""
_BY_SCOPE: Final = ("kind", "id", "part")
_LAST: Final = "\U0010ffff"
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Shared:
    """A pattern under a name, and what it holds."""

    pattern: str
    name: str
    held: dict[str, int]
    """How many rows there are by what they are."""
    sequence: int
    """The commit that changed it last."""

    @property
    def place(self) -> str:
        """Where it stands in the list."""
        return f"{self.pattern}/{self.name}"


def list_patterns(store: str, pattern: str | None, listing: Listing) -> None:
    """Print what agents share by patterns, with what each holds."""
    after = _place(listing.after)
    with closing(open_reader(store)) as reader:
        if not listing.newest:
            show(patterns(reader, pattern, after), listing, _LINES)
            return
        last = Scope(INTERNAL, *after) if listing.after else None
        behind = None if last is None else _changed(_shared(reader, last))
        show(latest(patterns(reader, pattern), listing, _changed, behind), listing, _LINES)


def _place(after: str | None) -> tuple[str, str]:
    if not after:
        return "", ""
    pattern, _, name = after.partition("/")
    if not name:
        message = f"--after {after!r:.40}: give PATTERN/NAME, which a page has named"
        raise ConfigurationError(message)
    return pattern, name


def patterns(
    reader: StoreReader, pattern: str | None = None, after: tuple[str, str] = ("", "")
) -> Iterator[Shared]:
    """Iterate over the patterns of a store behind a pattern and a name, in that order."""
    place: Row = (*after, _LAST) if after[0] else ("", "", "")
    while rows := reader.page(SCOPED, Order(_BY_SCOPE, (INTERNAL,)), place, 1):
        scope = Scope(INTERNAL, str(rows[0][1]), str(rows[0][2]))
        place = (scope.id, scope.part, _LAST)
        if scope.id in _PATTERNS and pattern in (None, scope.id):
            yield _shared(reader, scope)


def record(shared: Shared) -> dict[str, object]:
    """Return a pattern for programs."""
    return {
        "pattern": shared.pattern, "name": shared.name, "counts": shared.held,
        "sequence": shared.sequence,
    }  # fmt: skip


def _changed(shared: Shared) -> tuple[int, str]:
    return shared.sequence, shared.place


def _shared(reader: StoreReader, scope: Scope) -> Shared:
    """Count the rows by what they are, which their keys say: a stage, "item", "dropped"."""
    held: Counter[str] = Counter()
    order, after, last = Order(_BY_SCOPE, scope.columns), None, 0
    while True:
        rows = reader.page(SCOPED, order, after, _PAGE)
        keys = [str(row[KEY]).removeprefix("stage/") for row in rows]
        held.update(key.split("/")[0] for key in keys if "/" in key)
        last = max([last, *(int(str(row[SEQUENCE])) for row in rows)])
        if len(rows) < _PAGE:
            return Shared(scope.id, scope.part, dict(sorted(held.items())), last)
        after = (rows[-1][KEY],)


def _cells(shared: Shared) -> tuple[object, ...]:
    held = ", ".join(f"{what} {number:,}" for what, number in shared.held.items())
    return shared.pattern, shared.name, held or "-"


_LINES: Final = Lines(
    columns=[("PATTERN", "word"), ("NAME", "name"), ("HOLDS", "value")],
    cells=_cells, record=record, place=attrgetter("place"), none="no such patterns are shared",
)  # fmt: skip
