"""Times to live: gone at once for everybody, and from the disk with the next sweep."""

import threading
from pathlib import Path

import pytest

from perdure import ABSENT, Agent, AgentSystem, MemoryStore, VirtualClock
from perdure.persistence.errors import StateError
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Order
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import StoreReader
from perdure.shared.scopes import sweep
from tests.kit.deadline import DEADLINE
from tests.shared.agents import WORK, Count, Worker

ALL = Order(("kind", "id", "part"))


def rows(store: StoreReader) -> list[str]:
    """Return the keys that are stored, expired or not."""
    return [str(row[3]) for row in store.page(SCOPED, ALL, None, 10_000)]


def test_expired_is_absent_at_once() -> None:
    """At its time a key is gone for every call, and the next write creates it."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Worker], clock=clock) as system:
        state, agent = system.state, system.agent(Worker, "a")
        state.set(WORK, "k", 1, ttl=10)
        state.set(WORK, "k", 2, ttl=10)
        entry = state.entry(WORK, "k", int)
        assert entry is not None
        assert (entry.version, entry.expires) == (2, clock.now() + 10)
        clock.advance(9.5)
        assert state.get(WORK, "k") == 2
        clock.advance(0.5)
        assert state.get(WORK, "k") is None
        assert not state.exists(WORK, "k")
        assert state.entry(WORK, "k") is None
        assert state.list(WORK) == []
        assert state.count(WORK) == 0
        assert state.get_many(WORK, ["k"]) == {}
        assert agent.call(Worker.get, "k").get() is None
        assert agent.call(Worker.keys).get() == []
        assert not state.copy(WORK, "k", WORK, "other")
        assert not state.compare_and_set(WORK, "k", entry, 3)
        assert not state.delete(WORK, "k")
        state.set(WORK, "k", 5, ttl=10)
        clock.advance(10)
        assert state.increment(WORK, "k") == 1
        assert state.compare_and_set(WORK, "new", ABSENT, 1)
        found = state.entry(WORK, "k")
        assert found is not None
        assert (found.version, found.expires) == (1, None)


def test_times_to_live_are_kept_or_ended() -> None:
    """A write without one ends it; adding keeps it unless a new one is given."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[], clock=clock) as system:
        state = system.state
        state.set(WORK, "k", 1, ttl=10)
        state.increment(WORK, "k")
        state.add(WORK, "k", 1)
        clock.advance(5)
        state.increment(WORK, "k", ttl=100)
        clock.advance(50)
        assert state.get(WORK, "k") == 4
        state.set(WORK, "k", 1)
        clock.advance(1000)
        assert state.get(WORK, "k") == 1


@pytest.mark.parametrize("ttl", [0, -1, float("nan"), float("inf"), "1", 10**10])
def test_times_that_make_no_sense_are_refused(ttl: float) -> None:
    """A time to live is a number of seconds above 0."""
    with AgentSystem.open("memory://", agents=[]) as system:
        with pytest.raises(StateError, match="ttl"):
            system.state.set(WORK, "k", 1, ttl=ttl)
        with pytest.raises(StateError, match="ttl"):
            system.state.increment(WORK, "k", ttl=ttl)


def test_a_restart_brings_nothing_back(tmp_path: Path) -> None:
    """What expired while nothing ran is absent when it is opened, and so with a clock set back."""
    clock = VirtualClock()
    path = tmp_path / "store.db"
    with AgentSystem.open(path, agents=[], clock=clock) as system:
        system.state.set(WORK, "k", 1, ttl=10)
        at = clock.now()
    clock = VirtualClock(at + 10)
    with AgentSystem.open(path, agents=[], clock=clock) as system:
        assert system.state.list(WORK) == []
        assert not system.state.exists(WORK, "k")
    clock = VirtualClock(at + 5)
    with AgentSystem.open(path, agents=[], clock=clock) as system:
        assert system.state.get(WORK, "k") == 1


class Watched(MemoryStore):
    """Tell of commits that delete shared keys."""

    def __init__(self) -> None:
        super().__init__()
        self.slices: list[int] = []
        self.swept = threading.Event()

    def commit(self, batch: Batch) -> None:
        super().commit(batch)
        gone = sum(row is None for row in batch.tables.get(SCOPED, {}).values())
        if gone:
            self.slices.append(gone)
            self.swept.set()


def test_the_disk_is_freed_in_small_commits() -> None:
    """With the clock, expired keys leave the store in slices; others stay."""
    clock, store = VirtualClock(), Watched()
    with AgentSystem.open(store, agents=[], clock=clock) as system:
        state = system.state
        with state.transaction():
            for number in range(1_200):
                state.set(WORK, f"brief/{number:04}", 0, ttl=10)
        state.set(WORK, "stays", 1)
        state.set(WORK, "later", 1, ttl=1_000)
        clock.advance(sweep.EVERY)
        assert store.swept.wait(DEADLINE)
        # Over when the one after it has nothing left to do.
        assert system._runtime.key_sweep.sweep() + sum(store.slices) >= 1_200
        assert sum(store.slices) == 1_200
        assert max(store.slices) <= sweep.SLICE
        assert rows(store) == ["later", "stays"]
        store.swept.clear()
        clock.advance(1_000)
        for _ in range(600):  # the next sweep is arranged when the one before has ended
            clock.advance(sweep.EVERY)
            if store.swept.wait(0.05):
                break
        assert rows(store) == ["stays"]


def test_what_was_written_again_is_not_swept() -> None:
    """A key that lives again when its slice commits is left alone, in whatever order."""
    clock = VirtualClock()
    store = MemoryStore()
    with AgentSystem.open(store, agents=[], clock=clock) as system:
        state, sweeper = system.state, system._runtime.key_sweep
        for key in "abc":
            state.set(WORK, key, 1, ttl=10)
        clock.advance(20)
        state.set(WORK, "b", 2)
        assert sweeper.sweep() == 2
        assert rows(store) == ["b"]
        assert sweeper.sweep() == 0


def test_sweeping_while_others_write(tmp_path: Path) -> None:
    """Sweeps beside writers never take a living key."""
    clock = VirtualClock()
    with AgentSystem.open(tmp_path / "s.db", agents=[], clock=clock, sync="process") as system:
        state, sweeper = system.state, system._runtime.key_sweep
        for number in range(300):
            state.set(WORK, f"k{number}", 0, ttl=10)
        clock.advance(10)
        stop = threading.Event()
        errors: list[str] = []

        def write() -> None:
            number = 0
            while not stop.is_set():
                key = f"k{number % 300}"
                state.set(WORK, key, 1, ttl=1_000)
                if not state.exists(WORK, key):
                    errors.append(key)
                number += 1

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(5):
            sweeper.sweep()
        stop.set()
        writer.join()
        assert errors == []


def test_a_turn_may_outlive_a_key() -> None:
    """A key that expires in the middle of a turn is absent in the rest of it."""

    class Sleeper(Agent[Count]):
        boundary = Worker.boundary
        clock: VirtualClock

        def work(self) -> list[object]:
            self.scopes.set(WORK, "mine", 1, ttl=5)
            seen = [self.scopes.get(WORK, "k"), self.scopes.get(WORK, "mine")]
            self.clock.advance(10)
            return [*seen, self.scopes.get(WORK, "k"), self.scopes.get(WORK, "mine")]

    Sleeper.clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Sleeper], clock=Sleeper.clock) as system:
        system.state.set(WORK, "k", 1, ttl=8)
        assert system.agent(Sleeper, "a").call(Sleeper.work).get() == [1, 1, None, None]
