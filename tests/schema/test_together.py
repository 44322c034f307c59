"""Agents that are migrated together, and others that wake up meanwhile: each of them once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, MemoryStore
from perdure.actors.system.cells import Keeper
from perdure.actors.system.migrations import Migrations
from perdure.persistence.schema.trial import loaded
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


def once(system: AgentSystem) -> None:
    """Look at all: each has one commit that migrated it, and the state of its class."""
    names = [(entry.key, entry.name) for entry in system.journal.each()]
    assert sorted(key for key, name in names if name == "(migrate)") == KEYS
    assert [read(system, key) for key in KEYS] == [(1, [f"T-{key}"]) for key in KEYS]


def test_one_that_wakes_up_between_its_reading_and_its_commit(
    store: Path | MemoryStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It migrates itself; what was read of it before is not committed."""
    commit = Migrations._commit

    def woken(self: Migrations, *args: Any) -> bool:  # noqa: ANN401 - as it has them
        stored = args[1]
        if stored.head.key in KEYS[2:4]:
            assert read(system, stored.head.key)[0] == 1
        return commit(self, *args)

    monkeypatch.setattr(Migrations, "_commit", woken)
    with AgentSystem.open(store, agents=[desk_two.Desk]) as system:
        assert system.migrate().complete
        once(system)


def test_one_that_wakes_up_behind_its_commit(
    store: Path | MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads nothing before that is durable, and finds itself migrated."""
    commit = Keeper._commit_asleep

    def woken(self: Keeper, kind: str, key: str, append: Callable[[], int]) -> bool:
        done = commit(self, kind, key, append)
        if key in KEYS[1::2]:
            assert read(system, key) == (1, [f"T-{key}"])
        return done

    monkeypatch.setattr(Keeper, "_commit_asleep", woken)
    with AgentSystem.open(store, agents=[desk_two.Desk]) as system:
        assert system.migrate().complete
        once(system)


def test_those_that_are_awake_are_left_to_their_cells(store: Path | MemoryStore) -> None:
    """Awake ones are migrated already; what is read together is what is read one by one."""
    with AgentSystem.open(store, agents=[desk_two.Desk]) as system:
        reader = system._runtime.store
        assert read(system, KEYS[0])[0] == 1
        found = dict(loaded(reader, "Desk", [*KEYS, "nobody"]))
        assert found == {key: reader.load("Desk", key) for key in [*KEYS, "nobody"]}
        assert found["nobody"] is None
        assert system.migrate().complete
        once(system)
