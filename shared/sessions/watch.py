"""What a commit may still write into a session: asked under the ledger's lock, so it is exact."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from ...persistence.errors import InvalidTransition, SessionEnded, SessionLimit
from ...persistence.names.scope import Principal
from ...persistence.records.shared_tables import ARTIFACTS, SCOPED, SESSIONS
from ...persistence.records.tables import Change, Key, Order, Row
from ..ledger import merged
from ..ledger.guard import Standing
from ..ledger.ledger import Ledger
from ..ledger.unit import Unit
from ..scopes.entries import KEY, VALUE
from .pages import by_correlation
from .records import SessionRow, as_session
from .status import SessionStatus

_KIND: Final = 0
_ID: Final = 1
_SCOPE: Final = ARTIFACTS.names.index("kind")
_SESSION: Final = ARTIFACTS.names.index("session")
_SIZE: Final = ARTIFACTS.names.index("size")
MOST_KNOWN: Final = 100_000
"""Correlations whose session is remembered."""

Usage = tuple[int, int]
"""Bytes and artifacts."""


class SessionWatch:
    """Keep commits out of sessions that have ended, and within the limits of the others."""

    def __init__(self, ledger: Ledger, now: Callable[[], float]) -> None:
        """Watch what ``ledger`` ends; ``now`` gives seconds since the epoch."""
        self._ledger = ledger
        self._now = now
        self._used: dict[str, Usage] = {}
        self._pending: dict[str, Usage] = {}
        self._known: dict[int, str] = {}
        self._steps: list[SessionRow] = []
        self.on_deadline: Callable[[float], None] = lambda _deadline: None
        """Told when a session is to be ended or cleaned up."""
        self.on_abandoned: Callable[[str], None] = lambda _session: None
        """Told of an import that failed and could not be undone."""
        self.on_step: Callable[[SessionRow], None] = lambda _session: None
        """Told of a session that has another status now."""

    def session_of(self, correlation: int) -> str:
        """Return the session that a chain of messages belongs to, or ""."""
        if correlation >= 0:
            return ""
        known = self._known.get(correlation)
        if known is None:
            known = by_correlation(self._ledger, correlation)
            self._remember(correlation, known)
        return known

    def expect(self, correlation: int, session: str) -> None:
        """Take note of a session that is on its way: an import writes the session itself last."""
        self._remember(correlation, session)

    def check(self, changes: Sequence[Change]) -> None:
        """Refuse a commit by SessionEnded or SessionLimit; the ledger's lock is held."""
        self._pending, self._steps = {}, []
        touched: dict[str, list[Change]] = {}
        for change in changes:
            table, key, row = change
            if table is SCOPED:
                session = key[_ID] if key[_KIND] == "session" else ""
            elif table is ARTIFACTS:
                self._refuse_scope(row)
                session = self._session_of(key, row)
            else:
                if table is SESSIONS and row is not None:
                    self._note_step(as_session(row))
                continue
            if session:
                touched.setdefault(str(session), []).append(change)
        for session, those in touched.items():
            row = self._row(session, changes)
            if row is not None:
                self._check(row, those)

    def published(self, changes: Sequence[Change]) -> None:
        """Take note of a commit that was appended; the ledger's lock is held."""
        if self._pending:
            self._used |= self._pending
            self._pending = {}
        for table, key, row in changes:
            if table is not SESSIONS:
                continue
            if row is None:
                self._used.pop(str(key[0]), None)
                continue
            session = as_session(row)
            self._remember(session.correlation, session.id)
            if not session.open:
                self._used.pop(session.id, None)
            if session.deadline is not None:
                self.on_deadline(session.deadline)
        for session in self._steps:
            self.on_step(session)
        self._steps = []

    def _note_step(self, session: SessionRow) -> None:
        before = self._ledger.newest(SESSIONS, (session.id,))
        if before is None or as_session(before).status != session.status:
            self._steps.append(session)

    def _remember(self, correlation: int, session: str) -> None:
        if len(self._known) >= MOST_KNOWN:
            self._known = {}
        self._known[correlation] = session

    def _session_of(self, artifact: Key, row: Row | None) -> str:
        """Return the session in which an artifact was made, or ""."""
        row = row or self._ledger.newest(ARTIFACTS, artifact)
        return "" if row is None else str(row[_SESSION])

    def _refuse_scope(self, row: Row | None) -> None:
        """Refuse an artifact that is saved into the scope of an ended session from outside it."""
        if row is not None and row[_SCOPE] == "session":
            newest = self._ledger.newest(SESSIONS, (row[_SCOPE + 1],))
            if newest is not None:
                refuse_ended(as_session(newest))

    def _row(self, session: str, changes: Sequence[Change]) -> SessionRow | None:
        """Return a session as it was before the commit, or as the commit begins it.

        None without a session, and for an import, which places one that may have ended already.
        """
        before = self._ledger.newest(SESSIONS, (session,))
        if before is not None:
            return as_session(before)
        for table, key, row in changes:
            if table is SESSIONS and key == (session,) and row is not None:
                made = as_session(row)
                return made if made.open else None
        return None

    def _check(self, row: SessionRow, changes: list[Change]) -> None:
        writes = any(change.row is not None for change in changes)
        if writes:
            refuse_ended(row)
            refuse_overdue(row, self._now())
        limits = row.bounds
        if limits.bytes is None and limits.artifacts is None:
            return
        if not writes and row.id not in self._used:
            return
        size, artifacts = self._usage(row.id)
        before = size, artifacts
        for change in changes:
            was = self._ledger.newest(change.table, change.key)
            size += _size(change.table is SCOPED, change.row) - _size(change.table is SCOPED, was)
            if change.table is ARTIFACTS:
                artifacts += (change.row is not None) - (was is not None)
        _within(row.id, "bytes", size, limits.bytes, before[0])
        _within(row.id, "artifacts", artifacts, limits.artifacts, before[1])
        self._pending[row.id] = size, artifacts

    def _usage(self, session: str) -> Usage:
        known = self._used.get(session)
        if known is not None:
            return known
        everything = Unit(Standing(Principal.SYSTEM), 0)
        order = Order(("kind", "id", "part"), ("session", session, ""))
        size = sum(
            _size(True, row)  # noqa: FBT003 - one line
            for row in merged.rows(self._ledger, everything, SCOPED, order)
        )
        order = Order(("session", "number"), (session,))
        artifacts = list(merged.rows(self._ledger, everything, ARTIFACTS, order))
        return size + sum(_size(False, row) for row in artifacts), len(artifacts)  # noqa: FBT003


