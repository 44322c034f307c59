"""Who is woken works in a session only if an owner has named it for that work."""

from collections.abc import Callable

import pytest
from msgspec import field

from perdure import Agent, AgentSystem, Durability, Principal, State
from tests.kit.deadline import DEADLINE


class Heard(State):
    """The sessions in which one was woken."""

    sessions: list[str] = field(default_factory=list)


class Listener(Agent[Heard]):
    """Notes in which session it is woken."""

    def woken(self, *_number: int) -> None:
        """Note the session of this turn."""
        session = self.system.sessions.current()
        self.state.sessions = [*self.state.sessions, "" if session is None else session.id]

    def listen(self, how: str) -> None:
        """Listen to one of the patterns."""
        sharing = self.system.sharing
        if how == "topic":
            sharing.topic("news").subscribe(wake=Listener.woken)
        elif how == "requests":
            sharing.requests("board").serve(Listener.woken)
        elif how == "document":
            sharing.document("plan", dict[str, int], initial={}).watch(Listener.woken)
        else:
            sharing.pipeline(how).attend("in", Listener.woken)

    def ask_for(self) -> None:
        """Ask something, to be woken by the answer."""
        self.system.sharing.requests("board").send("?", wake=Listener.woken)


class Passing(Listener):
    """One that exists in memory only."""

    durability = Durability.VOLATILE


def publish(system: AgentSystem) -> None:
    """Bring news of a topic."""
    system.sharing.topic("news").publish("hello")


def ask(system: AgentSystem) -> None:
    """Ask something."""
    system.sharing.requests("board").send("?")


def propose(system: AgentSystem) -> None:
    """Change a document."""
    document = system.sharing.document("plan", dict[str, int], initial={})
    document.propose(document.read(), {"n": 1})


def put(name: str) -> Callable[[AgentSystem], None]:
    """Put something into a pipeline."""

    def do(system: AgentSystem) -> None:
        system.sharing.pipeline(name).put(1)

    return do


@pytest.mark.parametrize("kind", [Listener, Passing])
@pytest.mark.parametrize(
    ("how", "bring", "within"),
    [
        ("topic", publish, False),
        ("requests", ask, False),
        ("document", propose, False),
        ("open", put("open"), False),
        ("named", put("named"), True),
    ],
)
def test_who_listens_is_woken_outside_of_the_session(
    kind: type[Listener],
    how: str,
    bring: Callable[[AgentSystem], None],
    within: bool,  # noqa: FBT001
) -> None:
    """News of a session wakes listeners outside of it, and inside those named to work there."""
    me = Principal.agents(kind.__name__)
    with AgentSystem.open("memory://", agents=[Listener, Passing]) as system:
        sharing = system.sharing
        sharing.topic("news")
        sharing.requests("board", responders=me)
        sharing.document("plan", dict[str, int], initial={}, writers=me)
        sharing.pipeline("open", ["in"])
        sharing.pipeline("named", ["in"], roles={"in": me})
        listener = system.agent(kind, "l")
        listener.call(kind.listen, how).get()
        with system.sessions.create("private"):
            bring(system)
        assert system.idle(DEADLINE)
        assert listener.proxy().state.get().sessions == (["private"] if within else [""])


def test_who_asks_is_woken_outside_of_the_session_of_who_answers() -> None:
    """An answer that is given in a session takes the asker into none."""
    with AgentSystem.open("memory://", agents=[Listener]) as system:
        board = system.sharing.requests("board")
        listener = system.agent(Listener, "l")
        listener.call(Listener.ask_for).get()
        with system.sessions.create("private"):
            (request,) = board.take(lease=60)
            assert board.answer(request, "!")
        assert system.idle(DEADLINE)
        assert listener.proxy().state.get().sessions == [""]
