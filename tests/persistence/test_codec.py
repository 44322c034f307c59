"""Values are stored exactly or refused with the path of what cannot be."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import math
import uuid
from typing import Annotated, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from perdure.persistence.codec.codec import check_storable, codec_of
from perdure.persistence.codec.exact import DEEPEST
from perdure.persistence.errors import ConfigurationError, CorruptState, StateError


class Colour(enum.Enum):
    """An enumeration by name."""

    RED = "red"


class Level(enum.IntEnum):
    """An enumeration that is an int."""

    LOW = 1


class Point(msgspec.Struct):
    """A struct."""

    x: float
    tags: list[str] = []


class Circle(msgspec.Struct, tag=True, frozen=True):
    """One side of a tagged union."""

    r: float


class Square(msgspec.Struct, tag=True, frozen=True):
    """The other."""

    a: float


@dataclasses.dataclass
class Card:
    """A dataclass."""

    suit: str
    rank: int | None = None


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: str


class Movie(TypedDict):
    """A typed dictionary."""

    title: str


class Chain(msgspec.Struct):
    """A type that contains itself, and something odd at the end."""

    rest: Chain | None = None
    last: complex = 0j


NAIVE = dt.datetime(1, 1, 1)  # noqa: DTZ001 - users have such values
AWARE = dt.datetime(2024, 2, 29, 23, 59, 59, 999999, tzinfo=dt.timezone(dt.timedelta(hours=2)))

ROUND = [
    (int, 2**64), (int, -(10**4298)), (object, 2**64), (object, {"a": [-(2**63) - 1]}),
    (int, -(2**63)), (int, 2**64 - 1), (int, 0), (float, 0.1), (float, -0.0), (float, 5e-324),
    (float, 1.7976931348623157e308), (bool, True), (str, ""), (str, '\0\x1f"\\\u2028'),
    (str, "\U0010ffff"), (bytes, b"\0\xff"), (type(None), None), (int | None, None),
    (str | int, 7), (float | None, 3), (list[int], []), (list[list[int]], [[1], []]),
    (dict[str, int], {"": 1, "a\0": 2}), (dict[int, str], {-1: "x"}), (dict[float, int], {0.5: 1}),
    (dict[uuid.UUID, int], {uuid.UUID(int=5): 1}), (dict[dt.date, int], {dt.date(1, 1, 1): 1}),
    (set[int], {3, 1}), (frozenset[str], frozenset({"a"})), (tuple[int, ...], (1, 2)),
    (tuple[int, str], (1, "a")), (dt.datetime, NAIVE), (dt.datetime, AWARE),
    (dt.date, dt.date(9999, 12, 31)), (dt.time, dt.time(23, 59, 59, 1)),
    (dt.timedelta, dt.timedelta(days=-1, microseconds=1)), (uuid.UUID, uuid.UUID(int=2**128 - 1)),
    (decimal.Decimal, decimal.Decimal("1.00")), (Colour, Colour.RED), (Level, Level.LOW),
    (Literal["a", 1], "a"), (Point, Point(1.5, ["x"])), (Circle | Square, Square(2.0)),
    (list[Circle | Square], [Circle(1.0), Square(2.0)]), (Card, Card("clubs", 3)),
    (Pair, Pair(1, "b")), (Movie, {"title": "M"}), (Annotated[int, msgspec.Meta(ge=0)], 5),
    (object, None), (object, [1, 2.5, "a", True, {"k": [None]}]), (dict[str, object], {"a": [1]}),
    (list[dict[str, list[Point]]], [{"p": [Point(0.0)]}]), (msgspec.Raw, msgspec.Raw(b"[1]")),
]  # fmt: skip


@pytest.mark.parametrize(("declared", "value"), ROUND, ids=range(len(ROUND)))
def test_every_type_comes_back(declared: object, value: object) -> None:
    """A value of a declared type decodes to an equal value, of the declared class."""
    codec = codec_of(declared)
    decoded = codec.decode(codec.encode(value, "state.f"))
    assert decoded == value
    assert decoded.__class__ is value.__class__ or (declared, value) == (float | None, 3)
    if isinstance(value, float):
        assert math.copysign(1, value) == math.copysign(1, float(str(decoded)))


def nested(levels: int) -> object:
    """Return lists in lists."""
    value: object = []
    for _ in range(levels - 1):
        value = [value]
    return value


def cycle() -> object:
    """Return a structure that contains itself."""
    value: dict[str, object] = {"a": [{}]}
    value["a"] = [{"b": value}]
    return value


class Rude:
    """Raises whatever one does with it."""

    def __eq__(self, other: object) -> bool:
        raise ArithmeticError(other)

    __hash__ = object.__hash__


REFUSED = [
    (float, math.nan, "", "NaN"),
    (float | None, math.nan, "", "NaN"),
    (list[float], [1.0, math.inf], "[1]", "infinity"),
    (dict[str, list[float]], {"a": [0.0, -math.inf]}, "['a'][1]", "infinity"),
    (object, {"a": {"b": [1, math.nan]}}, "['a']['b'][1]", "NaN"),
    (Point, Point(math.nan), ".x", "NaN"),
    (list[Card], [Card("\udc00")], "[0].suit", "lone surrogate at character 0"),
    (int, 10**4300, "", "so many digits"),
    (object, [[0, -(10**5000)]], "[0][1]", "so many digits"),
    (str, "ab\ud800", "", "lone surrogate at character 2"),
    (list[str], ["ok", "\udfff"], "[1]", "lone surrogate at character 0"),
    (object, {"a": [{"b": "x\ud83d"}]}, "['a'][0]['b']", "lone surrogate at character 1"),
    (dict[str, int], {"\ud800": 1}, " key '\\ud800'", "lone surrogate"),
    (set[str], {"\ud800"}, "{...}", "lone surrogate"),
    (object, cycle(), "['a'][0]['b']", "contains itself"),
    (object, nested(DEEPEST + 1), "", f"deeper than {DEEPEST}"),
    (object, nested(100_000), "", f"deeper than {DEEPEST}"),
    (object, (1, 2), "", "(1, 2) would come back as [1, 2]"),
    (object, {"a": [(1,)]}, "['a'][0]", "(1,) would come back as [1]"),
    (list[object], [0, {3}], "[1]", "{3} would come back as [3]"),
    (object, {"at": dt.date(2024, 1, 1)}, "['at']", "would come back as '2024-01-01'"),
    (object, b"x", "", "would come back as 'eA=='"),
    (object, {"a": {1: 2}}, "['a'] key 1", "1 would come back as '1'"),
    (object, {None: 1}, "", "Only dicts with str-like"),
    (object, Level.LOW, "", "<Level.LOW: 1> would come back as 1"),
    (object, Point(1.0), "", "would come back as {'x': 1.0, 'tags': []}"),
    (dict, collections.defaultdict(int, a=1), "", "would come back as {'a': 1}"),
    (tuple[int, str], Pair(1, "b"), "", "would come back as (1, 'b')"),
    (int, 1.5, "", "Expected `int`, got `float`"),
    (int, True, "", "Expected `int`, got `bool`"),
    (str, 5, "", "Expected `str`, got `int`"),
    (bool, 1, "", "Expected `bool`, got `int`"),
    (list[int], [1, "2"], "[1]", "Expected `int`, got `str`; the field is declared list[int]"),
    (Point, Point("far"), ".x", "Expected `float`, got `str`"),  # type: ignore[arg-type]
    (Annotated[int, msgspec.Meta(ge=0)], -1, "", "Expected `int` >= 0"),
    (Literal["a"], "b", "", "Invalid enum value 'b'"),
    (list[float], [2**53 + 1], "[0]", "would come back as"),
    (decimal.Decimal, decimal.Decimal("nan"), "", "does not equal what a load makes of it"),
    (decimal.Decimal, decimal.Decimal("snan"), "", "InvalidOperation"),
    (object, object(), "", "unsupported"),
    (object, Rude(), "", "unsupported"),
    (object, 1j, "", "unsupported"),
]


@pytest.mark.parametrize(
    ("declared", "value", "where", "problem"), REFUSED, ids=range(len(REFUSED))
)
def test_what_cannot_be_stored_is_refused(
    declared: object, value: object, where: str, problem: str
) -> None:
    """A value JSON would change or lose raises StateError with its exact path and the reason."""
    with pytest.raises(StateError) as refused:
        codec_of(declared).encode(value, "state.f")
    assert refused.value.path == f"state.f{where}"
    assert problem in refused.value.problem
    assert len(str(refused.value)) < 400
    assert "\n" not in str(refused.value)


def test_deepest_allowed_value_comes_back() -> None:
    """Nesting to the limit is stored, also with thousands of shallow parts, or brackets in text."""
    codec = codec_of(object)
    for value in (nested(DEEPEST), [[i] for i in range(5000)], [r'[[{"\"'] * DEEPEST):
        assert codec.decode(codec.encode(value, "state.f")) == value


def test_type_the_decoder_cannot_make_is_refused() -> None:
    """A type that no decoder can be made for is refused when its class is declared."""
    with pytest.raises(ConfigurationError, match="not a type that can be stored"):
        codec_of(dict[tuple[int, int], int] | dict[str, int])


def test_class_without_json_form_is_refused_by_name() -> None:
    """A class JSON has no form for is found however deep it stands in a declared type."""
    strange: list[object] = [complex, list[dict[str, complex | None]], Chain]
    for declared in strange:
        with pytest.raises(ConfigurationError, match=r"S\.f cannot be stored: .* of complex"):
            check_storable(declared, "S.f")
    for known, _ in ROUND:
        check_storable(known, "S.f")


def test_load_names_what_does_not_decode() -> None:
    """Stored text of another type raises CorruptState with the place and the declared type."""
    with pytest.raises(CorruptState) as corrupt:
        codec_of(list[int]).load('["a"]', "state.f", 3)
    assert corrupt.value.where == "state.f[3]"
    assert "list[int]" in corrupt.value.reason
