"""Hooks at what agents share: keys, sessions, artifacts, in turns and outside."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

import pytest
from msgspec import field

from perdure import (
    Agent,
    AgentSystem,
    ArtifactDetails,
    Cancel,
    Principal,
    Replace,
    Scope,
    ScopeDetails,
    ScopedState,
    SessionDetails,
    State,
    hook,
)
from perdure.hooks.points import SHARED
from perdure.persistence.errors import Denied, HookCancelled, HookFailed
from tests.kit.deadline import DEADLINE

GLOBAL = Scope.GLOBAL


class Desk(State):
    """What came of it."""

    seen: list[str] = field(default_factory=list)


class Clerk(Agent[Desk]):
    def put(self, key: str, value: object) -> int:
        return self.scopes.set(self.scopes.own, key, value)

    def put_and_fail(self, key: str) -> None:
        self.scopes.set(self.scopes.own, key, 1)
        raise LookupError("no")

    def every_way(self) -> list[object]:
        return everything(self.scopes, self.scopes.own)

    async def later(self, key: str) -> object:
        self.scopes.set(self.scopes.own, key, 1)
        return self.scopes.get(self.scopes.own, key)


class Watched(Agent[Desk]):
    @hook("scope_write.before", on="price")
    def check(self, details: ScopeDetails) -> Cancel | Replace | None:
        self.state.seen = [*self.state.seen, f"{details.name}={details.value}"]
        if details.value == 13:
            return Cancel("unlucky")
        return Replace(100) if details.value == 99 else None

    def put(self, key: str, value: object) -> object:
        self.scopes.set(self.scopes.own, key, value)
        return self.scopes.get(self.scopes.own, key)

    def seen(self) -> list[str]:
        return self.state.seen


def everything(state: ScopedState, scope: Scope) -> list[object]:
    """Write, read and delete in every way there is, and return what is told of it."""
    state.set_many(scope, {"b": 2, "c": 3})
    state.add(scope, "b", 0)
    return [
        state.set(scope, "a", 1),
        state.set_if_absent(scope, "a", 9),
        state.compare_and_set(scope, "a", 1, 4),
        state.increment(scope, "a"),
        state.copy(scope, "b", scope, "d"),
        state.move(scope, "d", scope, "e"),
        state.get(scope, "a"),
        state.entry(scope, "b") is None,
        state.exists(scope, "x"),
        state.get_many(scope, ["a", "c"]),
        state.delete(scope, "x"),
        state.delete(scope, "c"),
        state.clear(scope),
    ]


EXPECTED = [
    *("write b 2", "write c 3", "add b 2", "write a 1", "compare and set a 4", "increment a 5"),
    *("read b 2", "write d 2", "read d 2", "write e 2", "delete d None"),
    *("read a 5", "read b 2", "read x None", "read a 5", "read c 3", "delete c None"),
    *("delete a None", "delete b None", "delete e None"),
]


def opened() -> AgentSystem:
    """Open a system with both kinds of agents."""
    return AgentSystem.open("memory://", agents=[Clerk, Watched])


@pytest.mark.parametrize("where", ["outside", "turn", "transaction"])
def test_every_way_is_told_once_with_what_came_of_it(where: str) -> None:
    """Reads, writes and deletions are told after they were done, each by its key, no others."""
    told: list[str] = []

    def after(details: ScopeDetails) -> None:
        told.append(f"{details.operation} {details.name} {details.value}")

    with opened() as system:
        plain = everything(system.state, Scope.user("p"))
        for point in ("scope_read.after", "scope_write.after", "scope_delete.after"):
            system.hooks.on(point, after, name=point)
        if where == "turn":
            found = system.agent(Clerk, "a").call(Clerk.every_way).get(timeout=DEADLINE)
        elif where == "outside":
            found = everything(system.state, GLOBAL)
        else:
            with system.state.transaction():
                found = everything(system.state, GLOBAL)
        assert found == plain
    assert told == EXPECTED


def test_replace_changes_what_every_way_of_writing_writes() -> None:
    """A hook before a write gives another value, whatever writes."""

    def other(details: ScopeDetails) -> Replace | None:
        return Replace(details.value * 10) if isinstance(details.value, int) else None

    with opened() as system:
        state = system.state
        system.hooks.on("scope_write.before", other)
        state.set(GLOBAL, "a", 1)
        state.set_many(GLOBAL, {"b": 2})
        assert state.compare_and_set(GLOBAL, "a", 10, 3)
        assert state.increment(GLOBAL, "a") == 40
        state.add(GLOBAL, "a", 2)
        assert state.copy(GLOBAL, "b", GLOBAL, "c")
        assert state.get_many(GLOBAL, ["a", "b", "c"]) == {"a": 60, "b": 20, "c": 200}


def test_cancel_does_nothing_and_says_who_and_why() -> None:
    """What a hook cancels is not done: for a read, a write, a deletion, a session, an artifact."""
    with opened() as system:
        state = system.state
        state.set(GLOBAL, "a", 1)
        kept = system.artifacts.save("kept", b"1")
        system.sessions.create("s")
        points = [point for point in SHARED if point.guards]
        for point in points:

            def stop(_details: object) -> Cancel:
                return Cancel("not today")

            system.hooks.on(point, stop, name=f"stop {point}")
        calls: list[Callable[[], object]] = [
            lambda: state.get(GLOBAL, "a"),
            lambda: state.set(GLOBAL, "a", 2),
            lambda: state.set_many(GLOBAL, {"b": 2}),
            lambda: state.compare_and_set(GLOBAL, "a", 1, 2),
            lambda: state.increment(GLOBAL, "a"),
            lambda: state.add(GLOBAL, "a"),
            lambda: state.delete(GLOBAL, "a"),
            lambda: system.sessions.create("t"),
            lambda: system.sessions.get("s").complete(),
            lambda: system.artifacts.save("b", b"2"),
            lambda: system.artifacts.delete(kept),
            lambda: system.artifacts.tag(kept, "t"),
            lambda: system.artifacts.untag(kept, "t"),
            lambda: system.artifacts.link(kept),
        ]
        for call in calls:
            with pytest.raises(HookCancelled, match=r"stop .*not today"):
                call()
        for point in points:
            system.hooks.remove(f"stop {point}")
        assert state.get(GLOBAL, "a") == 1
        assert state.count(GLOBAL) == 1
        assert [each.name for each in system.artifacts.list()] == ["kept"]
        assert [(each.id, each.status) for each in system.sessions.list()] == [("s", "active")]


def test_sessions_and_artifacts_are_told() -> None:
    """Each step and each event is told before and after, with what it is about."""
    told: list[tuple[object, ...]] = []

    def session(details: SessionDetails) -> None:
        told.append((details.session, details.step, details.note))

    def artifact(details: ArtifactDetails) -> None:
        told.append((details.operation, details.name, details.number > 0, details.size))

    with opened() as system:
        for point in ("session.before", "session.after"):
            system.hooks.on(point, session, name=point)
        for point in ("artifact.before", "artifact.after"):
            system.hooks.on(point, artifact, name=point)
        chat = system.sessions.create("chat")
        chat.fail("broken")
        made = system.artifacts.save("a", b"123")
        system.artifacts.tag(made, "x")
        system.artifacts.delete(made)
    assert told == [
        *[("chat", "create", "")] * 2, *[("chat", "fail", "broken")] * 2,
        ("save", "a", False, 0), ("save", "a", True, 3),
        *[("tag", "a", True, 3)] * 2, *[("delete", "a", True, 3)] * 2,
    ]  # fmt: skip


def test_a_method_guards_the_writes_of_its_own_agents() -> None:
    """A class hooks what its agents write, by key; what it changes in its state is the turn's."""
    with opened() as system:
        watched, clerk = system.agent(Watched, "w").proxy(), system.agent(Clerk, "c").proxy()
        assert watched.put("price", 99).get() == 100
        assert watched.put("other", 99).get() == 99
        with pytest.raises(HookCancelled, match=r"Watched\.check: unlucky"):
            watched.put("price", 13).get()
        assert clerk.put("price", 13).get() == 1
        assert watched.seen().get() == ["price=99"]


