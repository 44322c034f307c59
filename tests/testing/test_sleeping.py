"""Handlers that sleep on their event loop: under the kit's clock they sleep until that moves on."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest

from perdure import Agent, State, VirtualClock
from perdure.actors.pool.cell import Cell
from perdure.actors.pool.virtual_loop import VirtualLoop
from perdure.actors.pool.wakes import Wakes
from perdure.lifecycle.clock import DelayedCall
from perdure.persistence.errors import Deadlock
from perdure.testing import Kit, LeftBehind, assert_durable
from tests.kit.deadline import DEADLINE

HOUR = 3600.0


class Times(State):
    n: int = 0


class Sleeper(Agent[Times]):
    """Does everything an hour later."""

    entered = threading.Event()
    go_on = threading.Event()

    async def add(self, seconds: float = HOUR) -> int:
        """Count when the time has come."""
        await asyncio.sleep(seconds)
        self.state.n += 1
        return self.state.n

    async def limited(self, event: str) -> str:
        """Wait for something, within a minute."""
        waits = {"nothing": asyncio.Event().wait, "thread": self.in_thread, "agent": self.ask}
        try:
            async with asyncio.timeout(60):
                await waits[event]()
        except TimeoutError:
            return "late"
        return "in time"

    async def in_thread(self) -> None:
        """Have a thread of an executor work, which no clock knows of."""

        def work() -> None:
            Sleeper.entered.set()
            assert Sleeper.go_on.wait(DEADLINE)

        await asyncio.to_thread(work)

    async def ask(self) -> None:
        """Ask another, who sleeps as well, but not as long."""
        await self.system.agent(Sleeper, "other").call(Sleeper.add, 59.0)

    def ask_and_wait(self, key: str) -> int:
        """Ask another, who sleeps, and hold a thread meanwhile."""
        return self.system.agent(Sleeper, key).call(Sleeper.add).get()

    async def between(self) -> list[str]:
        """Have two go on in the order of their moments."""
        told: list[str] = []

        async def tell(seconds: float, word: str) -> None:
            await asyncio.sleep(seconds)
            told.append(word)

        await asyncio.gather(tell(5, "second"), tell(2, "first"), tell(9, "third"))
        return told


class Waking(Agent[Times]):
    async def on_start(self) -> None:  # type: ignore[override]
        """Take a while to begin."""
        await asyncio.sleep(HOUR)
        self.state.n = 1

    def count(self) -> int:
        """Return what on_start has left."""
        return self.state.n


class Napper(Agent[Times]):
    """Has something done beside its turns that takes an hour."""

    over = threading.Event()
    told: ClassVar[list[str]] = []

    def begin(self) -> None:
        """Have it begin."""
        self._home.begin_beside("nap", functools.partial(asyncio.sleep, HOUR))

    def work(self) -> None:
        """Work meanwhile, until the test lets it end."""
        Sleeper.entered.set()
        assert Sleeper.go_on.wait(DEADLINE)
        Napper.over.set()

    def ask_beside(self) -> None:
        """Have something beside its turns ask it, within a minute."""
        me = self.system.agent(Napper, self.key)

        async def ask() -> None:
            try:
                async with asyncio.timeout(60):
                    await me.call(Napper.count)
            except TimeoutError:
                Napper.told.append("late")
            else:
                Napper.told.append("in time")

        self._home.begin_beside("ask", ask)

    def pause_beside(self) -> None:
        """Have something beside its turns wait for its time, and then for the test."""
        home = self._home

        async def work() -> None:
            await home.pause_beside("work", HOUR, "the work goes on")
            Sleeper.entered.set()
            await asyncio.to_thread(Sleeper.go_on.wait, DEADLINE)

        home.begin_beside("work", work)

    def count(self) -> None:
        """Change something, which is answered when it is durable."""
        self.state.n += 1


@pytest.fixture
def kit() -> Iterator[Kit]:
    """Give a kit whose agents sleep."""
    Sleeper.entered.clear()
    Sleeper.go_on.clear()
    Napper.over.clear()
    with Kit() as kit:
        kit.open([Sleeper, Waking, Napper])
        yield kit
        Sleeper.go_on.set()


def test_a_handler_sleeps_until_the_clock_moves_on(kit: Kit) -> None:
    """Not a second less, and no real time; who sleeps, and until when, can be seen."""
    sleeper = kit.agent(Sleeper, "a")
    asked = sleeper.call(Sleeper.add)
    kit.clock.advance(HOUR - 1)
    assert [(due.seconds, due.what) for due in kit.clock.pending_work()] == [
        (1.0, "Sleeper/a goes on")
    ]
    with pytest.raises(Deadlock, match="time stands still: Sleeper/a sleeps"):
        kit.system.idle()
    kit.clock.advance(1)
    assert asked.get() == 1
    sleeper.cast(Sleeper.add)
    assert kit.clock.run_until_idle() == HOUR
    with kit.clock.skip():
        assert sleeper.call(Sleeper.add).get() == 3
        assert sleeper.call(Sleeper.between).get() == ["first", "second", "third"]
    assert kit.clock.monotonic() == 3 * HOUR + 9


def test_a_limit_is_not_reached_by_what_needs_no_time(kit: Kit) -> None:
    """Threads work as long as they like, agents answer first, and what never comes comes late."""
    sleeper = kit.agent(Sleeper, "a")
    with kit.clock.skip():
        assert sleeper.call(Sleeper.limited, "nothing").get() == "late"
        assert sleeper.call(Sleeper.limited, "agent").get() == "in time"
        asked = sleeper.call(Sleeper.limited, "thread")
        assert Sleeper.entered.wait(DEADLINE)
        releaser = threading.Timer(0.05, Sleeper.go_on.set)
        releaser.start()
        assert asked.get() == "in time"
        releaser.join()


def test_a_lifecycle_method_may_sleep(kit: Kit) -> None:
    """What waits for an agent that takes its time to begin waits for the clock."""
    with kit.clock.skip():
        assert kit.agent(Waking, "a").call(Waking.count).get() == 1
    assert kit.clock.monotonic() == HOUR


def test_who_waits_in_a_thread_for_one_that_sleeps_is_no_reason_to_wait(kit: Kit) -> None:
    """Time passes for whoever it needs, over an agent that only waits for that."""
    with kit.clock.skip():
        assert kit.agent(Sleeper, "a").call(Sleeper.ask_and_wait, "b").get() == 1
    assert kit.clock.monotonic() == HOUR


def test_who_has_work_that_sleeps_may_have_more_to_do(kit: Kit) -> None:
    """A turn is waited for, also of an agent whose work beside its turns waits for the clock."""
    napper = kit.agent(Napper, "a")
    napper.call(Napper.begin).get()
    kit.clock.settle()
    napper.cast(Napper.work)
    assert Sleeper.entered.wait(DEADLINE)
    releaser = threading.Timer(0.05, Sleeper.go_on.set)
    releaser.start()
    kit.clock.settle()
    assert Napper.over.is_set()
    releaser.join()
    kit.clock.advance(HOUR)


def test_work_whose_time_comes_as_it_begins_to_wait_is_under_way(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who moves the clock may come between: a system with such work is not quiet."""
    agenda = kit.system._runtime.agenda
    later = agenda.later

    def hasty(
        delay: float, callback: Callable[[], object], what: str, cell: Cell | None = None
    ) -> Callable[[], None]:
        call_off = later(delay, callback, what, cell)
        if what == "the work goes on":
            callback()
        return call_off

    monkeypatch.setattr(agenda, "later", hasty)
    kit.agent(Napper, "a").cast(Napper.pause_beside)
    assert Sleeper.entered.wait(DEADLINE)
    assert not agenda.wait(0.0)
    Sleeper.go_on.set()
    assert agenda.wait(DEADLINE)


