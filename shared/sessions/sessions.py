"""The sessions of a system: created, found, stepped, ended with those nested in them."""

from __future__ import annotations

import builtins
import contextlib
import functools
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Generic, TypeVar, Unpack

from ...hooks.details import SessionDetails
from ...hooks.points import SESSION_AFTER, SESSION_BEFORE, Point
from ...persistence.errors import (
    ConfigurationError,
    Conflict,
    Deadlock,
    Denied,
    InvalidTransition,
    LimitExceeded,
    SessionExists,
    StateError,
    UnknownSession,
)
from ...persistence.names.keys import checked_name
from ...persistence.names.scope import Principal, Scope
from ...persistence.records.chain import AuditRecord
from ...persistence.records.page import LIMIT, Page, page_of, walk
from ...persistence.records.records import JournalEntry
from ...persistence.records.shared_tables import ARTIFACTS, PROGRESS, SESSIONS
from ...persistence.records.tables import Order, Row
from ...persistence.secrets.masking import masked
from ..artifacts.artifacts import Artifacts
from ..artifacts.catalogue import BY_NAME
from ..ledger.desk import Desk, Handle
from ..ledger.guard import Decision, Right, Use, recorded
from ..ledger.unit import Place, Step, Unit
from ..scopes.rows import keyed
from ..scopes.schemas import Schemas
from . import pages
from .bounds import (
    LARGEST_META,
    LONGEST_NAME,
    LONGEST_NOTE,
    META_OF,
    NAME,
    NOTE,
    Bounds,
    checked_text,
    refuse_control,
)
from .cleanup import IMPORTS
from .current import enter, entered
from .exporter import ExportReport, export
from .handle import History, SessionHandle
from .history import readable
from .importer import Importer
from .records import (
    LIMITS,
    META,
    Cleanup,
    SessionInfo,
    SessionLimits,
    SessionRow,
    as_session,
    info_of,
    owned,
)
from .status import DONE, SessionStatus, SessionStep, after, known_status
from .watch import SessionWatch, refuse_inactive, refuse_written

S = TypeVar("S", bound=SessionHandle)

ATTEMPTS: Final = 100
"""Times the end of a session is tried while others begin sessions inside it."""
DEEPEST: Final = 16
"""Sessions that may be nested in one another."""
_ENDS: Final = (SessionStep.COMPLETE, SessionStep.FAIL)


