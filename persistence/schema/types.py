"""Types as they are stored: what of a declared type decides whether a stored value fits it."""

from __future__ import annotations

import enum
import itertools
import typing
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import inspect

from ..codec.explain import name_of
from ..secrets.detector import sensitive

CALL: Final = "call"
"""The form of a method's type: its members are the parameters, in order."""
BY_POSITION: Final = "position"
BY_NAME: Final = "name"
AGAIN: Final = "again"
"""The form of a record inside of itself; ``up`` says how many records further out it stands."""
_LIMITS: Final = (
    "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz",
)  # fmt: skip
_EMPTY: Final[dict[object, str]] = {list: "[]", dict: "{}", set: "[]", bytearray: '""'}
"""What msgspec's own factories of ``[]`` and the like give."""


class TypeNode(msgspec.Struct, frozen=True, omit_defaults=True):
    """Describe a type; nodes of equal ``canonical()`` take the same stored values."""

    form: str
    """``int``, ``list``, ``record``, ``union``, ...; names of JSON's and Python's own types."""
    name: str = ""
    """The name of its class, for people: no part of what is stored."""
    inside: tuple[TypeNode, ...] = ()
    """Of a list or set its items; of a dict keys and values; of a union and a tuple each."""
    members: tuple[Member, ...] = ()
    """Of a record, in the order of its class."""
    values: tuple[str, ...] = ()
    """Of an enumeration or a literal, as JSON."""
    limits: tuple[tuple[str, str], ...] = ()
    """What its values must keep to, by msgspec's names."""
    tag: tuple[str, str] | None = None
    """The member that says which record it is, and what stands in it as JSON."""
    row: bool = False
    """A record that is stored as a list."""
    closed: bool = False
    """A record that refuses members it does not know."""
    up: int = 0


class Member(msgspec.Struct, frozen=True, omit_defaults=True):
    """Describe a field of a state or a record, a method, or a parameter."""

    name: str
    type: TypeNode
    store: str = ""
    """How a field of a state is stored: "" as one value, ``log``, ``map`` or ``map[int]``."""
    required: bool = False
    """It has no default: a stored value must have it."""
    default: str = ""
    """Its default as JSON; "" where it has none, is computed, or is nothing to write down."""
    computed: bool = False
    """Its default is made anew each time."""
    aliases: tuple[str, ...] = ()
    """Under which names it was stored before."""
    given: str = ""
    """How messages give a parameter: ``position`` or ``name``, only so; "" in either way."""


ANY: Final = TypeNode("any")


def node_of(declared: object) -> TypeNode:
    """Return the node of a declared type; one without a JSON form is ``other``."""
    try:
        return _describe(inspect.type_info(declared), ())
    except (TypeError, NameError, ValueError, RecursionError):
        return TypeNode("other", name_of(declared), limits=(("class", name_of(declared)),))


def default_text(value: object) -> str:
    """Return a default as JSON; "" if there is no such text."""
    try:
        return msgspec.json.encode(value, order="sorted").decode()
    except (TypeError, ValueError, RecursionError):
        return ""


def start_of(name: str, default: object, factory: object) -> tuple[str, bool]:
    """Return what a field begins with as JSON, and whether it is computed anew each time.

    Nothing is told of one that may be a secret, by its name.
    """
    if factory is not msgspec.NODEFAULT:
        known = _EMPTY.get(factory)
        return ("", True) if known is None else (known, False)
    hidden = default is msgspec.NODEFAULT or sensitive(name)
    return ("" if hidden else default_text(default)), False


def aliases_of(record: type, name: str) -> tuple[str, ...]:
    """Return the earlier names of a field, as its class declares them in ``renamed_fields``."""
    renamed: dict[str, str] = getattr(record, "renamed_fields", {})
    return tuple(sorted(old for old, new in renamed.items() if new == name))


def canonical(node: TypeNode) -> list[object]:
    """Return all of a node that decides what fits it, in one order."""
    return [
        node.form,
        _listed(node),
        [canonical_member(member) for member in _ordered(node)],
        sorted(node.values),
        sorted(node.limits),
        list(node.tag or ()),
        node.row,
        node.closed,
        node.up,
    ]


def canonical_member(member: Member) -> list[object]:
    """Return all of a member that decides what fits it, and what it begins with."""
    found: list[object] = [
        member.name, canonical(member.type), member.store, member.required, member.default,
        member.computed, list(member.aliases),
    ]  # fmt: skip
    return [*found, member.given] if member.given else found


def _listed(node: TypeNode) -> list[object]:
    inside: list[object] = [canonical(each) for each in node.inside]
    if node.form == "union":
        inside.sort(key=msgspec.json.encode)
    return inside


def _ordered(node: TypeNode) -> list[Member]:
    """Return members in the order in which they are stored, or in one where that says nothing."""
    if node.row:
        return list(node.members)
    placed = by_position(node) if node.form == CALL else []
    there = {each.name for each in placed}
    rest = [each for each in node.members if each.name not in there]
    return placed + sorted(rest, key=lambda each: each.name)


