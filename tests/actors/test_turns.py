"""A turn is all or nothing, whatever the handler does; an async turn as well."""

import asyncio
import contextlib
import contextvars
import queue
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import pytest

from perdure import (
    Agent,
    AgentSystem,
    AutoSave,
    Durability,
    MemoryStore,
    Resources,
    RestartPolicy,
    VirtualClock,
)
from perdure.actors.pool.loop import HandlerLoop
from perdure.lifecycle.backoff import Backoff
from perdure.lifecycle.clock import SystemClock
from perdure.persistence.errors import Deadlock, StateError, SystemClosed, TurnTimeout
from tests.actors.agents import Clerk, ClerkState
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate
from tests.kit.stores import CountingStore
from tests.kit.threads import together

ONCE = RestartPolicy(attempts=1, backoff=Backoff(first=0.0, longest=0.0))


class Volunteer(Clerk):
    """A clerk with async handlers and handlers that do what handlers should not."""

    restarts = ONCE
    gate = Gate()
    inside: ClassVar[list[str]] = []
    most_inside: ClassVar[int] = 0
    crowd: ClassVar[list[asyncio.Event]] = []

    def nan(self) -> None:
        self.state.count += 1
        self.state.notes.append("kept?")
        self.state.owners["x"] = float("nan")  # type: ignore[assignment]

    def hold(self) -> None:
        self.state.count += 1
        self.gate.pass_through()

    def raise_base(self, name: str) -> None:
        self.state.count += 1
        raise {"exit": SystemExit, "interrupt": KeyboardInterrupt, "generator": GeneratorExit}[name]

    async def raise_base_async(self, name: str) -> None:
        self.state.count += 1
        await asyncio.sleep(0)
        self.raise_base(name)

    async def slow_add(self, amount: int) -> int:
        before = self.state.count
        Volunteer.inside.append(self.key)
        Volunteer.most_inside = max(Volunteer.most_inside, Volunteer.inside.count(self.key))
        await asyncio.sleep(0)
        self.state.count = before + amount
        await asyncio.sleep(0)
        Volunteer.inside.remove(self.key)
        return self.state.count

    async def meet(self, number: int) -> int:
        """Return only when so many of them are in this method at once."""
        mine = asyncio.Event()
        Volunteer.crowd.append(mine)
        if len(Volunteer.crowd) == number:
            for event in Volunteer.crowd:
                event.set()
        await mine.wait()
        return number

    async def spoil_later(self) -> None:
        self.state.count += 1
        self.system.agent(Volunteer, "other").cast(Volunteer.add, 1)
        await asyncio.sleep(0)
        self.state.notes.append("spoilt")
        raise ValueError("later")

    async def sum_of(self, keys: list[str]) -> int:
        asked = [self.system.agent(Volunteer, key).proxy().add(1) for key in keys]
        return sum(await asyncio.gather(*[self._reply(future) for future in asked]))

    async def _reply(self, future: object) -> int:
        return int(await future)  # type: ignore[misc]

    async def relay_async(self, path: list[str]) -> int:
        if not path:
            return 0
        onward = self.system.agent(Volunteer, path[0])
        return 1 + int(await onward.proxy().relay_async(path[1:]))

    async def get_in_async(self) -> int:
        return int(self.system.agent(Volunteer, "other").proxy().slow_add(1).get())

    async def for_ever(self) -> None:
        self.state.count += 1
        self.gate.arrive()
        await asyncio.Event().wait()

    async def outlive(self) -> None:
        """Leave a task behind that sends a message after the turn."""

        async def later() -> None:
            await asyncio.to_thread(self.gate.opened.wait, DEADLINE)
            self.system.agent(Volunteer, "other").cast(Volunteer.add, 7)
            self.gate.arrive()

        Volunteer.left = asyncio.create_task(later())

    async def leave(self) -> None:
        """Leave a task behind that has no end of its own."""

        async def hold() -> None:
            await asyncio.Event().wait()

        Volunteer.left = asyncio.create_task(hold())

    left: ClassVar[asyncio.Task[None] | None] = None


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Open a system of volunteers."""
    Volunteer.gate = Gate()
    Volunteer.inside, Volunteer.most_inside, Volunteer.crowd = [], 0, []
    with AgentSystem.open("memory://", agents=[Clerk, Volunteer]) as opened:
        yield opened
        Volunteer.gate.open()


def test_a_handler_that_raises_leaves_no_trace(system: AgentSystem) -> None:
    """State of every kind, messages and timers of a failed turn are undone."""
    clerk = system.agent(Clerk, "a")
    clerk.call(Clerk.note, "before").get()
    clerk.call(Clerk.file, "before").get()
    before = clerk.call(Clerk.read).get()
    version = clerk.describe().version
    with pytest.raises(ValueError, match="spoilt"):
        clerk.call(Clerk.spoil).get()
    assert clerk.call(Clerk.read).get() == before
    assert clerk.describe().version == version
    assert system.idle(DEADLINE)
    assert system.agent(Clerk, "other").describe().version == 0
    clerk.stop()
    assert clerk.call(Clerk.read).get() == before


def test_a_state_that_cannot_be_stored_fails_the_turn(system: AgentSystem) -> None:
    """StateError names the place, and the turn is undone as a whole."""
    agent = system.agent(Volunteer, "a")
    with pytest.raises(StateError, match="owners"):
        agent.call(Volunteer.nan).get()
    assert agent.call(Volunteer.read).get() == {"count": 0, "notes": [], "seen": [], "owners": {}}


@pytest.mark.parametrize("method", ["raise_base", "raise_base_async"])
@pytest.mark.parametrize(
    ("name", "error"),
    [("exit", SystemExit), ("interrupt", KeyboardInterrupt), ("generator", GeneratorExit)],
)
def test_errors_that_end_programs_end_only_the_turn(
    system: AgentSystem, method: str, name: str, error: type[BaseException]
) -> None:
    """SystemExit and its like reach the asker; the turn is undone, everybody else goes on."""
    agent = system.agent(Volunteer, "a")
    with pytest.raises(error):
        getattr(agent.proxy(), method)(name).get()
    getattr(agent.proxy(), method).defer(name)
    assert system.idle(DEADLINE)
    assert agent.call(Volunteer.read).get()["count"] == 0
    assert agent.call(Volunteer.slow_add, 2).get(timeout=DEADLINE) == 2
    assert [letter.attempts for letter in system.dead_letters.list()] == [1]


# Async handlers.


def test_an_async_handler_has_its_agent_to_itself(system: AgentSystem) -> None:
    """While an async handler waits, its agent handles nothing else."""
    agent = system.agent(Volunteer, "a")
    futures = [agent.call(Volunteer.slow_add, 1) for _ in range(50)]
    assert [future.get(timeout=DEADLINE) for future in futures] == list(range(1, 51))
    assert Volunteer.most_inside == 1


def test_many_async_handlers_wait_at_once(system: AgentSystem) -> None:
    """More handlers can wait at the same time than there are workers."""
    futures = [system.agent(Volunteer, str(n)).call(Volunteer.meet, 200) for n in range(200)]
    assert {future.get(timeout=DEADLINE) for future in futures} == {200}


def test_an_async_turn_is_all_or_nothing(system: AgentSystem) -> None:
    """What an async handler did before and after a wait is undone when it raises."""
    agent = system.agent(Volunteer, "a")
    with pytest.raises(ValueError, match="later"):
        agent.call(Volunteer.spoil_later).get(timeout=DEADLINE)
    assert system.idle(DEADLINE)
    assert agent.call(Volunteer.read).get()["count"] == 0
    assert system.agent(Volunteer, "other").describe().version == 0


def test_an_async_handler_awaits_others(system: AgentSystem) -> None:
    """A handler may ask many at once and await their replies."""
    total = system.agent(Volunteer, "a").call(Volunteer.sum_of, [str(n) for n in range(20)])
    assert total.get(timeout=DEADLINE) == 20


def test_awaiting_from_outside_leaves_the_loop_free(system: AgentSystem) -> None:
    """While asyncio code awaits a reply, its loop runs other tasks."""
    agent = system.agent(Volunteer, "a")

    async def scenario() -> int:
        reply = asyncio.ensure_future(wrap())
        await asyncio.to_thread(Volunteer.gate.wait)
        Volunteer.gate.open()  # by the very loop that awaits the reply
        await reply
        return int(await agent.proxy().add(1))

    async def wrap() -> None:
        await agent.proxy().hold()

    assert asyncio.run(asyncio.wait_for(scenario(), DEADLINE)) == 2


def test_a_cancelled_wait_does_not_cancel_the_turn(system: AgentSystem) -> None:
    """Who stops waiting for a reply changes nothing about the turn."""
    agent = system.agent(Volunteer, "a")

    async def scenario() -> None:
        async def wait() -> None:
            await agent.proxy().hold()

        task = asyncio.create_task(wait())
        await asyncio.to_thread(Volunteer.gate.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())
    Volunteer.gate.open()
    assert agent.call(Volunteer.read).get(timeout=DEADLINE)["count"] == 1


def test_a_task_that_outlives_its_handler_sends_at_once(system: AgentSystem) -> None:
    """A message sent in the context of a turn that is over is sent, not lost."""
    system.agent(Volunteer, "a").call(Volunteer.outlive).get(timeout=DEADLINE)
    Volunteer.gate.open()
    Volunteer.gate.wait()
    assert system.idle(DEADLINE)
    assert system.agent(Volunteer, "other").call(Volunteer.add, 0).get() == 7


def test_a_task_that_outlives_its_handler_ends_with_the_system() -> None:
    """It is cancelled, so that it gives back what it holds."""
    with AgentSystem.open("memory://", agents=[Volunteer]) as system:
        system.agent(Volunteer, "a").call(Volunteer.leave).get(timeout=DEADLINE)
    assert Volunteer.left is not None
    assert Volunteer.left.cancelled()


# Waiting that would never end.


def test_circles_of_asks_are_refused(system: AgentSystem) -> None:
    """An agent that waits for itself, directly or over others, gets Deadlock and goes on."""
    for path in (["a"], ["b", "a"], ["b", "c", "d", "a"], ["b", "c", "d", "b"]):
        with pytest.raises(Deadlock, match="waits for a reply"):
            system.agent(Volunteer, "a").call(Volunteer.relay, path).get(timeout=DEADLINE)
        with pytest.raises(Deadlock, match="waits for a reply"):
            system.agent(Volunteer, "a").call(Volunteer.relay, path).get()
        with pytest.raises(Deadlock, match="waits for a reply"):
            system.agent(Volunteer, "a").call(Volunteer.relay_async, path).get(timeout=DEADLINE)
    assert system.agent(Volunteer, "a").call(Volunteer.add).get() == 1


def test_get_in_an_async_handler_is_refused(system: AgentSystem) -> None:
    """A blocking wait on the loop of all async handlers gets Deadlock, not a hang."""
    with pytest.raises(Deadlock, match="await the reply"):
        system.agent(Volunteer, "a").call(Volunteer.get_in_async).get(timeout=DEADLINE)


def test_chains_of_asks_may_be_longer_than_the_pool() -> None:
    """A chain of waiting agents longer than the workers ends with the reply."""
    path = [str(n) for n in range(100)]
    with AgentSystem.open(
        "memory://", agents=[Volunteer], resources=Resources(workers=2)
    ) as system:
        start = system.agent(Volunteer, "start")
        assert start.call(Volunteer.relay, path).get(timeout=DEADLINE) == 100
        assert start.call(Volunteer.relay, path).get() == 100
        assert start.call(Volunteer.relay_async, path).get(timeout=DEADLINE) == 100


class Sleeper(Agent[ClerkState]):
    """Wait for something no pool knows of."""

    barrier = threading.Barrier(2)

    def wait(self) -> int:
        with self.system.blocking():
            return self.barrier.wait(DEADLINE)


def test_blocking_lends_the_workers_place() -> None:
    """Handlers that wait under system.blocking() don't starve the pool."""
    Sleeper.barrier = threading.Barrier(12)
    with AgentSystem.open("memory://", agents=[Sleeper], resources=Resources(workers=1)) as system:
        futures = [system.agent(Sleeper, str(n)).call(Sleeper.wait) for n in range(12)]
        assert sorted(f.get(timeout=DEADLINE) for f in futures) == list(range(12))


