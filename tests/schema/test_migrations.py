"""Agents go from one version of their class to another: whole, by each step, or not at all."""

import logging
from pathlib import Path
from typing import Any

import pytest

from perdure import AgentSystem, Log, Map, MemoryStore, State, migration, transforms
from perdure.persistence.errors import ConfigurationError, IncompatibleSchema, MigrationFailed
from tests.schema.classes import desk, state

ONE = {"open": (int, 0), "holder": (str, "nobody"), "lines": (list[str], [])}
TWO = {"count": (int, 7), "owner": (str, ""), "lines": (Log[str], Log.field())}


def put(store: object, agent_class: Any, **values: object) -> None:  # noqa: ANN401 - made here
    """Give fields of the agent d other values."""
    with AgentSystem.open(store, agents=[agent_class]) as system:  # type: ignore[arg-type]
        system.agent(agent_class, "d").call(agent_class.put, values).get()


def read(store: object, agent_class: Any) -> dict[str, Any]:  # noqa: ANN401 - same
    """Return the fields of the agent d."""
    with AgentSystem.open(store, agents=[agent_class]) as system:  # type: ignore[arg-type]
        found: dict[str, Any] = system.agent(agent_class, "d").call(agent_class.read).get()
        return found


def two() -> type[State]:
    """Return the second version of the state, with its migration."""
    made = state(TWO, "2.0.0")
    renames = (transforms.rename("open", "count"), transforms.rename("holder", "owner"))
    migration(made, "1.0.0", "2.0.0", *renames)
    return made


def test_an_agent_is_migrated_when_it_wakes_up(tmp_path: Path) -> None:
    """Its values go on under the new names, what it never stored too, in a commit of its own."""
    store = tmp_path / "s.db"
    put(store, desk(state(ONE)), open=3, lines=["a"])
    newer = desk(two())
    assert read(store, newer) == {"count": 3, "owner": "nobody", "lines": ["a"]}
    with AgentSystem.open(store, agents=[newer]) as system:
        names = [entry.name for entry in system.journal.list()]
        assert system.agent(newer, "d").call(newer.read).get()["count"] == 3
        assert [entry.name for entry in system.journal.list()] == names
    assert names == ["put", "(migrate)"]


def test_code_that_cannot_read_is_refused_and_changes_nothing() -> None:
    """Before anything runs, with each difference and what to do; the right code goes on."""
    store = MemoryStore()
    older = desk(state(ONE))
    put(store, older, open=3)
    other = desk(state({**ONE, "open": (list[int], [])}))
    with pytest.raises(IncompatibleSchema, match=r"Desk 1\.0\.0, 1 agent: open: retyped") as told:
        AgentSystem.open(store, agents=[other])
    assert "declare a migration" in str(told.value)
    assert read(store, older)["open"] == 3


def test_a_step_that_fails_leaves_the_agent_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    """The error names the agent, the step and the reason; the class of before reads on."""
    store = MemoryStore()
    older = desk(state(ONE))
    put(store, older, open=3)
    newer = state(TWO, "2.0.0")

    @migration(newer, "1.0.0", "2.0.0")
    def up(data: dict[str, Any]) -> None:
        data["count"] = 1 // (data.pop("open") - 3)

    caplog.set_level(logging.CRITICAL, "perdure")
    with pytest.raises(MigrationFailed, match=r"Desk/d, state: .*\(up\).*ZeroDivisionError"):
        read(store, desk(newer))
    assert up({"open": 4}) == {"count": 1}
    assert read(store, older)["open"] == 3


def test_a_value_that_does_not_fit_is_named_by_its_path() -> None:
    """Down to the entry of a map."""
    store = MemoryStore()
    put(store, desk(state({"seats": (Map[str, int], Map.field())})), seats={"a": 1, "b": 2})
    newer = state({"seats": (Map[str, str], Map.field())}, "2.0.0")

    @migration(newer, "1.0.0", "2.0.0")
    def up(data: dict[str, Any]) -> None:
        data["seats"]["a"] = "x"

    with pytest.raises(MigrationFailed, match=r"Desk/d, state\.seats\['b'\]: it does not decode"):
        read(store, desk(newer))
    assert up.migration.label == "up"


def test_the_steps_of_a_chain_are_all_taken() -> None:
    """One after the other, also those that begin at an older version of the same major one."""
    store = MemoryStore()
    put(store, desk(state({"n": (int, 0)}, "1.1.0")), n=1)
    newest = state({"n": (int, 0), "seen": (list[str], [])}, "3.1.0")
    steps = (("1.2.0", "2.0.0"), ("2.0.0", "2.3.0"), ("2.5.0", "3.0.0"))
    for source, target in steps:

        def up(data: dict[str, Any], target: str = target) -> None:
            data.setdefault("seen", []).append(target)

        migration(newest, source, target)(up)
    assert read(store, desk(newest)) == {"n": 1, "seen": ["2.0.0", "2.3.0", "3.0.0"]}


def test_what_is_left_behind_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """A field that no step takes and no class reads stays in the store, and its name is logged."""
    store = MemoryStore()
    put(store, desk(state({**ONE, "note": (str, "")})), open=3, note="kept")
    with caplog.at_level(logging.WARNING, "perdure.actors"):
        read(store, desk(two()))
    assert "Desk/d: the migration leaves behind what is stored as note" in caplog.text
    stored = store.load("Desk", "d")
    assert stored is not None
    assert stored.fields["note"][0] == '"kept"'


def test_a_declaration_that_makes_no_sense_is_refused() -> None:
    """Twice the same, down instead of up, steps beside a function, no class."""
    newer = two()
    with pytest.raises(ConfigurationError, match="is declared already"):
        migration(newer, "1.0.0", "2.0.0", transforms.add("a", 1))
    with pytest.raises(ConfigurationError, match="declare the way up, and its reverse"):
        migration(newer, "2.0.0", "1.0.0")
    with pytest.raises(ConfigurationError, match="give those or a function"):
        migration(newer, "1.0.0", "1.1.0", transforms.add("a", 1))(lambda data: data)
    with pytest.raises(ConfigurationError, match="no State class"):
        migration(dict, "1.0.0", "2.0.0")
