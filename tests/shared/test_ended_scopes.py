"""An agent that is deleted takes the keys of its own scope along, however many they are."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Backups,
    MemoryStore,
    Principal,
    Right,
    Scope,
    State,
    open_reader,
)
from perdure.actors.cell import deletion as cells
from perdure.persistence.records.records import JournalEntry
from perdure.persistence.sqlite import deletion
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import Store
from perdure.url import open_store
from tests.kit.deadline import DEADLINE

OWN = Scope.agent("Keeper", "x")


class Nothing(State):
    """Keeps nothing."""


class Keeper(Agent[Nothing]):
    """Has keys of its own."""

    def put(self, key: str, value: int) -> None:
        """Set one."""
        self.scopes.set(self.scopes.own, key, value)

    def more(self, key: str) -> None:
        """Add to one."""
        self.scopes.add(self.scopes.own, key, 1)

    def keys(self) -> dict[str, object]:
        """Return them."""
        return {key: self.scopes.get(self.scopes.own, key) for key in self.scopes.each(OWN)}


class Other(Agent[Nothing]):
    """Looks at the keys of another."""

    def look(self) -> tuple[list[str], int, object]:
        """Return which there are, how many, and one."""
        found = list(self.scopes.each(OWN)), self.scopes.count(OWN), self.scopes.get(OWN, "k1")
        LOOKED.append(found)
        LOOK.set()
        return found


LOOKED: list[tuple[list[str], int, object]] = []
LOOK = threading.Event()


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have three keys be many."""
    monkeypatch.setattr(cells, "MOST_KEYS", 2)
    monkeypatch.setattr(deletion, "ROWS", 3)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give a store of each sort."""
    memory = request.param == "memory"
    made = MemoryStore() if memory else open_store(tmp_path / "s.db", sync="process")
    with closing(made):
        yield made


def test_a_scope_has_ended_when_that_is_appended(store: Store) -> None:
    """Turns and additions that come behind the deletion find no key, before it is durable."""
    reached, go_on, commit = threading.Event(), threading.Event(), store.commit

    def held(batch: Batch) -> None:
        if batch.deleted:
            reached.set()
            assert go_on.wait(DEADLINE)
        commit(batch)

    store.commit = held  # type: ignore[method-assign]
    LOOKED.clear()
    LOOK.clear()
    with AgentSystem.open(store, agents=[Keeper, Other]) as system:
        rights = Right.READ | Right.WRITE | Right.LIST
        system.access.grant(Principal.agent("Other", "y"), OWN, rights)
        keeper, other = system.agent(Keeper, "x"), system.agent(Other, "y")
        for number in range(8):
            keeper.call(Keeper.put, f"k{number}", 5).get()
        assert other.call(Other.look).get()[1:] == (8, 5)
        LOOK.clear()
        threads = [threading.Thread(target=keeper.delete)]
        threads[0].start()
        assert reached.wait(DEADLINE)
        other.cast(Other.look)
        looked = LOOK.wait(10)
        threads.append(threading.Thread(target=system.state.increment, args=(OWN, "k1")))
        threads[1].start()
        go_on.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert (looked, LOOKED[-1]) == (True, ([], 0, None))
        assert other.call(Other.look).get() == (["k1"], 1, 1)
        assert system.state.list(OWN) == ["k1"]
        assert system.state.count(OWN) == 1
        assert keeper.call(Keeper.keys).get() == {"k1": 1}
        assert system.idle(DEADLINE)
        assert keeper.call(Keeper.keys).get() == {"k1": 1}


def rows_of(path: Path) -> list[str]:
    """Return the keys that the file has, whoever may see them."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT key FROM scoped WHERE kind = 'agent' ORDER BY key"
        return [key for (key,) in connection.execute(query)]


def test_recoveries_know_whose_keys_they_are(tmp_path: Path) -> None:
    """To before a deletion, behind it, and of the agent alone: the journal names none of them."""
    path, backups = tmp_path / "s.db", Backups(tmp_path / "backups")
    with AgentSystem.open(path, agents=[Keeper]) as system:
        keeper = system.agent(Keeper, "x")
        backups.create(path)
        for number in range(8):
            keeper.call(Keeper.put, f"k{number}", 5).get()
        there = max(entry.sequence for entry in system.journal.each())
        keeper.delete()
        keeper.call(Keeper.more, "k1").get()
        behind = max(entry.sequence for entry in system.journal.each())
    backups.create(path, incremental=True)
    assert "k7" not in "".join(e.delta for e in journal(path) if e.name == "(delete)")
    for sequence, expected in ((there, {f"k{n}": 5 for n in range(8)}), (behind, {"k1": 1})):
        again = tmp_path / f"{sequence}.db"
        backups.recover(again, sequence=sequence)
        assert keys_of(again) == expected
    backups.bring_back(path, agents=[("Keeper", "x")], sequence=there)
    assert keys_of(path) == {f"k{n}": 5 for n in range(8)}


def journal(path: Path) -> list[JournalEntry]:
    """Return the journal of a store."""
    with closing(open_reader(path)) as reader:
        return reader.journal()


def keys_of(path: Path) -> dict[str, object]:
    """Return the keys of the agent in a store, as it sees them."""
    with AgentSystem.open(path, agents=[Keeper]) as system:
        return system.agent(Keeper, "x").call(Keeper.keys).get()


STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["put", "put", "put", "more", "set", "drop", "end", "end", "slice", "open"]
        ),
        st.integers(0, 7),
    ),
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, erase=st.booleans())
def test_keys_are_of_the_life_that_set_them(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]], *, erase: bool
) -> None:
    """However much is left of the lives before, and over openings: as in a plain dictionary."""
    path = tmp_path_factory.mktemp("keys") / "s.db"
    model: dict[str, object] = {}
    while steps is not None:
        opened = open_store(path, sync="process")
        slices, opened.remove_deleted = opened.remove_deleted, lambda: False  # type: ignore[method-assign]
        with closing(opened), AgentSystem.open(opened, agents=[Keeper]) as system:
            keeper = system.agent(Keeper, "x")
            for at, (step, number) in enumerate(steps):
                key = f"k{number}"
                if step == "open":
                    steps = steps[at + 1 :]
                    break
                if step == "put":
                    keeper.call(Keeper.put, key, number).get()
                    model[key] = number
                elif step == "more":
                    keeper.call(Keeper.more, key).get()
                    model[key] = int(str(model.get(key, 0))) + 1
                elif step == "set":
                    system.state.set(OWN, key, -number)
                    model[key] = -number
                elif step == "drop":
                    assert system.state.delete(OWN, key) == (model.pop(key, None) is not None)
                elif step == "end":
                    keeper.delete(erase=erase and not any(s == "end" for s, _ in steps[:at]))
                    model.clear()
                else:
                    slices()
                assert system.state.list(OWN) == sorted(model)
                assert system.state.count(OWN) == len(model)
                assert system.state.get_many(OWN, [f"k{n}" for n in range(8)]) == model
            else:
                assert keeper.call(Keeper.keys).get() == model
                while slices():
                    pass
                break
    assert rows_of(path) == sorted(model)