# Turns that do not end.


class Hasty(Volunteer):
    """Give a turn one second."""

    turn_limit = 1.0
    restarts = RestartPolicy(attempts=2, backoff=Backoff(first=0.0, longest=0.0))
    tries: ClassVar[list[threading.Thread]] = []

    def stick(self) -> None:
        self.state.count += 1
        Hasty.tries.append(threading.current_thread())
        self.system.agent(Hasty, "other").cast(Hasty.add, 1)
        self.gate.pass_through()

    async def refuse_to_end(self) -> None:
        self.gate.arrive()
        while not self.gate.opened.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.to_thread(self.gate.opened.wait, DEADLINE)


@pytest.fixture
def clock() -> VirtualClock:
    """Make a clock that only the test moves."""
    return VirtualClock()


@pytest.fixture
def hasty(clock: VirtualClock) -> Iterator[AgentSystem]:
    """Open a system whose turns are limited."""
    Hasty.gate, Hasty.tries = Gate(), []
    with AgentSystem.open("memory://", agents=[Hasty], clock=clock) as opened:
        yield opened
        Hasty.gate.open()


def join(threads: list[threading.Thread]) -> None:
    """Wait for the threads of handlers that were abandoned."""
    Hasty.gate.open()
    for thread in threads:
        thread.join(DEADLINE)
        assert not thread.is_alive()


