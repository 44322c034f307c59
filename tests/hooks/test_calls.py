"""Hooks around calls of tools and models: each answer, in turns and outside, plain and async."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Cache,
    Caching,
    CallDetails,
    CallErrorDetails,
    Cancel,
    RateLimit,
    Replace,
    Retry,
    Retrying,
    Skip,
    State,
    VirtualClock,
    hook,
)
from perdure.hooks import points
from perdure.hooks.details import MessageDetails
from perdure.persistence.errors import ConfigurationError, HookCancelled
from perdure.testing.kit import Kit
from tests.kit.deadline import DEADLINE

KINDS = ["tool", "model"]


class Seen(State):
    calls: int = 0


class Caller(Agent[Seen]):
    """Calls a tool in its turns."""

    limit = 10

    def call_plain(self, what: str, number: int) -> object:
        return _caller(self.system, what)("double", double, number=number)

    async def call_async(self, what: str, number: int) -> object:
        return await _caller(self.system, what)("double", double_later, number=number)

    def seen(self) -> int:
        return self.state.calls

    def undo(self, number: int) -> None:
        self.system.hooks.call_tool("double", double, number=number)  # type: ignore[attr-defined]
        raise ValueError("undone")


class Guarded(Caller):
    @hook(points.TOOL_CALL_BEFORE)
    def few(self, details: CallDetails) -> Cancel | None:
        self.state.calls += 1
        return Cancel("enough") if self.state.calls > 1 else None


def _caller(system: Any, what: str) -> Any:  # noqa: ANN401 - overloaded
    return system.hooks.call_tool if what == "tool" else system.hooks.call_model


def double(number: int) -> int:
    """Double a number; fail for those below 0."""
    if number < 0:
        raise OSError("negative")
    return 2 * number


async def double_later(number: int) -> int:
    """As double, on an event loop."""
    await asyncio.sleep(0)
    return double(number)


def outside(system: AgentSystem, what: str, number: int) -> object:
    """Call outside of turns."""
    return _caller(system, what)("double", double, number=number)


def awaited(system: AgentSystem, what: str, number: int) -> object:
    """Call on an event loop of the program."""
    return asyncio.run(_caller(system, what)("double", double_later, number=number))


def in_turn(system: AgentSystem, what: str, number: int) -> object:
    """Call in a turn."""
    return system.agent(Caller, "a").call(Caller.call_plain, what, number).get(timeout=DEADLINE)


def in_async_turn(system: AgentSystem, what: str, number: int) -> object:
    """Call in a coroutine's turn."""
    return system.agent(Caller, "a").call(Caller.call_async, what, number).get(timeout=DEADLINE)


Way = Callable[[AgentSystem, str, int], object]
WAYS: list[Way] = [outside, awaited, in_turn, in_async_turn]


