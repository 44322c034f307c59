"""One session, to act on."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter
from types import TracebackType
from typing import Final, Protocol, Self

from ...persistence.names.scope import Scope
from ...persistence.records.page import LIMIT, Page, page_of, walk
from ...persistence.records.records import JournalEntry
from . import current
from .records import SessionInfo
from .status import SessionStep

WALKED: Final = 1000
"""Commits of a page where all are walked: a page is looked for among all commits."""


class SessionKeeper(Protocol):
    """Keep the sessions that handles act on."""

    def info(self, session_id: str) -> SessionInfo:
        """Return how a session stands."""
        ...

    def take(self, session_id: str, step: SessionStep, note: str = "") -> None:
        """Take a step."""
        ...

    def history(self, session_id: str) -> History:
        """Return the commits of a session, to be listed."""
        ...

    def enter(self, session_id: str) -> None:
        """Have what is sent from here on belong to a session; raise if it cannot be entered now."""
        ...


class Commits(Protocol):
    """Find the commits of a session."""

    def commits(
        self, session_id: str, *, after: int | None, newest: bool
    ) -> Iterator[JournalEntry]:
        """Iterate over commits of a session as the caller may see them."""
        ...


class History:
    """List the commits of one session.

    Its own steps stand among them as ``(session created)``, ``(session completed)``, and so on.
    What it was imported with comes before all others, with sequences below 0. Secrets are ``***``.
    """

    def __init__(self, sessions: Commits, session_id: str) -> None:
        """List what ``sessions`` finds for a session."""
        self._sessions = sessions
        self._id = session_id

    def list(
        self, *, after: int | None = None, limit: int = LIMIT, newest: bool = False
    ) -> Page[JournalEntry]:
        """Return a page of the commits, oldest first; with ``newest`` newest first.

        ``after`` is the sequence of the commit before.
        """
        found = self._sessions.commits(self._id, after=after, newest=newest)
        return page_of(found, limit, attrgetter("sequence"))

    def each(self, *, after: int | None = None, newest: bool = False) -> Iterator[JournalEntry]:
        """Iterate over all commits in that order."""
        return walk(lambda place: self.list(after=place, limit=WALKED, newest=newest), after)

    def count(self) -> int:
        """Return how many commits there are; takes time as the whole journal does."""
        return sum(1 for _ in self._sessions.commits(self._id, after=None, newest=False))

    def __repr__(self) -> str:
        return f"<History of session {self._id}: list(), each(), count()>"


class SessionHandle:
    """One session: its steps, its scope, its history. May be kept, shared and compared.

    ``with session:`` has everything that is sent in the block belong to it.
    """

    def __init__(self, sessions: SessionKeeper, session_id: str, correlation: int) -> None:
        """Act on the session ``session_id`` of ``sessions``."""
        self._sessions = sessions
        self.id = session_id
        self._correlation = correlation

    @property
    def correlation(self) -> int:
        """What every message and commit of it carries."""
        return self._correlation

    @property
    def scope(self) -> Scope:
        """The scope that belongs to it: ``Scope.session(id)``."""
        return Scope.session(self.id)

    def info(self) -> SessionInfo:
        """Return how it stands. UnknownSession if it is not there."""
        return self._sessions.info(self.id)

    def suspend(self, note: str = "") -> None:
        """Let it rest: it cannot be entered until it is resumed. InvalidTransition unless active.

        What was sent in it before is still handled.
        """
        self._sessions.take(self.id, SessionStep.SUSPEND, note)

    def resume(self, note: str = "") -> None:
        """Let a suspended session be entered again. InvalidTransition unless it is suspended."""
        self._sessions.take(self.id, SessionStep.RESUME, note)

    def complete(self, note: str = "") -> None:
        """End it well, those nested in it first. InvalidTransition if it has ended already.

        Afterwards its scope takes no writes (SessionEnded), and is cleaned up as was said when it
        was created.
        """
        self._sessions.take(self.id, SessionStep.COMPLETE, note)

    def fail(self, reason: str) -> None:
        """End it badly, those nested in it first; else as ``complete``."""
        self._sessions.take(self.id, SessionStep.FAIL, reason)

    def archive(self, note: str = "") -> None:
        """Put an ended session away. InvalidTransition unless it is completed or failed."""
        self._sessions.take(self.id, SessionStep.ARCHIVE, note)

    @property
    def history(self) -> History:
        """Its commits, as far back as the journal goes: ``list()``, ``each()``, ``count()``."""
        return self._sessions.history(self.id)

    def __enter__(self) -> Self:
        """Begin to send in this session.

        InvalidTransition while it is suspended, SessionEnded afterwards, SessionLimit when it has
        lasted too long.
        """
        self._sessions.enter(self.id)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        current.leave()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionHandle):
            return NotImplemented
        return (self.id, self.correlation) == (other.id, other.correlation)

    def __hash__(self) -> int:
        return hash((self.id, self.correlation))

    def __repr__(self) -> str:
        return f"<Session {self.id}>"
