"""A damaged key: named, alone in its trouble, and mended by the next write."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, open_reader
from perdure.persistence.errors import CorruptState
from perdure.persistence.upkeep.doctor import examine
from perdure.shared.scopes.state import ScopedState
from tests.shared.agents import WORK, Count, Worker


class Mender(Agent[Count]):
    """Write over a damaged key in a turn."""

    boundary = Worker.boundary

    def set(self) -> int:
        return self.scopes.set(WORK, "bad", "new")

    def delete(self) -> bool:
        return self.scopes.delete(WORK, "bad")

    def add(self) -> None:
        self.scopes.add(WORK, "bad")


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Give a store with a key whose bytes have changed on the disk."""
    path = tmp_path / "store.db"
    with AgentSystem.open(path, agents=[], sync="process") as system:
        system.state.set_many(WORK, {"a": 1, "bad": 2, "c": 3})
    connection = sqlite3.connect(path)
    connection.execute("UPDATE scoped SET value = '7' WHERE key = 'bad'")
    connection.commit()
    connection.close()
    return path


def test_only_the_damaged_key_is_in_trouble(damaged: Path) -> None:
    """Reading it, and what is made from it, is CorruptState that names it; all else works."""
    with AgentSystem.open(damaged, agents=[Mender], sync="process") as system:
        state = system.state
        calls: list[Callable[[], object]] = [
            lambda: state.get(WORK, "bad"), lambda: state.increment(WORK, "bad"),
            lambda: state.add(WORK, "bad"), lambda: state.copy(WORK, "bad", WORK, "other"),
            lambda: state.compare_and_set(WORK, "bad", 2, 3),
            lambda: system.agent(Mender, "a").call(Mender.add).get(),
            lambda: state.get_many(WORK, ["a", "bad"]),
        ]  # fmt: skip
        for call in calls:
            with pytest.raises(CorruptState, match="scoped workflow/w//bad"):
                call()
        assert state.list(WORK) == ["a", "c"]
        assert state.increment(WORK, "a") == 2
    reader = open_reader(damaged)
    try:
        assert [bad.table for bad in examine(reader).bad] == ["scoped"]
    finally:
        reader.close()


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("how", ["set", "delete", "transaction", "many", "both"])
def test_the_next_write_mends_it(damaged: Path, how: str, inside: bool) -> None:  # noqa: FBT001
    """A plain write or a deletion replaces what is damaged, outside and in turns."""

    def mend(state: ScopedState) -> None:
        match how:
            case "set":
                assert state.set(WORK, "bad", "new") == 1
            case "delete":
                assert state.delete(WORK, "bad")
            case "transaction":
                with state.transaction():
                    state.set(WORK, "a", "with it")
                    state.set(WORK, "bad", "new")
            case "many":
                state.set_many(WORK, {**dict.fromkeys("abcdefghij", 1), "bad": "new"})
            case _:
                assert state.delete(WORK, "bad")
                assert not state.delete(WORK, "bad")
                state.set(WORK, "bad", "new")

    class Any(Agent[Count]):
        boundary = Worker.boundary

        def work(self) -> None:
            mend(self.scopes)

    with AgentSystem.open(damaged, agents=[Any], sync="process") as system:
        if inside:
            system.agent(Any, "a").call(Any.work).get()
        else:
            mend(system.state)
        expected = None if how == "delete" else "new"
        assert system.state.get(WORK, "bad") == expected
    reader = open_reader(damaged)
    try:
        assert examine(reader).healthy
    finally:
        reader.close()
