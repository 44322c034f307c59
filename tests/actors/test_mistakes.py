"""What people do by mistake is refused in one sentence, or does no harm."""

import asyncio
import textwrap
import threading
from pathlib import Path
from typing import cast

import anyio.to_thread
import pytest
from pykka.messages import ProxySetAttr

from perdure import Agent, AgentSystem, Log, MemoryStore, State
from perdure.persistence.errors import Deadlock, StateError
from tests.kit.children import finished
from tests.kit.deadline import DEADLINE

LENT: list[threading.Thread] = []
"""The threads in which handlers had something called."""


class TillState(State):
    total: int = 0
    notes: list[str] = []  # noqa: RUF012 -- msgspec copies it for every instance
    seen: Log[str] = Log.field()


class Till(Agent[TillState]):
    """Add up, and make mistakes."""

    def add(self, amount: int) -> int:
        self.state.total += amount
        return self.state.total

    def swap(self) -> None:
        self.state.total += 100
        self.state = TillState()

    def forget(self) -> None:
        self.state.notes.append("x")
        self.state = None  # type: ignore[assignment]

    async def rest(self) -> int:
        await asyncio.sleep(0)
        return self.state.total

    async def stop_the_loop(self) -> None:
        asyncio.get_running_loop().stop()

    async def cancel_all(self) -> None:
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def lend_a_thread(self) -> None:
        LENT.append(await anyio.to_thread.run_sync(threading.current_thread))

    def wait_for_all(self) -> None:
        cast("AgentSystem", self.system).idle()

    def end_all(self) -> None:
        cast("AgentSystem", self.system).close()


@pytest.mark.parametrize("how", ["swap", "forget"])
def test_replacing_the_state_is_refused_and_undone(how: str) -> None:
    """A turn that puts another object in the state's place fails; what follows is saved as ever."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Till]) as system:
        till = system.agent(Till, "a")
        assert till.call(Till.add, 1).get() == 1
        with pytest.raises(StateError, match=r"state: was replaced; set its fields instead"):
            getattr(till.proxy(), how)().get()
        assert till.call(Till.add, 1).get() == 2
    with AgentSystem.open(store, agents=[Till]) as system:
        assert system.agent(Till, "a").call(Till.add, 1).get() == 3
        with pytest.raises(AttributeError, match="'state' cannot be set from outside"):
            system.agent(Till, "a").proxy().state = TillState(total=9)
        with pytest.raises(AttributeError, match="'add' cannot be set from outside"):
            system.agent(Till, "a").ask(ProxySetAttr(("add",), lambda _amount: 99)).get()
        assert system.agent(Till, "a").call(Till.add, 1).get() == 4


def test_a_system_may_be_closed_under_a_running_event_loop() -> None:
    """Closing in an async function ends the handlers' loop on its own thread."""
    store = MemoryStore()

    async def main() -> int:
        with AgentSystem.open(store, agents=[Till]) as system:
            return await system.agent(Till, "a").call(Till.rest)

    assert asyncio.run(main()) == 0
    with AgentSystem.open(store, agents=[Till]) as system:
        assert system.agent(Till, "a").call(Till.add, 1).get() == 1


@pytest.mark.parametrize("how", ["stop_the_loop", "cancel_all"])
def test_a_handler_that_stops_the_loop_stops_nobody(how: str) -> None:
    """The loop of all async handlers goes on when one stops it, or cancels all that runs there."""
    with AgentSystem.open(MemoryStore(), agents=[Till]) as system:
        getattr(system.agent(Till, "a").proxy(), how)().get(timeout=DEADLINE)
        assert system.agent(Till, "b").call(Till.rest).get(timeout=DEADLINE) == 0


def test_a_thread_that_anyio_has_begun_serves_later_handlers() -> None:
    """Libraries on anyio need no new thread for each handler that calls something plain."""
    with AgentSystem.open(MemoryStore(), agents=[Till]) as system:
        tills = [system.agent(Till, key) for key in "abc"]
        for till in tills:
            till.call(Till.lend_a_thread).get(timeout=DEADLINE)
    assert len(LENT) == 3
    assert len(set(LENT)) == 1