def test_a_hook_has_no_more_rights_than_its_owner() -> None:
    """Whoever may not write is refused, also where a hook of the system has replaced the value."""
    with opened() as system:
        system.hooks.on("scope_write.before", replace_by_one)
        system.agent(Clerk, "a").call(Clerk.put, "k", 5).get(timeout=DEADLINE)
        own = Scope.agent("Clerk", "a")
        mira = system.state.acting_as(Principal.user("mira"))
        with pytest.raises(Denied):
            mira.set(own, "k", 7)
        assert system.state.get(own, "k") == 1


def replace_by_one(_details: ScopeDetails) -> Replace:
    """Have 1 written."""
    return Replace(1)


@pytest.mark.parametrize("deferred", [False, True])
def test_what_a_hook_does_with_shared_state_runs_no_hooks(*, deferred: bool) -> None:
    """A hook at writes may write, then or later: in its owner's name, and not without an end."""
    with opened() as system:

        def count(details: ScopeDetails) -> None:
            system.state.add(GLOBAL, "writes")

        system.hooks.on("scope_write.after", count, deferred=deferred)
        system.agent(Clerk, "a").call(Clerk.put, "k", 5).get(timeout=DEADLINE)
        system.state.set(GLOBAL, "x", 1)
        assert system.idle(DEADLINE)
        assert system.state.get(GLOBAL, "writes") == 2


