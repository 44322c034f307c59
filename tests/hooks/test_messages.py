"""Hooks around messages: each answer, who it reaches, and what is left of the turn."""

from typing import Any

import pytest

from perdure import Agent, AgentSystem, Durability, Scope, State
from perdure.hooks import points
from perdure.hooks.details import ErrorDetails, MessageDetails, OutcomeDetails, StateDetails
from perdure.hooks.hook import hook
from perdure.hooks.results import Cache, Cancel, Fork, Redirect, Replace, Retry, Skip
from perdure.persistence.errors import ConfigurationError, HookCancelled, HookFailed
from tests.kit.deadline import DEADLINE


class Sum(State):
    total: int = 0
    calls: int = 0


class Adder(Agent[Sum]):
    def add(self, number: int) -> int:
        self.state.total += number
        self.state.calls += 1
        return self.state.total

    def fail(self, times: int) -> int:
        self.state.total += 1
        if self.turn.attempt <= times:
            raise ValueError("not yet")
        return self.turn.attempt

    def seen(self) -> tuple[int, int]:
        return self.state.total, self.state.calls


class Volatile(Adder):
    durability = Durability.VOLATILE


class Snapshot(Adder):
    durability = Durability.SNAPSHOT


KINDS = [Adder, Volatile, Snapshot]


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest) -> type[Adder]:
    """Give each durability."""
    return request.param  # type: ignore[no-any-return]


def open_system() -> AgentSystem:
    """Open a system with all of them."""
    return AgentSystem.open("memory://", agents=KINDS)


def ask(system: AgentSystem, kind: type[Adder], number: int, key: str = "a") -> Any:  # noqa: ANN401 - what a hook makes of it
    """Ask an agent to add a number."""
    return system.agent(kind, key).call(Adder.add, number).get(timeout=DEADLINE)


def test_replace_gives_another_message_and_another_result(kind: type[Adder]) -> None:
    """Replace before changes what is handled, Replace after what is answered."""
    with open_system() as system:

        @system.hooks.on(points.MESSAGE_BEFORE, on="add")
        def twice(details: MessageDetails) -> Replace:
            return Replace(((2 * details.args[0],), {}))  # type: ignore[operator]

        @system.hooks.on("message.after", on="add")
        def tell(details: OutcomeDetails) -> Replace:
            return Replace(f"{details.args} -> {details.result}")

        assert ask(system, kind, 4) == "(8,) -> 8"
        assert system.agent(kind, "a").call(Adder.seen).get(timeout=DEADLINE) == (8, 1)


def test_cancel_is_an_error_for_the_asker_and_a_dead_letter_else(kind: type[Adder]) -> None:
    """A cancelled message is never a success: its asker gets the reason, a tell is put aside."""
    with open_system() as system:

        @system.hooks.on("message.before", agents=kind, name="guard")
        def guard(details: MessageDetails) -> Cancel | None:
            return Cancel("too much") if details.name == "add" else None

        with pytest.raises(HookCancelled, match="cancelled by the hook guard: too much"):
            ask(system, kind, 1)
        system.agent(kind, "a").cast(Adder.add, 2)
        assert system.idle(DEADLINE)
        (dead,) = system.dead_letters.list()
        assert "too much" in dead.reason
        assert system.agent(kind, "a").call(Adder.seen).get(timeout=DEADLINE) == (0, 0)
        system.hooks.disable("guard")
        assert ask(system, kind, 3) == 3
        system.hooks.enable("guard")
        with pytest.raises(HookCancelled):
            ask(system, kind, 4)
        system.hooks.remove("guard")
        assert ask(system, kind, 5) == 8


def test_skip_and_cache_answer_without_the_handler(kind: type[Adder]) -> None:
    """Skip answers at once; Cache answers as long as its result is young."""
    with open_system() as system:

        @system.hooks.on("message.before", on=("add",), name="cache")
        def cache(details: MessageDetails) -> Cache:
            return Cache(1000, key=str(details.args))

        assert [ask(system, kind, number) for number in (1, 1, 2, 1)] == [1, 1, 3, 1]
        system.hooks.remove("cache")

        @system.hooks.on("message.before", on="add")
        def skip(details: MessageDetails) -> Skip:
            return Skip("nothing done")

        assert ask(system, kind, 1) == "nothing done"
        assert system.agent(kind, "a").call(Adder.seen).get(timeout=DEADLINE) == (3, 2)


def test_redirect_and_fork_reach_another_agent(kind: type[Adder]) -> None:
    """A redirected ask is answered by the other agent; a fork leaves the first at work."""
    with open_system() as system:
        other = system.agent(kind, "other")

        @system.hooks.on("message.before", agents=system.agent(kind, "a"), name="r", on="add")
        def redirect(details: MessageDetails) -> Redirect:
            return Redirect(other)

        assert [ask(system, kind, 5), ask(system, kind, 6)] == [5, 11]
        system.hooks.remove("r")

        @system.hooks.on("message.before", agents=system.agent(kind, "a"), on="add")
        def fork(details: MessageDetails) -> Fork:
            return Fork(other)

        assert ask(system, kind, 1) == 1
        assert system.idle(DEADLINE)
        assert other.call(Adder.seen).get(timeout=DEADLINE) == (12, 3)


