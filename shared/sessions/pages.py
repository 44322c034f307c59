"""Which sessions there are: pages of the table, with what is appended and what a unit has made."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, TypedDict, cast

from ...persistence.errors import ConfigurationError
from ...persistence.names.scope import INTERNAL, Principal
from ...persistence.records.records import JournalEntry
from ...persistence.records.shared_tables import SCOPED, SESSIONS
from ...persistence.records.tables import Order, Row, Table
from ...persistence.store.store import StoreReader
from ..ledger import merged
from ..ledger.desk import Desk
from ..ledger.ledger import Ledger
from ..ledger.unit import Unit
from ..scopes.entries import KEY, VALUE
from .file import KEPT
from .handle import SessionHandle
from .records import SessionInfo, SessionRow, as_session
from .status import SessionStatus

Sort: TypeAlias = Literal["created", "changed", "name"]
PAGE: Final = 500
Spot: TypeAlias = tuple[Any, str]
"""What sessions are sorted by, and the id."""
_BY_OWNER: Final = ("who_kind", "who_id", "who_part", "changed")


class Pages(Protocol):
    """Read declared tables and the journal: a store, or what stands before it."""

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        """Return rows in an order; see ``StoreReader.page``."""
        ...


class SessionSelection(TypedDict, total=False):
    """Which sessions: what ``list``, ``each`` and ``count`` take."""

    status: SessionStatus | str | None
    owner: Principal | None
    parent: str | SessionHandle | None
    since: float | None


@dataclass(frozen=True, slots=True)
class SessionFilter:
    """Which sessions, and in which order."""

    status: SessionStatus | None = None
    owner: Principal | None = None
    parent: str | None = None
    since: float | None = None
    sort: Sort = "created"
    newest: bool = True

    def order(self) -> Order:
        """Return the order of the table that gives them, with few others between."""
        if self.sort not in ("created", "changed", "name"):
            message = f"sort={self.sort!r} is unknown; use 'created', 'changed' or 'name'"
            raise ConfigurationError(message)
        if self.sort == "changed" and self.owner is not None:
            return Order(_BY_OWNER, self.owner.columns, self.newest)
        if self.sort == "changed" and self.status is not None:
            return Order(("status", "changed"), (str(self.status),), self.newest)
        return Order((self.sort,), (), self.newest)

    def counted(self) -> Order | None:
        """Return the order of the table that has these and no others; None if there is none."""
        given = (self.status, self.owner, self.parent)
        if self.since is not None or sum(one is not None for one in given) > 1:
            return None
        if self.status is not None:
            return Order(("status", "changed"), (str(self.status),))
        if self.owner is not None:
            return Order(_BY_OWNER, self.owner.columns)
        return Order(("parent",), () if self.parent is None else (self.parent,))

    def place(self, row: SessionRow | SessionInfo) -> Spot:
        """Return where a session stands in that order."""
        return getattr(row, self.sort), row.id

    def fits(self, row: SessionRow) -> bool:
        """Tell whether a session is one of them."""
        return (
            (self.status is None or row.status == self.status)
            and (self.owner is None or row.owner == self.owner)
            and (self.parent is None or row.parent == self.parent)
            and (self.since is None or row.changed >= self.since)
        )


def stored(pages: Pages, wanted: SessionFilter, after: Row | None) -> Iterator[SessionRow]:
    """Iterate over stored sessions behind a place."""
    order = wanted.order()
    while True:
        rows = [as_session(row) for row in pages.page(SESSIONS, order, after, PAGE)]
        yield from filter(wanted.fits, rows)
        if len(rows) < PAGE:
            return
        after = cast("Row", wanted.place(rows[-1]))


def open_children(desk: Desk, unit: Unit | None, parent: str) -> list[SessionRow]:
    """Return the sessions nested in another that have not ended, as they are now."""
    order = Order(("parent",), (parent,))
    newest = desk.begin() if unit is None else unit
    return sorted(
        row
        for row in map(as_session, merged.rows(desk.ledger, newest, SESSIONS, order))
        if row.open
    )


def by_correlation(ledger: Ledger, correlation: int) -> str:
    """Return the id of the session that has a correlation, or ""."""
    for row in ledger.appended(SESSIONS).values():
        if row is not None and as_session(row).correlation == correlation:
            return str(row[0])
    rows = ledger.page(SESSIONS, Order(("correlation",), (correlation,)), None, 1)
    return str(rows[0][0]) if rows else ""


def commits(
    reader: StoreReader, session: SessionRow, after: int | None, *, newest: bool = False
) -> Iterator[JournalEntry]:
    """Iterate over a session's commits behind ``after``, oldest first; its imported ones first.

    Those stand in a scope of their own and are numbered from below 0, so that the last one is -1.
    """
    if newest:
        if after is None or after > 0:
            yield from _own(reader, session, after, newest=True)
        yield from _imported(reader, session, None if after is None else min(after, 0), newest=True)
        return
    if after is None or after < 0:
        yield from _imported(reader, session, after, newest=False)
    yield from _own(reader, session, max(session.first, after or 0), newest=False)


def _own(
    reader: StoreReader, session: SessionRow, after: int | None, *, newest: bool
) -> Iterator[JournalEntry]:
    while True:
        entries = reader.journal(after=after, limit=PAGE, newest=newest)
        for entry in entries:
            if newest and entry.sequence <= session.first:
                return
            if entry.correlation == session.correlation:
                yield entry
        if len(entries) < PAGE:
            return
        after = entries[-1].sequence


def _imported(
    reader: StoreReader, session: SessionRow, after: int | None, *, newest: bool
) -> Iterator[JournalEntry]:
    equal = history_scope(session.id)
    count = reader.count(SCOPED, Order(("kind", "id", "part"), equal))
    # The keys are the numbers from 0 up; what people see is counted from below 0.
    if newest:
        number, step = (count if after is None else after + count) - 1, -1
    else:
        number, step = 0 if after is None else max(0, after + count + 1), 1
    order = Order(("kind", "id", "part"), equal, newest)
    behind: Row | None = (history_key(number - step),) if number - step >= 0 else None
    while number >= 0:
        rows = reader.page(SCOPED, order, behind, PAGE)
        for row in rows:
            yield _entry(str(row[VALUE]), number - count, session.correlation)
            number += step
        if len(rows) < PAGE:
            return
        behind = (rows[-1][KEY],)


def _entry(text: str, sequence: int, correlation: int) -> JournalEntry:
    kept = KEPT.load(text, "imported history")
    return JournalEntry(
        sequence, kept.kind, kept.key, kept.version, kept.time, kept.name, kept.message,
        kept.cause, correlation, bytes(kept.delta).decode(),
    )  # fmt: skip


def history_scope(session_id: str) -> tuple[str, str, str]:
    """Return the scope that holds the history a session was imported with."""
    return INTERNAL, "history", session_id


def history_key(number: int) -> str:
    """Return the key of an imported commit, counted from 0."""
    return f"{number:016x}"
