"""Agents that work in sessions."""

from __future__ import annotations

from typing import Any

from msgspec import field

from perdure import Agent, AgentSystem, Durability, MemoryStore, Scope, State, VirtualClock
from perdure.actors.talk.sessions import Session
from perdure.shared.sessions.records import Cleanup, SessionLimits


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
    return list(system.state.each(Scope.session(session_id)))


def full(system: AgentSystem, session_id: str = "chat-7") -> None:
    """Make a session with something of everything in it."""
    session = system.sessions.create(
        session_id, name="Chat 7", meta={"topic": ["wings", 3]}, cleanup=Cleanup.EXPIRE,
        limits=SessionLimits(bytes=10_000_000, keep=1000.0),
    )  # fmt: skip
    for word in ("a", "b"):
        session.agent(Desk, word).call(Desk.note, word).get()
    with session:
        for number in range(30):
            system.state.set(session.scope, f"k/{number:02}", {"n": number, "text": "ä\u2028 ' \\"})
        system.state.set(session.scope, "short", 1, ttl=5000)
        scan = system.artifacts.save(
            "scan.tif", bytes(range(256)) * 2000, tags=["raw"], type="tool-result"
        )
        system.artifacts.save("text.txt", b"", sources=[scan], meta={"pages": 1})
        system.artifacts.save("text.txt", b"two", media="text/plain", sources=[scan])


def contents(system: AgentSystem, session_id: str) -> dict[str, object]:
    """Return what makes a session, apart from its numbers."""
    scope = Scope.session(session_id)
    info = system.sessions.info(session_id)
    entries = {}
    for key in system.state.list(scope):
        entry = system.state.entry(scope, key)
        assert entry is not None
        entries[key] = (entry.value, entry.version, entry.expires)
    return {
        "info": (info.name, info.status, info.owner, info.created, info.limits, info.meta),
        "entries": entries,
        "artifacts": [
            (
                artifact.name, artifact.version, artifact.content, artifact.type, artifact.media,
                artifact.meta, artifact.session == session_id,
                system.artifacts.read(artifact), system.artifacts.tags(artifact),
                [source.name for source in system.artifacts.sources(artifact)],
            )
            for artifact in system.artifacts.list(scope=scope)
        ],
    }  # fmt: skip
