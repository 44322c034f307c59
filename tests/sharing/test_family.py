"""A family: an agent sees those below it and may direct them, and nobody else may."""

import pytest

from perdure import (
    Agent,
    AgentSystem,
    MemoryStore,
    Principal,
    Scope,
    State,
    Status,
    VirtualClock,
)
from perdure.persistence.errors import ConfigurationError, Conflict, Denied
from tests.kit.deadline import DEADLINE


class Count(State):
    """What was told."""

    n: int = 0


class Member(Agent[Count]):
    def join(self, parent: str) -> None:
        self.system.sharing.family().join(self.system.agent(Member, parent))

    def leave(self) -> None:
        self.system.sharing.family().leave()

    def note(self, key: str, value: object) -> None:
        self.scopes.set(self.scopes.own, key, value)

    def look(self, child: str, key: str) -> object:
        return self.system.sharing.family().look(self.system.agent(Member, child), key)

    def keys(self, child: str) -> list[str]:
        return list(self.system.sharing.family().list(self.system.agent(Member, child)))

    def order(self, child: str, times: int) -> None:
        for _ in range(times):
            ref = self.system.agent(Member, child)
            self.system.sharing.family().direct(ref, Member.add, 2)

    def order_and_fail(self, child: str) -> None:
        self.order(child, 1)
        raise LookupError("no")

    def adopt(self, child: str) -> None:
        family = self.system.sharing.family()
        family.adopt(self.system.agent(Member, child), parent=self.actor_ref)

    def step(self, child: str, step: str) -> None:
        family, ref = self.system.sharing.family(), self.system.agent(Member, child)
        {"pause": family.pause, "resume": family.resume, "stop": family.stop}[step](ref).get()

    def release(self, child: str) -> None:
        self.system.sharing.family().release(self.system.agent(Member, child))

    def add(self, by: int) -> None:
        self.state.n += by

    def total(self) -> int:
        return self.state.n

    def children(self) -> list[str]:
        return [str(child) for child in self.system.sharing.family().children()]

    def above(self) -> str:
        return str(self.system.sharing.family().parent())


class AsyncMember(Agent[Count]):
    async def join(self, parent: str) -> None:
        self.system.sharing.family().join(self.system.agent(Member, parent))

    async def note(self) -> None:
        self.scopes.set(self.scopes.own, "a", 1)


def opened(store: MemoryStore | None = None) -> AgentSystem:
    """Open a system in which child is below parent, and parent below elder."""
    system = AgentSystem.open(store or MemoryStore(), agents=[Member, AsyncMember])
    system.agent(Member, "child").call(Member.join, "parent").get()
    system.agent(Member, "parent").call(Member.join, "elder").get()
    return system


def test_those_above_see_the_own_scope() -> None:
    """Parent and grandparent read and list a child's scope; strangers and children do not."""
    with opened() as system:
        child, parent, elder, stranger = (
            system.agent(Member, key).proxy() for key in ("child", "parent", "elder", "stranger")
        )
        child.note("plan", {"a": 1}).get()
        parent.note("secret", 1).get()
        for above in (parent, elder):
            assert above.look("child", "plan").get() == {"a": 1}
            assert above.keys("child").get() == ["plan"]
        assert parent.look("child", "nothing").get() is None
        with pytest.raises(Denied, match="Member/stranger may not look at family 'all'"):
            stranger.look("child", "plan").get()
        with pytest.raises(Denied):
            child.look("parent", "secret").get()
        with pytest.raises(Denied):
            stranger.keys("child").get()
        seen = [e for e in system.audit.list() if e.reason == "family"]
        assert len(seen) == 5
        assert {str(entry.who) for entry in seen} == {"agent:Member/parent", "agent:Member/elder"}


