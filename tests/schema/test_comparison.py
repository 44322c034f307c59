"""Two schemas compared: each difference has a path, a name and what it asks for."""

import datetime as dt
import enum
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Log, Map, MemoryStore, State
from perdure.persistence.records.tables import Key, Order, Row, Table
from perdure.persistence.schema import comparison
from perdure.persistence.schema.comparison import Compatibility, compare
from perdure.persistence.schema.documents import json_schema
from perdure.persistence.schema.fitting import fits
from perdure.persistence.schema.schema import schema_of
from perdure.persistence.schema.types import node_of
from tests.schema.classes import desk, state

OK, CONVERT, LOSS = Compatibility


class Small(enum.Enum):
    """Two values."""

    A = "a"
    B = "b"


class Large(enum.Enum):
    """One more."""

    A = "a"
    B = "b"
    C = "c"


def record(name: str, *fields: Any, **more: Any) -> Any:  # noqa: ANN401 - as defstruct takes them
    """Return a record class."""
    return msgspec.defstruct(name, fields, **more)


class One(msgspec.Struct):
    """Has one member."""

    a: int


class Two(msgspec.Struct):
    """Has another one with a default."""

    a: int
    b: str = ""


class Three(msgspec.Struct):
    """Has no default for it."""

    a: int
    b: str


TYPES: list[tuple[Any, Any, Compatibility]] = [
    (int, float, OK), (float, int, LOSS), (int, str, CONVERT), (str, int, LOSS),
    (bool, int, CONVERT), (int, int | None, OK), (int | None, int, LOSS),
    (int, int | str, OK), (int | str, int, LOSS), (int, object, OK), (object, int, LOSS),
    (Small, Large, OK), (Large, Small, LOSS), (Small, str, OK), (str, Small, LOSS),
    (Literal["a"], Literal["a", "b"], OK), (Literal["a", "b"], Literal["a"], LOSS),
    (list[int], list[float], OK), (list[int], list[str], CONVERT), (list[str], list[int], LOSS),
    (list[int], set[int], CONVERT), (set[int], list[int], OK), (int, list[int], CONVERT),
    (dict[str, int], dict[str, float], OK), (dict[str, int], dict[str, str], CONVERT),
    (tuple[int, str], tuple[int, str, int], LOSS), (tuple[int, int], tuple[float, int], OK),
    (One, Two, OK), (Two, One, OK), (One, Three, CONVERT), (list[Three], list[Two], OK),
    (Two, Three, LOSS), (One, dict[str, int], CONVERT), (dict[str, int], One, LOSS),
    (Two, record("Closed", ("a", int), forbid_unknown_fields=True), LOSS),
    (One, record("Row", ("a", int), array_like=True), LOSS),
    (record("T1", ("a", int), tag="one"), record("T2", ("a", int), tag="two"), LOSS),
    (dt.date, str, OK), (str, dt.date, LOSS), (dt.date, dt.datetime, CONVERT),
    (int, Annotated[int, msgspec.Meta(ge=0)], LOSS), (Annotated[int, msgspec.Meta(ge=0)], int, OK),
    (Annotated[str, msgspec.Meta(max_length=5)], Annotated[str, msgspec.Meta(max_length=9)], OK),
    (Annotated[str, msgspec.Meta(max_length=9)], Annotated[str, msgspec.Meta(max_length=5)], LOSS),
]  # fmt: skip
"""A type, what it became, and what that asks for."""


@pytest.mark.parametrize(("old", "new", "level"), TYPES)
def test_what_a_change_of_type_asks_for(old: Any, new: Any, level: Compatibility) -> None:  # noqa: ANN401
    """As a whole, and with a path that begins with the field."""
    found = list(fits(node_of(old), node_of(new), "field"))
    assert max((fit.level for fit in found), default=0) == level
    assert all(fit.path.startswith("field") for fit in found)
    assert list(fits(node_of(old), node_of(old), "field")) == []


