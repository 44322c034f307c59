"""What sessions leave to be done: ended at their time, cleaned up, imports that were cut off.

All of it in small slices, each a commit: a process that ends half way leaves the rest to the next.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import ClassVar, Final, cast

from ...persistence.errors import UnknownArtifact
from ...persistence.names.scope import Scope
from ...persistence.records.shared_tables import PROGRESS, SCOPED, SESSIONS
from ...persistence.records.tables import Order, Row
from ..artifacts.artifacts import Artifacts
from ..ledger.desk import Desk
from ..ledger.sweep import AT_ONCE, NEVER, Sweep
from ..scopes.entries import gone
from .pages import history_scope
from .records import SessionRow, as_session
from .watch import overdue

IMPORTS: Final = "import:"
"""Begins the names of imports under way, in the table ``progress``."""
SLICE: Final = 500
"""Keys deleted by one commit."""
_BY_SCOPE: Final = ("kind", "id", "part")
ARTIFACTS: Final = 20
"""Artifacts deleted in one go, each by a commit of its own."""


class SessionSweep(Sweep):
    """End sessions at their time, delete what ended ones leave, and what cut-off imports left."""

    what: ClassVar[str] = "a session is not cleaned up"
    exact: ClassVar[bool] = True
    first: ClassVar[float] = 0.0

    def __init__(
        self,
        desk: Desk,
        artifacts: Artifacts,
        fail: Callable[[str, str], None],
        oldest: int,
    ) -> None:
        """End sessions by ``fail(id, reason)``; imports numbered below ``oldest`` were cut off."""
        super().__init__()
        self._desk = desk
        self._artifacts = artifacts
        self._fail = fail
        self._oldest = oldest
        self._cut_off = True  # there may be imports that were
        self._abandoned: set[str] = set()

    def abandon(self, session: str) -> None:
        """Have what a failed import has left deleted, when ``slice`` is called next."""
        self._abandoned.add(session)
        self._cut_off = True

    def slice(self) -> float:
        """Do one slice of what is due, and return in how many seconds the next is; -1 for never."""
        if self._cut_off:
            self._cut_off = self._sweep_import()
            if self._cut_off:
                return AT_ONCE
        ledger, desk = self._desk.ledger, self._desk
        if ledger.appended(SESSIONS):
            desk.wait()  # what is due may be on its way to the store
        rows = ledger.page(SESSIONS, Order(("deadline",)), None, 1)
        if not rows:
            return NEVER
        session = as_session(rows[0])
        assert session.deadline is not None
        now = desk.now()
        if session.deadline > now:
            return session.deadline - now
        if session.open:
            self._fail(session.id, overdue(session))
        elif not swept(desk, self._artifacts, session.id, session.correlation):
            self._put_away(session)
        return AT_ONCE

    def _put_away(self, session: SessionRow) -> None:
        unit = self._desk.begin_as_system(session.correlation)

        def cleaned(before: Row | None) -> Row | None:
            if before is None or as_session(before).open:
                return before
            return tuple(as_session(before)._replace(deadline=None, sequence=0))

        unit.change((SESSIONS, (session.id,)), cleaned, checked=False)
        self._desk.commit(unit, name="(session cleaned)")

    def _sweep_import(self) -> bool:
        """Delete a slice of what a cut-off import left; False when there is none."""
        after: Row = (IMPORTS,)
        while rows := self._desk.ledger.page(PROGRESS, Order(("name",)), after, SLICE):
            for name, number, _ in rows:
                if not str(name).startswith(IMPORTS):
                    return False
                key = str(name).removeprefix(IMPORTS)
                under_way = int(cast("str", number)) >= self._oldest
                if under_way and key not in self._abandoned:
                    continue
                if self._desk.ledger.newest(PROGRESS, (name,)) is None:
                    continue  # it has ended a moment ago
                if not swept(self._desk, self._artifacts, key):
                    unit = self._desk.begin_as_system()
                    unit.change((PROGRESS, (name,)), gone, checked=False)
                    self._desk.commit(unit, name="(session import undone)")
                    self._abandoned.discard(key)
                return True
            after = (rows[-1][0],)
        return False


def swept(desk: Desk, artifacts: Artifacts, session: str, correlation: int = 0) -> bool:
    """Delete a slice of a session's keys and artifacts; False when there are none.

    Of one that is no session (yet), the history it was to have as well.
    """
    unit = desk.begin_as_system(correlation)
    scopes: list[tuple[str, str, str]] = [("session", session, "")]
    if desk.ledger.newest(SESSIONS, (session,)) is None:
        scopes.append(history_scope(session))
    for columns in scopes:
        for row in desk.ledger.page(SCOPED, Order(_BY_SCOPE, columns), None, SLICE):
            unit.change((SCOPED, SCOPED.place(row)), gone, checked=False)
    made = artifacts.list(scope=Scope.session(session), limit=ARTIFACTS)
    for artifact in made:
        with contextlib.suppress(UnknownArtifact):  # somebody else was first
            artifacts.delete(artifact)
    if unit.idle():
        return bool(made)
    desk.commit(unit, name="(session cleaned)")
    return True
