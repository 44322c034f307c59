"""Sessions on the actors' side: agents spoken to in one, and what is told of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Protocol, TypeVar

from ...hooks.timeline.why import Provenance
from ...lifecycle.clock import Clock
from ...lifecycle.signals import SessionEvent, fire, session_changed
from ...persistence.records.page import Page
from ...persistence.records.records import JournalEntry
from ...persistence.state.state import State
from ...shared.artifacts.artifacts import Artifacts
from ...shared.ledger.desk import Desk
from ...shared.scopes.schemas import Schemas
from ...shared.sessions.bounds import Bounds
from ...shared.sessions.cleanup import SessionSweep
from ...shared.sessions.handle import SessionHandle
from ...shared.sessions.records import SessionRow
from ...shared.sessions.sessions import Sessions
from ...shared.sessions.status import SessionStep
from ...shared.sessions.watch import SessionWatch
from ..pool.dispatcher import Dispatcher
from ..pool.future import Future
from .control import Verb
from .description import AgentDescription
from .identity import Identified
from .reference import AgentRef, Post
from .turn import outside_turns

A = TypeVar("A", bound=Identified)

RETRY_SECONDS: Final = 1.0
"""After which what an import has left is looked at."""


class Session(SessionHandle):
    """One session: its steps, its scope, its history, and the agents that are spoken to in it.

    ``with session:`` has everything that is sent in the block belong to it: so do the turns that
    are caused by it, what they send, and the timers they set.
    """

    def __init__(
        self, sessions: Sessions[Session], session_id: str, correlation: int, home: Sessional
    ) -> None:
        """Act on a session of the system ``home``."""
        super().__init__(sessions, session_id, correlation)
        self._home = home

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference whose messages belong to this session.

        Sending raises InvalidTransition while it is suspended, SessionEnded afterwards.
        """
        self._home.refer(agent_class, key)
        return AgentRef(SessionPost(self._home.post, self), agent_class, key)


class SessionPost:
    """Carry messages in a session (reference.Post)."""

    def __init__(self, post: Post, session: Session) -> None:
        """Carry what ``post`` carries."""
        self._post = post
        self._session = session

    def tell(self, ref: AgentRef[Any], message: object) -> None:
        """Send a message; inside a turn it is sent when the turn commits."""
        with self._session:
            self._post.tell(ref, message)

    def ask(self, ref: AgentRef[Any], message: object) -> Future[Any]:
        """Send a message at once and return the reply's future."""
        with self._session:
            return self._post.ask(ref, message)

    def control(self, ref: AgentRef[Any], verb: Verb) -> Future[Any]:
        """Have a lifecycle step taken and return its future."""
        return self._post.control(ref, verb)

    def stream(self, ref: AgentRef[Any], run: str, after: int) -> AsyncIterator[Any]:
        """Iterate over the events of a run."""
        return self._post.stream(ref, run, after)

    def describe(self, ref: AgentRef[Any]) -> AgentDescription:
        """Return how an agent stands."""
        return self._post.describe(ref)

    def history(
        self, ref: AgentRef[Any], *, after: int | None, limit: int, newest: bool
    ) -> Page[JournalEntry]:
        """Return a page of an agent's commits."""
        return self._post.history(ref, after=after, limit=limit, newest=newest)

    def state_at(self, ref: AgentRef[Any], version: int) -> State:
        """Return what an agent's state was."""
        return self._post.state_at(ref, version)

    def why(self, ref: AgentRef[Any], field: str, path: tuple[str | int, ...]) -> Provenance:
        """Return why a value of an agent's state is what it is."""
        return self._post.why(ref, field, path)

    def alive(self) -> bool:
        """Tell whether the system takes messages."""
        return self._post.alive()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SessionPost):
            return NotImplemented
        return (self._post, self._session) == (other._post, other._session)

    def __hash__(self) -> int:
        return hash(self._session)


class Sessional(Protocol):
    """A system that has sessions."""

    post: Any
    clock: Clock
    dispatcher: Dispatcher
    facade: object
    first_letter: int

    def refer(self, agent_class: type[Any], key: str) -> AgentRef[Any]:
        """Return a reference to an agent of a class this system knows."""
        ...

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        ...


def compose(
    home: Sessional, desk: Desk, artifacts: Artifacts, values: Schemas, *, largest: int
) -> tuple[Sessions[Session], SessionSweep]:
    """Return the sessions of a system, and the sweep of what they leave to be done."""
    ledger = desk.ledger
    watch = SessionWatch(ledger, desk.now)
    ledger.watch = watch
    sessions: Sessions[Session] = Sessions(
        desk, watch, Bounds(largest, home.next_letter), artifacts, values=values,
        make=lambda made, session_id, correlation: Session(made, session_id, correlation, home),
    )  # fmt: skip

    def fail(session: str, reason: str) -> None:
        sessions.take(session, SessionStep.FAIL, reason)

    sweep = SessionSweep(desk, artifacts, fail, home.first_letter)

    def step(session: SessionRow) -> None:
        event = SessionEvent(session.id, session.status, session.note, session.changed)
        ledger.defer(lambda: tell(event))

    def tell(event: SessionEvent) -> None:
        with outside_turns(), home.dispatcher.blocking():
            fire(session_changed, home.facade, event, home.clock.monotonic)

    def abandon(session: str) -> None:
        sweep.abandon(session)
        sweep.due(RETRY_SECONDS)

    # All of them are told under the ledger's lock.
    watch.on_deadline = lambda at: ledger.defer(lambda: sweep.due(at - desk.now()))
    watch.on_step = step
    watch.on_abandoned = abandon
    return sessions, sweep
