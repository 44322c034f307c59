"""A handler uses another store than its agent's: what fails there is an attempt as any other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    Breaker,
    RestartPolicy,
    Saving,
    Scope,
    State,
    open_reader,
)
from perdure.persistence.errors import StoreUnavailable
from perdure.persistence.records.records import StoredAgent
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from tests.kit.deadline import DEADLINE

QUICK = Saving(backoff=Backoff(first=0.001, longest=0.001), breaker=Breaker(failures=2))
WAYS = ["ask", "set", "wait", "open", "disguised"]


class Count(State):
    n: int = 0


class Far(Agent[Count]):
    """An agent of the other system."""

    def add(self) -> int:
        self.state.n += 1
        return self.state.n


class Borrower(Agent[Count]):
    """Uses the other system in its handlers."""

    restarts = RestartPolicy(attempts=2, backoff=Backoff(first=0.0, longest=0.0))
    other: AgentSystem

    def use(self, way: str) -> None:
        """Need the other store, in one of the ways."""
        self.state.n += 1
        if way == "ask":
            self.other.agent(Far, "new").call(Far.add).get(timeout=DEADLINE)
        elif way == "set":
            self.other.agent(Far, "old").call(Far.add).get(timeout=DEADLINE)
        elif way == "wait":
            self.other.agent(Far, "old").cast(Far.add)
            self.other.agent(Far, "new").describe()
        elif way == "open":
            open_reader("/nowhere/store.db")
        else:
            try:
                self.use("ask")
            except StoreUnavailable as error:
                raise ValueError(way) from error

    def wait_for(self, error: BaseException) -> None:
        """Fail as another has."""
        raise error

    def count(self) -> int:
        return self.state.n


class Lost(SqliteStore):
    """A store that can neither be read nor written."""

    lost = False

    def load(self, kind: str, key: str) -> StoredAgent | None:
        """Read, or fail."""
        if self.lost:
            raise StoreUnavailable("it cannot be read", location=self.location)
        return super().load(kind, key)

    def commit(self, batch: Batch) -> None:
        """Write, or fail without a word of where."""
        if self.lost:
            raise StoreUnavailable("it cannot be written")
        super().commit(batch)


@pytest.fixture
def systems(tmp_path: Path) -> Iterator[tuple[AgentSystem, Lost]]:
    """Give a system, and the store of another that its agents use."""
    with (
        closing(Lost(tmp_path / "far.db")) as store,
        AgentSystem.open(tmp_path / "near.db", agents=[Borrower], saving=QUICK) as near,
        AgentSystem.open(store, agents=[Far], saving=QUICK) as far,
    ):
        Borrower.other = far
        far.agent(Far, "old").call(Far.add).get(timeout=DEADLINE)
        far.agent(Far, "waiting").cast(Far.add)
        assert far.idle(DEADLINE)
        store.lost = True
        yield near, store
        store.lost = False
        assert near.close()
        assert far.close(timeout=DEADLINE)


@pytest.mark.parametrize("way", WAYS)
def test_another_store_that_is_down_is_a_failed_attempt(
    systems: tuple[AgentSystem, Lost], way: str
) -> None:
    """The message goes to the dead letters after its attempts; the mail behind it is handled."""
    near, _ = systems
    agent = near.agent(Borrower, "a")
    agent.cast(Borrower.use, way)
    assert near.idle(DEADLINE)
    (letter,) = near.dead_letters.list()
    assert letter.attempts == 2
    assert agent.call(Borrower.count).get(timeout=DEADLINE) == 0


def test_a_store_says_that_it_is_the_one(tmp_path: Path) -> None:
    """What fails at opening, reading and saving names the store in ``location``."""
    missing, folder = tmp_path / "missing.db", tmp_path / "folder.db"
    folder.mkdir()
    with pytest.raises(StoreUnavailable) as found:
        open_reader(missing)
    assert found.value.location == str(missing)
    for path in (folder, tmp_path / "no" / "store.db"):
        with pytest.raises(StoreUnavailable) as found:
            AgentSystem.open(path, agents=[])
        assert found.value.location == str(path)
    broken = tmp_path / "broken.db"
    with AgentSystem.open(broken, agents=[Far]):
        pass
    broken.write_bytes(broken.read_bytes()[:5000])
    with pytest.raises(StoreUnavailable) as found:
        open_reader(broken)
    assert found.value.location == str(broken)


class Courier(Agent[Count]):
    """Tells the other system things, and fails afterwards."""

    restarts = RestartPolicy(attempts=1)
    other: AgentSystem

    def carry(self, word: str) -> None:
        """Tell an agent there, ask it, share a value there; then keep nothing of it here."""
        far = self.other.agent(Far, word)
        far.cast(Far.add)
        assert far.call(Far.add).get(timeout=DEADLINE) == 2
        self.other.state.set(Scope.GLOBAL, word, word)
        self.system.state.set(Scope.agent("Courier", "a"), word, "here")
        self.state.n += 1
        if word == "fail":
            raise ValueError(word)


def test_a_handler_is_outside_of_another_system(tmp_path: Path) -> None:
    """What it tells, asks and shares there is durable there at once, and no part of its turn."""
    with (
        AgentSystem.open(tmp_path / "near.db", agents=[Courier]) as near,
        AgentSystem.open(tmp_path / "far.db", agents=[Far]) as far,
    ):
        Courier.other = far
        courier = near.agent(Courier, "a")
        for word in ("do", "fail"):
            courier.cast(Courier.carry, word)
        assert near.idle(DEADLINE)
        for word in ("do", "fail"):
            assert far.state.get(Scope.GLOBAL, word) == word
            assert far.agent(Far, word).call(Far.add).get(timeout=DEADLINE) == 3
        assert near.state.get(Scope.agent("Courier", "a"), "do") == "here"
        assert near.state.get(Scope.agent("Courier", "a"), "fail") is None
        assert [agent.kind for agent in near.agents.each()] == ["Courier"]
        assert [letter.attempts for letter in near.dead_letters.list()] == [1]