def test_a_failing_hook_keeps_to_its_policy() -> None:
    """One that guards fails closed unless told otherwise; one that comes after harms nothing."""

    def fail(_details: ScopeDetails) -> None:
        raise LookupError("broken")

    with opened() as system:
        system.hooks.on("scope_write.before", fail, name="closed", on="a")
        system.hooks.on("scope_write.before", fail, name="open", on="b", on_failure="open")
        system.hooks.on("scope_write.after", fail, name="after", on="c")
        with pytest.raises(HookFailed):
            system.state.set(GLOBAL, "a", 1)
        assert [system.state.set(GLOBAL, key, 1) for key in "bc"] == [1, 1]
        assert not system.state.exists(GLOBAL, "a")


def test_the_history_has_what_ran_with_its_turn_or_alone() -> None:
    """Runs in a turn stand in the history with its agent, those outside without one."""
    with opened() as system:
        system.hooks.on("scope_write.before", replace_by_one, name="one")
        system.agent(Clerk, "a").call(Clerk.put, "k", 5).get(timeout=DEADLINE)
        system.agent(Clerk, "a").call(Clerk.later, "m").get(timeout=DEADLINE)
        with pytest.raises(LookupError):
            system.agent(Clerk, "a").call(Clerk.put_and_fail, "k").get(timeout=DEADLINE)
        system.state.set(GLOBAL, "x", 1)
        assert system.idle(DEADLINE)
        runs = [(run.kind, run.key, run.outcome) for run in system.hooks.history.each(hook="one")]
        assert sorted(runs) == [("", "", "replace"), *[("Clerk", "a", "replace")] * 3]


def test_a_deferred_hook_is_called_for_what_came_to_be() -> None:
    """A deferred call is stored with the turn: not with one that is undone."""
    told: list[str] = []

    def after(details: ScopeDetails) -> None:
        told.append(f"{details.kind}/{details.key} {details.name}")

    with opened() as system:
        system.hooks.on("scope_write.after", after, deferred=True)
        system.agent(Clerk, "a").call(Clerk.put, "k", 5).get(timeout=DEADLINE)
        with pytest.raises(LookupError):
            system.agent(Clerk, "a").call(Clerk.put_and_fail, "no").get(timeout=DEADLINE)
        system.state.set(GLOBAL, "x", 1)
        assert system.idle(DEADLINE)
    assert told == ["Clerk/a k", "/ x"]


def test_nobody_listens_any_more_once_the_hook_is_removed() -> None:
    """Hooks are looked for only while one of them is there and enabled."""
    with AgentSystem.open("memory://", agents=[Clerk]) as system:
        hooks, listens = system.hooks, attrgetter("_runtime.desk.listeners.shared")
        found = [listens(system)]
        hooks.on("scope_read.after", look, name="a")
        found.append(listens(system))
        for change in (hooks.disable, hooks.enable, hooks.remove):
            change("a")
            found.append(listens(system))
        assert found == [False, True, False, True, False]


def look(_details: ScopeDetails) -> None:
    """Look, and do nothing."""
