"""Whatever is put in comes back as it was, in every part, or is refused with its path."""

from __future__ import annotations

import collections
import copy
import dataclasses
import datetime as dt
import decimal
import enum
import os
import subprocess
import sys
import types
import uuid
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.persistence.codec.certain import certain_of
from perdure.persistence.codec.codec import Codec, codec_of
from perdure.persistence.codec.exact import DIFFERENT, SAME, likeness
from perdure.persistence.errors import ConfigurationError, StateError
from perdure.persistence.state.log import Log
from perdure.persistence.state.map import Map


class Colour(enum.StrEnum):
    """A text that is a member."""

    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    """An integer that is a member."""

    LOW = 1
    HIGH = 2


class Text(str):
    """A text of another class."""

    __slots__ = ()


class Number(int):
    """An integer of another class."""


class Share(float):
    """A float of another class."""


class float32:  # noqa: N801 - as numpy has it
    """What its name and module make a number of numpy."""

    __module__ = "numpy"


class datetime64:  # noqa: N801 - as numpy has it
    """What its name and module make a moment of numpy."""

    __module__ = "numpy"


class Model:
    """What a method makes a model of pydantic."""

    def model_dump(self) -> dict[str, object]:
        """Return nothing."""
        return {}


class Row(list[object]):
    """A list of another class."""


class Moment(dt.datetime):
    """A moment of another class."""


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: str


class Line(msgspec.Struct, eq=False):
    """A struct that equals only itself."""

    text: str = ""
    price: float = 0.0
    tags: set[str] = msgspec.field(default_factory=set)


class Special(Line, eq=False):
    """A struct below it."""


@dataclasses.dataclass
class Card:
    """A dataclass with a field that its comparison leaves out."""

    rank: int = 0
    note: object = dataclasses.field(default=None, compare=False)


class Movie(TypedDict):
    """A typed dictionary."""

    title: str
    year: NotRequired[int]


class Tree(msgspec.Struct):
    """A record in itself."""

    name: str = ""
    below: list[Tree] = []


PARIS = zoneinfo.ZoneInfo("Europe/Paris")
EAST = dt.timezone(dt.timedelta(hours=2))
NAMED = dt.timezone(dt.timedelta(hours=2), "EET")

