"""Hooks that misbehave: slow, re-entrant, in a circle, changed under way, from many threads."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Breaker,
    CallDetails,
    Cancel,
    MessageDetails,
    OutcomeDetails,
    Point,
    Replace,
    State,
)
from perdure.persistence.errors import HookCancelled, HookFailed, UnknownHook
from tests.kit.deadline import DEADLINE

CHECKED = Point.custom("attack.checked", dict)


class Total(State):
    total: int = 0


class Adder(Agent[Total]):
    def add(self, number: int) -> int:
        self.state.total += number
        return self.state.total


class Other(Adder):
    pass


def open_system() -> AgentSystem:
    """Open a system with both kinds."""
    return AgentSystem.open("memory://", agents=[Adder, Other])


def ask(system: AgentSystem, number: int, kind: type[Adder] = Adder) -> int:
    """Have a number added."""
    return system.agent(kind, "a").call(Adder.add, number).get(timeout=DEADLINE)


def test_a_plain_hook_over_its_budget_is_heard_and_counted() -> None:
    """It cannot be stopped: its answer holds, and its breaker counts a failure."""
    with open_system() as system:
        slow = threading.Event()

        @system.hooks.on("message.before", name="slow", budget=1e-6, breaker=Breaker(2, 1000.0))
        def wait(details: MessageDetails) -> Replace:
            slow.wait(0.001)
            return Replace(((10,), {}))

        assert (ask(system, 1), ask(system, 1)) == (10, 20)
        found = system.hooks.get("slow")
        assert (found.slow, found.failures, found.breaker) == (2, 0, "open")
        with pytest.raises(HookFailed, match="left alone"):
            ask(system, 1)
        assert system.hooks.get("slow").runs == 2


def test_a_hook_that_runs_its_own_point_is_a_failure_and_no_crash() -> None:
    """A circle of hooks ends with an error for whom it keeps from working; the next call works."""
    with open_system() as system:

        @system.hooks.on(CHECKED, name="again", breaker=Breaker(100_000))
        def again(details: dict[str, object]) -> None:
            system.hooks.run(CHECKED, details)

        with pytest.raises(HookFailed, match=r"leads to attack\.checked once more"):
            system.hooks.run(CHECKED, {})
        system.hooks.remove("again")
        assert system.hooks.run(CHECKED, {"a": 1}) == {"a": 1}
        assert ask(system, 1) == 1


def test_hooks_that_ask_in_a_circle_are_a_deadlock_and_no_hang() -> None:
    """A hook asks another agent, whose hook asks the first: one of them is told."""
    with open_system() as system:

        @system.hooks.on("message.before", agents=Adder, name="there")
        def there(details: MessageDetails) -> None:
            ask(system, 1, Other)

        @system.hooks.on("message.before", agents=Other, name="back")
        def back(details: MessageDetails) -> None:
            ask(system, 1, Adder)

        with pytest.raises(HookFailed, match="Deadlock"):
            ask(system, 1)
        system.hooks.remove("back")
        assert system.idle(DEADLINE)  # what was asked in vain was sent, and is handled
        assert ask(system, 1) - ask(system, 1) == -1


def test_a_hook_may_ask_another_agent() -> None:
    """It does so as the system, in the middle of the turn, and may answer by what it learns."""
    with open_system() as system:

        @system.hooks.on("message.before", agents=Adder)
        def limit(details: MessageDetails) -> Cancel | None:
            return Cancel("enough") if ask(system, 1, Other) > 2 else None

        assert [ask(system, 1), ask(system, 1)] == [1, 2]
        with pytest.raises(HookCancelled, match="enough"):
            ask(system, 1)


def test_what_an_error_of_a_hook_says_is_kept_whatever_it_is() -> None:
    """An error that cannot be shown, and an answer that has no form, harm nobody else."""

    class Shy(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

        __repr__ = __str__

    class Odd:
        def __repr__(self) -> str:
            raise ValueError("no words")

    with open_system() as system:

        @system.hooks.on("message.after", name="shy")
        def shy(details: OutcomeDetails) -> None:
            raise Shy

        @system.hooks.on("message.after", name="odd")
        def odd(details: OutcomeDetails) -> Replace:
            return Replace(Odd())

        @system.hooks.on("tool_call.before", name="told")
        def told(details: CallDetails) -> None:
            return None

        system.agent(Adder, "a").cast(Adder.add, 1)
        assert system.idle(DEADLINE)
        system.hooks.call_tool("odd", lambda value: value, value=Odd())
        system.hooks.remove("odd")
        assert ask(system, 1) == 2
        assert system.idle(DEADLINE)
        assert {run.hook for run in system.hooks.history.each()} == {"shy", "odd", "told"}


def test_hooks_come_and_go_while_turns_run() -> None:
    """Whatever is registered and removed meanwhile, no turn is lost, and each run is counted."""
    with open_system() as system:
        seen: list[str] = []
        stop = threading.Event()
        errors: list[BaseException] = []

        @system.hooks.on("message.before", name="steady")
        def steady(details: MessageDetails) -> None:
            seen.append("steady")

        def change(name: str) -> None:
            def come(details: MessageDetails) -> None:
                seen.append(name)

            try:
                while not stop.is_set():
                    system.hooks.on("message.before", come, name=name, agents=Adder)
                    system.hooks.disable(name)
                    system.hooks.enable(name)
                    system.hooks.remove(name)
                with pytest.raises(UnknownHook):
                    system.hooks.remove(name)
            except BaseException as error:  # noqa: BLE001 - told below
                errors.append(error)

        threads = [threading.Thread(target=change, args=(name,)) for name in "xyz"]
        for thread in threads:
            thread.start()
        try:
            answers: list[Any] = [
                system.agent(Adder, f"{number % 7}").call(Adder.add, 1) for number in range(3000)
            ]
            got = [answer.get(timeout=DEADLINE) for answer in answers]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert errors == []
        assert sorted(got)[-7:] == [428, 428, 428, 428, 429, 429, 429, 429][-7:]
        assert seen.count("steady") == system.hooks.get("steady").runs == 3000
        assert [each.name for each in system.hooks.list()] == ["steady"]
