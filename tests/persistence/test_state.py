"""States of any shape go through tracker, batch and store, and come back."""

from __future__ import annotations

import copy
import datetime as dt
import types
import typing
import uuid
from collections.abc import Callable
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Log, Map, State
from perdure.persistence.errors import ConfigurationError, StateError
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.records import Delta
from perdure.persistence.state import tracker
from perdure.persistence.state.state import layout_of
from perdure.persistence.state.tracker import StateTracker
from tests.persistence.keeper import HERE, Keeper

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
INTS = st.integers(-(2**63), 2**64 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
ANY = st.recursive(
    st.none() | st.booleans() | INTS | FLOATS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
BASIC: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, INTS),
    (float, FLOATS),
    (str, TEXT),
    (bool, st.booleans()),
    (bytes, st.binary(max_size=8)),
    (uuid.UUID, st.uuids()),
    (dt.datetime, st.datetimes().map(lambda moment: moment.replace(fold=0))),
    (dt.date, st.dates()),
    (dt.timedelta, st.timedeltas(dt.timedelta(days=-(10**6)), dt.timedelta(days=10**6))),
    (object, ANY),
]


@st.composite
def fields(draw: st.DrawFn) -> tuple[Any, st.SearchStrategy[Any]]:
    """Draw a type and the values it has."""
    declared, values = draw(st.sampled_from(BASIC))
    several = st.lists(values, max_size=4)
    small = st.integers(-(2**63), 2**63 - 1)
    shapes: list[tuple[Any, st.SearchStrategy[Any]]] = [
        (declared, values),
        (declared | None, st.none() | values),
        (types.GenericAlias(list, (declared,)), several),
        (types.GenericAlias(tuple, (declared, ...)), several.map(tuple)),
        (types.GenericAlias(dict, (str, declared)), st.dictionaries(TEXT, values, max_size=4)),
        (cast("Any", Log)[declared], several),
        (cast("Any", Map)[str, declared], st.dictionaries(TEXT, values, max_size=4)),
        (cast("Any", Map)[int, declared], st.dictionaries(small, values, max_size=4)),
    ]
    shape: tuple[Any, st.SearchStrategy[Any]] = draw(st.sampled_from(shapes))
    return shape


@st.composite
def histories(draw: st.DrawFn) -> tuple[type[State], list[dict[str, Any]]]:
    """Draw a state class and the values its turns set."""
    shapes = draw(st.lists(fields(), min_size=1, max_size=5))
    declared: list[Any] = []
    for number, (kind, values) in enumerate(shapes):
        name = f"f{number}"
        origin = typing.get_origin(kind)
        default = origin.field() if origin in (Log, Map) else _default(draw(values))
        declared.append((name, kind, default))
    cls = cast("type[State]", msgspec.defstruct("Drawn", declared, bases=(State,)))
    turns = st.fixed_dictionaries(
        {}, optional={f"f{number}": values for number, (_, values) in enumerate(shapes)}
    )
    return cls, draw(st.lists(turns, max_size=5))


def _default(value: object) -> Any:  # noqa: ANN401 - what msgspec.field returns
    """Give a default through a factory, as msgspec asks for mutable ones."""
    return msgspec.field(default_factory=lambda: copy.deepcopy(value))


@settings(max_examples=150)
@given(histories())
def test_any_state_comes_back(history: tuple[type[State], list[dict[str, Any]]]) -> None:
    """Whatever the class and the turns, a load gives the values of the last committed turn."""
    cls, turns = history
    store = MemoryStore()
    store.acquire(HERE)
    keeper: Keeper[Any] = Keeper(store, cls)
    for turn in turns:
        _change(keeper, turn)
        keeper.commit()
        expected = keeper.values()
        assert keeper.commit() is None, "nothing changed, yet something would be saved"
        keeper.tracker.rollback()
        assert keeper.values() == expected
        keeper.load()
        assert keeper.values() == expected