INTS = st.one_of(
    st.integers(-3, 3), st.integers(), st.sampled_from([2**53 + 1, 2**63, 2**64, -(2**63) - 1])
)
FLOATS = st.floats()
TEXTS = st.text(max_size=5) | st.sampled_from(["red", "1", "2024-01-01", "\ud800"])
MOMENTS = st.datetimes(
    timezones=st.sampled_from([None, dt.UTC, EAST, NAMED, PARIS]), allow_imaginary=False
)
TIMES = st.times(timezones=st.sampled_from([None, dt.UTC, EAST, PARIS])) | st.just(
    dt.time(1, fold=1)
)
# Values that are of a class, and those that only look like it.
LEAVES = st.one_of(
    st.none(), st.booleans(), INTS, FLOATS, TEXTS, st.binary(max_size=3), MOMENTS, TIMES,
    st.dates(), st.timedeltas(), st.uuids(), st.decimals(), st.sampled_from(Colour),
    st.sampled_from(Level), TEXTS.map(Text), INTS.map(Number), FLOATS.map(Share),
    st.binary(max_size=3).map(bytearray), st.just(Moment(2024, 1, 1)), st.just(Pair(1, "a")),
    st.builds(Card, st.integers(0, 2), st.none() | INTS | st.just((1, 2))),
    st.builds(Line, TEXTS, FLOATS | st.integers(0, 3), st.sets(TEXTS, max_size=3)),
    st.just(Special("x")), st.just({"title": "a"}), st.just({"title": "a", "year": 2, "odd": 1}),
    st.just(Tree("a", [Tree("b")])), st.just(object()), st.just(1j),
)  # fmt: skip
KEYS = st.one_of(
    TEXTS, INTS, st.booleans(), st.sampled_from([*Colour, *Level, 1.0, None, Text("k"), Number(3)])
)


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _around(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    items = st.lists(inside, max_size=3)
    pairs = st.lists(st.tuples(KEYS, inside), max_size=3)
    kinds: list[Callable[[Any], object]] = [
        dict, collections.OrderedDict, lambda found: collections.defaultdict(list, found),
        lambda found: collections.Counter(dict(found)),
    ]  # fmt: skip
    sets = st.lists(inside.filter(_hashable), max_size=3)
    return st.one_of(
        items, items.map(tuple), items.map(Row), items.map(collections.deque), sets.map(set),
        sets.map(frozenset), st.tuples(inside, inside), *[pairs.map(kind) for kind in kinds],
    )  # fmt: skip


VALUES = st.recursive(LEAVES, _around, max_leaves=6)
SIMPLE: list[Any] = [
    int, float, str, bool, bytes, bytearray, object, dt.datetime, dt.time, dt.date, dt.timedelta,
    uuid.UUID, decimal.Decimal, Colour, Level, Pair, Card, Line, Movie, Tree, list, dict, set,
    tuple, frozenset, tuple[int, ...], tuple[int, str], tuple[float, object], set[int], set[float],
    frozenset[str], set[tuple[int, ...]],
]  # fmt: skip


def made_of(kind: type, *of: object) -> Any:  # noqa: ANN401 - a type, for the codec
    """Return ``kind[of]`` for types that are drawn."""
    return types.GenericAlias(kind, of)


def _nested(inside: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    keys = st.sampled_from([str, int, float, object, Colour, Level, bool])
    return st.one_of(
        inside.map(lambda of: made_of(list, of)),
        inside.map(lambda of: of | None),
        inside.map(lambda of: made_of(tuple, of, ...)),
        inside.map(lambda of: made_of(tuple, of, int)),
        st.tuples(keys, inside).map(lambda both: made_of(dict, *both)),
    )


DECLARED = st.recursive(st.sampled_from(SIMPLE), _nested, max_leaves=3)


def codec_or_none(declared: object) -> Codec[Any] | None:
    """Return the codec of a type, None if there can be none."""
    try:
        return codec_of(declared)
    except ConfigurationError:
        return None


def shape(value: object) -> object:
    """Return a value as texts of all its parts with their classes, in the order of sets."""
    kind = type(value).__qualname__
    if isinstance(value, list | tuple):
        return kind, [shape(item) for item in value]
    if isinstance(value, set | frozenset):
        return kind, sorted(repr(shape(item)) for item in value)
    if isinstance(value, dict):
        return kind, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, msgspec.Struct):
        return kind, [shape(getattr(value, name)) for name in value.__struct_fields__]
    if dataclasses.is_dataclass(value):
        return kind, [shape(getattr(value, field.name)) for field in dataclasses.fields(value)]
    return kind, repr(value)


def widened(value: object, back: object) -> object:
    """Return a value with integers as the floats that they are declared as, and only those."""
    if type(value) is int and type(back) is float:
        return float(value)
    if isinstance(value, list | tuple) and isinstance(back, list | tuple):
        items = [widened(item, other) for item, other in zip(value, back, strict=True)]
        made: Any = type(value)
        return made(*items) if hasattr(value, "_fields") else made(items)
    if isinstance(value, dict) and isinstance(back, dict):
        return {
            widened(key, theirs): widened(item, back[theirs])
            for (key, item), theirs in zip(value.items(), back, strict=True)
        }
    if isinstance(value, set | frozenset) and isinstance(back, set | frozenset):
        theirs = {item: item for item in back}
        return type(value)(widened(item, theirs[item]) for item in value)
    if isinstance(value, Line) and isinstance(back, Line):
        twin = copy.copy(value)
        twin.price = widened(value.price, back.price)  # type: ignore[assignment]
        return twin
    return value


def assert_kept(value: object, back: object) -> None:
    """Assert that a load gave a value back."""
    assert shape(widened(value, back)) == shape(back)


LINES = st.builds(Line, TEXTS, FLOATS, st.sets(TEXTS, max_size=3))
JSON = st.recursive(
    st.none() | INTS | FLOATS | TEXTS,
    lambda inside: st.lists(inside, max_size=2) | st.dictionaries(TEXTS, inside, max_size=2),
)
# A type, values of it, and values that look like such.
PLACES: list[tuple[Any, st.SearchStrategy[Any], st.SearchStrategy[Any]]] = [
    (int, INTS, INTS.map(Number) | st.sampled_from(Level) | st.booleans()),
    (str, TEXTS, TEXTS.map(Text) | st.sampled_from(Colour)),
    (float, FLOATS, FLOATS.map(Share) | INTS),
    (bool, st.booleans(), st.integers(0, 1)),
    (bytes, st.binary(), st.binary().map(bytearray)),
    (dt.datetime, MOMENTS, st.just(Moment(2024, 1, 1)) | MOMENTS.map(lambda m: m.replace(fold=1))),
    (dt.time, TIMES, st.just(dt.time(1, fold=1))),
    (dt.date, st.dates(), MOMENTS),
    (decimal.Decimal, st.decimals(), FLOATS),
    (dt.timedelta, st.timedeltas(), INTS),
    (uuid.UUID, st.uuids(), st.uuids().map(str)),
    (Colour, st.sampled_from(Colour), st.just("red")),
    (Level, st.sampled_from(Level), st.just(1)),
    (Pair, st.builds(Pair, INTS, TEXTS), st.tuples(INTS, TEXTS)),
    (tuple[int, str], st.tuples(INTS, TEXTS), st.builds(Pair, INTS, TEXTS)),
    (set[int], st.sets(INTS, max_size=3), st.frozensets(INTS | st.sampled_from(Level))),
    (set[float], st.sets(FLOATS, max_size=3), st.sets(FLOATS | INTS, max_size=3)),
    (Card, st.builds(Card, INTS, st.none() | TEXTS), st.builds(Card, INTS, LEAVES)),
    (Line, LINES, st.builds(Line, TEXTS, INTS) | st.builds(Special, TEXTS)),
    (
        Movie,
        st.fixed_dictionaries({"title": TEXTS}, optional={"year": INTS}),
        st.just({"title": "a", "odd": 1}) | st.just(collections.OrderedDict(title="b")),
    ),
    (Tree, st.builds(Tree, TEXTS, st.just([Tree("b")])), st.just(Tree("b", (Tree(),)))),  # type: ignore[arg-type]
    (object, JSON, VALUES),
]
Drawn = tuple[Any, st.SearchStrategy[Any]]


@st.composite
def placed(draw: st.DrawFn, *, near: bool) -> tuple[object, Any]:
    """Draw a type and a value of it; with ``near`` also one that only looks like it."""
    declared, values, alike = draw(st.sampled_from(PLACES))
    if near:
        values |= alike
    for _ in range(draw(st.integers(0, 2))):
        lists = st.lists(values, max_size=3)
        entries = st.dictionaries(TEXTS, values, max_size=3)
        made: list[Drawn] = [
            (made_of(list, declared), lists | lists.map(Row) | lists.map(tuple) if near else lists),
            (
                made_of(dict, str, declared),
                entries
                | entries.map(collections.OrderedDict)
                | st.dictionaries(KEYS, values, max_size=2)
                if near
                else entries,
            ),
            (made_of(tuple, declared, ...), lists.map(tuple) | lists if near else lists.map(tuple)),
            (declared | None, st.none() | values),
        ]
        declared, values = draw(st.sampled_from(made))
    return declared, draw(values)


@given(placed(near=True) | st.tuples(DECLARED, VALUES))
def test_any_value_comes_back_or_is_refused(both: tuple[object, Any]) -> None:
    """A value of any class comes back the same in every part, or is a StateError with a path."""
    declared, value = both
    codec = codec_or_none(declared)
    if codec is None:
        return
    try:
        text = codec.encode(value, "state.f")
    except StateError as error:
        assert str(error).startswith("state.f")  # noqa: PT017 - one of the two outcomes
        assert "\n" not in str(error)  # noqa: PT017
        return
    back = codec.decode(text)
    assert_kept(value, back)
    assert codec.encode(back, "state.f") == text  # so that only reading it writes nothing


@given(placed(near=False))
def test_what_is_certain_needs_no_proof(both: tuple[object, Any]) -> None:
    """A value that is passed by its classes alone is one that decoding proves."""
    declared, value = both
    certain = certain_of(msgspec.inspect.type_info(declared))
    assert certain is not None
    codec = codec_of(declared)
    if not certain(value):
        return
    try:
        text = codec.encode(value, "state.f")
    except StateError as error:
        assert "lone surrogate" in error.problem  # noqa: PT017 - the encoder finds it, not we
        return
    assert likeness(value, codec.decode(text)) is SAME
    assert_kept(value, codec.decode(text))


@given(placed(near=True))
def test_collections_keep_it_too(both: tuple[object, Any]) -> None:
    """Items of a Log come back as plain fields do, or are refused and not in it."""
    declared, value = both
    codec = codec_or_none(declared)
    if codec is None:
        return
    log: Log[Any] = Log()
    log._codec = codec  # as a system gives it one
    try:
        log.append(value)
    except StateError as error:
        assert error.path.startswith("log[0]")  # noqa: PT017 - refused with its path
        assert not log
    else:
        assert_kept(value, log[0])


@given(KEYS)
def test_map_keys(key: Any) -> None:  # noqa: ANN401 - also what is no key
    """A key is of exactly str or int and of 64 bits; any other is refused, and is not in it."""
    entries: Map[Any, int] = Map()
    whole = type(key) is int and -(2**63) <= key < 2**63
    if whole or (
        type(key) is str and key != "\ud800" and not any("\ud7ff" < c < "\ue000" for c in key)
    ):
        entries[key] = 1
        assert key in entries
        assert [type(each) for each in entries] == [type(key)]
    else:
        with pytest.raises(StateError, match=r"^map: the key"):
            entries[key] = 1
        assert key not in entries
        assert entries.get(key) is None


ADVICE = [
    (dt.datetime, dt.datetime(2026, 3, 28, 9, tzinfo=PARIS), "", r"Europe/Paris.*astimezone"),
    (dt.datetime, dt.datetime(2026, 10, 25, 2, 30, fold=1), "", "fold=0; store it in UTC"),  # noqa: DTZ001
    (list[dt.time], [dt.time(12, tzinfo=PARIS)], "[0]", "time zone Europe/Paris.*beside it"),
    (dt.datetime, dt.datetime(2026, 1, 1, tzinfo=NAMED), "", "would come back as"),
    (dict[str, object], {"c": Colour.RED}, "['c']", "declare Colour, or store its value"),
    (list[str], [Colour.RED], "[0]", "would come back as 'red'"),
    (dict[str, int], {Colour.RED: 1}, " key <Colour.RED: 'red'>", "come back as 'red'"),
    (dict[str, object], {"c": Level.LOW}, "['c']", "come back as 1"),
    (dict[str, dict[str, int]], {"a": collections.Counter("b")}, "['a']", r"a Counter, store dict"),
    (dict[str, dict[str, int]], {"a": collections.OrderedDict()}, "['a']", "store dict"),
    (list[tuple[int, str]], [Pair(1, "b")], "[0]", "it is a Pair, store tuple"),
    (list[set[int]], [frozenset({1})], "[0]", "come back as {1}"),
    (list[bytes], [bytearray(b"x")], "[0]", "come back as b'x'"),
    (list[int], [0, Number(3)], "[1]", r"it is a Number; store int\(x\)"),
    (list[float], [Share(0.5)], "[0]", r"it is a Share; store float\(x\)"),
    (dict[str, str], {"a": Text("b")}, "['a']", r"it is a Text; store str\(x\)"),
    (list[list[int]], [Row([1])], "[0]", "it is a Row, store list"),
    (Card, Card(1, (1, 2)), ".note", r"\(1, 2\) would come back as \[1, 2\]"),
    (list[Line], [Special("x")], "[0]", "would come back as Line"),
    (set[int], {1, Level.HIGH}, "{...}", "declare Level"),
    (list[float], [float32()], "[0]", r"store float\(x\) of a numpy\.float32"),
    (list[object], [datetime64()], "[0]", r"store x\.item\(\) of a numpy\.datetime64"),
    (dict[str, object], {"a": Model()}, "['a']", "model_dump"),
    (list[object], [1, collections.deque()], "[1]", r"\]\) cannot be stored; objects of deque"),
    (object, {"a": 10**5000}, "['a']", "so many digits"),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "value", "where", "text"), ADVICE, ids=range(len(ADVICE)))