VALUES: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-99, 99), float: st.floats(-9, 9), str: st.text("ab", max_size=2),
    bool: st.booleans(), int | None: st.none() | st.integers(0, 9),
    int | str: st.integers(0, 9) | st.text("ab", max_size=1),
    list[int]: st.lists(st.integers(0, 3)), set[int]: st.sets(st.integers(0, 3)),
    list[float]: st.lists(st.floats(0, 3)), dict[str, int]: st.just({"a": 1}),
    Small: st.sampled_from(Small), Large: st.sampled_from(Large),
    One: st.builds(One, st.integers(0, 3)), Two: st.builds(Two, st.integers(0, 3)),
    Three: st.builds(Three, st.integers(0, 3), st.just("b")), dt.date: st.dates(),
    tuple[int, ...]: st.tuples(st.integers(0, 3)), object: st.none() | st.integers(0, 9),
}  # fmt: skip


@given(data=st.data(), old=st.sampled_from([*VALUES]), new=st.sampled_from([*VALUES]))
def test_what_is_compatible_is_read(data: st.DataObject, old: Any, new: Any) -> None:  # noqa: ANN401
    """A value of a type that is said to be compatible always decodes as the other one."""
    if max((fit.level for fit in fits(node_of(old), node_of(new), "f")), default=0) == OK:
        text = msgspec.json.encode(data.draw(VALUES[old]))
        msgspec.json.decode(text, type=new)


def found(old: type[State], new: type[State]) -> dict[str, tuple[str, Compatibility]]:
    """Return the differences by path."""
    return {
        each.path: (each.change, each.level)
        for each in compare(schema_of(old), schema_of(new)).differences
    }


def test_fields_of_a_state() -> None:
    """Added, removed, renamed, stored otherwise, with other keys or items, other defaults."""
    old = state({
        "gone": (int, 0), "old": (str, ""), "items": (list[int], []),
        "log": (Log[int], Log.field()),
        "map": (Map[str, int], Map.field()), "keyed": (Map[int, int], Map.field()), "n": (int, 0),
        "lines": (list[Three], []), "grows": (dict[str, int], {}),
    })  # fmt: skip
    new = state({
        "more": (int, 0), "name": (str, ""), "items": (Log[str], Log.field()),
        "log": (list[int], []),
        "map": (Map[int, int], Map.field()), "keyed": (Map[str, int], Map.field()), "n": (int, 1),
        "lines": (list[One], []), "grows": (Map[str, float], Map.field()),
    }, renamed_fields={"old": "name"})  # fmt: skip
    assert found(old, new) == {
        "more": ("added", OK), "gone": ("removed", OK), "name": ("renamed", OK),
        "items": ("stored otherwise", OK), "items[]": ("retyped", CONVERT),
        "log": ("stored otherwise", CONVERT), "map": ("stored otherwise", LOSS),
        "keyed": ("stored otherwise", CONVERT), "n": ("default", OK),
        "lines[].b": ("removed", OK), "grows": ("stored otherwise", OK),
        "grows[]": ("retyped", OK),
    }  # fmt: skip


def test_another_major_version_is_never_compatible() -> None:
    """Whatever the fields are; another minor one is."""
    fields: dict[str, tuple[Any, Any]] = {"n": (int, 0)}
    one, minor, major = (state(fields, version) for version in ("1.0.0", "1.7.2", "2.0.0"))
    assert found(one, minor) == {}
    assert found(one, major) == found(major, one) == {"schema_version": ("version", CONVERT)}


def test_an_older_class_keeps_what_it_does_not_know() -> None:
    """A rollback to a release that lacks a field: it works on, and the newer one finds it again."""
    store = MemoryStore()
    old, new = (
        desk(state({"n": (int, 0)})),
        desk(state({"n": (int, 0), "more": (str, "")}, "1.1.0")),
    )
    for agent_class, values in ((new, {"n": 1, "more": "kept"}), (old, {"n": 2})):
        with AgentSystem.open(store, agents=[agent_class]) as system:
            system.agent(agent_class, "d").call(agent_class.put, values).get()
    with AgentSystem.open(store, agents=[new]) as system:
        assert system.agent(new, "d").call(new.read).get() == {"n": 2, "more": "kept"}


