"""At home in an event loop: what blocks is awaited, and finished when somebody is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, AgentSystem, MemoryStore, State, errors, open_async
from perdure.aio import in_event_loop
from perdure.system import open_systems
from tests.kit.deadline import DEADLINE

BEGUN, GO_ON = threading.Event(), threading.Event()
"""Of the one turn that is held."""


class Tally(State):
    count: int = 0


class Counter(Agent[Tally]):
    mailbox_limit = 2

    def add(self, by: int) -> int:
        self.state.count += by
        return self.state.count

    def hold(self) -> None:
        BEGUN.set()
        with self.system.blocking():
            GO_ON.wait(DEADLINE)


def test_a_system_lives_in_an_event_loop(tmp_path: Path) -> None:
    """Opened, used, flushed and closed without blocking; the next opening finds everything."""

    async def run() -> int:
        async with open_async(tmp_path / "a.db", agents=[Counter]) as system:
            counter = system.agent(Counter, "a")
            await system.aio.cast(counter, Counter.add, 1)
            total = await counter.call(Counter.add, by=2)
            assert await system.aio.idle(DEADLINE)
            assert await system.aio.flush(DEADLINE)
            assert (await system.aio.run(counter.describe)).live
        with pytest.raises(errors.SystemClosed):
            await counter.call(Counter.add, 1)
        return total

    assert [asyncio.run(run()), asyncio.run(run())] == [3, 6]


def test_an_awaited_cast_waits_for_room() -> None:
    """To a full mailbox ``cast`` raises at once in an event loop; the awaited one waits."""

    async def run() -> None:
        async with open_async("memory://", agents=[Counter]) as system:
            counter = system.agent(Counter, "a")
            counter.cast(Counter.hold)
            await asyncio.to_thread(BEGUN.wait, DEADLINE)
            for _ in range(Counter.mailbox_limit):
                counter.cast(Counter.add, 1)
            with pytest.raises(errors.MailboxFull):
                counter.cast(Counter.add, 1)
            waiting = asyncio.ensure_future(system.aio.cast(counter, Counter.add, 10))
            done, _ = await asyncio.wait([waiting], timeout=0.05)
            assert not done
            GO_ON.set()
            await asyncio.wait_for(waiting, DEADLINE)
            assert await counter.call(Counter.add, 0) == 12

    asyncio.run(run())


def test_a_task_cancelled_while_it_opens_leaves_nothing_open() -> None:
    """The opening ends and is undone before the task is over: the store is free again."""
    store = MemoryStore()
    begun, go_on = threading.Event(), threading.Event()

    def open_late() -> AgentSystem:
        system = AgentSystem.open(store, agents=[Counter])
        begun.set()
        go_on.wait(DEADLINE)
        return system

    async def run() -> None:
        async with in_event_loop(open_late)():
            pytest.fail("it was cancelled before")

    async def cancel() -> None:
        task = asyncio.ensure_future(run())
        await asyncio.to_thread(begun.wait, DEADLINE)
        task.cancel()
        asyncio.get_running_loop().call_soon(go_on.set)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    with AgentSystem.open(store, agents=[Counter]) as system:
        assert system.agents.count() == 0


def test_an_error_in_the_block_closes_the_system_and_comes_out() -> None:
    """The block's error is the one that is raised; the store is free again."""
    store = MemoryStore()

    async def run() -> None:
        async with open_async(store, agents=[Counter]) as system:
            assert await system.agent(Counter, "a").call(Counter.add, 1) == 1
            raise LookupError("ours")

    with pytest.raises(LookupError, match="ours"):
        asyncio.run(run())
    with AgentSystem.open(store, agents=[Counter]) as system:
        assert system.agents.count() == 1


@pytest.mark.parametrize("times", [1, 3])
def test_nothing_goes_on_behind_a_task_however_often_it_is_cancelled(times: int) -> None:
    """A call that blocks, an opening and a closing have ended when their task is over."""
    under_way: set[str] = set()

    async def cancelled(work: Coroutine[Any, Any, object], begun: threading.Event) -> None:
        task = asyncio.ensure_future(work)
        await asyncio.to_thread(begun.wait, DEADLINE)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0.01)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not under_way
        assert not open_systems()

    def block(begun: threading.Event) -> None:
        under_way.add("call")
        begun.set()
        go_on.wait(DEADLINE)
        under_way.discard("call")

    def open_slowly(begun: threading.Event) -> AgentSystem:
        begun.set()
        go_on.wait(DEADLINE)
        return AgentSystem.open("memory://", agents=[Counter])

    async def enter(begun: threading.Event) -> None:
        async with in_event_loop(open_slowly)(begun):
            pass

    async def call(begun: threading.Event) -> None:
        async with open_async("memory://", agents=[Counter]) as system:
            await system.aio.run(block, begun)

    for use in (call, enter):
        go_on = threading.Event()
        begun = threading.Event()
        asyncio.run(cancelled(use(begun), begun))
