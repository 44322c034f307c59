"""Attempts of a message are counted where it is stored, over closings and openings."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    Durability,
    RestartPolicy,
    State,
)
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.shared_tables import ATTEMPTS
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.store import Store
from tests.kit.deadline import DEADLINE

SEEN: list[int] = []
Stores = Callable[[], Store]


class Failing(Agent[State]):
    """Fails whatever it is told."""

    restarts = RestartPolicy(attempts=3, backoff=Backoff(first=30.0, longest=30.0))

    def fail(self) -> None:
        SEEN.append(self.turn.attempt)
        raise ValueError("no")

    def fail_later(self) -> None:
        self.after(1.0, Failing.fail)

    def pass_on(self, kind: str) -> None:
        target = {each.kind: each for each in FAILING}[kind]
        self.system.agent(target, "other").cast(target.fail)


class FailingSnapshot(Failing):
    """The same, saved now and then."""

    durability = Durability.SNAPSHOT


FAILING: tuple[type[Failing], ...] = (Failing, FailingSnapshot)


@pytest.fixture(params=["memory", "sqlite"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Stores:
    """Give what opens one store again and again."""
    SEEN.clear()
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / "s.db")
    memory = MemoryStore()
    return lambda: memory


def opened(stores: Stores, clock: VirtualClock) -> AbstractContextManager[AgentSystem]:
    """Open the store once more."""
    return AgentSystem.open(stores(), agents=FAILING, clock=clock)


def counts(system: AgentSystem) -> int:
    """Return how many messages have attempts that are counted in the store."""
    assert system.flush(DEADLINE)
    return len(system._store.keys(ATTEMPTS, None, 99))


@pytest.mark.parametrize("kind", ["Failing", "FailingSnapshot"])
def test_attempts_go_on_in_the_next_process(stores: Stores, kind: str) -> None:
    """A message that fails once in each process is a dead letter after its attempts in all."""
    clock = VirtualClock()
    for life in range(1, 4):
        with opened(stores, clock) as system:
            if life == 1:
                system.agent(Failing, "a").cast(Failing.pass_on, kind)
            # The next attempt waits for half a minute, and the closing comes before it.
            while len(SEEN) < life:
                system.idle(DEADLINE)
            assert counts(system) == (1 if life < 3 else 0)
            clock.advance(0)
    assert SEEN == [1, 2, 3]
    with opened(stores, clock) as system:
        assert [(d.name, d.attempts) for d in system.dead_letters.list()] == [("fail", 3)]
        assert counts(system) == 0


def test_attempts_of_a_tick_go_on_as_well(stores: Stores) -> None:
    """A tick that fails once in each process is a dead letter after its attempts in all."""
    clock = VirtualClock()
    for life in range(1, 4):
        with opened(stores, clock) as system:
            if life == 1:
                system.agent(Failing, "a").call(Failing.fail_later).get(timeout=DEADLINE)
                system.flush()
                clock.advance(2)
            while len(SEEN) < life:
                system.idle(DEADLINE)
            counts(system)
    assert SEEN == [1, 2, 3]
    with opened(stores, clock) as system:
        assert system.dead_letters.count() == 1
        assert counts(system) == 0


def test_counts_go_with_their_agent(stores: Stores) -> None:
    """Nothing is counted for an agent that was deleted, whatever it had in its mail."""
    clock = VirtualClock()
    with opened(stores, clock) as system:
        system.agent(Failing, "a").cast(Failing.fail)
        while not SEEN:
            system.idle(DEADLINE)
        assert counts(system) == 1
        system.agent(Failing, "a").delete()
        assert counts(system) == 0


def test_mail_that_is_well_is_not_counted(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """What never failed and was never cut off leaves no count and asks for none."""
    clock = VirtualClock()
    with opened(stores, clock) as system:
        taken: list[object] = []
        monkeypatch.setattr(system._runtime.attempts, "put", lambda *a: taken.append(a))
        for number in range(50):
            system.agent(Failing, str(number)).cast(Failing.fail_later)
        assert system.idle(DEADLINE)
        assert taken == []
        assert counts(system) == 0
