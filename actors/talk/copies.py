"""Copies of what passes between agents and those who talk to them: nobody holds another's parts.

A reply is a copy through and through, or is refused: a view or an iterator would let its caller
read the state while turns write it, and change it in nobody's turn. An argument of a class that
no state could hold (a lock, a callback) passes as it is: that is what asks are for.
"""

from __future__ import annotations

import copy
import functools
import types
from collections import ChainMap, deque
from collections.abc import Callable, Iterable, Iterator, MappingView
from typing import Any, Final

import msgspec
from pykka import Actor

from ...persistence.codec.codec import IMMUTABLE
from ...persistence.codec.defaults import frozen
from ...persistence.codec.exact import fields_of
from ...persistence.errors import StateError
from ...persistence.state.log import Log
from ...persistence.state.map import Map

PLAIN: Final = frozenset({int, str, bool, type(None), float, bytes})
"""Types whose values need no copy."""
Foreign = Callable[[Any], object]
"""Say what becomes of an object that is no plain value, collection or record."""

_FIXED: Final = (type, types.ModuleType, types.EllipsisType, types.NotImplementedType)
_OURS: Final = __name__.partition(".")[0] + "."


def detach(value: object) -> object:
    """Return an argument without ties to who sends it.

    Collections become plain ones and mutable containers are copied, also inside records; other
    objects pass as they are.
    """
    return _copy(value, _as_it_is)


def reply_of(value: object) -> object:
    """Return a reply that shares nothing that can change with the agent's state.

    StateError for what cannot be copied: views, iterators, bound methods, functions that hold on
    to something, objects that ``copy.deepcopy`` does not take.
    """
    return _copy(value, _copied)


def _copy(value: object, foreign: Foreign) -> object:
    kind = value.__class__
    if kind in PLAIN:
        return value
    if kind is list:
        return [_copy(item, foreign) for item in value]  # type: ignore[attr-defined]
    if kind is dict:
        return {
            (key if key.__class__ in PLAIN else _copy(key, foreign)): _copy(item, foreign)
            for key, item in value.items()  # type: ignore[attr-defined]
        }
    if kind is tuple:
        return tuple([_copy(item, foreign) for item in value])  # type: ignore[attr-defined]
    if kind in IMMUTABLE:
        return value
    return _copy_rarer(value, foreign)


def _copy_rarer(value: object, foreign: Foreign) -> object:  # noqa: PLR0911 - a line for each kind
    kind = type(value)
    if isinstance(value, Log):
        return list(value)  # reading decodes: the items are fresh
    if isinstance(value, Map):
        return {key: _copy(item, foreign) for key, item in value.items()}
    names = fields_of(kind)
    if names is not None:
        return _copy_record(value, names, foreign)
    if isinstance(value, tuple) and hasattr(kind, "_fields"):
        named: Any = kind
        return tuple.__new__(named, [_copy(item, foreign) for item in value])
    if isinstance(value, set | frozenset) and kind in (set, frozenset):
        items = [_copy(item, foreign) for item in value]
        return set(items) if kind is set else frozenset(items)
    if isinstance(value, list | deque | dict | bytearray):
        return _copy_container(value, foreign)
    return foreign(value)


def _copy_container(
    value: list[object] | deque[object] | dict[object, object] | bytearray, foreign: Foreign
) -> object:
    """Copy a container of a class of somebody's own, which stays of that class."""
    twin = copy.copy(value)
    if isinstance(twin, dict):
        for key, item in twin.items():
            twin[key] = _copy(item, foreign)
    elif not isinstance(twin, bytearray):
        for place, item in enumerate(twin):
            twin[place] = _copy(item, foreign)
    attributes: dict[str, object] = getattr(twin, "__dict__", {})
    for name, item in attributes.items():
        attributes[name] = _copy(item, foreign)
    return twin


def _copy_record(value: object, names: Iterable[str], foreign: Foreign) -> object:
    """Copy a record unless it is frozen and holds nothing that can change."""
    fields = {name: getattr(value, name) for name in names if hasattr(value, name)}
    fields |= getattr(value, "__dict__", {})
    detached = {name: _copy(item, foreign) for name, item in fields.items()}
    if all(detached[name] is item for name, item in fields.items()) and frozen(value):
        return value
    twin = copy.copy(value)
    for name, item in detached.items():
        if isinstance(twin, msgspec.Struct):
            msgspec.structs.force_setattr(twin, name, item)
        else:
            object.__setattr__(twin, name, item)
    return twin


def _as_it_is(value: object) -> object:
    return value


def _copied(value: object) -> object:
    """Return a deep copy of an object of a class of somebody's own; ours say what they share."""
    if isinstance(value, _FIXED) or _is_ours(value):
        return value
    advice = _advice(value)
    if advice is None:
        try:
            return copy.deepcopy(value)
        except Exception as error:  # noqa: BLE001 - anybody's class may raise anything
            advice = f"return a copy of what is in it ({error})"
    kind = type(value).__name__
    raise StateError("the reply", f"a {kind} cannot be copied; {advice}")


def _is_ours(value: object) -> bool:
    """Tell whether an object is a handle of this library, such as a reference or a session."""
    return type(value).__module__.startswith(_OURS) and not isinstance(value, Iterator)


def _advice(value: object) -> str | None:  # noqa: PLR0911 - a line for each kind
    """Say what to return instead of an object that is tied to others; None if it is not."""
    if isinstance(value, MappingView):
        return "return list(...) of it"
    if isinstance(value, types.MappingProxyType | ChainMap):
        return "return dict(...) of it"
    if isinstance(value, Actor):
        return "return its state, or self.key, with which others find it"
    if isinstance(value, types.CoroutineType | types.AsyncGeneratorType):
        return "await it and return its result"
    if isinstance(value, Iterator):
        return "return list(...) of it"
    if isinstance(value, types.MethodType) or (
        isinstance(value, types.BuiltinFunctionType)
        and not isinstance(value.__self__, types.ModuleType | None)
    ):
        return "it belongs to an object; return the value that it gives"
    if isinstance(value, functools.partial) or (
        isinstance(value, types.FunctionType) and value.__closure__
    ):
        return "it may hold on to the state; return the value that it gives"
    return None