def test_what_only_looks_the_same_is_refused(
    declared: object, value: object, where: str, text: str
) -> None:
    """What equals its load but is another thing is refused with its path and what to do."""
    with pytest.raises(StateError, match=text) as refused:
        codec_of(declared).encode(value, "state.f")
    assert refused.value.path == f"state.f{where}"


def test_attributes_that_no_field_holds_are_refused() -> None:
    """An object with an attribute of its own beside its fields is refused: it would be lost."""
    card = Card(1)
    card.extra = 5  # type: ignore[attr-defined]
    with pytest.raises(StateError, match=r"^state\.f: "):
        codec_of(Card).encode(card, "state.f")


def test_long_chains_come_back() -> None:
    """A record that holds itself hundreds of times comes back."""
    tree = Tree("leaf")
    for level in range(200):
        tree = Tree(str(level), [tree])
    codec = codec_of(Tree)
    assert likeness(codec.decode(codec.encode(tree, "state.f")), tree) is SAME


def test_likeness_looks_at_what_is_left_out_of_equality() -> None:
    """Two records that are equal by their own comparison differ if one of their fields does."""
    assert Card(1, "a") == Card(1, "b")
    assert likeness(Card(1, "a"), Card(1, "b")) is DIFFERENT
    assert likeness(Line("a"), Line("a")) is SAME


SETS = """
import msgspec
from perdure.persistence.codec.codec import codec_of
class Line(msgspec.Struct):
    tags: set[str]
    more: dict[str, frozenset[tuple[int, str]]]
pairs = frozenset((number, f"x{number}") for number in range(50))
line = Line({f"t{number}" for number in range(50)}, {"b": pairs, "a": frozenset()})
print(codec_of(list[Line]).encode([line], "state.f"))
"""


def test_equal_sets_have_one_text() -> None:
    """Processes that order sets differently encode equal ones alike, and dictionaries as made."""
    texts = {
        subprocess.run(
            [sys.executable, "-c", SETS],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    (text,) = texts
    assert text.index('"b"') < text.index('"a"')