@pytest.mark.parametrize("method", ["stick", "for_ever", "refuse_to_end"])
def test_an_asker_is_told_when_a_turn_takes_too_long(
    hasty: AgentSystem, clock: VirtualClock, method: str
) -> None:
    """At the limit the asker gets TurnTimeout, and the agent goes on as it was before the turn."""
    agent = hasty.agent(Hasty, "a")
    agent.call(Hasty.add, 5).get()
    future = getattr(agent.proxy(), method)()
    behind = agent.call(Hasty.add, 1)
    Hasty.gate.wait()
    clock.advance(1.0)  # the first limit: a coroutine is cancelled
    clock.advance(1.0)  # the second: one that does not end is abandoned
    with pytest.raises(TurnTimeout, match=r"longer than its limit of 1\.0 seconds"):
        future.get(timeout=DEADLINE)
    clock.advance(1.0)  # the backoff
    assert behind.get(timeout=DEADLINE) == 6
    join(Hasty.tries)  # the late turn comes back, and is dropped
    assert hasty.idle(DEADLINE)
    assert agent.call(Hasty.read).get(timeout=DEADLINE)["count"] == 6
    assert hasty.agent(Hasty, "other").describe().version == 0


def test_waiting_with_get_is_no_reason_to_run_a_turn_without_end(
    hasty: AgentSystem, clock: VirtualClock
) -> None:
    """get() without a timeout is told too: the turn does not run on the caller's own thread."""
    agent = hasty.agent(Hasty, "a")
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            agent.call(Hasty.stick).get()
        except TurnTimeout as error:
            errors.append(error)

    asker = threading.Thread(target=ask)
    asker.start()
    Hasty.gate.wait()
    clock.advance(1.0)
    asker.join(DEADLINE)
    assert not asker.is_alive()
    assert len(errors) == 1
    join(Hasty.tries)


