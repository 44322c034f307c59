"""Agents that work in sessions."""

from __future__ import annotations

from typing import Any

from msgspec import field

from perdure import Agent, AgentSystem, Durability, MemoryStore, Scope, State, VirtualClock
from perdure.actors.sessions import Session


class DeskState(State):
    """What a desk keeps."""

    seen: list[str] = field(default_factory=list)


class Desk(Agent[DeskState]):
    """An agent that notes in the scope of its session what it is told."""

    def note(self, word: str) -> str:
        """Append a word to what the session knows; return the session."""
        session = self.system.sessions.current()
        if session is None:
            return ""
        self.state.seen = [*self.state.seen, word]
        words = self.scopes.get(session.scope, "words", list[str], default=[])
        self.scopes.set(session.scope, "words", [*words, word])
        return session.id

    def put(self, key: str, value: object) -> None:
        """Write a key of the session."""
        self.scopes.set(self.session().scope, key, value)

    def session(self) -> Session:
        """Return the session of this turn."""
        session = self.system.sessions.current()
        assert session is not None
        return session

    def pass_on(self, words: list[str], *, ask: bool) -> str:
        """Note the first word, and have the next desk note the rest."""
        if len(words) > 1:
            other = self.system.agent(Desk, words[0])
            if ask:
                other.call(Desk.pass_on, words[1:], ask=ask).get()
            else:
                other.cast(Desk.pass_on, words[1:], ask=ask)
        return self.note(words[0])

    async def later(self, word: str) -> str:
        """Note a word in a coroutine, after another desk has."""
        await self.system.agent(Desk, f"{word}-async").call(Desk.note, word)
        return self.note(word)

    def remind(self, word: str, seconds: float = 10.0) -> None:
        """Note a word when a timer falls due."""
        self.after(seconds, "note", word, name=word)

    def open(self, session_id: str, word: str, *, fail: bool = False) -> str:
        """Begin a session in a turn, and have another desk work in it."""
        with self.system.sessions.create(session_id) as session:
            self.system.agent(Desk, "inner").cast(Desk.note, word)
        if fail:
            raise ValueError(word)
        return session.id

    def seen_sessions(self) -> list[str]:
        """Return the sessions that this agent sees."""
        return sorted(info.id for info in self.system.sessions.list(limit=1000))

    def end(self, note: str) -> None:
        """Complete the session of this turn."""
        self.session().complete(note)

    def find(self, session_id: str) -> str:
        """Return the status of a session."""
        return str(self.system.sessions.get(session_id).info().status)


class Quick(Agent[DeskState]):
    """One that keeps nothing."""

    durability = Durability.VOLATILE

    def note(self, word: str) -> str:
        """Note a word in the session."""
        session = self.system.sessions.current()
        if session is None:
            return ""
        self.scopes.set(session.scope, word, word)
        return session.id

    def on_receive(self, message: object) -> str:
        """Take a bare message."""
        return self.note(str(message))


class Saved(Quick):
    """One that is saved now and then."""

    durability = Durability.SNAPSHOT


AGENTS: list[type[Agent[Any]]] = [Desk, Quick, Saved]


def opened(store: object = None, clock: VirtualClock | None = None) -> AgentSystem:
    """Open a system of desks."""
    store = MemoryStore() if store is None else store
    return AgentSystem.open(store, agents=AGENTS, clock=clock)  # type: ignore[arg-type]


def words(system: AgentSystem, session: Session) -> list[str]:
    """Return what a session was told."""
    system.idle(10)
    return system.state.get(session.scope, "words", list[str], default=[])


def keys(system: AgentSystem, session_id: str) -> list[str]:
    """Return the keys in the scope of a session."""
    return system.state.list_keys(Scope.session(session_id))