class Looks(MemoryStore):
    """A store that counts what is read of the registry, and who looks at all agents."""

    def __init__(self) -> None:
        super().__init__()
        self.looks: list[str] = []

    def page(self, table: Table, order: Order, after: Row | None, limit: int) -> list[Row]:
        if table.name == "schemas":
            self.looks.append("page")
        return super().page(table, order, after, limit)

    def rows(self, table: Table, keys: Any) -> dict[Key, Row | None]:  # noqa: ANN401 - as above
        return super().rows(table, keys)

    def written_with(self, kind: str) -> dict[int, int]:
        self.looks.append("agents")
        return super().written_with(kind)


def test_a_check_where_nothing_changed_compares_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry is read, and no schema is compared, no agent looked at."""
    store = Looks()
    made = desk(state({"n": (int, 0)}))
    with AgentSystem.open(store, agents=[made]) as system:
        for key in "abc":
            system.agent(made, key).call(made.put, {"n": 1}).get()
    store.looks.clear()
    compared: list[object] = []

    def members(*schemas: object) -> Iterator[comparison.Difference]:
        compared.append(schemas)
        return iter(())

    monkeypatch.setattr(comparison, "_members", members)
    AgentSystem.open(store, agents=[made]).close()
    assert {*store.looks} == {"page"}
    assert compared == []


def test_opening_writes_no_schema(tmp_path: Path) -> None:
    """The first commit of an agent does, and the first message that is stored: once."""
    store = MemoryStore()
    made = desk(state({"n": (int, 0)}))
    with AgentSystem.open(store, agents=[made]) as system:
        assert list(rows(store)) == []
        for key in "ab":
            system.agent(made, key).call(made.put, {"n": 1}).get()
    assert [row[1:3] for row in rows(store)] == [("Desk", "state")]
    for _ in range(2):
        with AgentSystem.open(store, agents=[made]) as system:
            system.agent(made, "c").cast(made.put, {"n": 1})
    assert [row[1:3] for row in rows(store)] == [("Desk", "state"), ("Desk", "messages")]


def rows(store: MemoryStore) -> Iterator[Row]:
    """Iterate over the rows of the registry."""
    from perdure.persistence.records.shared_tables import SCHEMAS  # noqa: PLC0415

    yield from store.page(SCHEMAS, Order(("number",)), None, 99)


class Seats(State):
    """A state with a field of each kind."""

    name: str | None = None
    pair: tuple[int, Small] = (1, Small.A)
    lines: list[Two] = msgspec.field(default_factory=list)
    seats: Map[int, float] = Map.field()
    log: Log[Annotated[int, msgspec.Meta(ge=0)]] = Log.field()


class Plane(Agent[Seats]):
    """Has one."""


def test_json_schema_says_the_same() -> None:
    """Logs are arrays, maps objects, members and limits are there."""
    found = json_schema(schema_of(Seats))["properties"]
    assert found["name"] == {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    assert found["pair"]["prefixItems"] == [{"type": "integer"}, {"enum": ["a", "b"]}]
    assert found["lines"]["items"]["required"] == ["a"]
    assert found["seats"]["additionalProperties"] == {"type": "number"}
    assert found["log"]["items"] == {"type": "integer", "minimum": 0}


def test_a_store_of_memory_and_one_of_a_file_know_the_same(tmp_path: Path) -> None:
    """Which agents were written with which schema, and the keys of those that were not."""
    made = desk(state({"n": (int, 0)}))
    for store in (MemoryStore(), tmp_path / "s.db"):
        with AgentSystem.open(store, agents=[made]) as system:
            for key in "cab":
                system.agent(made, key).call(made.put, {"n": 1}).get()
            reader = system._store
            assert reader.written_with("Desk") == {1: 3}
            assert reader.written_otherwise("Desk", 1, "", 9) == []
            assert reader.written_otherwise("Desk", 7, "a", 1) == ["b"]
            assert reader.written_with("Other") == {}
    with closing(MemoryStore()) as empty:
        assert empty.written_with("Desk") == {}