def test_a_message_that_takes_too_long_is_tried_again_then_buried(
    hasty: AgentSystem, clock: VirtualClock
) -> None:
    """A told message that runs over its limit is tried as often as any other failure."""
    agent = hasty.agent(Hasty, "a")
    agent.cast(Hasty.stick)
    for _ in range(2):
        Hasty.gate.wait()
        clock.advance(1.0)
        clock.advance(1.0)
    clock.advance(1.0)
    assert hasty.idle(DEADLINE)
    (letter,) = hasty.dead_letters.list()
    assert letter.attempts == 2
    assert "TurnTimeout" in letter.reason
    assert agent.call(Hasty.add, 0).get(timeout=DEADLINE) == 0
    join(Hasty.tries)
    assert len(Hasty.tries) == 2


# Closing.


def test_closing_answers_a_handler_that_never_ends() -> None:
    """close() gives up on such a handler after its timeout and tells the asker."""
    Volunteer.gate = Gate()
    system = AgentSystem.open("memory://", agents=[Volunteer])
    sync = system.agent(Volunteer, "a").call(Volunteer.hold)
    Volunteer.gate.wait()
    endless = system.agent(Volunteer, "b").call(Volunteer.for_ever)
    Volunteer.gate.wait()
    waiting = system.agent(Volunteer, "a").call(Volunteer.add)
    assert system.close(timeout=0.05) is False
    for future in (sync, endless, waiting):
        with pytest.raises(SystemClosed):
            future.get(timeout=DEADLINE)
    Volunteer.gate.open()