@pytest.fixture(params=WAYS, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Way:
    """Give each place from which a call is made."""
    return request.param  # type: ignore[no-any-return]


@pytest.mark.parametrize("what", KINDS)
def test_each_answer_before_a_call_is_obeyed(way: Way, what: str) -> None:
    """Replace, Cancel, Skip and Cache decide whether, and with what, the call is made."""
    with AgentSystem.open("memory://", agents=[Caller]) as system:
        seen: list[int] = []

        @system.hooks.on(f"{what}_call.before", on="double", name="before")
        async def before(details: CallDetails) -> Replace | Cancel | Skip | Cache | None:
            await asyncio.sleep(0)
            number = details.args["number"]
            answers = {1: Replace({"number": 10}), 2: Cancel("two"), 3: Skip("three"),
                       4: Cache(60, "four")}  # fmt: skip
            return answers.get(number)  # type: ignore[call-overload, no-any-return]

        @system.hooks.on(f"{what}_call.after", name="after")
        def after(details: CallDetails) -> Replace | None:
            assert details.done
            seen.append(details.args["number"])  # type: ignore[arg-type]
            return Replace((details.result, len(seen))) if details.args["number"] == 4 else None

        assert way(system, what, 0) == 0
        assert way(system, what, 1) == 20
        with pytest.raises(HookCancelled, match="two"):
            way(system, what, 2)
        assert way(system, what, 3) == "three"
        assert way(system, what, 4) == way(system, what, 4) == (8, 3)
        assert seen == [0, 10, 4]


@pytest.mark.parametrize("what", KINDS)
def test_a_call_that_fails_is_made_again_or_answered(way: Way, what: str) -> None:
    """Retry makes it again, each attempt past the hooks before; Skip answers; else it raises."""
    with AgentSystem.open("memory://", agents=[Caller]) as system:
        attempts: list[int] = []
        answer: Retry | Skip | None = None

        @system.hooks.on(f"{what}_call.before", name="before")
        def before(details: CallDetails) -> Replace | None:
            attempts.append(details.attempt)
            return Replace({"number": 7}) if details.attempt == 3 else None

        @system.hooks.on(f"{what}_call.error", name="error")
        def failed(details: CallErrorDetails) -> Retry | Skip | None:
            assert isinstance(details.error, OSError)
            return answer

        with pytest.raises(OSError, match="negative"):
            way(system, what, -1)
        answer = Skip("instead")
        assert way(system, what, -1) == "instead"
        answer = Retry(attempts=2)
        with pytest.raises(OSError, match="negative"):
            way(system, what, -1)
        answer = Retry(attempts=3)
        assert way(system, what, -1) == 14
        assert attempts == [1, 1, 1, 2, 1, 2, 3]


def always_again(_details: CallErrorDetails) -> Retry:
    """Have a call made again in an hour."""
    return Retry(attempts=3, delay=3600.0)


def noting(tries: list[int], begun: threading.Event) -> Callable[[CallDetails], None]:
    """Return a hook that notes each attempt."""

    def note(details: CallDetails) -> None:
        tries.append(details.attempt)
        begun.set()

    return note


def test_a_close_waits_for_no_delay_of_a_call() -> None:
    """What a handler waits for comes at once when the system closes, and no thread is left."""
    tries: list[int] = []
    begun = threading.Event()
    with AgentSystem.open("memory://", agents=[Caller]) as system:
        system.hooks.on("tool_call.error", name="again")(always_again)
        system.hooks.on("tool_call.before", name="note")(noting(tries, begun))
        answer = system.agent(Caller, "a").call(Caller.call_plain, "tool", -1)
        assert begun.wait(DEADLINE)
        assert system.close(DEADLINE)
    with pytest.raises(OSError, match="negative"):
        answer.get(timeout=DEADLINE)
    assert tries == [1, 2, 3]


def test_a_call_that_is_cancelled_while_it_waits_leaves_no_thread() -> None:
    """The program's own loop ends, however long the delay."""
    tries: list[int] = []
    begun = threading.Event()

    async def main(system: AgentSystem) -> None:
        task = asyncio.create_task(system.hooks.call_tool("double", double_later, number=-1))
        await asyncio.to_thread(begun.wait, DEADLINE)
        await asyncio.to_thread(int)  # a thread was free again: the hooks are done
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with AgentSystem.open("memory://", agents=[Caller]) as system:
        system.hooks.on("tool_call.error", name="again")(always_again)
        system.hooks.on("tool_call.before", name="note")(noting(tries, begun))
        asyncio.run(main(system))
    assert tries == [1]


@pytest.mark.parametrize("method", [Caller.call_plain, Caller.call_async])
def test_a_delay_of_a_call_is_time_that_a_test_skips(method: Callable[..., object]) -> None:
    """A handler that waits to call again waits for time to pass, also as a coroutine."""
    with Kit() as kit:
        system = kit.open([Caller])
        system.hooks.on("tool_call.error", name="again")(always_again)
        began = kit.clock.now()
        answer = system.agent(Caller, "a").call(method, "tool", -1)
        kit.clock.run_until_idle()
        assert kit.clock.now() - began == pytest.approx(7200.0, abs=1.0)
        with pytest.raises(OSError, match="negative"):
            answer.get(timeout=DEADLINE)


def test_what_hooks_of_calls_did_is_in_the_history(way: Way) -> None:
    """With the commit of the turn, and outside of turns in one of its own."""
    with AgentSystem.open("memory://", agents=[Caller]) as system:

        @system.hooks.on("tool_call.before", name="seen")
        def seen(details: CallDetails) -> None:
            return None

        @system.hooks.on("tool_call.after", name="late", deferred=True)
        def late(details: CallDetails) -> None:
            assert details.result == 2

        way(system, "tool", 1)
        assert system.idle(DEADLINE)
        first, second = system.hooks.history.each()
        assert (first.hook, first.name, second.hook) == ("seen", "double", "late")
        turns = way in {in_turn, in_async_turn}
        assert (first.kind, first.key) == (("Caller", "a") if turns else ("", ""))
        if turns:
            (entry,) = system.journal.each("Caller", "a")
            assert entry.sequence == first.sequence


def test_what_hooks_did_in_a_turn_that_failed_is_kept() -> None:
    """A call was made, although its turn is undone: the history has it."""
    with AgentSystem.open("memory://", agents=[Caller]) as system:

        @system.hooks.on("tool_call.before", name="seen")
        def seen(details: CallDetails) -> None:
            return None

        with pytest.raises(ValueError, match="undone"):
            system.agent(Caller, "a").call(Caller.undo, 1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert [run.hook for run in system.hooks.history.each()] == ["seen"]


def test_a_hook_of_a_class_guards_the_calls_of_its_turns() -> None:
    """It is a part of the turn: what it counts is in the state, and undone with it."""
    with AgentSystem.open("memory://", agents=[Caller, Guarded]) as system:
        guarded = system.agent(Guarded, "a")
        assert guarded.call(Caller.call_plain, "tool", 1).get(timeout=DEADLINE) == 2
        with pytest.raises(HookCancelled, match="enough"):
            guarded.call(Caller.call_plain, "tool", 1).get(timeout=DEADLINE)
        assert guarded.call(Caller.seen).get(timeout=DEADLINE) == 1
        assert in_turn(system, "tool", 1) == outside(system, "tool", 1) == 2


@pytest.mark.parametrize(("at", "what"), [("tools", "tool"), ("models", "model")])
def test_shipped_hooks_stand_at_calls_too(at: str, what: str) -> None:
    """Cache, rate limit and retries work for tools and models as for messages."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Caller], clock=clock) as system:
        made: list[int] = []

        def count(number: int) -> int:
            made.append(number)
            if number < 0 and len(made) < 3:
                raise OSError("down")
            return len(made)

        call = _caller(system, what)
        system.hooks.add(Caching("count", at=at))
        assert call("count", count, number=1) == call("count", count, number=1) == 1
        system.hooks.remove("caching")
        system.hooks.add(RateLimit(1, 10.0, at=at, per="all"))
        assert call("count", count, number=2) == 2
        with pytest.raises(HookCancelled, match=f"too many {at} of all"):
            call("count", count, number=3)
        system.hooks.remove("rate_limit")
        made.clear()
        system.hooks.add(Retrying(at=at, delay=1.0))
        found: list[int] = []
        thread = threading.Thread(target=lambda: found.append(call("count", count, number=-1)))
        thread.start()
        while thread.is_alive():
            clock.advance(0.5)
            thread.join(0.01)
        assert (found, made) == ([3], [-1, -1, -1])


def test_perdures_own_points_are_run_by_perdure() -> None:
    """What a program could run in vain, or with answers that nobody obeys, is refused."""
    with AgentSystem.open("memory://", agents=[Caller]) as system:
        details = MessageDetails("Caller", "a", 0, 0, "add", (), {}, 0, 1, asked=True)
        with pytest.raises(ConfigurationError, match=r"call_tool and call_model"):
            system.hooks.run(points.MESSAGE_BEFORE, details)
        with pytest.raises(ConfigurationError, match="gave a coroutine"):
            _caller(system, "tool")("double", lambda number: double_later(2 * number), number=1)
