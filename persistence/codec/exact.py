"""Compare a value with what a load makes of it: the same values of the same classes, everywhere.

``==`` is not enough: a StrEnum equals its text, a defaultdict a dict, 09:00 in Paris equals 08:00
in UTC, and a dataclass may leave fields out of its comparison.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import functools
import types
import uuid
from collections.abc import Callable, Hashable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from enum import IntEnum
from itertools import chain
from typing import Any, Final, cast

import msgspec

SMALLEST_INT: Final = -(2**63)
LARGEST_INT: Final = 2**64 - 1
DEEPEST: Final = 512
"""Levels of nesting a stored value may have; beyond it decoders differ in what they accept."""


class Likeness(IntEnum):
    """Say how like its load a value is; the larger, the less."""

    SAME = 0
    WIDER = 1
    """The same but for integers in places declared ``float``, which a load makes floats of."""
    DIFFERENT = 2


SAME, WIDER, DIFFERENT = Likeness.SAME, Likeness.WIDER, Likeness.DIFFERENT

Parts = Iterable[tuple[object, object]] | None
"""What stands in the same places of two values of a class; None if they differ by themselves."""
Inside = Callable[[Any, Any], Parts]

# Classes whose equal objects differ in nothing.
_ATOMS: Final[frozenset[type]] = frozenset(
    {bool, int, str, bytes, bytearray, float, types.NoneType, uuid.UUID, dt.date, dt.timedelta}
)


def fits(value: object) -> bool:
    """Tell whether a value is an integer, of no other class, of 64 bits."""
    return type(value) is int and SMALLEST_INT <= value <= LARGEST_INT


def likeness(value: object, decoded: object) -> Likeness:
    """Tell how like ``value``, which has no circles, is what a load gives in its place.

    Raises what the classes of values raise when they are compared.
    """
    worst = SAME
    waiting = [(value, decoded)]
    while waiting:
        left, right = waiting.pop()
        kind = type(left)
        if kind is not type(right):
            if not _wider(left, right):
                return DIFFERENT
            worst = WIDER
        elif kind in _ATOMS:
            if left != right:
                return DIFFERENT
        else:
            inside = _BY_CLASS.get(kind) or _inside_of(cast("Hashable", kind))
            parts = inside(left, right)
            if parts is None:
                return DIFFERENT
            waiting.extend(parts)
    return worst


def _wider(value: object, decoded: object) -> bool:
    # Beyond 64 bits a decoder may make a float of an integer also where none is declared.
    return type(decoded) is float and value == decoded and fits(value)


def _sequence(value: Sequence[object], decoded: Sequence[object]) -> Parts:
    return zip(value, decoded, strict=True) if len(value) == len(decoded) else None


def _mapping(value: dict[object, object], decoded: dict[object, object]) -> Parts:
    if len(value) != len(decoded):
        return None
    # A load keeps their order.
    keys = zip(value, decoded, strict=True)
    return chain(keys, zip(value.values(), decoded.values(), strict=True))


def _set(value: AbstractSet[object], decoded: AbstractSet[object]) -> Parts:
    if value != decoded:
        return None
    theirs = {item: item for item in decoded}
    return [(item, theirs[item]) for item in value]


def _decimal(value: decimal.Decimal, decoded: decimal.Decimal) -> Parts:
    return () if value == decoded and value.as_tuple() == decoded.as_tuple() else None


def _moment(value: dt.datetime | dt.time, decoded: dt.datetime | dt.time) -> Parts:
    """Compare dates or times of day with their zones: an offset is not the zone it is of today."""
    same = (
        value == decoded
        and value.fold == decoded.fold
        and type(value.tzinfo) is type(decoded.tzinfo)
        and value.utcoffset() == decoded.utcoffset()
        and value.tzname() == decoded.tzname()
    )
    return () if same else None


def _member(value: object, decoded: object) -> Parts:
    return () if value is decoded or value == decoded else None


_BY_CLASS: Final[dict[type, Inside]] = {
    list: _sequence,
    tuple: _sequence,
    dict: _mapping,
    set: _set,
    frozenset: _set,
    decimal.Decimal: _decimal,
    dt.datetime: _moment,
    dt.time: _moment,
}


@functools.lru_cache(maxsize=4096)
def _inside_of(kind: type) -> Inside:
    """Return how objects of a class of somebody's own are compared."""
    names = fields_of(kind)
    if names is not None:
        return functools.partial(_record, names, {*names, *_cached_of(kind)})
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        return _named_tuple
    return _member


def _named_tuple(value: tuple[object, ...], decoded: tuple[object, ...]) -> Parts:
    if getattr(value, "__dict__", None):  # of a subclass: a load gives none of it back
        return None
    return _sequence(value, decoded)


def _record(names: tuple[str, ...], known: set[str], value: object, decoded: object) -> Parts:
    """Compare field by field: what its class leaves out of ``==`` is to come back as well."""
    attributes: dict[str, object] | None = getattr(value, "__dict__", None)
    if attributes and not attributes.keys() <= known:
        return None
    return [(getattr(value, name, _ABSENT), getattr(decoded, name, _ABSENT)) for name in names]


_ABSENT: Final = object()


def fields_of(kind: type) -> tuple[str, ...] | None:
    """Return the names of a record class's fields: struct, dataclass, attrs; None for others."""
    if issubclass(kind, msgspec.Struct):
        return kind.__struct_fields__
    if dataclasses.is_dataclass(kind):
        return tuple(field.name for field in dataclasses.fields(kind))
    attributes = getattr(kind, "__attrs_attrs__", None)
    return None if attributes is None else tuple(each.name for each in attributes)


def _cached_of(kind: type) -> list[str]:
    """Return the names under which objects of a class keep what they have computed."""
    return [
        name
        for each in kind.__mro__
        for name, found in vars(each).items()
        if isinstance(found, functools.cached_property)
    ]