def test_messages_nobody_takes_are_refused_at_the_sender() -> None:
    """An agent without on_receive refuses tell and ask, and names the way to do it."""
    with AgentSystem.open(MemoryStore(), agents=[Till]) as system:
        till = system.agent(Till, "a")
        for send in (till.tell, till.ask):
            with pytest.raises(TypeError, match=r"Till has no on_receive; call a method, as in"):
                send({"amount": 1})
        assert system.idle(DEADLINE)


@pytest.mark.parametrize("how", ["wait_for_all", "end_all"])
def test_waiting_for_the_whole_system_in_a_handler_is_a_deadlock(how: str) -> None:
    """idle() and close() in a handler raise Deadlock instead of waiting for that handler."""
    with AgentSystem.open(MemoryStore(), agents=[Till]) as system:
        answer = getattr(system.agent(Till, "a").proxy(), how)()
        with pytest.raises(Deadlock, match="in a handler would wait for that handler"):
            answer.get(timeout=DEADLINE)


PRESSED = """
    import os, signal, sys, threading
    from perdure import Agent, AgentSystem, Resources, State

    class S(State):
        done: int = 0

    class Slow(Agent[S]):
        def work(self):
            self.state.done += 1
            if threading.current_thread() is threading.main_thread():
                os.kill(os.getpid(), signal.SIGINT)     # Ctrl-C while the main thread helps
        def done(self) -> int:
            return self.state.done

    with AgentSystem.open("memory://", agents=[Slow], resources=Resources(workers=1)) as system:
        slow = system.agent(Slow, "a")
        interrupted = 0
        for _ in range(200):
            slow.cast(Slow.work)
            try:
                slow.call(Slow.done).get()
            except KeyboardInterrupt:
                interrupted += 1
        assert system.idle(30)
        print(interrupted, slow.call(Slow.done).get(timeout=30), list(system.dead_letters.list()))
"""


def test_ctrl_c_belongs_to_the_main_thread_and_not_to_a_message() -> None:
    """An interrupt while the main thread helps reaches it; the message is handled all the same."""
    said, _ = finished("-c", textwrap.dedent(PRESSED))
    interrupted, done, dead = said.split(maxsplit=2)
    assert int(interrupted) > 0, "the main thread never helped"
    assert (int(done), dead.strip()) == (200, "[]")


FORGOTTEN = """
    import sys, warnings
    from perdure import Agent, AgentSystem, State

    class S(State):
        done: int = 0

    class Till(Agent[S]):
        def add(self, amount: int) -> None:
            self.state.done += amount
        def total(self) -> int:
            return self.state.done

    system = AgentSystem.open(sys.argv[1], agents=[Till])
    print(system.agent(Till, "a").call(Till.total).get())
    for _ in range(1000):
        system.agent(Till, "a").cast(Till.add, 1)
"""


@pytest.mark.parametrize("warnings", ["always", "error"])
def test_a_forgotten_system_is_closed_at_exit(tmp_path: Path, warnings: str) -> None:
    """A program that ends without close() is told, and what it sent is kept."""
    program = textwrap.dedent(FORGOTTEN)
    counts = []
    for _ in range(2):
        said, errors = finished("-W", warnings, "-c", program, tmp_path / "a.db")
        assert "ResourceWarning: <AgentSystem on" in errors
        counts.append(int(said))
    assert counts[0] == 0
    assert counts[1] <= 1000
    with AgentSystem.open(tmp_path / "a.db", agents=[AddsUp]) as system:
        assert system.idle(DEADLINE)
        assert system.agent(AddsUp, "a").call(AddsUp.total).get() == 2000


class DoneState(State):
    done: int = 0


class AddsUp(Agent[DoneState]):
    """The class of the forgetful program, as this process has it."""

    kind = "Till"

    def add(self, amount: int) -> None:
        self.state.done += amount

    def total(self) -> int:
        return self.state.done