def test_those_above_see_no_key_that_has_expired() -> None:
    """As the agent itself: what is over is not listed, although a sweep has yet to come."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Member], clock=clock) as system:
        child, top = system.agent(Member, "child"), system.agent(Member, "top")
        child.call(Member.join, "top").get()
        child.call(Member.note, "stays", 1).get()
        system.state.set(Scope.agent("Member", "child"), "goes", 1, ttl=0.5)
        assert top.call(Member.keys, "child").get() == ["goes", "stays"]
        clock.advance(0.6)
        assert top.call(Member.keys, "child").get() == ["stays"]


def test_those_above_direct() -> None:
    """A directive is a message of the turn: each is handled once, and none if the turn fails."""
    with opened() as system:
        parent = system.agent(Member, "parent").proxy()
        parent.order("child", 3).get()
        with pytest.raises(LookupError):
            parent.order_and_fail("child").get()
        system.sharing.family().direct(system.agent(Member, "child"), "add", 10)
        assert system.idle(DEADLINE)
        assert system.agent(Member, "child").call(Member.total).get() == 16


def test_nobody_else_directs() -> None:
    """Directing without being above is refused and changes nothing, by message or by step."""
    with opened() as system:
        child, stranger = (system.agent(Member, key).proxy() for key in ("child", "stranger"))
        with pytest.raises(Denied, match="agent:Member/child is not below it"):
            stranger.order("child", 1).get()
        with pytest.raises(Denied):
            child.order("parent", 1).get()
        for step in ("pause", "resume", "stop"):
            with pytest.raises(Denied, match="may not direct agents of"):
                stranger.step("child", step).get()
        assert system.agent(Member, "child").describe().status is Status.ACTIVE
        assert child.total().get() == 0
        refused = [e for e in system.audit.list() if e.outcome == "refused"]
        assert len(refused) == 5


def test_those_above_take_steps() -> None:
    """A parent pauses, resumes and stops its child."""
    with opened() as system:
        parent, child = system.agent(Member, "parent").proxy(), system.agent(Member, "child")
        for step, status in (
            ("pause", Status.PAUSED), ("resume", Status.ACTIVE), ("stop", Status.STOPPED),
        ):  # fmt: skip
            parent.step("child", step).get()
            assert child.describe().status is status


def test_being_below_takes_ones_own_word() -> None:
    """No agent takes another below itself; the system may put anybody below anybody."""
    with opened() as system:
        with pytest.raises(Denied, match="an agent joins by itself"):
            system.agent(Member, "stranger").call(Member.adopt, "child").get()
        family = system.sharing.family()
        ref = system.agent(Member, "new")
        family.adopt(ref, parent=system.agent(Member, "elder"))
        assert family.parent(ref) == system.agent(Member, "elder")
        children = system.agent(Member, "elder").call(Member.children).get()
        assert children == ["Member/new", "Member/parent"]
        with pytest.raises(ConfigurationError, match="only an agent can join"):
            family.join(ref)


def test_an_agent_has_one_above_it() -> None:
    """Joining another is a conflict before one has left, and nobody comes to be below itself."""
    with opened() as system:
        child, elder = (system.agent(Member, key).proxy() for key in ("child", "elder"))
        child.join("parent").get()
        with pytest.raises(Conflict, match="is below another agent already"):
            child.join("elder").get()
        with pytest.raises(ConfigurationError, match="would be below itself"):
            elder.join("child").get()
        child.leave().get()
        with pytest.raises(Denied):
            system.agent(Member, "parent").proxy().look("child", "x").get()
        elder.join("child").get()
        assert elder.above().get() == "Member/child"


def test_a_child_is_released() -> None:
    """Whoever is above lets go; strangers cannot."""
    with opened() as system:
        with pytest.raises(Denied):
            system.agent(Member, "stranger").call(Member.release, "child").get()
        system.agent(Member, "parent").call(Member.release, "child").get()
        assert system.agent(Member, "child").call(Member.above).get() == "None"
        assert system.agent(Member, "parent").call(Member.children).get() == []


def test_families_outlive_the_process() -> None:
    """Who is below whom is there after a restart, also for async agents."""
    store = MemoryStore()
    with opened(store) as system:
        system.agent(AsyncMember, "x").proxy().join("elder").get()
        system.agent(AsyncMember, "x").proxy().note().get()
    with AgentSystem.open(store, agents=[Member, AsyncMember]) as system:
        children = system.agent(Member, "elder").call(Member.children).get()
        assert children == ["AsyncMember/x", "Member/parent"]
        family = system.sharing.family()
        assert family.look(system.agent(AsyncMember, "x"), "a", int) == 1


def test_an_isolated_agent_shares_nothing() -> None:
    """Who was cut off is refused by every pattern, until it is restored."""
    with opened() as system:
        topic = system.sharing.acting_as(Principal.agent("Member", "parent")).topic("news")
        system.access.isolate(Principal.agent("Member", "parent"), "leaks")
        with pytest.raises(Denied, match="isolated"):
            topic.publish(1)
        system.access.restore(Principal.agent("Member", "parent"))
        assert topic.publish(1) == 1
