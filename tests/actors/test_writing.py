"""Workers that write what their turns have committed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Durability, Resources, State
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.committer import Committer
from tests.kit.deadline import DEADLINE


class Count(State):
    """One number."""

    number: int = 0


class Desk(Agent[Count]):
    """Counts; may wait in the middle of it."""

    def add(self, before: Callable[[], object] | None = None) -> int:
        """Count one more."""
        if before is not None:
            before()
        self.state.number += 1
        return self.state.number


class Passer(Agent[Count]):
    """Is not saved, and needs another thread to pass with it."""

    durability = Durability.VOLATILE

    def meet(self, gate: threading.Barrier) -> None:
        """Wait until both are here, without lending the place."""
        gate.wait(DEADLINE)


def watch(monkeypatch: pytest.MonkeyPatch, before: Callable[[], object]) -> list[str]:
    """Have ``before`` called at each commit; return the list of those who write."""
    writers: list[str] = []
    commit = SqliteStore.commit

    def watched(store: SqliteStore, batch: Batch) -> None:
        writers.append(threading.current_thread().name)
        before()
        commit(store, batch)

    monkeypatch.setattr(SqliteStore, "commit", watched)
    return writers


def test_a_worker_writes_what_a_lone_awaited_ask_commits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No third thread is woken for the commit of a turn that nothing waits behind."""
    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk]) as system:
        desk = system.agent(Desk, "a")
        assert desk.call(Desk.add).get() == 1
        writers = watch(monkeypatch, lambda: None)

        async def ask() -> list[int]:
            return [await desk.call(Desk.add) for _ in range(50)]

        assert asyncio.run(ask()) == list(range(2, 52))
        assert set(writers) == {"perdure-worker"}


def test_a_disk_that_hangs_takes_no_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a worker is held up by the disk, as many others as the pool has run turns."""
    writing, goes_on = threading.Event(), threading.Event()

    def hang() -> None:
        writing.set()
        assert goes_on.wait(DEADLINE)

    two = Resources(workers=2)
    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk, Passer], resources=two) as system:
        writers = watch(monkeypatch, hang)
        asked = system.agent(Desk, "a").call(Desk.add)
        assert writing.wait(DEADLINE)
        gate = threading.Barrier(3)
        for key in "ab":
            system.agent(Passer, key).cast(Passer.meet, gate)
        gate.wait(DEADLINE)
        goes_on.set()
        assert asked.get(timeout=DEADLINE) == 1
        assert writers[0] == "perdure-worker"


def test_a_reply_does_not_wait_for_the_next_handler(tmp_path: Path) -> None:
    """What a turn commits is written at once, also if its agent's next message takes its time."""
    goes_on, began = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert goes_on.wait(DEADLINE)

    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk]) as system:
        desk = system.agent(Desk, "a")

        async def ask() -> int:
            first = desk.call(Desk.add, lambda: desk.call(Desk.add, wait))
            return await asyncio.wait_for(asyncio.ensure_future(first), DEADLINE)

        try:
            assert asyncio.run(ask()) == 1
            assert began.wait(DEADLINE)
        finally:
            goes_on.set()


@pytest.mark.parametrize("where", [0, 1])
def test_what_a_struck_worker_has_not_written_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: int
) -> None:
    """A worker that is interrupted before it writes, or behind it, leaves no caller behind."""
    struck: list[str] = []
    help_once = Committer.help

    def strike(committer: Committer, *, free: bool = True) -> None:
        name = threading.current_thread().name
        if struck or name != "perdure-worker":
            help_once(committer, free=free)
            return
        struck.append(name)
        if where == 1:
            help_once(committer, free=free)
        raise KeyboardInterrupt

    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk]) as system:
        monkeypatch.setattr(Committer, "help", strike)
        desk = system.agent(Desk, "a")

        async def ask() -> list[int]:
            asked = (asyncio.ensure_future(desk.call(Desk.add)) for _ in range(3))
            return [await asyncio.wait_for(one, DEADLINE) for one in asked]

        assert asyncio.run(ask()) == [1, 2, 3]
        assert struck == ["perdure-worker"]
