"""A class declares another kind of field than is stored: converted without loss, or refused."""

import logging
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Log, Map, MemoryStore, State, open_reader
from perdure.persistence.errors import IncompatibleSchema
from perdure.persistence.upkeep.doctor import examine

KINDS: dict[str, tuple[Any, Any]] = {
    "list": (list[str], []),
    "Log": (Log[str], Log.field()),
    "Log[int]": (Log[int], Log.field()),
    "dict": (dict[str, int], {}),
    "Map": (Map[str, int], Map.field()),
    "Map[int]": (Map[int, int], Map.field()),
}
CONVERTED = [("list", "Log"), ("dict", "Map")]
REFUSED = [
    ("Log", "list"), ("Map", "dict"), ("Log", "Map"), ("Map", "Log"), ("Map", "Map[int]"),
    ("Map[int]", "Map"), ("list", "Map"), ("dict", "Log"), ("list", "Log[int]"),
]  # fmt: skip
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)


def desk(kind: str) -> type[Agent[Any]]:
    """Return a class of the kind Desk whose field ``f`` is of a kind."""
    declared, default = KINDS[kind]
    members = {"__annotations__": {"f": declared, "n": int}, "f": default, "n": 0}
    meta: Any = type(State)
    state: Any = meta("DeskState", (State,), {**members, "__module__": __name__})

    class Desk(Agent[state]):
        def fill(self, values: list[str]) -> None:
            field: Any = self.state.f
            for value in values:
                if hasattr(field, "append"):
                    field.append(value)
                else:
                    field[int(value) if kind == "Map[int]" else value] = len(value)

        def read(self) -> object:
            field: Any = self.state.f
            return dict(field.items()) if hasattr(field, "items") else list(field)

    return Desk


def within(store: object, kind: str, act: Callable[[Any, Any], object]) -> object:
    """Open a store with a class of a kind and do something with its agent."""
    made = desk(kind)
    with AgentSystem.open(store, agents=[made]) as system:  # type: ignore[arg-type]
        return act(system.agent(made, "d"), made)


def read(ref: Any, made: Any) -> object:  # noqa: ANN401 - classes made here
    """Return what the field holds."""
    found: object = ref.call(made.read).get()
    return found


def fill(*values: str) -> Callable[[Any, Any], object]:
    """Return what adds values to the field."""
    return lambda ref, made: ref.call(made.fill, list(values)).get()


@pytest.mark.parametrize(("old", "new"), CONVERTED)
@settings(max_examples=25)
@given(values=st.lists(TEXTS, max_size=12))
def test_natural_growth_is_converted(old: str, new: str, values: list[str]) -> None:
    """What a list or dict held is what the Log or Map holds, before and after more is added."""
    store = MemoryStore()
    within(store, old, fill(*values))
    before = within(store, old, read)
    assert within(store, new, read) == before
    within(store, new, fill("more"))
    added = [*values, "more"]
    assert within(store, new, read) == (
        added if new == "Log" else {value: len(value) for value in added}
    )


@pytest.mark.parametrize(("old", "new"), REFUSED)
def test_any_other_change_is_refused_and_changes_nothing(
    tmp_path: Path, old: str, new: str
) -> None:
    """It is refused at the opening, with the field and what to do; the class of before reads on."""
    store = tmp_path / "s.db"
    within(store, old, fill("7"))
    before = within(store, old, read)
    with pytest.raises(IncompatibleSchema, match=r"Desk 1\.0\.0, 1 agent: f.*declare a migration"):
        within(store, new, read)
    assert within(store, old, read) == before


@pytest.mark.parametrize(("old", "new"), CONVERTED)
def test_a_converted_store_is_sound(tmp_path: Path, old: str, new: str) -> None:
    """The doctor finds nothing, and the class of before is refused instead of reading nothing."""
    store = tmp_path / "s.db"
    within(store, old, fill("a", "b"))
    within(store, new, fill("c"))
    with pytest.raises(IncompatibleSchema, match=r"f: stored otherwise \((Log|Map)"):
        within(store, old, read)
    with closing(open_reader(store)) as reader:
        assert examine(reader).bad == ()


def test_kinds_nobody_was_given_are_named_at_open(caplog: pytest.LogCaptureFixture) -> None:
    """A store whose agents have no class any more says so when it is opened, and not otherwise."""
    store = MemoryStore()
    within(store, "list", fill("a"))
    with caplog.at_level(logging.WARNING, "perdure.actors"):
        within(store, "list", read)
        assert "opened without" not in caplog.text
        other: Any = desk("list")
        other.kind = "Other"
        with AgentSystem.open(store, agents=[other]):
            assert "kinds that it was opened without: Desk" in caplog.text


@pytest.mark.parametrize("kind", ["memory", "file"])
def test_a_store_knows_its_kinds(tmp_path: Path, kind: str) -> None:
    """Each kind once, in order."""
    store = MemoryStore() if kind == "memory" else tmp_path / "s.db"
    made: Any = desk("list")
    kinds: list[str] = []
    for name in ("B", "A", "C"):
        made.kind = name
        with AgentSystem.open(store, agents=[made]) as system:
            for key in "xy":
                system.agent(made, key).call(made.fill, ["a"]).get()
            kinds = system._runtime.store.kinds()
    assert kinds == ["A", "B", "C"]