def by_position(call: TypeNode) -> list[Member]:
    """Return the parameters of a method that messages may give by position, in their places."""
    named = itertools.takewhile(lambda each: not each.name.startswith("*"), call.members)
    return [each for each in named if each.given != BY_NAME]


def rest_of(call: TypeNode) -> Member | None:
    """Return the parameter of a method that takes any number by position."""
    return next((m for m in call.members if m.name[:1] == "*" != m.name[1:2]), None)


_Outer: typing.TypeAlias = tuple[object, ...]
"""The classes of the records around a place, the innermost first."""


def _describe(info: object, outer: _Outer) -> TypeNode:
    if isinstance(info, inspect.Metadata):
        return _describe(info.type, outer)
    make = _FORMS.get(type(info))
    if make is not None:
        return make(info, outer)
    form = _PLAIN.get(type(info), "other")
    return TypeNode(form, limits=_limits(info))


def _limits(info: object) -> tuple[tuple[str, str], ...]:
    found = ((name, getattr(info, name, None)) for name in _LIMITS)
    return tuple((name, str(value)) for name, value in found if value is not None)


def _enumeration(info: inspect.EnumType, _outer: _Outer) -> TypeNode:
    cls: type[enum.Enum] = info.cls
    return TypeNode("enum", cls.__name__, values=tuple(default_text(m.value) for m in cls))


def _literal(info: inspect.LiteralType, _outer: _Outer) -> TypeNode:
    return TypeNode("literal", values=tuple(map(default_text, info.values)))


def _custom(info: inspect.CustomType, _outer: _Outer) -> TypeNode:
    if info.cls is object:
        return ANY  # a codec takes any JSON for it
    origin = typing.get_origin(info.cls) or info.cls
    name = getattr(origin, "__name__", str(origin))
    inside = tuple(node_of(each) for each in typing.get_args(info.cls))
    return TypeNode("custom", name, inside, limits=(("class", name),))


def _union(info: inspect.UnionType, outer: _Outer) -> TypeNode:
    return TypeNode("union", inside=tuple(_describe(each, outer) for each in info.types))


def _items(info: Any, outer: _Outer) -> TypeNode:  # noqa: ANN401 - several classes with one field
    form = {
        inspect.SetType: "set", inspect.FrozenSetType: "frozenset", inspect.ListType: "list",
    }.get(type(info), "tuple of any length")  # fmt: skip
    return TypeNode(form, inside=(_describe(info.item_type, outer),), limits=_limits(info))


def _tuple(info: inspect.TupleType, outer: _Outer) -> TypeNode:
    return TypeNode("tuple", inside=tuple(_describe(each, outer) for each in info.item_types))


def _dict(info: inspect.DictType, outer: _Outer) -> TypeNode:
    return TypeNode(
        "dict", inside=(_describe(info.key_type, outer), _describe(info.value_type, outer))
    )


def _record(info: Any, outer: _Outer) -> TypeNode:  # noqa: ANN401 - four classes of records
    cls = typing.get_origin(info.cls) or info.cls
    if info.cls in outer:
        return TypeNode(AGAIN, cls.__name__, up=outer.index(info.cls))
    around = (info.cls, *outer)
    members = tuple(_member(field, around) for field in info.fields)
    tag = getattr(info, "tag_field", None)
    return TypeNode(
        "record",
        cls.__name__,
        members=members,
        tag=None if tag is None else (tag, default_text(info.tag)),
        row=isinstance(info, inspect.NamedTupleType) or getattr(info, "array_like", False),
        closed=getattr(info, "forbid_unknown_fields", False),
    )


def _member(field: inspect.Field, outer: _Outer) -> Member:
    default, computed = start_of(field.name, field.default, field.default_factory)
    return Member(
        field.encode_name,
        _describe(field.type, outer),
        required=field.required,
        default=default,
        computed=computed,
    )


_FORMS: Final[dict[type, Callable[[Any, _Outer], TypeNode]]] = {
    inspect.EnumType: _enumeration,
    inspect.LiteralType: _literal,
    inspect.CustomType: _custom,
    inspect.UnionType: _union,
    inspect.ListType: _items,
    inspect.SetType: _items,
    inspect.FrozenSetType: _items,
    inspect.VarTupleType: _items,
    inspect.TupleType: _tuple,
    inspect.DictType: _dict,
    inspect.StructType: _record,
    inspect.DataclassType: _record,
    inspect.TypedDictType: _record,
    inspect.NamedTupleType: _record,
}
_PLAIN: Final[dict[type, str]] = {
    inspect.AnyType: "any",
    inspect.NoneType: "null",
    inspect.BoolType: "bool",
    inspect.IntType: "int",
    inspect.FloatType: "float",
    inspect.StrType: "str",
    inspect.BytesType: "bytes",
    inspect.ByteArrayType: "bytes",
    inspect.MemoryViewType: "bytes",
    inspect.DateTimeType: "datetime",
    inspect.TimeType: "time",
    inspect.DateType: "date",
    inspect.TimeDeltaType: "timedelta",
    inspect.UUIDType: "uuid",
    inspect.DecimalType: "decimal",
    inspect.RawType: "any",
}
