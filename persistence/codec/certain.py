"""Values that need no proof: their classes alone say that they come back as they are.

The check of a declared type is made once. It looks at each value, and at the items of a list of
numbers or texts together, which Python does faster than it could decode them.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import operator
import types
import typing
import uuid
from collections.abc import Callable, Collection, Iterable
from itertools import chain
from typing import Any, Final, NamedTuple

from msgspec import inspect

from .exact import LARGEST_INT, SMALLEST_INT

Check = Callable[[Any], bool]
"""Tell whether a value comes back as it is."""


class Part(NamedTuple):
    """What may stand in one place of a declared type."""

    kinds: frozenset[type]
    """The classes of such values."""
    one: Check | None = None
    """The check of a value of these classes; None if there is nothing more to look at."""
    many: Check | None = None
    """The check of a collection of them, if there is a faster one than of each."""

    def all(self, values: Collection[object]) -> bool:
        """Tell whether all come back as they are."""
        if not {*map(type, values)} <= self.kinds:
            return False
        if self.many is not None:
            return self.many(values)
        return self.one is None or all(map(self.one, values))


def certain_of(info: object) -> Check | None:
    """Return the check of a type that ``msgspec.inspect`` describes; None if all need a proof."""
    kinds, one, _ = _Compiler().part(info)
    if not kinds:
        return None

    def certain(value: object) -> bool:
        try:
            return type(value) in kinds and (one is None or one(value))
        except (AttributeError, RecursionError):  # a record that lacks a field, a long chain
            return False

    return certain


def _small(value: int) -> bool:
    """Tell whether an integer has 64 bits: of larger ones a decoder may make floats."""
    return SMALLEST_INT <= value <= LARGEST_INT


def _all_small(values: Collection[int]) -> bool:
    return not values or (min(values) >= SMALLEST_INT and max(values) <= LARGEST_INT)


def _all_finite(values: Iterable[float]) -> bool:
    return all(map(math.isfinite, values))


def _plain_moment(value: dt.datetime) -> bool:
    return (value.tzinfo is None or value.tzinfo is dt.UTC) and not value.fold


def _naive(value: dt.time) -> bool:
    return value.tzinfo is None and not value.fold


def _json(value: object) -> bool:
    """Tell whether a value is made of what JSON has, all the way down; it must have an end."""
    waiting = [value]
    while waiting:
        item: Any = waiting.pop()
        kind = type(item)
        if kind is list or (kind is dict and {*map(type, item)} <= _TEXT):
            inside = item if kind is list else item.values()
            if not {*map(type, inside)} <= _BARE:
                waiting.extend(inside)
        elif kind is int:
            if not SMALLEST_INT <= item <= LARGEST_INT:
                return False
        elif kind is float:
            if not math.isfinite(item):
                return False
        elif kind not in _BARE:
            return False
    return True


_NEVER: Final = Part(frozenset())
_TEXT: Final = frozenset({str})
_BARE: Final[frozenset[type]] = frozenset({str, bool, types.NoneType})
_JSON: Final = Part(_BARE | {int, float, list, dict}, _json)
_LEAVES: Final[dict[type, Part]] = {
    inspect.BoolType: Part(frozenset({bool})),
    inspect.NoneType: Part(frozenset({types.NoneType})),
    inspect.StrType: Part(_TEXT),
    inspect.IntType: Part(frozenset({int}), _small, _all_small),
    inspect.FloatType: Part(frozenset({float}), math.isfinite, _all_finite),
    inspect.BytesType: Part(frozenset({bytes})),
    inspect.ByteArrayType: Part(frozenset({bytearray})),
    inspect.DateTimeType: Part(frozenset({dt.datetime}), _plain_moment),
    inspect.TimeType: Part(frozenset({dt.time}), _naive),
    inspect.DateType: Part(frozenset({dt.date})),
    inspect.TimeDeltaType: Part(frozenset({dt.timedelta})),
    inspect.UUIDType: Part(frozenset({uuid.UUID})),
    inspect.DecimalType: Part(frozenset({decimal.Decimal}), decimal.Decimal.is_finite),
    inspect.AnyType: _JSON,
}
_CONSTRAINTS: Final = (
    "gt", "ge", "lt", "le", "multiple_of", "min_length", "max_length", "pattern", "tz",
)  # fmt: skip


class _Compiler:
    """Make the check of one declared type; records may hold themselves."""

    def __init__(self) -> None:
        self._known: dict[int, Part] = {}
        self._kept: list[object] = []  # so that no identity in _known is given out twice

    def part(self, info: object) -> Part:
        """Return what may stand in a place of this type."""
        if isinstance(info, inspect.Metadata):
            return self.part(info.type)
        if any(getattr(info, name, None) is not None for name in _CONSTRAINTS):
            return _NEVER
        kind = type(info)
        if kind in _LEAVES:
            return _LEAVES[kind]
        if isinstance(info, inspect.CustomType):
            return _JSON if info.cls is object else _NEVER
        make = _MAKERS.get(kind)
        if make is None:
            return _NEVER
        if id(info) not in self._known:
            self._kept.append(info)
            self._known[id(info)] = self._itself(id(info), info)
            self._known[id(info)] = make(self, info)
        return self._known[id(info)]

    def _itself(self, place: int, info: object) -> Part:
        """Return what stands for a record inside of itself."""

        def later(value: object) -> bool:
            one = self._known[place].one
            return one is None or one(value)

        owner = getattr(info, "cls", None)
        return Part(frozenset({owner}), later) if isinstance(owner, type) else _NEVER

    def items(self, info: inspect.CollectionType) -> Part:
        inside = self.part(info.item_type)
        return Part(
            frozenset({_COLLECTIONS[type(info)]}),
            inside.all,
            lambda values: inside.all([*chain.from_iterable(values)]),
        )

    def fixed_tuple(self, info: inspect.TupleType) -> Part:
        return Part(frozenset({tuple}), _row([self.part(each) for each in info.item_types]))

    def named_tuple(self, info: inspect.NamedTupleType) -> Part:
        kind = _own_class(info.cls)
        if kind is None or kind.__dictoffset__:
            return _NEVER
        return Part(frozenset({kind}), _row([self.part(field.type) for field in info.fields]))

    def dictionary(self, info: inspect.DictType) -> Part:
        keys, values = self.part(info.key_type), self.part(info.value_type)
        if keys is _JSON:
            keys = _LEAVES[inspect.StrType]  # of all keys a load makes texts
        elif not isinstance(info.key_type, inspect.StrType | inspect.IntType):
            return _NEVER
        return Part(frozenset({dict}), lambda value: keys.all(value) and values.all(value.values()))

    def typed_dict(self, info: inspect.TypedDictType) -> Part:
        parts = {field.name: self.part(field.type) for field in info.fields}
        required = {field.name for field in info.fields if field.required}

        def entries(value: dict[str, object]) -> bool:
            if not value:
                return not required
            if not required <= value.keys() <= parts.keys() or not {*map(type, value)} <= _TEXT:
                return False
            for name, item in value.items():
                kinds, one, _ = parts[name]
                if type(item) not in kinds or (one is not None and not one(item)):
                    return False
            return True

        return Part(frozenset({dict}), entries)

    def record(self, info: inspect.StructType | inspect.DataclassType) -> Part:
        kind, names = _own_class(info.cls), [field.name for field in info.fields]
        if kind is None or not names or names != _bare_fields(kind):
            return _NEVER
        count, attributes = len(names), bool(kind.__dictoffset__)
        read = operator.attrgetter(*names) if count > 1 else _single(names[0])
        row = _row([self.part(field.type) for field in info.fields])

        def fields(value: Any) -> bool:  # noqa: ANN401 - of a class that was just looked at
            return not (attributes and len(value.__dict__) != count) and row(read(value))

        return Part(frozenset({kind}), fields)

    def member(self, info: inspect.EnumType) -> Part:
        return _NEVER if issubclass(info.cls, enum.Flag) else Part(frozenset({info.cls}))

    def literal(self, info: inspect.LiteralType) -> Part:
        known = {(type(value), value) for value in info.values}
        return Part(
            frozenset(kind for kind, _ in known), lambda value: (type(value), value) in known
        )

    def union(self, info: inspect.UnionType) -> Part:
        parts = [self.part(each) for each in info.types]
        if _JSON in parts:
            return _JSON
        by_class = {kind: part.one for part in parts for kind in part.kinds}
        if sum(len(part.kinds) for part in parts) != len(by_class):
            return _NEVER  # which of them a load takes is for it to say
        checked = {kind: one for kind, one in by_class.items() if one is not None}
        if not checked:
            return Part(frozenset(by_class))

        def member(value: object) -> bool:
            one = checked.get(type(value))
            return one is None or one(value)

        return Part(frozenset(by_class), member)


def _row(parts: list[Part]) -> Check:
    """Return the check of values that stand beside each other, each in its own place."""
    places = [(kinds, one) for kinds, one, _ in parts]
    count = len(places)

    def row(values: tuple[object, ...]) -> bool:
        if len(values) != count:
            return False
        for value, (kinds, one) in zip(values, places, strict=True):
            if type(value) not in kinds or (one is not None and not one(value)):
                return False
        return True

    return row


def _single(name: str) -> Callable[[object], tuple[object, ...]]:
    read = operator.attrgetter(name)
    return lambda value: (read(value),)


def _bare_fields(kind: type) -> list[str] | None:
    """Return the fields of a record that has nothing else and runs no code when it is made."""
    if hasattr(kind, "__post_init__"):
        return None
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    fields = getattr(kind, "__struct_fields__", None)
    return None if fields is None or kind.__dictoffset__ else list(fields)


def _own_class(declared: object) -> type | None:
    """Return the class of a record, which may be given as a generic with its parameters."""
    kind = typing.get_origin(declared) or declared
    return kind if isinstance(kind, type) else None


_COLLECTIONS: Final[dict[type, type]] = {
    inspect.ListType: list,
    inspect.VarTupleType: tuple,
    inspect.SetType: set,
    inspect.FrozenSetType: frozenset,
}
_MAKERS: Final[dict[type, Callable[[_Compiler, Any], Part]]] = {
    **dict.fromkeys(_COLLECTIONS, _Compiler.items),
    inspect.TupleType: _Compiler.fixed_tuple,
    inspect.NamedTupleType: _Compiler.named_tuple,
    inspect.DictType: _Compiler.dictionary,
    inspect.TypedDictType: _Compiler.typed_dict,
    inspect.StructType: _Compiler.record,
    inspect.DataclassType: _Compiler.record,
    inspect.EnumType: _Compiler.member,
    inspect.LiteralType: _Compiler.literal,
    inspect.UnionType: _Compiler.union,
}
