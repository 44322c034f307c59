"""Hooks around an agent's life: steps, loads, saves, and changes on their way to the store."""

import json
from pathlib import Path

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Cancel,
    Durability,
    LifecycleDetails,
    LoadDetails,
    Map,
    SaveDetails,
    State,
    StateDetails,
    hook,
)
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import HookCancelled
from tests.kit.deadline import DEADLINE


class Notes(State):
    count: int = 0
    by_name: Map[str, int] = Map.field()


class Book(Agent[Notes]):
    def note(self, name: str) -> int:
        self.state.count += 1
        self.state.by_name[name] = self.state.count
        return self.state.count

    def look(self) -> int:
        return self.state.count


class Snapshot(Book):
    durability = Durability.SNAPSHOT


KINDS = [Book, Snapshot]


def note(system: AgentSystem, kind: type[Book], name: str) -> int:
    """Have a name noted."""
    return system.agent(kind, "a").call(Book.note, name).get(timeout=DEADLINE)


def test_a_step_by_hand_can_be_kept_from_being_taken(tmp_path: Path) -> None:
    """A cancelled step changes nothing, its caller is told; one that is taken is told of."""
    with AgentSystem.open(tmp_path / "s.db", agents=KINDS) as system:
        taken = []

        @system.hooks.on("lifecycle.before", name="guard", on=("delete", "stop"))
        def guard(details: LifecycleDetails) -> Cancel:
            return Cancel(f"no {details.step} while {details.status}")

        @system.hooks.on("lifecycle.after")
        def tell(details: LifecycleDetails) -> None:
            taken.append(details.step)

        book = system.agent(Book, "a")
        assert note(system, Book, "x") == 1
        book.pause()
        with pytest.raises(HookCancelled, match="no stop while paused"):
            book.stop()
        with pytest.raises(HookCancelled, match="no delete while paused"):
            book.delete()
        book.resume()
        assert note(system, Book, "x") == 2
        system.hooks.remove("guard")
        assert book.delete() is True
        assert taken == ["pause", "resume", "delete"]


def test_loads_changes_and_saves_are_told_of(tmp_path: Path) -> None:
    """Who listens learns of each load, each change with its delta, and each save when durable."""
    with AgentSystem.open(tmp_path / "s.db", agents=KINDS) as system:
        changes: list[StateDetails] = []
        saves: list[int] = []
        loads: list[tuple[int, bool]] = []

        @system.hooks.on("state.after")
        def changed(details: StateDetails) -> None:
            changes.append(details)

        @system.hooks.on("save.after")
        def saved(details: SaveDetails) -> None:
            assert system.journal.list(details.kind, details.key)[-1].version >= details.version
            saves.append(details.version)

        @system.hooks.on("load.after")
        def loaded(details: LoadDetails) -> None:
            loads.append((details.version, details.new))

        for name in "xy":
            note(system, Book, name)
        book = system.agent(Book, "a")
        book.call(Book.look).get(timeout=DEADLINE)
        book.restart()
        book.call(Book.look).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert [(each.old, each.new) for each in changes] == [
            ({"count": 0}, {"count": 1}), ({"count": 1}, {"count": 2}),
        ]  # fmt: skip
        assert json.loads(changes[1].delta)["put"] == {"by_name": [["y", 2]]}
        assert sorted(saves) == [1, 2]
        assert loads == [(0, True), (2, False)]


def test_a_save_can_be_refused(tmp_path: Path) -> None:
    """A refused save undoes the turn; what a SNAPSHOT agent did stays, and is saved later."""
    clock = VirtualClock()
    with AgentSystem.open(tmp_path / "s.db", agents=KINDS, clock=clock) as system:

        @system.hooks.on("save.before", name="full")
        def full(details: SaveDetails) -> Cancel:
            return Cancel("full")

        with pytest.raises(HookCancelled, match="full"):
            note(system, Book, "x")
        assert note(system, Snapshot, "x") == 1
        clock.advance(10)
        assert system.idle(DEADLINE)
        assert system.hooks.get("full").outcomes["cancel"] == 2
        assert system.journal.count("Snapshot", "a") == 0
        system.hooks.remove("full")
        assert note(system, Snapshot, "x") == 2
        clock.advance(10)
        assert system.idle(DEADLINE)
        assert note(system, Book, "x") == 1
        assert system.flush()
        assert [entry.version for entry in system.journal.each("Snapshot", "a")] == [1]


class Meddling(Book):
    @hook("state.after")
    def _meddle(self, details: StateDetails) -> None:
        self.state.count = 100


def test_what_a_method_changes_behind_its_turn_is_undone(tmp_path: Path) -> None:
    """A hook that is told when a turn is over cannot change the state: that is no turn."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Meddling]) as system:
        assert note(system, Meddling, "x") == 1
        assert note(system, Meddling, "x") == 2
