"""What a session gives to an agent of that which is others': nothing that they have not granted."""

from pathlib import Path

import pytest
from msgspec import field

from perdure import Agent, AgentSystem, Principal, Right, Scope, State
from perdure.persistence.errors import Denied, SessionExists
from tests.kit.deadline import DEADLINE

MIRA, TOM = Principal.user("mira"), Principal.user("tom")
CLERK = Scope.agent("Clerk", "c")


class Notes(State):
    """What nobody else is to read."""

    salary: int = 0
    seen: list[str] = field(default_factory=list)


class Clerk(Agent[Notes]):
    """Works for whoever asks, in whatever session."""

    def work(self) -> None:
        """Write into the state, a scope and an artifact."""
        self.state.salary = 98765
        self.scopes.set(self.scopes.own, "diary", "private")
        self.scopes.set(self.scopes.own, "board", "public")
        self.system.artifacts.save("report", b"private")


class Visitor(Agent[Notes]):
    """Begins sessions of its own, and has others work in them."""

    def begin(self, session_id: str, *, fail: bool = False) -> None:
        """Begin a session; perhaps in a turn that fails with what its scope holds."""
        session = self.system.sessions.create(session_id)
        if fail:
            raise LookupError(str(self.scopes.get(session.scope, "pin")))

    def have_work_done(self, session_id: str) -> None:
        """Have the clerk work, and work oneself, in a session."""
        session = self.system.sessions.get(session_id)
        session.agent(Clerk, "c").cast(Clerk.work)
        session.agent(Visitor, self.key).cast(Visitor.note, "here")

    def note(self, word: str) -> None:
        """Note a word, and the session of this turn."""
        session = self.system.sessions.current()
        self.state.seen = [*self.state.seen, word, "" if session is None else session.id]

    def history(self, session_id: str) -> list[tuple[str, str]]:
        """Return whose commits a session has, and what is seen of each."""
        entries = self.system.sessions.get(session_id).history.each()
        return [(entry.kind, entry.delta) for entry in entries if entry.kind]

    def found(self, session_id: str) -> list[str]:
        """Return the names of a session's artifacts."""
        scope = Scope.session(session_id)
        return [artifact.name for artifact in self.system.artifacts.list(scope=scope)]

    def forge(self, session_id: str, other: str) -> None:
        """Send in a session by a handle of another that was given its name."""
        session = self.system.sessions.get(session_id)
        session.id = other
        session.agent(Visitor, self.key).cast(Visitor.note, "forged")

    def move(self, session_id: str, correlation: int) -> None:
        """Send in a session by a handle of another that was given its correlation."""
        session = self.system.sessions.get(session_id)
        session.correlation = correlation  # type: ignore[misc]
        session.agent(Visitor, self.key).cast(Visitor.note, "forged")


def opened() -> AgentSystem:
    """Open a system of both."""
    return AgentSystem.open("memory://", agents=[Clerk, Visitor])


def test_a_history_shows_of_others_only_what_may_be_read() -> None:
    """Who works in a session of others keeps its state, and keys without a grant, to itself."""
    with opened() as system:
        visitor = system.agent(Visitor, "v")
        visitor.call(Visitor.begin, "mine").get()
        visitor.call(Visitor.have_work_done, "mine").get()
        assert system.idle(DEADLINE)
        assert dict(visitor.call(Visitor.history, "mine").get()) == {
            "Clerk": "{}",
            "Visitor": '{"set":{"seen":["here","mine"]}}',
        }
        system.access.grant(Principal.agent("Visitor", "v"), CLERK, Right.READ, keys="board")
        (shown,) = (d for kind, d in visitor.call(Visitor.history, "mine").get() if kind == "Clerk")
        assert "public" in shown
        assert "private" not in shown
        assert "98765" not in shown
        whole = "".join(entry.delta for entry in system.sessions.get("mine").history.each())
        assert "98765" in whole
        assert "private" in whole


def test_a_history_shows_a_user_no_state_of_agents() -> None:
    """Nor does the owner of a session, by a handle of its own, read what agents keep."""
    with opened() as system:
        hers = system.sessions.acting_as(MIRA)
        hers.create("hers")
        system.sessions.get("hers").agent(Clerk, "c").call(Clerk.work).get()
        assert [e.delta for e in hers.get("hers").history.each() if e.kind == "Clerk"] == ["{}"]
        assert hers.get("hers").history.count() == system.sessions.get("hers").history.count()


@pytest.mark.parametrize("holds", ["nothing", "a key", "a key of the system"])
def test_a_session_does_not_take_over_a_scope(holds: str) -> None:
    """An id whose scope is somebody's is refused, by agents and users, in turns that fail too."""
    scope = Scope.session("s")
    with opened() as system:
        if holds == "a key of the system":
            owner = system.access.owner(scope)
            system.state.set(scope, "pin", 1234)
        else:
            owner = MIRA
            system.access.own(scope, owner)
        if holds == "a key":
            system.state.acting_as(MIRA).set(scope, "pin", 1234)
        visitor = system.agent(Visitor, "v")
        for fail in (False, True):
            with pytest.raises(SessionExists):
                visitor.call(Visitor.begin, "s", fail=fail).get()
        with pytest.raises(SessionExists):
            system.sessions.acting_as(TOM).create("s")
        with pytest.raises(Denied):
            system.state.acting_as(TOM).get(scope, "pin")
        assert system.access.owner(scope) == owner
        assert system.state.get(scope, "pin") == (None if holds == "nothing" else 1234)
        assert system.sessions.list() == []


def test_a_handle_is_of_its_session_whatever_is_written_into_it() -> None:
    """Neither a name nor a correlation that a handler writes lets it into another's session."""
    with opened() as system:
        visitor = system.agent(Visitor, "v")
        visitor.call(Visitor.begin, "mine").get()
        private = system.sessions.create("private")
        with pytest.raises(AttributeError):
            visitor.call(Visitor.move, "mine", private.correlation).get()
        with pytest.raises((LookupError, AttributeError)):
            visitor.call(Visitor.forge, "mine", "private").get()
        assert system.idle(DEADLINE)
        assert visitor.proxy().state.get().seen == []
        assert all(entry.kind == "" for entry in private.history.each())


def test_where_things_are_kept_is_not_for_who_asks_to_say() -> None:
    """An agent that works in another agent's session saves into its own scope, not into that."""
    with opened() as system:
        visitor = system.agent(Visitor, "v")
        visitor.call(Visitor.begin, "mine").get()
        visitor.call(Visitor.have_work_done, "mine").get()
        assert system.idle(DEADLINE)
        assert visitor.call(Visitor.found, "mine").get() == []
        assert [artifact.scope for artifact in system.artifacts.list()] == [CLERK]
        system.sessions.create("ours").agent(Clerk, "c").call(Clerk.work).get()
        assert len(system.artifacts.list(scope=Scope.session("ours"))) == 1


def test_an_import_makes_nobody_else_an_owner(tmp_path: Path) -> None:
    """Who may create no session for another may import none of another either."""
    file = tmp_path / "toms.perdure"
    with opened() as system:
        system.sessions.create("toms", owner=TOM)
        system.sessions.export("toms", file)
        with pytest.raises(Denied, match="user:mira may not create a session for user:tom"):
            system.sessions.acting_as(MIRA).import_(file, session_id="again")
        assert [info.id for info in system.sessions.list()] == ["toms"]
        assert system.sessions.acting_as(TOM).import_(file, session_id="again").info().owner == TOM
