"""Say which part of a value cannot be stored, and why."""

from __future__ import annotations

import enum
import math
import re
import types
from collections.abc import Iterable, Mapping
from typing import ClassVar, Final

import msgspec

from ..errors import StateError

SMALLEST_INT: Final = -(2**63)
LARGEST_INT: Final = 2**64 - 1
DEEPEST: Final = 512
"""Levels of nesting a stored value may have; beyond it decoders differ in what they accept."""

_LONGEST_INT: Final = 14_283  # bits: 4,300 digits, beyond which Python reads no integer from text
_AT: Final = re.compile(r" - at `\$(.*)`$")


class DeclaredOnly:
    """A base of types that are stored only where a field declares them; ``why`` says so."""

    __slots__ = ()
    why: ClassVar[str]


def refused(value: object, path: str, declared: object, error: Exception) -> StateError:
    """Return the error for a value whose encoding or decoding raised ``error``."""
    culprit = _culprit(value, "", ())
    if culprit is not None:
        return StateError(path + culprit[0], culprit[1])
    if isinstance(error, msgspec.ValidationError):
        text = str(error)
        at = _AT.search(text)
        problem = text[: at.start()] if at else text
        where = path + at[1] if at else path
        return StateError(where, f"{problem}; the field is declared {name_of(declared)}")
    undeclared = _first_undeclared(value, "")
    if undeclared is not None and f"of type {undeclared[1].__name__}" in str(error):
        return StateError(path + undeclared[0], undeclared[1].why)
    return StateError(path, f"cannot be stored as {name_of(declared)}: {error}")


def changed(value: object, decoded: object, path: str, declared: object) -> StateError:
    """Return the error for a value that a load would give back as ``decoded``."""
    culprit = _culprit(value, "", ())
    if culprit is not None:
        return StateError(path + culprit[0], culprit[1])
    where, left, right = _difference(value, decoded, "")
    if isinstance(left, DeclaredOnly) and not isinstance(right, DeclaredOnly):
        return StateError(path + where, left.why)  # what it would come back as is its stored form
    if left.__class__ is right.__class__ and not isinstance(left, str | int | float):
        problem = f"{_short(left)} does not equal what a load makes of it, {_short(right)}"
    else:
        problem = f"{_short(left)} would come back as {_short(right)}"
    return StateError(path + where, f"{problem}; the field is declared {name_of(declared)}")


def _first_undeclared(value: object, path: str) -> tuple[str, type[DeclaredOnly]] | None:
    """Return path and type of the first part that needs a declaration; the value has no circle."""
    if isinstance(value, DeclaredOnly):
        return path, value.__class__
    for step, child in _children(value):
        found = _first_undeclared(child, path + step)
        if found is not None:
            return found
    return None


def name_of(declared: object) -> str:
    """Return a declared type as people write it."""
    plain = isinstance(declared, type) and not isinstance(declared, types.GenericAlias)
    return declared.__name__ if plain else str(declared)  # type: ignore[attr-defined]


def same_classes(value: object, decoded: object) -> bool:
    """Tell whether two equal values are of the same classes all the way down."""
    if value.__class__ is not decoded.__class__:
        return False
    theirs = dict(_children(decoded))
    return all(
        same_classes(child, theirs[step]) for step, child in _children(value) if step in theirs
    )


def _short(value: object) -> str:
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a __repr__ may raise anything, and the error must not
        text = f"a {value.__class__.__name__}"
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004


def _culprit(value: object, path: str, parents: tuple[int, ...]) -> tuple[str, str] | None:
    """Find the first leaf JSON cannot hold exactly: its path below the field, and why."""
    if isinstance(value, enum.Enum):
        return None
    problem = _leaf_problem(value)
    if problem is not None:
        return path, problem
    if id(value) in parents:
        return path, "contains itself"
    if len(parents) > DEEPEST:
        return "", f"nests deeper than {DEEPEST} levels"
    for step, child in _children(value):
        found = _culprit(child, path + step, (*parents, id(value)))
        if found is not None:
            return found
    return None


def _leaf_problem(value: object) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "infinity"
        return f"{name} cannot be stored; use None or a finite number"
    if isinstance(value, int) and value.bit_length() > _LONGEST_INT:
        return "an integer of so many digits cannot be stored; use a str or a float"
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return f"a lone surrogate at character {error.start} cannot be stored"
    return None


def _children(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", child) for key, child in value.items()] + [
            (f" key {key!r}", key) for key in value
        ]
    if isinstance(value, list | tuple):
        return [(f"[{index}]", child) for index, child in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [("{...}", child) for child in value]
    fields: Iterable[str] = getattr(value, "__struct_fields__", ())
    fields = fields or getattr(value, "__dataclass_fields__", ())
    return [(f".{name}", getattr(value, name, None)) for name in fields]


def _difference(value: object, decoded: object, path: str) -> tuple[str, object, object]:
    """Return the path of the first part that differs, and both forms of it."""
    if value.__class__ is decoded.__class__:
        theirs = dict(_children(decoded))
        for step, child in _children(value):
            if step in theirs and not _equal(child, theirs[step]):
                return _difference(child, theirs[step], path + step)
    return path, value, decoded


def _equal(left: object, right: object) -> bool:
    try:
        return bool(left == right)
    except Exception:  # noqa: BLE001 - an __eq__ may raise anything; that is a difference
        return False
