"""Agents that are migrated together, and others that wake up meanwhile: each of them once."""

from __future__ import annotations

from collections import Counter as Counts
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, AgentSystem, MemoryStore, State, migration, transforms
from perdure.actors.system import migrations
from perdure.actors.system.cells import Keeper
from perdure.actors.system.migrations import Migrations
from perdure.persistence.errors import CorruptState
from perdure.persistence.records.records import AgentRow
from perdure.persistence.schema.evolution import Evolution
from perdure.persistence.schema.trial import Trials, loaded
from tests.schema import desk_one, desk_two

KEYS = [f"{number:02}" for number in range(6)]


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Path | MemoryStore:
    """Give a store of the first release with a few desks."""
    made: Path | MemoryStore = MemoryStore() if request.param == "memory" else tmp_path / "s.db"
    with AgentSystem.open(made, agents=[desk_one.Desk]) as system:
        for key in KEYS:
            system.agent(desk_one.Desk, key).call(desk_one.Desk.assign, f"T-{key}", "mira").get()
    return made


def read(system: AgentSystem, key: str) -> tuple[int, list[str]]:
    """Wake an agent and ask it for its state."""
    count, lines, _ = system.agent(desk_two.Desk, key).call(desk_two.Desk.read).get()
    return count, lines


@pytest.fixture(name="system")
def second(store: Path | MemoryStore) -> Iterator[AgentSystem]:
    """Open that store by the second release."""
    with AgentSystem.open(store, agents=[desk_two.Desk]) as system:
        yield system


def once(system: AgentSystem) -> None:
    """Migrate all: each has one commit that migrated it then, and the state of its class."""
    assert system.migrate().complete
    names = [(entry.key, entry.name) for entry in system.journal.each()]
    assert sorted(key for key, name in names if name == "(migrate)") == KEYS
    assert [read(system, key) for key in KEYS] == [(1, [f"T-{key}"]) for key in KEYS]


def test_one_that_wakes_up_between_its_reading_and_its_commit(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It migrates itself; what was read of it before is not committed."""
    commit = Migrations._commit

    def woken(self: Migrations, *args: Any) -> bool:  # noqa: ANN401 - as it has them
        stored = args[1]
        if stored.head.key in KEYS[2:4]:
            assert read(system, stored.head.key)[0] == 1
        return commit(self, *args)

    monkeypatch.setattr(Migrations, "_commit", woken)
    once(system)


def test_one_that_wakes_up_behind_its_commit(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads nothing before that is durable, and finds itself migrated."""
    commit = Keeper._commit_asleep

    def woken(self: Keeper, head: AgentRow, append: Callable[[], int]) -> bool:
        done = commit(self, head, append)
        if head.key in KEYS[1::2]:
            assert read(system, head.key) == (1, [f"T-{head.key}"])
        return done

    monkeypatch.setattr(Keeper, "_commit_asleep", woken)
    once(system)


def test_one_that_wakes_up_while_it_is_read(
    system: AgentSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is there by then may not fit what was read before: that is no damage."""
    moved, calls = Evolution.moved, Counts[str]()

    def woken(self: Evolution, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - as it has them
        key = args[1].head.key
        calls[key] += 1
        if key in KEYS[2:4] and calls[key] == 2:  # behind the trial
            assert read(system, key)[0] == 1
            raise CorruptState(f"Desk/{key}", "an item of a log is missing")
        return moved(self, *args, **more)

    monkeypatch.setattr(Evolution, "moved", woken)
    once(system)


def test_one_that_is_asleep_and_paused_stays_so_for_people(
    store: Path | MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it has a cell again that has read nothing yet."""
    commit, told = Keeper._commit_asleep, list[str]()

    def looked_at(self: Keeper, head: AgentRow, append: Callable[[], int]) -> bool:
        done = commit(self, head, append)
        self.cell(head.kind, head.key)
        told.append(system.agent(desk_two.Desk, head.key).describe().status)
        return done

    with AgentSystem.open(store, agents=[desk_one.Desk]) as before:
        before.agent(desk_one.Desk, KEYS[0]).pause()
    monkeypatch.setattr(Keeper, "_commit_asleep", looked_at)
    with AgentSystem.open(store, agents=[desk_two.Desk]) as system:
        assert system.migrate().complete
        assert told == ["paused", *["active"] * 5]


def test_those_that_are_awake_are_left_to_their_cells(system: AgentSystem) -> None:
    """Awake ones are migrated already; what is read together is what is read one by one."""
    reader = system._runtime.store
    assert read(system, KEYS[0])[0] == 1
    found = dict(loaded(reader, "Desk", [*KEYS, "nobody"]))
    assert found == {key: reader.load("Desk", key) for key in [*KEYS, "nobody"]}
    assert found["nobody"] is None
    once(system)


class First(State):
    """A state of plain fields alone."""

    open: int = 0


class Second(State):
    """The next version."""

    schema_version = "2.0.0"
    count: int = 0


class Counter(Agent[First]):
    """Counts."""

    def add(self) -> None:
        """Count one."""
        self.state.open += 1


class Counter2(Agent[Second]):
    """Counts, too."""

    kind = "Counter"

    def add(self) -> int:
        """Count one."""
        self.state.count += 1
        return self.state.count


migration(Second, "1.0.0", "2.0.0", transforms.rename("open", "count"))


@pytest.mark.parametrize(("room", "made"), [(2**20, 6), (1100, 10), (0, 12)])
def test_what_the_trial_has_made_is_taken_over(
    monkeypatch: pytest.MonkeyPatch, room: int, made: int
) -> None:
    """As far as there is room for it; the rest is made again, and comes to the same."""
    moved, store, calls = Evolution.moved, MemoryStore(), 0
    with AgentSystem.open(store, agents=[Counter]) as system:
        for key in KEYS:
            system.agent(Counter, key).call(Counter.add).get()

    def counted(self: Evolution, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - as it has them
        nonlocal calls
        calls += 1
        return moved(self, *args, **more)

    monkeypatch.setattr(migrations, "Trials", lambda: Trials(room))
    monkeypatch.setattr(Evolution, "moved", counted)
    with AgentSystem.open(store, agents=[Counter2]) as system:
        assert system.migrate().migrated == {"Counter": 6}
        assert calls == made
        assert [system.agent(Counter2, key).call(Counter2.add).get() for key in KEYS] == [2] * 6
