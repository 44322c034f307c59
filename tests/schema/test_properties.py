"""What is called compatible is read, whatever was stored; there and back is where it began."""

from __future__ import annotations

import datetime as dt
import enum
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perdure import Log, Map, State, Transform, migration, transforms
from perdure.persistence.errors import CorruptState, MigrationFailed
from perdure.persistence.schema.comparison import Compatibility, compare
from perdure.persistence.schema.fitting import fits
from perdure.persistence.schema.schema import Schema, schema_of
from perdure.persistence.schema.types import node_of
from perdure.testing import assert_round_trip, states
from perdure.testing.probe import Probe
from tests.schema.classes import state


class Point(msgspec.Struct):
    x: int = 0
    y: float = 0.0


class Wider(msgspec.Struct):
    x: float = 0.0
    y: float = 0.0
    z: str = "z"


class Needs(msgspec.Struct):
    x: int
    w: str


class Row(msgspec.Struct, array_like=True):
    x: int = 0
    y: str = ""


class LongRow(msgspec.Struct, array_like=True):
    x: float = 0.0
    y: str | None = None
    z: int = 7


class Closed(msgspec.Struct, forbid_unknown_fields=True):
    x: int = 0


class Cat(msgspec.Struct, tag=True):
    lives: int = 9


class Dog(msgspec.Struct, tag=True):
    name: str = ""


class Node(msgspec.Struct):
    label: str = ""
    inside: list[Node] = []


class Node2(msgspec.Struct):
    label: str | None = None
    inside: list[Node2] = []
    extra: int = 0


class Pair(NamedTuple):
    first: int
    second: str = ""


class Small(enum.Enum):
    A = "a"
    B = "b"


class Large(enum.Enum):
    A = "a"
    B = "b"
    C = "c"


TYPES: list[Any] = [
    int, float, str, bool, bytes, object, Decimal, dt.datetime, dt.date, dt.time, dt.timedelta,
    uuid.UUID, Point, Wider, Needs, Row, LongRow, Closed, Cat, Dog, Cat | Dog, Node, Node2, Pair,
    Small, Large, Literal["a", "b"], Literal["a", 1], int | str, int | None, str | float | None,
    Annotated[int, msgspec.Meta(ge=0)], Annotated[int, msgspec.Meta(ge=-5, le=100)],
    Annotated[str, msgspec.Meta(max_length=3)], Annotated[str, msgspec.Meta(min_length=1)],
    Annotated[list[int], msgspec.Meta(max_length=2)],
]  # fmt: skip
MOST = 40
A: Any = {"list": list, "dict": dict, "tuple": tuple, "Log": Log, "Map": Map}
"""For types that are made here, which a type checker is not to look at."""
KEPT: list[Callable[[Any], Any]] = [
    lambda kind: kind,
    lambda kind: A["Log"][kind],
    lambda kind: A["Map"][str, kind],
    lambda kind: A["Map"][int, kind],
]
WRAPPED: list[Callable[[Any], Any]] = [
    lambda kind: kind,
    lambda kind: kind | None,
    lambda kind: A["list"][kind],
    lambda kind: A["dict"][str, kind],
    lambda kind: A["tuple"][kind, ...],
    lambda kind: A["tuple"][kind, int],
    lambda kind: A["dict"][str, A["list"][kind]],
]
NESTED: list[Any] = [
    *(wrap(kind) for wrap in WRAPPED for kind in TYPES if kind is not object),
    *(object, set[int], set[str], frozenset[int], dict[int, str], dict[int, list[int]]),
]


def declared(kind: Any, kept: int) -> tuple[Any, Any]:  # noqa: ANN401 - any type
    """Return a field's type and default: a plain one, a log or a map."""
    made = KEPT[kept](kind)
    default: Any = (None, Log.field(), Map.field(), Map.field())[kept]
    if kept == 0:
        made = kind | None if kind is not object else object
    return made, default


FIELD = st.builds(declared, st.sampled_from(NESTED), st.sampled_from([0, 0, 0, 1, 2, 3]))


