"""Work that is left to a worker on its way back from waking an event loop."""

from __future__ import annotations

import asyncio
import itertools
import queue
import random
import threading
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, State
from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.pool.offers import Runnable
from perdure.actors.pool.returning import Returning
from tests.kit.deadline import DEADLINE
from tests.kit.threads import at_once


class Once:
    """Work that is done by whoever comes first."""

    def __init__(self) -> None:
        self.runs = itertools.count()
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def waits(self) -> bool:
        return not self.done.is_set()

    def run(self) -> bool:
        next(self.runs)
        self.thread = threading.current_thread()
        self.done.set()
        return True


class Waker(Once):
    """Work that is over, and has its worker wake a loop, which brings other work meanwhile."""

    def __init__(self, pool: Dispatcher, *brought: Runnable) -> None:
        super().__init__()
        self._pool = pool
        self._brought = brought

    def run(self) -> bool:
        self._pool._returning.soon = True
        for work in self._brought:
            self._pool.submit(work)
        return super().run()


def test_what_comes_first_is_run_by_the_worker_that_comes_back() -> None:
    """No other worker is woken for it, though one waits; what comes second wakes that one."""
    pool = Dispatcher(2)
    meet = threading.Barrier(2)

    class Meeting(Once):
        def run(self) -> bool:
            meet.wait(DEADLINE)  # passed only where two threads run the two
            return super().run()

    first, second = Meeting(), Meeting()
    waker = Waker(pool, first, second)
    pool.submit(waker)
    assert first.done.wait(DEADLINE)
    assert second.done.wait(DEADLINE)
    assert first.thread is waker.thread
    assert second.thread is not waker.thread
    assert pool.close(DEADLINE)


def test_what_is_left_is_run_though_its_worker_leaves() -> None:
    """A worker that is one too many when it comes back leaves nothing behind."""
    pool = Dispatcher(1)
    brought = Once()

    class Waited(Waker):
        def run(self) -> bool:
            with pool.blocking():  # another takes its place, and keeps it
                there = Once()
                pool.submit(there)
                assert there.done.wait(DEADLINE)
            return super().run()

    waited = Waited(pool, brought)
    pool.submit(waited)
    assert brought.done.wait(DEADLINE)
    assert brought.thread is not waited.thread
    assert pool.close(DEADLINE)


@pytest.mark.usefixtures("hasty_threads")
def test_races_between_those_who_leave_work_and_those_who_come_back() -> None:
    """Whoever leaves, says that it comes, comes or ends when: each piece of work is run once."""
    ready: queue.SimpleQueue[Runnable] = queue.SimpleQueue()
    returning = Returning(ready.put)
    made: list[Once] = []

    def act(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(500):
            if chance.random() < 0.6:
                work = Once()
                made.append(work)
                returning.leave(work)
                continue
            returning.soon = True
            if chance.random() < 0.2:
                returning.end()
                continue
            try:
                for taken in returning.come():
                    taken.run()
            except IndexError:
                pass

    at_once(4, act)
    while not ready.empty():
        ready.get().run()
    assert made
    assert [next(work.runs) for work in made] == [1] * len(made)


class Count(State):
    """One number."""

    number: int = 0


class Desk(Agent[Count]):
    """Counts."""

    def add(self) -> int:
        """Count one more."""
        self.state.number += 1
        return self.state.number


def test_every_awaited_ask_is_answered(tmp_path: Path) -> None:
    """Whoever awaits one reply after the other, on one loop or on several, gets each."""

    async def ask(system: AgentSystem, key: str) -> list[int]:
        desk = system.agent(Desk, key)
        asks = (asyncio.ensure_future(desk.call(Desk.add)) for _ in range(100))
        return [await asyncio.wait_for(one, DEADLINE) for one in asks]

    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk]) as system:
        found: list[list[int]] = []
        at_once(3, lambda number: found.append(asyncio.run(ask(system, str(number)))))
    assert found == [list(range(1, 101))] * 3