def test_closing_lets_turns_ask_those_with_mail() -> None:
    """A turn under way may still ask an agent behind whose mail it would wait for ever."""
    Volunteer.gate = Gate()
    system = AgentSystem.open(
        "memory://", agents=[Asker, Volunteer], resources=Resources(workers=2)
    )
    asked = system.agent(Asker, "a").call(Asker.ask_behind)
    Volunteer.gate.wait()
    system.agent(Volunteer, "b").pause()
    for _ in range(3):
        system.agent(Volunteer, "b").cast(Volunteer.add)
    system.agent(Volunteer, "b").resume()
    closer = threading.Thread(target=system.close)
    closer.start()
    Volunteer.gate.open()
    closer.join(DEADLINE)
    assert not closer.is_alive()
    assert asked.get(timeout=DEADLINE) >= 1


class Asker(Agent[ClerkState]):
    """Ask somebody when the test says so."""

    def ask_behind(self) -> int:
        Volunteer.gate.pass_through()
        return int(self.system.agent(Volunteer, "b").proxy().add(1).get())

    def ask_before(self) -> int:
        reply = self.system.agent(Volunteer, "b").proxy().add(1)
        Volunteer.gate.pass_through()
        return int(reply.get())

    async def await_before(self) -> int:
        reply = self.system.agent(Volunteer, "b").proxy().add(1)
        Volunteer.gate.arrive()
        return int(await reply)


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("ask", [Asker.ask_behind, Asker.ask_before, Asker.await_before])
def test_closing_refuses_turns_that_wait_for_a_paused_agent(
    ask: Callable[..., Any], *, live: bool
) -> None:
    """Nobody will resume it: the turn gets an error instead of holding up the close."""
    Volunteer.gate = Gate()
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Volunteer]) as before:
        before.agent(Volunteer, "b").pause()
    system = AgentSystem.open(store, agents=[Asker, Volunteer], resources=Resources(workers=2))
    if live:
        system.agent(Volunteer, "b").cast(Volunteer.add)
        assert system.idle(DEADLINE)
    asked = system.agent(Asker, "a").call(ask)
    Volunteer.gate.wait()
    closed: list[bool] = []
    closer = threading.Thread(target=lambda: closed.append(system.close(timeout=3600.0)))
    closer.start()
    Volunteer.gate.open()
    closer.join(DEADLINE)
    assert closed == [True]
    with pytest.raises(
        SystemClosed, match="Volunteer/b is paused, and the agent system is closing"
    ):
        asked.get(timeout=DEADLINE)


