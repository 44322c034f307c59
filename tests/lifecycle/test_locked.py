"""Another program locks the file: the breaker opens, and what needs no disk goes on."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    Breaker,
    Durability,
    MemoryStore,
    Saving,
    State,
    WhenUnsaved,
)
from perdure.lifecycle.clock import DelayedCall, SystemClock
from perdure.persistence.errors import StoreUnavailable, TurnTimeout
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told

LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Have another process hold the file's write lock."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        try:
            yield
        finally:
            child.stdin.close()


class FastClock(SystemClock):
    """The machine's clock, with short waits: a lease is renewed every 5 ms."""

    def call_later(self, delay: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back after a thousandth of the time."""
        return super().call_later(delay / 1000, callback)


class Ticks:
    """Count, and let somebody wait until there are some more."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._count = 0

    def tick(self) -> None:
        """Count one."""
        with self._changed:
            self._count += 1
            self._changed.notify_all()

    def more(self, count: int) -> bool:
        """Wait for some more than there are now."""
        with self._changed:
            wanted = self._count + count
            return self._changed.wait_for(lambda: self._count >= wanted, DEADLINE)


class TallyState(State):
    total: int = 0


class Tally(Agent[TallyState]):
    """Is saved with every turn."""

    def add(self) -> int:
        """Add one."""
        self.state.total += 1
        return self.state.total


class Beat(Agent[TallyState]):
    """Is never saved, and ticks."""

    durability = Durability.VOLATILE
    when_unsaved = WhenUnsaved.CONTINUE
    ticks: ClassVar[Ticks]

    def begin(self) -> None:
        """Tick from now on."""
        self.every(5.0, self.tick)

    def tick(self) -> None:
        """Be counted."""
        self.ticks.tick()


class Slow(Agent[TallyState]):
    """Takes longer than it may."""

    durability = Durability.VOLATILE
    turn_limit = 20.0

    async def wait(self) -> None:
        """Wait for nothing."""
        await asyncio.sleep(3600)


def test_a_lock_opens_the_breaker_and_holds_up_neither_timers_nor_limits(tmp_path: Path) -> None:
    """Each attempt waits moments; ticks and time limits come meanwhile; then all is saved."""
    Beat.ticks = Ticks()
    path = tmp_path / "locked.db"
    with (
        Told() as told,
        AgentSystem.open(
            path, agents=[Tally, Beat, Slow], clock=FastClock(),
            saving=Saving(
                backoff=Backoff(first=1.0, jitter=0.0),
                breaker=Breaker(failures=3, reset_after=1000.0),
            ),
        ) as system,
    ):  # fmt: skip
        tally, slow = system.agent(Tally, "a"), system.agent(Slow, "a")
        assert tally.call(Tally.add).get() == 1
        system.agent(Beat, "a").call(Beat.begin).get()
        assert Beat.ticks.more(2)
        with locked(path):
            saving = tally.call(Tally.add)
            told.wait("save_failed")
            assert Beat.ticks.more(3)  # also while the next attempt waits in SQLite
            with pytest.raises(TurnTimeout):
                slow.call(Slow.wait).get(timeout=DEADLINE)
            told.wait("breaker_opened")
            with pytest.raises(StoreUnavailable, match="database is locked"):
                saving.get(timeout=DEADLINE)
            assert Beat.ticks.more(3)
        told.wait("breaker_closed")
        assert tally.call(Tally.add).get(timeout=DEADLINE) == 3


def test_nobody_uses_the_store_on_the_clocks_thread() -> None:
    """Leases, timers, sweeps, saves: whatever the clock begins, others ask the store for it."""
    users: set[tuple[str, str]] = set()
    renewed = Ticks()

    class Watched(MemoryStore):
        """Tells who uses it."""

        def __getattribute__(self, name: str) -> object:
            users.add((threading.current_thread().name, name))
            if name == "renew":
                renewed.tick()
            return super().__getattribute__(name)

    Beat.ticks = Ticks()
    with AgentSystem.open(Watched(), agents=[Tally, Beat], clock=FastClock()) as system:
        system.agent(Beat, "a").call(Beat.begin).get()
        assert renewed.more(10)  # 50 of our seconds: each sweep has come once
        assert Beat.ticks.more(3)
    assert any(thread == "perdure-aside" and name == "timers_between" for thread, name in users)
    assert [name for thread, name in users if thread == "perdure-clock"] == []