def made(field: tuple[Any, Any], version: str = "1.0.0") -> type[State]:
    """Return a class with one field of a type."""
    return state({"field": field, "other": (int, 0)}, version)


FITTING = [
    (old, new)
    for old in TYPES
    for new in (*TYPES, *(each | None for each in TYPES if each is not object))
    if old != new and all(fit.level == 0 for fit in fits(node_of(old), node_of(new), "f"))
]
CHANGES = [(0, 0), (0, 0), (0, 0), (1, 1), (2, 2), (3, 3)]


@settings(max_examples=MOST)
@given(
    pair=st.sampled_from(FITTING),
    wrap=st.sampled_from(WRAPPED),
    kept=st.sampled_from(CHANGES),
    data=st.data(),
)
def test_what_is_compatible_is_read(
    pair: tuple[Any, Any], wrap: Callable[[Any], Any], kept: tuple[int, int], data: st.DataObject
) -> None:
    """Of whatever the one class stores the other reads all, however deep it stands."""
    assume(object not in pair or wrap(int) != int | None)
    old, new = (made(declared(wrap(kind), how)) for kind, how in zip(pair, kept, strict=True))
    before = schema_of(old)
    assume(compare(before, schema_of(new)).level is Compatibility.COMPATIBLE)
    probe = Probe(new, before, data.draw(states(before)))
    probe.move(probe.new)
    assert probe.unreadable() == ""


@settings(max_examples=MOST)
@given(kind=st.sampled_from(NESTED), pair=st.tuples(*[st.sampled_from([0, 1, 2, 3])] * 2),
       data=st.data())  # fmt: skip
def test_nothing_is_lost_where_the_kind_of_a_field_changes(
    kind: Any,  # noqa: ANN401 - any type
    pair: tuple[int, int],
    data: st.DataObject,
) -> None:
    """A list becomes a Log, a dict a Map, and back: all items, all keys; or it is refused whole."""
    kinds = (list[kind], dict[str, kind], dict[int, kind])
    one, other = pair
    before = made(_collection(kinds, kind, one))
    values = data.draw(states(before))
    now = made(_collection(kinds, kind, other), "2.0.0")
    migration(now, "1.0.0", "2.0.0", _same("field"))
    probe = Probe(now, schema_of(before), values)
    stored = probe.values()
    try:
        probe.move(probe.new)
    except (CorruptState, MigrationFailed):
        assert probe.values() == stored
        return
    found = probe.values()
    assert _listed(found.get("field")) == _listed(values.get("field"))
    assert probe.unreadable() == ""


def _collection(kinds: tuple[Any, ...], kind: Any, which: int) -> tuple[Any, Any]:  # noqa: ANN401
    if which == 0:
        return kinds[0], []
    return declared(kind, which)


def _listed(value: object) -> object:
    return value or None


def _same(name: str) -> Transform:
    return transforms.convert(name, lambda value: value, lambda value: value)


STEPS: list[list[Transform]] = [
    [transforms.rename("field", "moved")],
    [transforms.nest(("field", "other"), "record")],
    [transforms.merge(("field", "other"), "both", lambda *v: list(v), lambda both: both)],
    [transforms.convert("other", str, int)],
    [transforms.rename("field", "moved"), transforms.nest(("moved",), "record")],
]
TARGETS: list[dict[str, tuple[Any, Any]]] = [
    {"moved": (object, None), "other": (int, 0)},
    {"record": (dict[str, object], {})},
    {"both": (list[object], []), "field": (object, None), "other": (object, None)},
    {"field": (object, None), "other": (str, "0")},
    {"record": (dict[str, object], {}), "other": (int, 0)},
]


@settings(max_examples=MOST)
@given(field=FIELD, which=st.integers(0, 4), data=st.data())
def test_there_and_back_is_the_identity(
    field: tuple[Any, Any], which: int, data: st.DataObject
) -> None:
    """For plain fields, logs and maps of all types, whatever was stored of them."""
    before: Schema = schema_of(made(field))
    now = state(TARGETS[which], "2.0.0")
    migration(now, "1.0.0", "2.0.0", *STEPS[which])
    assert_round_trip(now, data.draw(states(before)), written=before)