class Sessions(Handle, Generic[S]):
    """Create, find and list sessions. Thread-safe; serves turns and callers outside.

    In a turn everything is part of it: a session created there begins when the turn commits. An
    agent sees the sessions it has created, and the one its turn is in; the others are unknown to
    it. Outside each step is a commit of its own, and durable when the call returns.
    """

    def __init__(
        self,
        desk: Desk,
        watch: SessionWatch,
        bounds: Bounds,
        artifacts: Artifacts,
        *,
        values: Schemas,
        make: Callable[[Sessions[S], str, int], S],
    ) -> None:
        """Keep sessions by ``desk``; ``make`` gives what people hold of one.

        ``values`` knows the types of keys.
        """
        super().__init__(desk)
        self._watch = watch
        self._bounds = bounds
        self._artifacts = artifacts
        self._values = values
        self._make = make

    def create(
        self,
        session_id: str | None = None,
        *,
        name: str = "",
        parent: str | SessionHandle | None = None,
        owner: Principal | None = None,
        limits: SessionLimits | None = None,
        cleanup: Cleanup = Cleanup.KEEP,
        meta: Mapping[str, object] | None = None,
    ) -> S:
        """Begin a session and return it.

        Args:
            session_id: how it is found again; a random one if it is not given.
            name: for people; lists can be sorted by it.
            parent: an active session to nest it in: it ends before that one does.
            owner: whose it is, if not the caller's; only the system may say so.
            limits: how much it may take.
            cleanup: what becomes of its keys when it ends.
            meta: plain values that say what it is about.

        Raises:
            SessionExists: the id is taken.
            UnknownSession, SessionEnded, InvalidTransition: nothing can be nested in ``parent``.
            LimitExceeded: sessions are nested deeper than 16.
        """
        key = uuid.uuid4().hex if session_id is None else checked_name(session_id, "session id")
        around = _id(parent)
        row = self._new(key, around or "", name=name, owner=owner, limits=limits,
            cleanup=Cleanup(cleanup), meta=meta,
        )  # fmt: skip

        def begun(before: Row | None) -> Row:
            if before is not None:
                raise _taken(key)
            return tuple(row)

        steps: builtins.list[tuple[Place, Step]] = []
        if around is not None:
            self._visible(around, newest=True)
            self._refuse_too_deep(around)
            steps.append((_place(around), functools.partial(self._with_child, around)))
        steps.append((_place(key), begun))
        if row.owner != Principal.SYSTEM:
            self._refuse_taken(key)
            steps.append(owned(row))
        steps.append(((PROGRESS, (IMPORTS + key,)), functools.partial(_no_import, key)))
        heard = self._desk.listeners.shared
        if heard:
            self._ask(SESSION_BEFORE, key, "create")
        self._change(steps, "(session created)", row.correlation, self._told(key, "create session"))
        if heard:
            self._ask(SESSION_AFTER, key, "create")
        return self._make(self, key, row.correlation)

    def get(self, session_id: str) -> S:
        """Return a session. UnknownSession if it is not there, or the caller may not see it."""
        row = self._visible(session_id)
        return self._make(self, row.id, row.correlation)

    def info(self, session_id: str) -> SessionInfo:
        """Return how a session stands; as ``get``."""
        return info_of(self._visible(session_id))

    def current(self) -> S | None:
        """Return the session this code is in: of its ``with`` block, else of its turn, or None."""
        desk = self._desk
        correlation = entered(desk.turn()) or desk.standing().correlation
        session = desk.ledger.session_of(correlation)
        return self.get(session) if session else None

    def list(
        self,
        *,
        status: SessionStatus | str | None = None,
        owner: Principal | None = None,
        parent: str | SessionHandle | None = None,
        since: float | None = None,
        sort: pages.Sort = "created",
        after: SessionInfo | None = None,
        limit: int = LIMIT,
        newest: bool = True,
    ) -> Page[SessionInfo]:
        """Return a page of the sessions the caller may see, newest first.

        Args:
            status: only those of a status.
            owner: only those of an owner.
            parent: only those nested in a session; ``""`` for those nested in none.
            since: only those that changed at that time (seconds since the epoch) or later.
            sort: ``"created"``, ``"changed"`` or ``"name"``; equal ones go by their id.
            after: the one before; what was created meanwhile shifts nothing.
            limit: how many at most.
            newest: the last ones of that order first; False for the first ones.
        """
        wanted = self._filter(
            status=status, owner=owner, parent=parent, since=since, sort=sort, newest=newest
        )
        behind = None if after is None else wanted.place(after)
        rows = self._desk.rows(self._desk.unit(), SESSIONS, wanted.order(), behind)
        found = (row for row in map(as_session, rows) if wanted.fits(row) and self._may_see(row))
        return page_of(map(info_of, found), limit, lambda info: info)

    def each(
        self,
        *,
        after: SessionInfo | None = None,
        newest: bool = True,
        sort: pages.Sort = "created",
        **wanted: Unpack[pages.SessionSelection],
    ) -> Iterator[SessionInfo]:
        """Iterate over all sessions in that order; takes what ``list`` takes."""

        def page(place: SessionInfo | None) -> Page[SessionInfo]:
            return self.list(after=place, newest=newest, sort=sort, **wanted)

        return walk(page, after)

    def count(self, **wanted: Unpack[pages.SessionSelection]) -> int:
        """Return how many sessions the caller may see; takes what ``list`` takes.

        The store counts, outside of turns, for one status, owner or parent, or for none of them;
        for a caller other than the system its own. Else it takes the time of a list.
        """
        chosen = self._filter(**wanted)
        order, who = chosen.counted(), self._desk.standing().principal
        if order is None or who not in (Principal.SYSTEM, chosen.owner) or self._desk.unit():
            return sum(1 for _ in self.each(**wanted))
        return self._desk.ledger.store.count(SESSIONS, order)

    def _filter(
        self,
        *,
        status: SessionStatus | str | None = None,
        owner: Principal | None = None,
        parent: str | SessionHandle | None = None,
        since: float | None = None,
        sort: pages.Sort = "created",
        newest: bool = True,
    ) -> pages.SessionFilter:
        known = None if status is None else known_status(status)
        return pages.SessionFilter(known, owner, _id(parent), since, sort, newest)

    def take(self, session_id: str, step: SessionStep, note: str = "") -> None:
        """Take a step; an end is taken by those nested in the session first, each by itself."""
        plain = self._desk.plain
        shown = plain.reason if step is SessionStep.FAIL else plain.words
        note = shown(checked_text(note, "note", LONGEST_NOTE), NOTE)
        try:
            seen = self._visible(session_id, newest=True)
        except UnknownSession:
            self._audit_refusal(session_id, f"{step} session")
            raise
        heard = self._desk.listeners.shared
        if heard:
            self._ask(SESSION_BEFORE, seen.id, step.value, note)
        self._walk(seen.id, step, note)
        if heard:
            self._ask(SESSION_AFTER, seen.id, step.value, note)

    def _walk(self, session_id: str, step: SessionStep, note: str) -> None:
        for _ in range(ATTEMPTS):
            before = self._row(session_id, newest=True)
            if before is None:
                raise _unknown(session_id)
            after(session_id, before.state, step)
            if step in _ENDS:
                for child in pages.open_children(self._desk, self._desk.unit(), session_id):
                    self._take_along(child.id, step, f"with session {session_id}")
            try:
                self._take(before, step, note)
            except Conflict:
                # A child was created, or somebody else was first: look again.
                if self._desk.unit() is not None:
                    raise
            else:
                return
        raise Conflict(f"session {session_id} is changed all the time; it was not {DONE[step]}")

    def history(self, session_id: str) -> History:
        """Return the commits of a session, to be listed; see ``SessionHandle.history``."""
        return History(self, session_id)

    def commits(
        self, session_id: str, *, after: int | None, newest: bool
    ) -> Iterator[JournalEntry]:
        """Iterate over commits of a session as the caller may see them."""
        row = self._visible(session_id)
        guard, standing = self._desk.guard, self._desk.standing()
        for entry in pages.commits(self._desk.ledger.store, row, after, newest=newest):
            yield readable(entry._replace(delta=masked(entry.delta)), guard, standing)

    def export(self, session_id: str, path: str | Path, *, secrets: bool = False) -> ExportReport:
        """Write a session with its keys, history and artifacts to one file; say what is in it.

        The file takes the place of another of that name when it is complete. What is changed
        meanwhile may be in it or not: suspend the session first. Secrets are left out (``***``)
        unless ``secrets`` is set, and then they are as encrypted as they are stored. Sessions
        nested in it are not in the file. Deadlock in a handler.
        """
        self._refuse_in_a_turn("export")
        row = self._visible(session_id)
        return export(
            self._desk.ledger.store, row, Path(path), now=self._desk.now(),
            largest=self._bounds.largest, secrets=secrets,
        )  # fmt: skip

    def import_(self, path: str | Path, *, session_id: str | None = None) -> S:
        """Read a session from a file that ``export`` wrote, under its own or another id.

        The whole file is verified before anything is written, and the session is there when all
        of it is: what an import leaves that is interrupted is deleted at the next opening. Keys and
        metadata that an earlier version of a type registered here has written are migrated. It
        gets a new correlation, and is nested in none. ImportRefused for a file that is damaged or
        was made up, SessionExists if the id is taken. Deadlock in a handler, ConfigurationError in
        a transaction.
        """
        self._refuse_in_a_turn("import_")
        if self._desk.unit() is not None:
            message = "import_() makes commits of its own, which no transaction can undo"
            raise ConfigurationError(f"{message}; call it outside of this one")
        importer = Importer(self._desk, self._watch, self._bounds, self._artifacts, self._values)
        key = None if session_id is None else checked_name(session_id, "session id")
        row = importer.read(Path(path), key)
        return self._make(self, row.id, row.correlation)

    def enter(self, session_id: str) -> None:
        """Have what is sent from here on belong to a session; raise if it cannot be entered now.

        By its row, whatever a handle says: being in a session gives rights.
        """
        row = self._visible(session_id, newest=True)
        refuse_inactive(row, "entered", self._desk.now())
        enter(self._desk.turn(), row.correlation)

    # Underneath.

    def _new(
        self,
        key: str,
        parent: str,
        *,
        name: str,
        owner: Principal | None,
        limits: SessionLimits | None,
        cleanup: Cleanup,
        meta: Mapping[str, object] | None,
    ) -> SessionRow:
        standing = self._desk.standing()
        if owner is not None and owner != standing.principal != Principal.SYSTEM:
            raise Denied(f"{standing.principal} may not create a session for {owner}")
        refuse_control(checked_text(name, "name", LONGEST_NAME), "the name of a session")
        plain = self._desk.plain
        plain.name(key, "the id of a session")
        name = plain.words(name, NAME)
        limits = (limits or SessionLimits()).checked(cleanup)
        now = self._desk.now()
        text = META.encode(dict(meta or {}), f"meta of session {key}")
        text = plain.value(text, META_OF)
        if len(text) > LARGEST_META:
            problem = f"takes {len(text):,} characters; {LARGEST_META:,} are allowed"
            raise StateError(f"meta of session {key}", problem)
        correlation = -self._desk.number(self._bounds.number)
        return SessionRow(
            key, parent, name, SessionStatus.ACTIVE,
            *(owner or standing.principal).columns, correlation, now, now, None,
            None if limits.duration is None else now + limits.duration,
            cleanup, LIMITS.encode(limits, "limits"), text, "", self._desk.appended(), 0,
        )  # fmt: skip

    def _refuse_taken(self, key: str) -> None:
        """Raise SessionExists where a new owner would get a scope that holds something already."""
        scope = Scope.session(key)
        there = next(keyed(self._desk, self._desk.unit(), scope.columns, ""), None)
        order = Order(BY_NAME, scope.columns)
        if there is None and not any(self._desk.rows(self._desk.unit(), ARTIFACTS, order)):
            return
        raise _taken(key)

    def _with_child(self, parent: str, before: Row | None) -> Row:
        """Touch a session that another is nested in: its end must not overlook it."""
        if before is None:
            raise _unknown(parent)
        row = as_session(before)
        now = self._desk.now()
        refuse_inactive(row, "the parent of another", now)
        return tuple(row._replace(changed=now, sequence=0))

    def _refuse_too_deep(self, parent: str) -> None:
        depth, around = 1, parent
        while around:
            depth += 1
            if depth > DEEPEST:
                raise LimitExceeded(f"sessions may be nested {DEEPEST} deep; {parent} is too deep")
            row = self._row(around, newest=True)
            around = "" if row is None else row.parent

    def _ask(self, point: Point[SessionDetails], session: str, step: str, note: str = "") -> None:
        """Ask who listens whether a step may be taken, or tell them that it was."""
        self._desk.tell(point, step, SessionDetails, session, step, note)

    def _take_along(self, child: str, step: SessionStep, note: str) -> None:
        row = self._row(child, newest=True)
        if row is not None and row.open:
            with contextlib.suppress(InvalidTransition):  # it has ended by itself meanwhile
                self._walk(child, step, note)

    def _take(self, before: SessionRow, step: SessionStep, note: str) -> None:
        now = self._desk.now()
        status = after(before.id, before.state, step)
        row = before._replace(status=str(status), changed=now, note=note, sequence=0)
        if step in _ENDS:
            row = row._replace(ended=now)
            row = row._replace(deadline=row.cleaned_at)
        unit = self._desk.unit()
        mark = 0 if unit is None else unit.mark()

        def taken(_before: Row | None) -> Row:
            if unit is not None and step in _ENDS:
                refuse_written(self._desk.ledger, unit, mark, row)
            return tuple(row)

        self._change(
            [(_place(before.id), taken)], f"(session {DONE[step]})", before.correlation,
            self._told(before.id, f"{step} session"), expected=before,
        )  # fmt: skip

    def _change(
        self,
        steps: builtins.list[tuple[Place, Step]],
        name: str,
        correlation: int,
        told: AuditRecord,
        *,
        expected: SessionRow | None = None,
    ) -> None:
        """Take steps with the unit under way, or in a commit of their own; the audit has ``told``.

        ``expected`` must still be the newest row of the one place then (Conflict).
        """
        desk = self._desk
        unit = desk.unit()
        if unit is not None:
            with unit, unit.savepoint():
                for place, step in steps:
                    before = desk.look(unit, place)
                    unit.change(place, step, checked=True)
                    step(before)  # raises where it cannot be taken
                unit.audit.append(told)
            return
        alone = Unit(desk.standing()._replace(correlation=correlation), desk.guard.epoch)
        for place, step in steps:
            if expected is not None:
                alone.reads[place] = tuple(expected)
            alone.change(place, step, checked=expected is not None)
        alone.audit.append(told)
        desk.commit(alone, name=name)

    def _told(self, session_id: str, operation: str, *, refused: str = "") -> AuditRecord:
        """Return what the audit says of a step: each one stands there, whoever owns the session."""
        standing = self._desk.standing()
        reason = refused or ("the system" if standing.principal == Principal.SYSTEM else "owner")
        if not refused and standing.session == session_id:
            reason = "in that session"
        use = Use(Right(0), Scope.session(session_id), None, operation)
        decision = Decision(allowed=not refused, reason=reason, audited=True)
        return recorded(self._desk.now(), standing, use, decision)

    def _audit_refusal(self, session_id: str, operation: str) -> None:
        told = self._told(session_id, operation, refused="not its session")
        with self._desk.entry() as unit:
            unit.audit.append(told)

    def _row(self, session_id: str, *, newest: bool = False) -> SessionRow | None:
        place = _place(session_id)
        unit = self._desk.unit()
        if unit is not None:
            with unit:
                row = self._desk.look(unit, place)
        elif newest:
            row = self._desk.ledger.newest(*place)
        else:
            row = self._desk.behold(None, place)
        return None if row is None else as_session(row)

    def _visible(self, session_id: str, *, newest: bool = False) -> SessionRow:
        row = self._row(checked_name(session_id, "session id"), newest=newest)
        if row is None or not self._may_see(row):
            raise _unknown(session_id)
        return row

    def _may_see(self, row: SessionRow) -> bool:
        standing = self._desk.standing()
        return standing.principal in (Principal.SYSTEM, row.owner) or standing.session == row.id

    def _refuse_in_a_turn(self, what: str) -> None:
        if self._desk.turn() is not None:
            message = f"{what}() in a handler would wait for that handler; call it from outside"
            raise Deadlock(message)


def _id(session: str | SessionHandle | None) -> str | None:
    return session.id if isinstance(session, SessionHandle) else session


def _place(session_id: str) -> Place:
    return SESSIONS, (session_id,)


def _taken(session_id: str) -> SessionExists:
    return SessionExists(f"the id {session_id} is taken; get() the session, or give another id")


def _unknown(session_id: str) -> UnknownSession:
    message = f"there is no session {session_id!r:.300}; sessions.list() shows those there are"
    return UnknownSession(message)


def _no_import(session_id: str, before: Row | None) -> None:
    if before is not None:
        raise SessionExists(f"a session {session_id} is being imported; give another id")