def test_retry_and_skip_after_an_error(kind: type[Adder]) -> None:
    """An error hook has the message handled again from the state before, or answers for it."""
    with open_system() as system:

        @system.hooks.on("error", name="again")
        def again(details: ErrorDetails) -> Retry:
            return Retry(attempts=3)

        ref = system.agent(kind, "a")
        assert ref.call(Adder.fail, 2).get(timeout=DEADLINE) == 3
        with pytest.raises(ValueError, match="not yet"):
            ref.call(Adder.fail, 3).get(timeout=DEADLINE)
        assert ref.call(Adder.seen).get(timeout=DEADLINE) == (1, 0)
        system.hooks.remove("again")

        @system.hooks.on(points.ERROR)
        def skip(details: ErrorDetails) -> Skip:
            return Skip(str(details.error))

        assert str(ref.call(Adder.fail, 9).get(timeout=DEADLINE)) == "not yet"
        assert ref.call(Adder.seen).get(timeout=DEADLINE) == (1, 0)


def test_a_change_of_state_can_be_seen_replaced_and_refused(kind: type[Adder]) -> None:
    """state.before knows old and new values; Cancel undoes the turn, Replace gives other values."""
    with open_system() as system:
        seen = []

        @system.hooks.on("state.before")
        def look(details: StateDetails) -> Cancel | Replace | None:
            seen.append((dict(details.old), dict(details.new)))
            total = details.new.get("total", 0)
            assert isinstance(total, int)
            if total > 100:
                return Cancel("over 100")
            return Replace({"total": 50}) if total > 50 else None

        assert ask(system, kind, 7) == 7
        assert seen == [({"total": 0, "calls": 0}, {"total": 7, "calls": 1})]
        with pytest.raises(HookCancelled, match="over 100"):
            ask(system, kind, 200)
        ask(system, kind, 60)
        assert system.agent(kind, "a").call(Adder.seen).get(timeout=DEADLINE) == (50, 2)


class Watched(Agent[Sum]):
    def add(self, number: int) -> int:
        self.state.total += number
        return self.state.total

    @hook("message.before", on="add")
    def _small(self, details: MessageDetails) -> Cancel | None:
        self.state.calls += 1  # a part of the turn: undone with it
        return Cancel("too large") if details.args[0] > 9 else None  # type: ignore[operator]

    def seen(self) -> tuple[int, int]:
        return self.state.total, self.state.calls


def test_a_hook_of_a_class_is_part_of_the_turn() -> None:
    """A method that is a hook runs in the agent's turn, with its state."""
    with AgentSystem.open("memory://", agents=[Watched]) as system:
        watched = system.agent(Watched, "a")
        assert watched.call(Watched.add, 4).get(timeout=DEADLINE) == 4
        with pytest.raises(HookCancelled):
            watched.call(Watched.add, 10).get(timeout=DEADLINE)
        assert watched.call(Watched.seen).get(timeout=DEADLINE) == (4, 1)


def test_a_hook_that_fails_is_closed_or_open(kind: type[Adder]) -> None:
    """A failing before-hook keeps the work from being done, or not, as it declares."""
    with open_system() as system:

        @system.hooks.on("message.before", name="broken")
        def broken(details: MessageDetails) -> None:
            raise RuntimeError("broken")

        with pytest.raises(HookFailed, match="broken"):
            ask(system, kind, 1)
        system.hooks.remove("broken")
        system.hooks.on("message.before", broken, name="open", on_failure="open")
        system.hooks.on("message.after", broken, name="after")
        assert ask(system, kind, 1) == 1
        assert {each.name: each.failures for each in system.hooks.list()} == {"open": 1, "after": 1}


@pytest.mark.parametrize("point", ["message.after", "save.before", "save.after"])
def test_an_answer_that_a_point_does_not_take_is_refused(point: str) -> None:
    """What a hook may answer is looked at when it is registered."""

    def skips(details: object) -> Skip | None:
        return None

    def silent(details):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        return None

    with open_system() as system:
        with pytest.raises(ConfigurationError, match=f"{point} takes no Skip"):
            system.hooks.on(point, skips)
        with pytest.raises(ConfigurationError, match="say what it may answer"):
            system.hooks.on(point, silent)


def test_the_hook_of_the_system_acts_as_the_system(kind: type[Adder]) -> None:
    """What a system's hook writes is the system's, and stays when the turn is undone."""
    with open_system() as system:

        @system.hooks.on("message.before", on="add")
        def note(details: MessageDetails) -> Cancel:
            system.state.set(Scope.GLOBAL, "seen", 1)
            return Cancel("never")

        with pytest.raises(HookCancelled):
            ask(system, kind, 1)
        assert system.state.get(Scope.GLOBAL, "seen") == 1


def test_what_a_hook_of_the_system_sends_is_sent_at_once(kind: type[Adder]) -> None:
    """It is no part of the turn: it arrives although the turn is undone."""
    with open_system() as system:

        @system.hooks.on("message.before", on="fail")
        def note(details: MessageDetails) -> Cancel:
            system.agent(kind, "b").cast(Adder.add, 5)
            return Cancel("never")

        with pytest.raises(HookCancelled):
            system.agent(kind, "a").call(Adder.fail, 1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert system.agent(kind, "b").call(Adder.seen).get(timeout=DEADLINE) == (5, 1)


def test_a_hook_of_the_system_manages_hooks_in_a_turn(kind: type[Adder]) -> None:
    """One that removes itself runs to its end; one that it adds or removes counts from then on."""
    with open_system() as system:
        seen: list[str] = []

        @system.hooks.on("message.before", name="other", priority=200)
        def other(details: MessageDetails) -> None:
            seen.append("other")

        @system.hooks.on("message.before", name="once")
        def once(details: MessageDetails) -> Replace:
            seen.append("once")
            system.hooks.remove("once")
            system.hooks.remove("other")
            system.hooks.on("message.before", other, name="next")
            return Replace(((10,), {}))

        assert ask(system, kind, 1) == 10
        assert seen[0] == "once"
        del seen[:]
        assert ask(system, kind, 1) == 11
        assert seen == ["other"]
        assert [each.name for each in system.hooks.list()] == ["next"]