def refuse_ended(row: SessionRow) -> None:
    """Raise SessionEnded for a session that takes nothing any more."""
    if not row.open:
        why = f" ({row.note})" if row.note else ""
        message = f"session {row.id} is {row.status}{why} and takes nothing more; create another"
        raise SessionEnded(message, session=row.id, status=row.status)


def refuse_written(ledger: Ledger, unit: Unit, mark: int, ended: SessionRow) -> None:
    """Raise SessionEnded if a unit has written into a session it had ended at ``mark``."""
    older = unit.until(mark)
    for place in unit.since(mark):
        table = place[0]
        if table is not SCOPED and (table is not ARTIFACTS or place in older):
            continue  # what is noted of older artifacts is no write
        newest = ledger.newest(*place)
        row = unit.seen(place, newest)
        if row is None or row is newest:
            continue
        at = 0 if table is SCOPED else _SCOPE
        inside = table is ARTIFACTS and row[_SESSION] == ended.id
        if inside or row[at : at + 2] == ("session", ended.id):
            refuse_ended(ended)


def refuse_inactive(row: SessionRow, wanted: str, now: float) -> None:
    """Raise unless a session takes on something new: it is active, and has time left."""
    refuse_ended(row)
    refuse_overdue(row, now)
    if row.state is not SessionStatus.ACTIVE:
        raise InvalidTransition(
            f"session {row.id}", row.status, wanted, SessionStatus.ACTIVE, things="sessions"
        )


def refuse_overdue(row: SessionRow, now: float) -> None:
    """Raise SessionLimit for a session that has lasted too long and is about to be ended."""
    if row.open and row.deadline is not None and row.deadline <= now:
        raise SessionLimit(overdue(row), session=row.id, limit="duration")


def overdue(row: SessionRow) -> str:
    """Say that a session has lasted too long."""
    return f"session {row.id} has lasted the {row.bounds.duration:g} seconds it may"


def _size(scoped: bool, row: Row | None) -> int:  # noqa: FBT001 - of one of two tables
    if row is None:
        return 0
    if not scoped:
        return cast("int", row[_SIZE])
    return len(str(row[KEY]).encode()) + len(str(row[VALUE]).encode())


def _within(session: str, what: str, wanted: int, limit: int | None, before: int) -> None:
    # What makes it smaller is welcome, also above a limit.
    if limit is not None and wanted > limit and wanted > before:
        message = (
            f"session {session} would hold {wanted:,} {what}, more than the {limit:,} it may;"
            " delete some, or begin another session"
        )
        raise SessionLimit(message, session=session, limit=what)
