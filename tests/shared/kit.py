"""What the tests of shared state use: agents that share, a store that can be stopped, threads."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from perdure import Agent, Boundary, Durability, MemoryStore, Scope, State
from perdure.persistence.store.batch import Batch

DEADLINE = 30.0
"""Seconds after which something that should have happened has not."""

WORK = Scope.workflow("w")


class Count(State):
    turns: int = 0


class Worker(Agent[Count]):
    """Change shared keys in turns, and count its own turns beside them."""

    boundary = Boundary.SHARED

    def increment(self, key: str, by: int = 1) -> int:
        self.state.turns += 1
        return self.scopes.increment(WORK, key, by)

    async def increment_later(self, key: str) -> int:
        self.state.turns += 1
        seen = self.scopes.increment(WORK, key)
        await asyncio.sleep(0)
        return seen

    def add(self, key: str, by: int = 1) -> None:
        self.state.turns += 1
        self.scopes.add(WORK, key, by)

    def set(self, key: str, value: object) -> int:
        self.state.turns += 1
        return self.scopes.set(WORK, key, value)

    def get(self, key: str) -> object:
        return self.scopes.get(WORK, key)

    def keys(self) -> list[str]:
        return self.scopes.list_keys(WORK)

    def turns(self) -> int:
        return self.state.turns


class Fleeting(Worker):
    """The same, VOLATILE."""

    durability = Durability.VOLATILE


class Saved(Worker):
    """The same, SNAPSHOT."""

    durability = Durability.SNAPSHOT


AGENTS = [Worker, Fleeting, Saved]


class Valve(MemoryStore):
    """A store whose commits wait until they are let through."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.opened.set()
        self.waiting = threading.Event()
        self.before_row: Callable[[], None] = lambda: None

    def shut(self) -> None:
        """Let nothing become durable from now on."""
        self.waiting.clear()
        self.opened.clear()

    def commit(self, batch: Batch) -> None:
        if not self.opened.is_set():
            self.waiting.set()
            assert self.opened.wait(DEADLINE)
        super().commit(batch)


def at_once(count: int, work: Callable[[int], object]) -> None:
    """Run ``work`` in so many threads that begin together; raises what one of them raised."""
    barrier = threading.Barrier(count)
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            barrier.wait(DEADLINE)
            work(number)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE * 4)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


@contextmanager
def hasty() -> Iterator[None]:
    """Switch threads as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
