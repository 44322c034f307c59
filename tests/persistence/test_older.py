"""A class that knows less than what is stored: reading changes nothing, writing keeps the rest."""

from __future__ import annotations

import dataclasses
import operator
import types
from collections.abc import Iterator
from typing import Any, NamedTuple, TypedDict, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Log, Map, MemoryStore, Scope, State
from perdure.actors.patterns.document import Merged
from perdure.persistence.records.records import Delta
from tests.persistence.keeper import HERE, Keeper


class New(msgspec.Struct):
    """A record as the newer class has it."""

    n: int = 0
    note: str = ""


class Old(msgspec.Struct):
    """The same record as the older class has it."""

    n: int = 0


class Pair(NamedTuple):
    """One place of a state: its type in the newer and the older class, and its values there."""

    new: Any
    old: Any
    values: st.SearchStrategy[Any]


NUMBER = st.integers(0, 2)
NUMBERS = Pair(int, int, NUMBER)
STRANGE: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (str, st.text(st.characters(codec="utf-8"), max_size=4)),
    (int, st.integers(0, 2**70)),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (list[New], st.lists(st.builds(New, NUMBER, st.just("x")), max_size=2)),
]


def record(form: str, inside: dict[str, Pair], strange: list[tuple[Any, Any]]) -> Pair:
    """Return a record that counts ``n``, holds ``inside``, and of which the older lacks a part."""
    known = [("n", int, NUMBER)]
    older = [("n", int)]
    for name, pair in inside.items():
        known.append((name, pair.new, pair.values))
        older.append((name, pair.old))
    unknown = [(f"u{place}", kind, values) for place, (kind, values) in enumerate(strange)]
    newer = [(name, kind) for name, kind, _ in (*known, *unknown)]
    make: Any = {
        "struct": msgspec.defstruct,
        "array": lambda name, of: msgspec.defstruct(name, of, array_like=True),
        "tagged": lambda name, of: msgspec.defstruct(name, of, tag="t", rename="camel"),
        "tagged array": lambda name, of: msgspec.defstruct(name, of, tag=7, array_like=True),
        "dataclass": dataclasses.make_dataclass,
        "typed dict": lambda name, of: TypedDict(name, dict(of)),  # type: ignore[operator]
    }[form]
    new, old = make("R", newer), make("R", older)
    values = {name: of for name, _, of in (*known, *unknown)}
    return Pair(new, old, st.fixed_dictionaries(values).map(lambda each: new(**each)))


@st.composite
def pairs(draw: st.DrawFn, depth: int = 3) -> Pair:
    """Draw a place in which records nest."""
    shape = draw(st.sampled_from(["record", "record", "list", "dict", "option", "tuple", "row"]))
    if depth == 0 or shape == "record":
        inside = draw(st.integers(0, 2)) if depth else 0
        nested = {f"k{place}": draw(pairs(depth=depth - 1)) for place in range(inside)}
        form = draw(st.sampled_from(FORMS))
        return record(form, nested, draw(st.lists(st.sampled_from(STRANGE), max_size=2)))
    new, old, values = draw(pairs(depth=depth - 1))
    several = st.lists(values, max_size=4)
    if shape == "list":
        return generic(list, (new,), (old,), several)
    if shape == "dict":
        return generic(dict, (str, new), (str, old), st.dictionaries(KEYS, values, max_size=3))
    if shape == "option" and not isinstance(new, types.UnionType):
        return Pair(new | None, old | None, st.none() | values)
    if shape == "tuple":
        return generic(tuple, (new, ...), (old, ...), several.map(tuple))
    return generic(tuple, (int, new), (int, old), st.tuples(NUMBER, values))


def generic(
    kind: type, new: tuple[Any, ...], old: tuple[Any, ...], values: st.SearchStrategy[Any]
) -> Pair:
    """Return a place that holds a collection."""
    return Pair(types.GenericAlias(kind, new), types.GenericAlias(kind, old), values)


FORMS = ["struct", "array", "tagged", "tagged array", "dataclass", "typed dict"]
KEYS = st.sampled_from("abc")


def states(pair: Pair) -> tuple[Any, Any]:
    """Return the newer and the older state class with such a field."""
    return tuple(  # type: ignore[return-value]
        msgspec.defstruct("S", [("f", kind | None, None), ("a", int, 0)], bases=(State,))
        for kind in (pair.new, pair.old)
    )


