"""Sessions on the actors' side: agents spoken to in one; workers for what is due."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from ...lifecycle.clock import Clock
from ...lifecycle.signals import SessionEvent, fire, session_changed
from ...persistence.errors import PerdureError, SystemClosed
from ...shared.artifacts.artifacts import Artifacts
from ...shared.ledger.ledger import Ledger
from ...shared.sessions.calls import Bounds, SessionCalls
from ...shared.sessions.cleanup import Cleaning
from ...shared.sessions.handle import SessionHandle
from ...shared.sessions.records import SessionRow
from ...shared.sessions.sessions import Sessions
from ...shared.sessions.status import SessionStep
from ...shared.sessions.watch import SessionWatch
from ..pool.agenda import Agenda
from ..pool.dispatcher import Dispatcher
from ..pool.future import PooledFuture
from .control import Verb
from .description import AgentDescription
from .identity import Identified
from .reference import AgentRef, Post
from .turn import outside_turns

logger = logging.getLogger("perdure.actors")

A = TypeVar("A", bound=Identified)

RETRY_SECONDS = 1.0
"""After which what failed is tried again."""


LONGEST_WAIT = 86_400.0
"""Seconds."""


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

    def ask(self, ref: AgentRef[Any], message: object) -> PooledFuture[Any]:
        """Send a message at once and return the reply's future."""
        with self._session:
            return self._post.ask(ref, message)

    def control(self, ref: AgentRef[Any], verb: Verb) -> PooledFuture[Any]:
        """Have a lifecycle step taken and return its future."""
        return self._post.control(ref, verb)

    def describe(self, ref: AgentRef[Any]) -> AgentDescription:
        """Return how an agent stands."""
        return self._post.describe(ref)

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
    agenda: Agenda
    closing: bool
    facade: object
    first_letter: int

    def refer(self, agent_class: type[Any], key: str) -> AgentRef[Any]:
        """Return a reference to an agent of a class this system knows."""
        ...

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        ...


class Attendant:
    """Do what sessions leave to be done when it is due, on a worker, a slice at a time."""

    def __init__(self, home: Sessional, ledger: Ledger, cleaning: Cleaning) -> None:
        """See to it by ``cleaning``."""
        self._home = home
        self._ledger = ledger
        self._cleaning = cleaning
        self._lock = threading.Lock()
        self._next = math.inf  # seconds since the epoch
        self._busy = self._again = False

    def due_at(self, deadline: float) -> None:
        """Take note that something is due at a time; may be called under the ledger's lock."""
        self._ledger.defer(lambda: self._call_at(deadline))

    def begin(self) -> None:
        """Have a worker look what is due."""
        with self._lock:
            self._next = math.inf
            self._again = self._busy
            if self._busy:
                return
            self._busy = True
        self._home.agenda.count(1)
        self._home.dispatcher.submit(self)

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Do one slice, and go to the tail of the queue if there is more."""
        home, wait = self._home, -1.0
        try:
            if not home.closing:
                wait = self._cleaning.slice()
        except SystemClosed:
            pass
        except PerdureError as error:
            logger.warning("a session is not cleaned up, and tried again: %s", error)
            wait = RETRY_SECONDS
        except Exception:
            logger.exception("a session is not cleaned up, and tried again")
            wait = RETRY_SECONDS
        with self._lock:
            more = wait == 0.0 or self._again
            self._again = False
            if not more or home.closing:
                self._busy = more = False
        if more:
            home.dispatcher.submit(self)
            return True
        if wait > 0.0:
            self._call_at(home.clock.now() + wait)
        home.agenda.count(-1)
        return True

    def _call_at(self, deadline: float) -> None:
        with self._lock:
            if deadline >= self._next:
                return
            self._next = deadline
        # No further ahead than threads can wait; then it is looked at again.
        delay = min(deadline - self._home.clock.now(), LONGEST_WAIT)
        if delay <= 0:
            self.begin()
        else:
            self._home.clock.call_later(delay, self.begin)


def compose(
    home: Sessional,
    ledger: Ledger,
    calls: SessionCalls,
    artifacts: Artifacts,
    *,
    largest: int,
    now: Callable[[], float],
) -> tuple[Sessions[Session], Attendant]:
    """Return the sessions of a system, and who sees to what they leave to be done."""
    watch = SessionWatch(ledger, now)
    ledger.watch = watch
    sessions: Sessions[Session] = Sessions(
        ledger, calls, watch, Bounds(largest, home.next_letter), artifacts,
        make=lambda made, session_id, correlation: Session(made, session_id, correlation, home),
    )  # fmt: skip

    def fail(session: str, reason: str) -> None:
        sessions.take(session, SessionStep.FAIL, reason)

    cleaning = Cleaning(ledger, calls, artifacts, fail, home.first_letter)
    attendant = Attendant(home, ledger, cleaning)
    watch.on_deadline = attendant.due_at

    def step(session: SessionRow) -> None:
        event = SessionEvent(session.id, session.status, session.note, session.changed)
        ledger.defer(lambda: tell(event))

    def tell(event: SessionEvent) -> None:
        with outside_turns(), home.dispatcher.blocking():
            fire(session_changed, home.facade, event, home.clock.monotonic)

    watch.on_step = step

    def abandon(session: str) -> None:
        cleaning.abandon(session)
        attendant.due_at(now() + RETRY_SECONDS)

    watch.on_abandoned = abandon
    return sessions, attendant