def _change(keeper: Keeper[Any], turn: dict[str, Any]) -> None:
    for name, value in turn.items():
        current = getattr(keeper.state, name)
        if isinstance(current, Log):
            current.extend(value)
        elif isinstance(current, Map):
            current.update(value)
        else:
            setattr(keeper.state, name, value)


@settings(max_examples=100)
@given(histories())
def test_any_deferred_turns_come_back(
    history: tuple[type[State], list[dict[str, Any]]],
) -> None:
    """Turns that are saved together later leave what saving each at once leaves."""
    cls, turns = history
    store = MemoryStore()
    store.acquire(HERE)
    keeper: Keeper[Any] = Keeper(store, cls)
    saved = Delta(keeper.agent)
    for turn in turns:
        _change(keeper, turn)
        saved.merge(keeper.tracker.defer() or Delta(keeper.agent))
        expected = keeper.values()
        keeper.tracker.rollback()
        assert keeper.values() == expected
    saved.merge(keeper.tracker.collect() or Delta(keeper.agent))
    if saved:
        keeper.put(saved)
    expected = keeper.values()
    keeper.load()
    assert keeper.values() == expected


@settings(max_examples=100)
@given(histories())
def test_any_accepted_turn_is_kept_in_memory(
    history: tuple[type[State], list[dict[str, Any]]],
) -> None:
    """Where nothing is stored, a rollback brings back what the last accepted turn left."""
    cls, turns = history
    store = MemoryStore()
    store.acquire(HERE)
    keeper: Keeper[Any] = Keeper(store, cls)
    for turn in turns:
        _change(keeper, turn)
        keeper.tracker.accept()
        expected = keeper.values()
        _change(keeper, turns[0])
        keeper.tracker.rollback()
        assert keeper.values() == expected


class Wide(State):
    """Some fields to take wrong values."""

    number: int = 0
    names: list[str] = msgspec.field(default_factory=list)
    table: dict[str, list[float]] = msgspec.field(default_factory=dict)
    lines: Log[str] = Log.field()
    marks: Map[str, int] = Map.field()


@pytest.fixture
def keeper() -> Keeper[Wide]:
    """Return a state on a memory store with a small limit."""
    store = MemoryStore()
    store.acquire(HERE)
    return Keeper(store, Wide, largest=1000)


@pytest.mark.parametrize("take", [StateTracker.collect, StateTracker.defer, StateTracker.accept])
def test_refused_turn_takes_nothing(
    keeper: Keeper[Wide], take: Callable[[StateTracker], object]
) -> None:
    """When one value cannot be stored nothing of the turn is, and a rollback brings all back."""
    keeper.state.number = 1
    keeper.state.names.append("a")
    keeper.commit()
    before = keeper.values()
    keeper.state.number = 2
    keeper.state.names.append("b")
    keeper.state.lines.append("x")
    keeper.state.marks["m"] = 1
    keeper.state.table["t"] = [float("nan")]
    with pytest.raises(StateError, match=r"state\.table\['t'\]\[0\]: NaN"):
        take(keeper.tracker)
    keeper.tracker.rollback()
    assert keeper.values() == before
    assert keeper.commit() is None


def test_wrong_type_is_refused_when_the_turn_ends(keeper: Keeper[Wide]) -> None:
    """A value that is not of its field's type is refused with the field's path."""
    keeper.state.number = "7"  # type: ignore[assignment]
    with pytest.raises(StateError, match=r"state\.number: Expected `int`, got `str`"):
        keeper.commit()


def test_bad_map_value_names_its_key(keeper: Keeper[Wide]) -> None:
    """A map value that cannot be stored is named by field and key."""
    keeper.state.marks["x"] = 2**70
    keeper.state.marks["y"] = "no"  # type: ignore[assignment]
    with pytest.raises(StateError, match=r"state\.marks\['y'\]: Expected `int`"):
        keeper.commit()


def test_bad_log_item_is_refused_on_its_line(keeper: Keeper[Wide]) -> None:
    """An item that cannot be stored is refused by append, with its position."""
    keeper.state.lines.append("good")
    with pytest.raises(StateError, match=r"state\.lines\[1\]: a lone surrogate"):
        keeper.state.lines.append("\ud800")
    assert list(keeper.state.lines) == ["good"]