def records(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Iterate over the paths of all records that the older class knows in a value."""
    inside: list[tuple[Any, object]] = []
    if isinstance(value, list | tuple):
        inside = list(enumerate(value))
    elif isinstance(value, dict):
        inside = list(value.items())
        if "n" in value:
            yield path
    elif hasattr(value, "n"):
        yield path
        names = value.__struct_fields__ if isinstance(value, msgspec.Struct) else [*vars(value)]
        inside = [(name, getattr(value, name)) for name in names]
    for step, part in inside:
        yield from records(part, (*path, step))


def count(fields: dict[str, Any], path: tuple[Any, ...], by: int) -> None:
    """Add to the number of the record at ``path`` below the field ``f``."""
    part = fields["f"]
    for step in path:
        named = isinstance(step, str) and not isinstance(part, dict)
        part = getattr(part, step) if named else part[step]
    if isinstance(part, dict):
        part["n"] += by
    else:
        part.n += by


def kept(store: MemoryStore, cls: type[Any]) -> Keeper[Any]:
    """Return a keeper of the one agent in a store, loaded with a class."""
    return Keeper(store, cls)


def filled(cls: type[Any], **values: object) -> MemoryStore:
    """Return a store whose agent has what a class was given."""
    store = MemoryStore()
    store.acquire(HERE)
    keeper = kept(store, cls)
    for name, value in values.items():
        current: Any = getattr(keeper.state, name)
        if isinstance(current, Map):
            current.update(cast("dict[str, object]", value))
        else:
            setattr(keeper.state, name, value)
    keeper.commit()
    return store


def texts(store: MemoryStore) -> dict[str, str]:
    """Return the plain fields as they are stored."""
    stored = store.load("K", "1")
    assert stored is not None
    return {name: text for name, (text, _) in stored.fields.items()}


@settings(max_examples=150)
@given(st.data(), pairs())
def test_reading_changes_nothing(data: st.DataObject, pair: Pair) -> None:
    """What an older class reads stays byte for byte, also beside a write and after a rollback."""
    new, old = states(pair)
    store = filled(new, f=data.draw(pair.values), a=5)
    before = texts(store)
    keeper = kept(store, old)
    assert keeper.commit() is None
    assert keeper.tracker.defer() is None
    keeper.tracker.rollback()
    assert keeper.commit() is None
    keeper.state.a += 1
    delta = keeper.commit()
    assert delta is not None
    assert delta.fields.keys() == {"a"}
    assert texts(store) == {**before, "a": "6"}


@settings(max_examples=200)
@given(st.data(), pairs(), st.sampled_from(["at once", "later"]))
def test_neighbours_of_a_write_survive(data: st.DataObject, pair: Pair, saved: str) -> None:
    """An older class changes one record: the newer one reads that change and all it had before."""
    new, old = states(pair)
    store = filled(new, f=data.draw(pair.values))
    keeper = kept(store, old)
    for _ in range(2):
        expected = kept(store, new).values()
        paths = list(records(keeper.state.f))
        if not paths:
            return
        path = data.draw(st.sampled_from(paths))
        by = data.draw(st.integers(1, 2))
        count(expected, path, by)
        count({"f": keeper.state.f}, path, by)
        if saved == "later":
            assert keeper.tracker.defer() is None
            delta = keeper.tracker.saved()
            assert isinstance(delta, Delta)
            keeper.put(delta)
        else:
            keeper.commit()
        assert kept(store, new).values() == expected
        assert keeper.commit() is None


class ManyNew(State):
    """Records in a list, as the newer class has them."""

    f: list[New] = msgspec.field(default_factory=list)


class ManyOld(State):
    """Records in a list, as the older class has them."""

    f: list[Old] = msgspec.field(default_factory=list)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 10, 11, 12]), unique=True))
def test_items_are_found_wherever_they_stand(order: list[int]) -> None:
    """Unchanged items of a list keep what they have when others are moved, removed or added."""
    store = filled(ManyNew, f=[New(n, f"note {n}") for n in range(4)])
    keeper = kept(store, ManyOld)
    keeper.state.f = [Old(n) for n in order]
    keeper.commit()
    found = kept(store, ManyNew).state.f
    assert [each.n for each in found] == order
    assert all(each.note == f"note {each.n}" for each in found if each.n < 4)
    notes = [each.note for each in found if each.note]
    assert len(notes) == len({*notes})  # nothing is taken over twice


@pytest.mark.parametrize(
    ("before", "after", "notes"),
    [
        ("123", "193", "abc"),  # changed in its place
        ("123", "1934", "abc-"),  # ... and one added at the end
        ("123", "9", "-"),  # which of them it was is not known
        ("123", "93", "-c"),  # ... one is gone, and 9 may be either
        ("123", "9823", "--bc"),  # ... one came before 2
        ("1234", "41", "da"),  # moved and removed
        ("11", "1", "-"),  # of two alike nobody knows which is gone
        ("112", "1121", "abc-"),  # but one more at the end is the new one
        ("11", "19", "ab"),  # changed in its place
        ("123", "", ""),
    ],
)
def test_items_are_not_guessed(before: str, after: str, notes: str) -> None:
    """A changed item keeps what it has where its neighbours say which it was, and only there."""
    given_notes = dict(enumerate("abcd"))
    store = filled(ManyNew, f=[New(int(n), given_notes[place]) for place, n in enumerate(before)])
    keeper = kept(store, ManyOld)
    keeper.state.f = [Old(int(n)) for n in after]
    keeper.commit()
    found = kept(store, ManyNew).state.f
    assert "".join(each.note or "-" for each in found) == notes
    assert "".join(str(each.n) for each in found) == after


class Cat(msgspec.Struct, tag=True):
    """One of two kinds."""

    n: int = 0
    note: str = ""


class Dog(msgspec.Struct, tag=True):
    """The other kind."""

    n: int = 0


def test_another_kind_of_record_takes_nothing_over() -> None:
    """A record of another class in the same place, and a key that is deleted, keep nothing."""
    cat = msgspec.defstruct("Cat", [("n", int, 0)], tag="Cat")
    pair = generic(dict, (str, Cat | Dog), (str, cat | Dog), st.nothing())
    new, old = states(pair)
    store = filled(new, f={"a": Cat(1, "x"), "b": Cat(2, "y"), "c": Cat(3, "z")})
    keeper = kept(store, old)
    keeper.state.f["a"] = Dog(1)
    del keeper.state.f["b"]
    keeper.state.f["c"].n = 4
    keeper.commit()
    assert texts(store)["f"] == ('{"a":{"type":"Dog","n":1},"c":{"type":"Cat","n":4,"note":"z"}}')


def test_records_that_nest_deeply() -> None:
    """What is unknown survives also where records nest as deeply as a state may."""
    new, old = (
        msgspec.json.decode('{"n":1,"kid":' * 400 + "null" + "}" * 400, type=kind)
        for kind in (ChainNew, ChainOld)
    )
    inner: Any = new
    while inner is not None:
        inner.note, inner = "x", inner.kid
    store = filled(states(Pair(ChainNew, ChainOld, st.nothing()))[0], f=new)
    keeper = kept(store, states(Pair(ChainNew, ChainOld, st.nothing()))[1])
    assert keeper.state.f == old
    lowest: Any = operator.attrgetter(".".join(["kid"] * 399))(keeper.state.f)
    lowest.n = 2
    keeper.commit()
    assert texts(store)["f"].count('"note":"x"') == 400
    assert texts(store)["f"].count('"n":2') == 1


class ChainNew(msgspec.Struct):
    """A record that holds itself."""

    n: int = 0
    kid: ChainNew | None = None
    note: str = ""


class ChainOld(msgspec.Struct):
    """The same without its note."""

    n: int = 0
    kid: ChainOld | None = None


class MapNew(State):
    """Records in a map, as the newer class has them."""

    m: Map[str, New] = Map.field()


class MapOld(State):
    """Records in a map, as the older class has them."""

    m: Map[str, Old] = Map.field()


def test_entries_of_maps() -> None:
    """An entry that a turn reads and writes keeps what it has; one set unread is a new one."""
    store = filled(MapNew, m={key: New(n, f"note {key}") for n, key in enumerate("abcde")})
    keeper = kept(store, MapOld)
    entries = keeper.state.m
    assert [each.n for each in entries.values()] == [0, 1, 2, 3, 4]
    assert keeper.commit() is None
    for turn in (1, 2):
        entries["a"].n = 10 * turn
        entries["b"] = Old(entries["b"].n + 10)
        moved = entries.pop("c")
        moved.n += 10
        entries["c"] = moved
        delta = keeper.commit()
        assert delta is not None
        assert {key for _, _, key in delta.entries} == {"a", "b", "c"}
    entries["d"] = Old(9)
    keeper.commit()
    assert dict(kept(store, MapNew).state.m) == {
        "a": New(20, "note a"), "b": New(21, "note b"), "c": New(22, "note c"), "d": New(9),
        "e": New(4, "note e"),
    }  # fmt: skip


class ListOfNew(State):
    """Records in a list that becomes a log."""

    f: list[New] = msgspec.field(default_factory=list)
    g: dict[str, New] = msgspec.field(default_factory=dict)


class LogOfOld(State):
    """The log of a class that knows less."""

    f: Log[Old] = Log.field()
    g: Map[str, Old] = Map.field()


class LogOfNew(State):
    """The log of a class that knows all."""

    f: Log[New] = Log.field()
    g: Map[str, New] = Map.field()


def test_a_conversion_loses_nothing() -> None:
    """A list that becomes a Log and a dict that becomes a Map keep what the class does not know."""
    store = MemoryStore()
    agents = {cls: agent_of(cls) for cls in (ListOfNew, LogOfOld, LogOfNew)}
    with AgentSystem.open(store, agents=[agents[ListOfNew]]) as system:
        system.agent(agents[ListOfNew], "x").call(agents[ListOfNew].fill).get()
    found = []
    for cls in (LogOfOld, LogOfNew):
        with AgentSystem.open(store, agents=[agents[cls]]) as system:
            found.append(system.agent(agents[cls], "x").call(agents[cls].read).get())
    assert found == [([Old(1)], {"k": Old(2)}), ([New(1, "a")], {"k": New(2, "b")})]


def agent_of(cls: type[Any]) -> type[Any]:
    """Return a class of agents of one kind with a state class."""
    state: Any = cls

    class Desk(Agent[state]):
        def fill(self) -> None:
            self.state.f = [New(1, "a")]
            self.state.g = {"k": New(2, "b")}

        def read(self) -> object:
            return list(self.state.f), dict(self.state.g)

        def count(self) -> None:
            self.state.f[0].n += 1

    return Desk


class ListOfOld(State):
    """The list of a class that knows less."""

    f: list[Old] = msgspec.field(default_factory=list)
    g: dict[str, Old] = msgspec.field(default_factory=dict)


def test_a_turn_that_reads_makes_no_version() -> None:
    """Turns of agents of an older class that only read commit nothing; a writing one keeps all."""
    store = MemoryStore()
    new, old = agent_of(ListOfNew), agent_of(ListOfOld)
    with AgentSystem.open(store, agents=[new]) as system:
        system.agent(new, "x").call(new.fill).get()
    with AgentSystem.open(store, agents=[old]) as system:
        ref = system.agent(old, "x")
        assert ref.call(old.read).get() == ([Old(1)], {"k": Old(2)})
        assert ref.describe().version == 1
        ref.call(old.count).get()
        assert ref.describe().version == 2
    with AgentSystem.open(store, agents=[new]) as system:
        assert system.agent(new, "x").call(new.read).get() == ([New(2, "a")], {"k": New(2, "b")})


def test_shared_keys() -> None:
    """A program that knows less of a registered type sets and compares; the rest stays."""
    store, scope = MemoryStore(), Scope.workflow("w")
    with AgentSystem.open(store, agents=[], schemas={"r": New}) as system:
        system.state.set(scope, "r", New(1, "keep"))
    with AgentSystem.open(store, agents=[], schemas={"r": Old}) as system:
        state = system.state
        assert not state.compare_and_set(scope, "r", Old(2), Old(9))
        assert state.compare_and_set(scope, "r", Old(1), Old(2))
        with state.transaction() as shared:
            found = shared.get(scope, "r", Old)
            assert found == Old(2)
            shared.set(scope, "r", Old(found.n + 1))
    with AgentSystem.open(store, agents=[], schemas={"r": New}) as system:
        assert system.state.get(scope, "r", New) == New(3, "keep")
        system.state.delete(scope, "r")
    with AgentSystem.open(store, agents=[], schemas={"r": Old}) as system:
        system.state.set(scope, "r", Old(5))
        assert system.state.get(scope, "r", dict) == {"n": 5}


def test_shared_documents() -> None:
    """What an older program proposes keeps what a newer one wrote, also when both are merged."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[]) as system:
        newer = system.sharing.document("plan", dict[str, New], initial={"a": New(1, "keep")})
        older = system.sharing.document("plan", dict[str, Old], initial={})
        first = newer.read()
        outcome = newer.propose(first, {**first.value, "b": New(2, "this too")})
        assert isinstance(outcome, Merged)
        base = older.read()
        assert isinstance(older.propose(base, base.value), Merged)
        assert newer.read().number == outcome.version.number
        assert isinstance(newer.propose(newer.read(), {**newer.read().value, "c": New(3)}), Merged)
        assert isinstance(older.propose(base, {**base.value, "a": Old(9)}), Merged)
        assert newer.read().value == {"a": New(9, "keep"), "b": New(2, "this too"), "c": New(3)}
