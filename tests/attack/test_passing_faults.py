"""A store that fails once, at any one of its calls: nothing is lost, overtaken, or left to lie."""

import asyncio
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec import field

from perdure import Agent, AgentRef, AgentSystem, Backoff, Breaker, Log, Map, Saving, Scope, State
from perdure.actors.cell import timers
from perdure.actors.pool import agenda
from perdure.persistence.errors import StoreUnavailable
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE

KEYS = ("x", "y", "z")
SENT = 5
NEWER = 99
SAVING = Saving(
    backoff=Backoff(first=0.001, longest=0.01), breaker=Breaker(failures=3, reset_after=0.02)
)
"""Begins again soon."""
MORE_THAN_ATTEMPTS = 12
gate = threading.Event()


class DeskState(State):
    """What a desk was given, in three ways."""

    seen: list[int] = field(default_factory=list)
    notes: Log[int] = Log.field()
    marks: Map[str, int] = Map.field()
    ticks: int = 0


class Desk(Agent[DeskState]):
    """Takes numbers in their order."""

    def take(self, number: int) -> None:
        """Keep a number."""
        gate.wait(DEADLINE)
        self.state.seen.append(number)
        self.state.notes.append(number)
        self.state.marks[str(number)] = self.state.marks.get(str(number), 0) + 1
        self.scopes.add(Scope.agent("Desk", self.key), "sum", 1)

    def arm(self) -> None:
        """Set a timer that is due at once."""
        self.after(0.0, Desk.tick, name="due")

    def tick(self) -> None:
        """Count."""
        gate.wait(DEADLINE)
        self.state.ticks += 1

    def report(self) -> tuple[list[int], list[int], dict[str, int], int]:
        """Return everything."""
        state = self.state
        return state.seen, list(state.notes), dict(state.marks), state.ticks


class Faults:
    """The calls that a test has fail, counted from the first one, over all lives of a store."""

    def __init__(self, store: FaultyStore, faults: range = range(0), *, once: str = "") -> None:
        """Meet the calls of ``store``; the first call of ``once`` fails as well."""
        self.calls = 0
        self.once = once
        self.faults = faults
        self.failed: list[str] = []
        self.broken = ""
        """A method that fails until further notice."""
        self.often = threading.Event()
        """Set when it has failed more often than a message has attempts."""
        self._counting = threading.Lock()
        store.on_call.append(self._meet)

    def _meet(self, name: str) -> None:
        """Count a call, or fail it."""
        with self._counting:
            self.calls += 1
            failing = self.calls in self.faults or name in (self.broken, self.once)
            if name == self.once:
                self.once = ""
        if failing:
            self.failed.append(name)
            if self.failed.count(name) > MORE_THAN_ATTEMPTS:
                self.often.set()
            raise StoreUnavailable(f"{name}: disk I/O error")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the files of a store whose owner was killed, with mail, timers and shared keys."""
    folder = tmp_path_factory.mktemp("left")
    gate.clear()
    with AgentSystem.open(folder / "store.db", agents=[Desk]) as system:
        for key in KEYS:
            desk = system.agent(Desk, key)
            desk.call(Desk.arm).get()
            for number in range(SENT):
                desk.cast(Desk.take, number)
        system.flush()
        shutil.copytree(folder, folder / "copy", ignore=shutil.ignore_patterns("*-socket"))
        gate.set()
    return folder / "copy"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Try again what a failing store has hindered at once; keep the log quiet."""
    monkeypatch.setattr(agenda, "STORE_SECONDS", 0.005)
    monkeypatch.setattr(timers, "STORE_SECONDS", 0.005)
    logger = logging.getLogger("perdure")
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(logging.NOTSET)


def asked(call: Callable[[], object]) -> object:
    """Ask again and again until the store is no hindrance; who asks is told of every failure."""
    while True:
        try:
            return call()
        except StoreUnavailable:
            continue


def report(desk: AgentRef[Desk]) -> object:
    """Ask a desk for everything."""
    return desk.call(Desk.report).get()


def reported(desk: AgentRef[Desk]) -> object:
    """Ask a desk until its timer has come: where the store failed, timers are read again later."""
    deadline = time.monotonic() + DEADLINE
    while (found := report(desk)) != EXPECTED and time.monotonic() < deadline:
        pass
    return found