def test_replaced_collection_is_refused(keeper: Keeper[Wide]) -> None:
    """A Log or Map may not be replaced, because its items are in the store."""
    kept = keeper.state.lines
    keeper.state.lines = Log(["new"])
    with pytest.raises(StateError, match=r"state\.lines: was replaced"):
        keeper.commit()
    keeper.tracker.rollback()
    assert keeper.state.lines is kept


@pytest.mark.parametrize("name", ["names", "lines", "marks"])
def test_values_over_the_limit_are_refused(keeper: Keeper[Wide], name: str) -> None:
    """A value above the configured size is refused with its field, its size and the limit."""
    big = "x" * 1000
    if name == "names":
        keeper.state.names = [big]
    elif name == "lines":
        keeper.state.lines.append(big)
    else:
        keeper = Keeper(keeper.store, Wide, largest=5)
        keeper.state.marks["m"] = 123_456
    with pytest.raises(StateError, match=rf"state\.{name}: takes [\d,]+ characters, more than"):
        keeper.commit()
    keeper.tracker.rollback()
    assert keeper.commit() is None


@pytest.mark.parametrize("where", ["fields", "log", "map", "spread"])
def test_turns_that_no_row_could_hold_are_refused(
    keeper: Keeper[Wide], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """A turn that changes more than the store takes in one row is refused, and nothing is taken."""
    monkeypatch.setattr(tracker, "HEAVIEST", 1500)
    part = "x" * 400
    if where in ("fields", "spread"):
        keeper.state.names = [part, part]
        keeper.state.table = {part: [], part[1:]: []}
    if where in ("log", "spread"):
        keeper.state.lines.extend([part] * (4 if where == "log" else 1))
    if where == "map":
        keeper.state.marks.update({str(n): 10**9 for n in range(200)})
    with pytest.raises(StateError, match=r"state: [\d,]+ characters change in one turn"):
        keeper.commit()
    keeper.tracker.rollback()
    assert keeper.commit() is None
    assert keeper.values() == keeper.values() | {"names": [], "table": {}, "lines": [], "marks": {}}


@pytest.mark.parametrize("size", [0, 10_000_000])
def test_empty_and_huge_strings_come_back(size: int) -> None:
    """A string of no or of ten million characters is stored where the limit allows it."""
    store = MemoryStore()
    store.acquire(HERE)
    keeper = Keeper(store, Wide, largest=11_000_000)
    keeper.state.names = ["é" * (size // 2) + "x" * (size // 2)]
    keeper.commit()
    expected = keeper.values()
    keeper.load()
    assert keeper.values() == expected


def test_int_in_a_float_field_becomes_a_float_at_once() -> None:
    """The live state holds what a load would give: a float, not the int that was assigned."""

    class Ratio(State):
        """A float."""

        value: float = 0.0

    store = MemoryStore()
    store.acquire(HERE)
    keeper = Keeper(store, Ratio)
    keeper.state.value = 3
    keeper.commit()
    assert keeper.state.value.__class__ is float


def test_layout_refuses_what_cannot_work() -> None:
    """A frozen state, a field without a default and a Map with odd keys are refused by name."""
    frozen = msgspec.defstruct("Frozen", [("a", int, 0)], bases=(State,), frozen=True)
    required = msgspec.defstruct("Required", [("a", int)], bases=(State,))
    keyed = msgspec.defstruct("Keyed", [("a", Map[float, int], Map.field())], bases=(State,))  # type: ignore[type-var]
    odd = msgspec.defstruct("Odd", [("a", complex, 0j)], bases=(State,))
    for cls, reason in (
        (frozen, "Frozen is frozen"),
        (required, r"Required\.a has no default"),
        (keyed, r"Keyed\.a is keyed by"),
        (odd, r"Odd\.a cannot be stored"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            layout_of(cls)  # type: ignore[arg-type]
