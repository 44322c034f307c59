"""A future says what it is and what to do with it, and an error that nobody sees is not lost."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from collections.abc import Iterator

import pytest
from pykka import Timeout

from perdure import AgentSystem, Durability
from perdure.actors.pool.future import Future
from tests.actors.agents import Clerk
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate


class Porter(Clerk):
    """Stands in the door when told to."""

    gate = Gate()

    def stand(self) -> str:
        self.gate.pass_through()
        return "stood"


class FleetingPorter(Porter):
    durability = Durability.VOLATILE


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Open a system with porters."""
    Porter.gate = FleetingPorter.gate = Gate()
    with AgentSystem.open("memory://", agents=[Clerk, Porter, FleetingPorter]) as opened:
        yield opened
        Porter.gate.open()


def lost(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged about errors that nobody has seen."""
    return [r.getMessage() for r in caplog.records if "nobody asked for the reply" in r.message]


@pytest.mark.parametrize("kind", [Porter, FleetingPorter])
def test_an_error_that_nobody_asks_for_is_logged_when_it_is_forgotten(
    system: AgentSystem, kind: type[Porter], caplog: pytest.LogCaptureFixture
) -> None:
    """As soon as the future is gone, with agent, method and error; it needs no collector."""
    gc.disable()
    try:
        system.agent(kind, "a").call(Clerk.spoil, "forgotten")
        system.agent(kind, "a").proxy().spoil("forgotten as well")
        kept = system.agent(kind, "a").call(Clerk.spoil, "kept for later")
        assert system.idle(DEADLINE)
        assert lost(caplog) == [
            f"{kind.__name__}/a.spoil failed with ValueError({text!r}), and nobody asked for the"
            " reply: get() or await its future, or use cast() if no reply is wanted"
            for text in ("forgotten", "forgotten as well")
        ]
        (first, *_) = [r for r in caplog.records if "nobody asked" in r.message]
        assert first.levelno == logging.ERROR
        assert first.exc_info is not None
        with pytest.raises(ValueError, match="kept for later"):
            kept.get()
    finally:
        gc.enable()


def test_an_error_that_somebody_has_seen_is_not_logged(
    system: AgentSystem, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither after get(), nor after await, nor if nothing went wrong."""

    async def see() -> None:
        with pytest.raises(ValueError, match="spoilt"):
            await system.agent(Porter, "a").call(Clerk.spoil)

    asyncio.run(see())
    with pytest.raises(ValueError, match="spoilt"):
        system.agent(Porter, "a").call(Clerk.spoil).get()
    system.agent(Porter, "a").call(Clerk.add)
    assert system.idle(DEADLINE)
    gc.collect()
    assert lost(caplog) == []


def test_a_future_shows_whom_it_asked_how_it_stands_and_what_to_do(system: AgentSystem) -> None:
    """While the reply is waited for, when it is there, and when it is an error."""
    porter = system.agent(Porter, "front")
    standing, behind = porter.call(Porter.stand), porter.ask("hello", block=False)
    Porter.gate.wait()
    assert repr(standing) == (
        "<Future of Porter/front.stand: waiting for the reply; get() waits for it, in asyncio"
        " await it (ensure_future() makes a task of it)>"
    )
    Porter.gate.open()
    assert standing.get(timeout=DEADLINE) == "stood"
    assert str(standing) == (
        "<Future of Porter/front.stand: answered; get() or await returns the reply>"
    )
    assert behind.get(timeout=DEADLINE) == "hello"
    assert "Porter/front.on_receive: answered" in repr(behind)
    failed = porter.call(Clerk.spoil)
    with pytest.raises(ValueError, match="spoilt"):
        failed.get()
    assert "Porter/front.spoil: failed with ValueError('spoilt'); get() or await" in repr(failed)
    paused = porter.stop(block=False)
    assert paused.get(timeout=DEADLINE) is True
    assert "Porter/front.stop: answered" in repr(paused)
    assert repr(Future()) == "<pykka.Future>"


def test_a_future_is_not_the_reply(system: AgentSystem) -> None:
    """Iterating over one, or giving one to a TaskGroup, says what to write instead."""
    notes = system.agent(Porter, "a").call(Clerk.note, "x")
    for use in (list, tuple, lambda future: [*future], dict):
        with pytest.raises(TypeError, match=r"Porter/a\.note.*iterate over what get\(\) or await"):
            use(notes)
    assert notes.get() == ["x"]

    async def group() -> object:
        future = system.agent(Porter, "a").call(Porter.stand)
        async with asyncio.TaskGroup() as tasks:
            with pytest.raises(TypeError, match=r"got <Future of Porter/a\.stand.*ensure_future"):
                tasks.create_task(future)  # type: ignore[arg-type]
        Porter.gate.open()
        return await asyncio.ensure_future(future)

    assert asyncio.run(group()) == "stood"


def test_get_on_a_running_loop_says_so_once(
    system: AgentSystem, caplog: pytest.LogCaptureFixture
) -> None:
    """It works, as in a notebook, and the log says what it does to the loop."""

    async def forget_to_await() -> list[int]:
        return [system.agent(Porter, "a").call(Clerk.add).get() for _ in range(3)]

    assert system.agent(Porter, "a").call(Clerk.add).get() == 1
    assert caplog.records == []
    assert asyncio.run(forget_to_await()) == [2, 3, 4]
    (record,) = caplog.records
    assert "await the future instead" in record.getMessage()


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
def test_a_callback_that_raises_harms_nobody_else(
    system: AgentSystem, error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Others who wait get the reply, what follows is saved, and the log says whose it was."""
    future = system.agent(Porter, "a").call(Porter.stand)
    told = threading.Event()
    future.add_callback(told.set)

    def callback() -> None:
        raise error

    future.add_callback(callback)
    Porter.gate.open()
    assert told.wait(DEADLINE)
    assert future.get(timeout=DEADLINE) == "stood"
    assert system.agent(Porter, "b").call(Clerk.add, 1).get(timeout=DEADLINE) == 1
    assert system.idle(DEADLINE)
    assert [r.getMessage() for r in caplog.records if "callback" in r.getMessage()]


def test_a_reply_that_is_polled_for_keeps_nothing_of_the_looks(system: AgentSystem) -> None:
    """Who has given up waiting, by a timeout or cancelled, is forgotten; who waits on is told."""
    future = system.agent(Porter, "a").call(Porter.stand)
    Porter.gate.wait()

    async def look() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.0001)

    def poll(times: int) -> int:
        for _ in range(times):
            with pytest.raises(Timeout):
                future.get(timeout=0.0001)
            asyncio.run(look())
        gc.collect()
        return len(gc.get_objects())

    before = poll(5)
    assert poll(50) < before + 50
    Porter.gate.open()
    assert future.get(timeout=DEADLINE) == "stood"
