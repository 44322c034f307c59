"""Say which part of a value cannot be stored, and why."""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
import types
from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

import msgspec

from ..errors import StateError
from .exact import DEEPEST, DIFFERENT, fields_of, likeness

_LONGEST_INT: Final = 14_283  # bits: 4,300 digits, beyond which Python reads no integer from text
_AT: Final = re.compile(r" - at `\$(.*)`$")
# A class written in C is named with its module (numpy.float64), one written in Python without.
_UNSUPPORTED: Final = re.compile(r"objects of type (?:.*\.)?(\w+) is unsupported")


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
    unsupported = _UNSUPPORTED.search(str(error))
    for step, part in _parts(value):
        name = part.__class__.__name__
        if isinstance(part, DeclaredOnly) and f"of type {name}" in str(error):
            return StateError(path + step, part.why)
        if unsupported and unsupported[1] == name:
            return StateError(path + step, f"{_short(part)} cannot be stored; {_advice(part)}")
    return StateError(path, f"cannot be stored as {name_of(declared)}: {error}")


def _advice(value: object) -> str:
    """Say what to store in place of an object that JSON has no form of."""
    kind = type(value)
    if kind.__module__.partition(".")[0] == "numpy":
        if kind.__name__ == "ndarray":
            return "store value.tolist() of an array"
        name = next((each for each in _SCALARS if each in kind.__name__), None)
        return f"store {f'{name}(x)' if name else 'x.item()'} of a numpy.{kind.__name__}"
    if kind.__name__ == "AgentRef":
        return "store its kind and key; self.system.agent(Class, key) gives the reference back"
    if hasattr(kind, "model_dump"):
        return f"store a dataclass, or value.model_dump(mode='json') of a {kind.__name__}"
    base = next((each for each in _PLAIN if isinstance(value, each)), None)
    if base is not None:
        return f"it is a {kind.__name__}; store {base.__name__}(x) of it"
    return (
        f"objects of {kind.__name__} are unsupported; store a Struct, a dataclass or plain values"
    )


_SCALARS: Final = ("float", "int", "str", "bool")
_PLAIN: Final = (str, int, float, bytes, dict, list, tuple, set, frozenset)


def changed(value: object, decoded: object, path: str, declared: object) -> StateError:
    """Return the error for a value that a load would give back as ``decoded``."""
    culprit = _culprit(value, "", ())
    if culprit is not None:
        return StateError(path + culprit[0], culprit[1])
    where, left, right = _difference(value, decoded, "")
    if isinstance(left, DeclaredOnly) and not isinstance(right, DeclaredOnly):
        return StateError(path + where, left.why)  # what it would come back as is its stored form
    return StateError(
        path + where, f"{_loss(left, right)}; the field is declared {name_of(declared)}"
    )


def _loss(value: object, decoded: object) -> str:
    """Say what a load would make of a value, and what to store instead."""
    if isinstance(value, dt.datetime | dt.time) and isinstance(decoded, dt.datetime | dt.time):
        return _loss_of_moment(value, decoded)
    kind = value.__class__
    if kind is decoded.__class__ and not isinstance(value, str | int | float):
        return f"{_short(value)} does not equal what a load makes of it, {_short(decoded)}"
    loss = f"{_short(value)} would come back as {_short(decoded)}"
    if isinstance(value, enum.Enum):
        return f"{loss}; declare {kind.__name__}, or store its value"
    if kind not in _PLAIN and isinstance(value, _PLAIN) and isinstance(decoded, _PLAIN):
        return f"{loss}; it is a {kind.__name__}, store {decoded.__class__.__name__}(...) of it"
    return loss


def _loss_of_moment(value: dt.datetime | dt.time, decoded: dt.datetime | dt.time) -> str:
    zone = value.tzinfo
    if value.__class__ is decoded.__class__ and zone.__class__ not in (
        types.NoneType, dt.timezone,
    ):  # fmt: skip
        stored = "value.astimezone(datetime.UTC)" if isinstance(value, dt.datetime) else "the time"
        return (
            f"{_short(value)} would lose its time zone {zone} and keep a fixed offset at most;"
            f" store {stored} and the zone's name beside it"
        )
    if value.fold != decoded.fold:
        return f"{_short(value)} would come back with fold=0; store it in UTC"
    return f"{_short(value)} would come back as {_short(decoded)}"


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Iterate over a value without circles and all its parts, with their paths."""
    waiting = [("", value)]
    while waiting:
        path, part = waiting.pop()
        yield path, part
        waiting.extend((path + step, child) for step, child in reversed(_children(part)))


def name_of(declared: object) -> str:
    """Return a declared type as people write it."""
    plain = isinstance(declared, type) and not isinstance(declared, types.GenericAlias)
    return declared.__name__ if plain else str(declared)  # type: ignore[attr-defined]


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
    names = fields_of(value.__class__) or ()
    return [(f".{name}", getattr(value, name, None)) for name in names]


def _difference(value: object, decoded: object, path: str) -> tuple[str, object, object]:
    """Return the path of the first part that differs, and both forms of it."""
    if value.__class__ is decoded.__class__:
        for step, child, theirs in _pairs(value, decoded):
            if _differ(child, theirs):
                return _difference(child, theirs, path + step)
    return path, value, decoded


def _pairs(value: object, decoded: object) -> Iterator[tuple[str, object, object]]:
    """Iterate over the parts of two values of a class that stand in the same places."""
    if isinstance(value, dict) and isinstance(decoded, dict):
        if len(value) == len(decoded):
            for key, theirs in zip(value, decoded, strict=True):
                yield f" key {key!r}", key, theirs
        for key in value.keys() & decoded.keys():
            yield f"[{key!r}]", value[key], decoded[key]
    elif isinstance(value, set | frozenset) and isinstance(decoded, set | frozenset):
        known = {item: item for item in decoded}
        yield from (("{...}", item, known[item]) for item in value if item in known)
    else:
        theirs = dict(_children(decoded))
        yield from (
            (step, child, theirs[step]) for step, child in _children(value) if step in theirs
        )


def _differ(left: object, right: object) -> bool:
    try:
        return likeness(left, right) is DIFFERENT
    except Exception:  # noqa: BLE001 - an __eq__ may raise anything; that is a difference
        return True