def test_an_async_hook_may_sleep_behind_an_async_handler(kit: Kit) -> None:
    """The thread that waits for it is none that time has to wait for."""

    async def slowly(_details: object) -> None:
        await asyncio.sleep(0.5)

    kit.system.hooks.on("message.after", slowly, name="slowly")
    with kit.clock.skip():
        assert kit.agent(Sleeper, "a").call(Sleeper.add).get() == 1
    assert kit.clock.monotonic() == HOUR + 0.5


def test_a_sleep_that_is_over_before_it_is_noted_is_over() -> None:
    """Who moves the clock may wait for nobody and come between: then nobody is taken for asleep."""

    class Hasty(VirtualClock):
        def call_at(self, when: float, callback: Callable[[], None]) -> DelayedCall:
            call = super().call_at(when, callback)
            self.advance(when - self.monotonic())
            return call

    loop = VirtualLoop(Hasty(), look=lambda: None, name=lambda _context: "somebody")
    try:
        loop.run_until_complete(asyncio.sleep(HOUR))
        assert not loop._sleepers
    finally:
        loop.close()


def test_a_reply_that_is_there_comes_before_any_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who writes commits wakes those that are answered afterwards: time waits for that as well."""
    timers, send, go_on = list[threading.Timer](), Wakes.send, threading.Event()

    def slowly(wakes: Wakes) -> None:
        if wakes._due and threading.current_thread().name.startswith("perdure-"):
            timers.append(threading.Timer(0.05, go_on.set))
            timers[-1].start()
            assert go_on.wait(DEADLINE)
        send(wakes)

    monkeypatch.setattr(Wakes, "send", slowly)
    Napper.told.clear()
    with Kit() as kit:
        kit.open([Napper]).agent(Napper, "a").call(Napper.ask_beside).get()
        kit.clock.advance(60)
        for timer in timers:
            timer.join()
    assert Napper.told == ["in time"]
    assert timers


def test_who_sleeps_through_a_crash_begins_again(kit: Kit) -> None:
    """The crash waits for nobody; what was durable mail is handled anew."""
    kit.agent(Sleeper, "a").cast(Sleeper.add)
    kit.clock.advance(HOUR / 2)
    kit.system.flush()
    kit.crash()
    kit.clock.advance(HOUR - 1)
    assert_durable(kit.agent(Sleeper, "a"), n=0)
    assert kit.clock.run_until_idle() == 1
    assert_durable(kit.agent(Sleeper, "a"), n=1)


def test_who_sleeps_at_the_end_of_a_test_is_named() -> None:
    """It has begun what it will not end: the test has left it behind."""

    def leave() -> None:
        with Kit() as kit:
            kit.open([Sleeper]).agent(Sleeper, "a").cast(Sleeper.add)
            kit.clock.settle()

    with pytest.raises(LeftBehind, match="could not be closed in time: Sleeper/a sleeps"):
        leave()