def test_closing_does_not_wait_for_backoff() -> None:
    """A restart that is far off does not hold close() up, nor does a clock that stands still."""
    clock = VirtualClock()
    system = AgentSystem.open("memory://", agents=[Clumsy], clock=clock)
    system.agent(Clumsy, "a").cast(Clumsy.spoil)
    assert Clumsy.failed.wait(DEADLINE)
    assert not system.idle(0.01)
    assert system.close(timeout=DEADLINE) is True


class Clumsy(Clerk):
    """Wait an hour after a failure."""

    restarts = RestartPolicy(backoff=Backoff(first=3600.0, longest=3600.0))
    failed = threading.Event()

    def on_failure(self, *_args: object) -> None:
        Clumsy.failed.set()


def test_a_loop_that_is_closed_refuses() -> None:
    """After closing, a handler loop closes the coroutine and tells whoever waits for it."""
    loop = HandlerLoop(SystemClock())
    assert loop.close(1.0)
    told: list[BaseException | None] = []

    async def never() -> None:
        raise AssertionError

    loop.start(never(), contextvars.copy_context(), lambda _result, error: told.append(error))
    assert [type(error) for error in told] == [SystemClosed]


@pytest.mark.usefixtures("hasty_threads")
def test_who_starts_a_coroutine_while_its_loop_closes_is_told_how_it_ended() -> None:
    """It has begun, and is cancelled, or it is refused: nobody waits for what never begins."""

    async def forever() -> None:
        await asyncio.get_running_loop().create_future()

    told: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()

    def start(loop: HandlerLoop) -> None:
        loop.start(forever(), contextvars.copy_context(), lambda _result, error: told.put(error))

    for _ in range(50):
        loop = HandlerLoop(SystemClock())
        start(loop)
        starting = partial(start, loop)
        together(starting, starting, partial(loop.close, DEADLINE), starting)
        for _ in range(4):
            assert isinstance(told.get(timeout=DEADLINE), SystemClosed | asyncio.CancelledError)


def test_a_snapshot_agent_keeps_good_turns_when_one_fails() -> None:
    """A failure costs a SNAPSHOT agent no turn that had succeeded before it."""
    with AgentSystem.open("memory://", agents=[Clerk, Lazy]) as system:
        lazy = system.agent(Lazy, "a")
        lazy.cast(Lazy.add, 3)
        lazy.cast(Lazy.spoil)
        assert lazy.call(Lazy.add, 1).get(timeout=DEADLINE) == 4


class Lazy(Clerk):
    """Save by no auto-save that a test would live to see; give up a bad message at once."""

    autosave = AutoSave(every=3600.0)

    durability = Durability.SNAPSHOT
    restarts = ONCE


class Gossip(Clerk):
    """Pass on what others have said, without keeping it."""

    durability = Durability.VOLATILE
    heard: ClassVar[int] = 0

    def listen(self) -> int:
        Gossip.heard = int(self.system.agent(Clerk, "source").proxy().add(1).get())
        return Gossip.heard

    def repeat(self) -> int:
        return self.heard


class LazyGossip(Gossip):
    """Pass on what others have said, and keep it later."""

    durability = Durability.SNAPSHOT
    autosave = AutoSave(every=3600.0)


@pytest.mark.parametrize("kind", [Gossip, LazyGossip])
def test_what_is_not_durable_does_not_leave_by_way_of_others(kind: type[Gossip]) -> None:
    """A reply from an agent that is not saved waits for the commits it may know of (G1)."""
    store, gate = CountingStore(), Gate()
    with AgentSystem.open(store, agents=[Clerk, kind]) as system:
        gossip = system.agent(kind, "a")
        assert gossip.call(Gossip.repeat).get() == Gossip.heard
        store.before_commit = gate.pass_through
        listened = gossip.call(Gossip.listen)
        gate.wait()  # the source's commit is under way
        repeated = gossip.call(Gossip.repeat)
        assert system._runtime.quiet(DEADLINE)
        assert not listened.done()
        assert not repeated.done()
        gate.open()
        assert listened.get(timeout=DEADLINE) == 1
        assert repeated.get(timeout=DEADLINE) == 1
