"""Values to JSON text and back, exactly or not at all.

A value that JSON would change without a word (NaN, a tuple in an untyped field, an integer key,
a number in a field declared as text) is refused with its path. The proof is a round trip: what the
typed decoder makes of the text must equal the value. Plain scalars in fields of their own type need
no such proof and skip it.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import functools
import math
import types
import uuid
import zlib
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from .errors import ConfigurationError, StateError

T = TypeVar("T")

SMALLEST_INT: Final = -(2**63)
LARGEST_INT: Final = 2**64 - 1
DEEPEST: Final = 512
"""Levels of nesting a stored value may have; beyond it decoders differ in what they accept."""

# Objects of these types cannot change in place, so "the same object" means "unchanged".
IMMUTABLE: Final[frozenset[type]] = frozenset(
    {
        bool, int, float, str, bytes, types.NoneType, datetime.datetime, datetime.date,
        datetime.time, datetime.timedelta, decimal.Decimal, uuid.UUID,
    }
)  # fmt: skip

_encode_json: Final = msgspec.json.Encoder().encode


def checksum(text: str) -> int:
    """Return the CRC-32 of the UTF-8 bytes of ``text``."""
    return zlib.crc32(text.encode())


class Codec(Generic[T]):
    """Encode and decode the values of one declared type.

    Thread-safe and without state. ``encode`` raises StateError naming the path of the value that
    cannot be stored; ``decode`` raises msgspec.DecodeError or msgspec.ValidationError.
    """

    __slots__ = ("_decoder", "_fast", "declared")

    def __init__(self, declared: object) -> None:
        """Build the codec of ``declared``; ConfigurationError if JSON cannot hold such a type."""
        self.declared = declared
        try:
            self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(declared)  # type: ignore[arg-type]
        except (TypeError, NameError) as error:
            message = f"{declared!r} is not a type that can be stored: {error}"
            raise ConfigurationError(message) from error
        self._fast: Callable[[object], str | None] = _FAST.get(declared, _never)  # type: ignore[call-overload]

    def encode(self, value: T, path: str) -> str:
        """Return the JSON text of ``value``; ``path`` is how an error names it."""
        text = self._fast(value)
        return text if text is not None else self._encode_proved(value, path)

    def decode(self, text: str) -> T:
        """Return the value that ``text`` holds, of the declared type."""
        return self._decoder.decode(text)

    def _encode_proved(self, value: T, path: str) -> str:
        try:
            encoded = _encode_json(value)
            decoded = self._decoder.decode(encoded)
            same = decoded == value
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise StateError(path, explain(value, path, self.declared, error)) from error
        if not same or encoded.count(b"[") + encoded.count(b"{") > DEEPEST:
            problem = explain(value, path, self.declared, None) if not same else too_deep(value)
            if problem is not None:
                raise StateError(path, problem)
        return encoded.decode()


def _fast_int(value: object) -> str | None:
    if value.__class__ is int and SMALLEST_INT <= value <= LARGEST_INT:  # type: ignore[operator]
        return str(value)
    return None


def _fast_str(value: object) -> str | None:
    if value.__class__ is str:
        try:
            return _encode_json(value).decode()
        except UnicodeEncodeError:  # a lone surrogate: the slow path explains it
            return None
    return None


def _fast_float(value: object) -> str | None:
    if value.__class__ is float and math.isfinite(value):  # type: ignore[arg-type]
        return _encode_json(value).decode()
    return None


def _fast_bool(value: object) -> str | None:
    return "true" if value is True else "false" if value is False else None


def _never(_value: object) -> str | None:
    return None


_FAST: Final[Mapping[object, Callable[[object], str | None]]] = {
    int: _fast_int,
    str: _fast_str,
    float: _fast_float,
    bool: _fast_bool,
}


@functools.lru_cache(maxsize=4096)
def codec_of(declared: object) -> Codec[object]:
    """Return the shared codec of a hashable declared type."""
    return Codec(declared)


def explain(value: object, path: str, declared: object, error: Exception | None) -> str:
    """Say in one sentence what keeps ``value`` from being stored, with the path of the culprit."""
    culprit = _culprit(value, "", ())
    if culprit is not None:
        where, problem = culprit
        return problem if not where else f"at {path}{where}: {problem}"
    name = getattr(declared, "__name__", None) or str(declared)
    if isinstance(error, msgspec.ValidationError):
        return f"{str(error).replace('`$', f'`{path}')}; the field is declared {name}"
    if error is not None:
        return f"cannot be stored as {name}: {error}"
    return f"comes back different when stored as {name}: {_short(value)}; declare its exact type"


def too_deep(value: object) -> str | None:
    """Return the problem if ``value`` nests deeper than DEEPEST, else None."""
    level: list[object] = [value]
    for _depth in range(DEEPEST):
        level = [child for item in level for _, child in _children(item)]
        if not level:
            return None
    return f"nests deeper than {DEEPEST} levels"


def _short(value: object) -> str:
    text = repr(value)
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
        return path, f"nests deeper than {DEEPEST} levels"
    for step, child in _children(value):
        found = _culprit(child, path + step, (*parents, id(value)))
        if found is not None:
            return found
    return None


def _leaf_problem(value: object) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "infinity"
        return f"{name} cannot be stored; use None or a finite number"
    if isinstance(value, int) and not SMALLEST_INT <= value <= LARGEST_INT:
        return "an integer beyond 64 bits cannot be stored; use a str or a float"
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
    if isinstance(value, msgspec.Struct):
        return [(f".{name}", getattr(value, name, None)) for name in value.__struct_fields__]
    if hasattr(value, "__dataclass_fields__"):
        return [(f".{name}", getattr(value, name, None)) for name in value.__dataclass_fields__]
    return []