def life(store: FaultyStore) -> bool:
    """Open, run and close a system; False if it could not be opened."""
    opened = store.open()
    try:
        system = AgentSystem.open(opened, agents=[Desk], saving=SAVING)
    except StoreUnavailable:
        store.bury(opened)
        return False
    for key in KEYS:
        system.agent(Desk, key).cast(Desk.take, NEWER)
    assert system.idle(DEADLINE), "it does not come to rest"
    for key in KEYS:
        desk, scope = system.agent(Desk, key), Scope.agent("Desk", key)
        assert asked(partial(reported, desk)) == EXPECTED
        assert asked(partial(system.state.get, scope, "sum")) == len(NUMBERS)
    assert asked(system.dead_letters.list) == []
    assert system.close()
    return True


NUMBERS = [*range(SENT), NEWER]
EXPECTED = (NUMBERS, NUMBERS, {str(number): 1 for number in NUMBERS}, 1)


def attempt(left: Path, folder: Path, calls: range, *, once: str = "") -> Faults:
    """Live through faults of a store, and look at what is durable afterwards."""
    shutil.copytree(left, folder)
    store = FaultyStore(folder / "store.db")
    faults = Faults(store, calls, once=once)
    while not life(store):
        assert faults.failed  # who opens tries again
    with AgentSystem.open(folder / "store.db", agents=[Desk]) as system:
        for key in KEYS:
            assert system.agent(Desk, key).call(Desk.report).get() == EXPECTED
        assert not any(system._store.mail("Desk", key) for key in KEYS)
    shutil.rmtree(folder)
    return faults


@pytest.mark.parametrize("length", [1, 2, 5])
def test_each_call_of_the_store_may_fail(left: Path, tmp_path: Path, length: int) -> None:
    """Whichever calls fail, and then no more, all goes on by itself: whole, once, in order."""
    met: set[str] = set()
    number = 0
    while True:
        number += 1
        faults = attempt(left, tmp_path / str(number), range(number, number + length))
        met.update(faults.failed)
        if not faults.failed:
            break
    # At which places these come is the threads' affair: some may never have been where a fault was.
    for name in {"acquire", "load", "inbox", "mailed", "commit", "row"} - met:
        assert attempt(left, tmp_path / name, range(0), once=name).failed == [name]


def test_the_reading_of_timers_may_fail(left: Path, tmp_path: Path) -> None:
    """Timers are read on a thread of their own, at no certain place among the calls."""
    faults = attempt(left, tmp_path / "timers", range(0), once="timers_between")
    assert faults.failed == ["timers_between"]


class Reader(Agent[DeskState]):
    """Reads a map in several ways."""

    def on_start(self) -> None:
        """Read before the first message."""
        self.state.marks.get("start")

    def plain(self, number: int) -> None:
        """Let the error of the store through."""
        self.state.marks.get(str(number))
        self.state.seen.append(number)

    def disguised(self, number: int) -> None:
        """Make another error of it."""
        try:
            self.state.marks.get(str(number))
        except StoreUnavailable:
            raise ValueError(number) from None
        self.state.seen.append(number)

    async def awaited(self, number: int) -> None:
        """Read beside other tasks."""

        async def read() -> None:
            self.state.marks.get(str(number))

        async with asyncio.TaskGroup() as group:
            group.create_task(read())
        self.state.seen.append(number)

    def seen(self) -> list[int]:
        """Return the numbers in the order in which they came."""
        return self.state.seen


@pytest.mark.parametrize("way", [Reader.plain, Reader.disguised, Reader.awaited])
@pytest.mark.parametrize("before", [True, False])
def test_a_failing_store_is_no_attempt_of_a_message(
    tmp_path: Path, way: Callable[[Reader, int], None], *, before: bool
) -> None:
    """However long reads fail, mail waits in its order and dies of nothing; who asks is told."""
    store = FaultyStore(tmp_path / "store.db")
    faults = Faults(store)
    with AgentSystem.open(store.open(), agents=[Reader], saving=SAVING) as system:
        reader = system.agent(Reader, "r")
        reader.cast(way, 0)
        assert system.idle(DEADLINE)
        if before:  # the failure meets on_start
            reader.stop()
        faults.broken = "map_entry"
        for number in range(1, SENT):
            reader.cast(way, number)
        assert faults.often.wait(DEADLINE)
        with pytest.raises(StoreUnavailable):
            reader.call(Reader.plain, NEWER).get(timeout=DEADLINE)
        faults.broken = ""
        assert system.idle(DEADLINE)
        assert reader.call(Reader.seen).get() == list(range(SENT))
        assert system.dead_letters.list() == []
        assert reader.describe().error.startswith(("StoreUnavailable", "ValueError", "Except"))
