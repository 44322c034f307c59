"""Sets in one order: equal sets give equal text, in whatever process they were made."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import inspect

from .exact import fields_of

_ALIKE: Final[list[set[type]]] = [{str}, {int}]
Encode = Callable[[object], bytes]


SETS: Final = (inspect.SetType, inspect.FrozenSetType)
FLOATS: Final = (inspect.FloatType,)


def holds(info: object, kinds: tuple[type, ...], seen: set[int] | None = None) -> bool:
    """Tell whether a type, as ``msgspec.inspect`` describes it, has one of ``kinds`` in it."""
    seen = set() if seen is None else seen
    if isinstance(info, kinds):
        return True
    if isinstance(info, tuple):
        return any(holds(part, kinds, seen) for part in info)
    if not isinstance(info, inspect.Type | inspect.Field | inspect.Metadata) or id(info) in seen:
        return False
    seen.add(id(info))
    return any(holds(getattr(info, name), kinds, seen) for name in info.__struct_fields__)


def ordered(value: object, encode: Encode) -> object:
    """Return ``value`` with each set as the list of its items, in the order of their texts.

    A record that holds one is copied. Only for encoding: what is returned is of no declared type.
    """
    kind = value.__class__
    if isinstance(value, set | frozenset) and kind in (set, frozenset):
        if {*map(type, value)} in _ALIKE:
            return sorted(value)
        return sorted((ordered(item, encode) for item in value), key=encode)
    if isinstance(value, list | tuple) and (kind in (list, tuple) or hasattr(kind, "_fields")):
        return [ordered(item, encode) for item in value]
    if isinstance(value, dict) and kind is dict:
        return {key: ordered(item, encode) for key, item in value.items()}
    names = fields_of(kind)
    return value if names is None else _record(value, names, encode)


def _record(value: object, names: tuple[str, ...], encode: Encode) -> object:
    fields = [(name, getattr(value, name)) for name in names if hasattr(value, name)]
    arranged = [(name, item, ordered(item, encode)) for name, item in fields]
    # Lists and dictionaries are always new; a record is copied only for the sake of a set.
    changed = [(name, new) for name, old, new in arranged if new is not old]
    if not changed:
        return value
    twin = copy.copy(value)
    for name, new in changed:
        if isinstance(twin, msgspec.Struct):
            msgspec.structs.force_setattr(twin, name, new)
        else:
            object.__setattr__(twin, name, new)
    return twin
