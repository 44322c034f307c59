"""Values to JSON text and back, exactly or not at all.

A value that JSON would change without a word (NaN, a tuple in an untyped field, an integer key,
a number in a field declared as text) is refused with its path. The proof is a round trip: what the
typed decoder makes of the text must equal the value. Plain scalars in fields of their own type need
no such proof and skip it.
"""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import math
import re
import types
import uuid
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

import msgspec

from ..errors import ConfigurationError, CorruptState, StateError
from .explain import DEEPEST, LARGEST_INT, SMALLEST_INT, changed, name_of, refused, same_classes

T = TypeVar("T")

# Objects of these types cannot change in place, so "the same object" means "unchanged".
IMMUTABLE: Final[frozenset[type]] = frozenset(
    {
        bool, int, float, str, bytes, types.NoneType, dt.datetime, dt.date,
        dt.time, dt.timedelta, decimal.Decimal, uuid.UUID,
    }
)  # fmt: skip

_encode_json: Final = msgspec.json.Encoder().encode
_STRINGS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"')
_LONG: Final = re.compile(rb"\d{20}")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


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
            self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(declared)
        except (TypeError, NameError) as error:
            message = f"{declared!r} is not a type that can be stored: {error}"
            raise ConfigurationError(message) from error
        self._fast: Callable[[object], str | None] = _FAST.get(declared, _never)

    def encode(self, value: T, path: str) -> str:
        """Return the JSON text of ``value``; ``path`` is how an error names it."""
        text = self._fast(value)
        return text if text is not None else self.encode_copy(value, path)[0]

    def encode_copy(self, value: T, path: str) -> tuple[str, T]:
        """Return the JSON text of ``value``, and what a load would make of it.

        The copy shares nothing mutable with the value: it is what the proof has decoded.
        """
        try:
            encoded = _encode_json(value)
            decoded = self._decoder.decode(encoded)
            same = same_value(value, decoded, encoded)
        except Exception as error:  # values are anybody's classes, and so is what they raise
            raise refused(value, path, self.declared, error) from error
        if not same:
            raise changed(value, decoded, path, self.declared)
        if encoded.count(b"[") + encoded.count(b"{") > DEEPEST and too_deep(encoded):
            raise StateError(path, f"nests deeper than {DEEPEST} levels")
        return encoded.decode(), decoded

    def decode(self, text: str) -> T:
        """Return the value that ``text`` holds, of the declared type."""
        return self._decoder.decode(text)

    def load(self, text: str, path: str, position: int | None = None) -> T:
        """Decode what the store holds at ``path``; CorruptState if it is not of this type."""
        try:
            return self._decoder.decode(text)
        except (ValueError, RecursionError) as error:
            where = path if position is None else f"{path}[{position}]"
            raise CorruptState(
                where, f"it does not decode as {name_of(self.declared)}: {error}"
            ) from error


def same_value(value: object, decoded: object, encoded: bytes) -> bool:
    """Tell whether a load gives the value back: equal and, numbers apart, of the same class.

    Equality alone would let a defaultdict pass in a dict field, and a load return a plain dict.
    """
    if decoded != value:
        return False
    if _LONG.search(encoded) and not same_classes(value, decoded):
        return False  # without a declared type, integers beyond 64 bits come back as floats
    return decoded.__class__ is value.__class__ or (
        isinstance(decoded, int | float) and value.__class__ in (int, float)
    )


def _fast_int(value: object) -> str | None:
    if type(value) is int and SMALLEST_INT <= value <= LARGEST_INT:
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
    if type(value) is float and math.isfinite(value):
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


def too_deep(encoded: bytes) -> bool:
    """Tell whether JSON text nests deeper than DEEPEST; costs a pass over its brackets a level."""
    brackets = _STRINGS.sub(b"", encoded).translate(None, _NO_BRACKETS)
    for _level in range(DEEPEST):
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
        if not brackets:
            return False
    return True


def check_storable(
    declared: object, where: str, allowed: frozenset[object] = frozenset({object})
) -> None:
    """Refuse a declared type with a class in it that has no JSON form and is not ``allowed``."""
    stranger = _find_custom(msgspec.inspect.type_info(declared), allowed, set())
    if stranger is not None:
        message = (
            f"{where} cannot be stored: there is no JSON form of {name_of(stranger)}; declare a"
            " Struct, a dataclass or a built-in type"
        )
        raise ConfigurationError(message)


def _find_custom(info: object, allowed: frozenset[object], seen: set[int]) -> object | None:
    if isinstance(info, msgspec.inspect.CustomType):
        return None if info.cls in allowed else info.cls
    if isinstance(info, tuple):
        parts: tuple[object, ...] = info
    elif isinstance(info, msgspec.inspect.Type | msgspec.inspect.Field) and id(info) not in seen:
        seen.add(id(info))
        parts = tuple(getattr(info, name) for name in info.__struct_fields__)
    else:
        return None
    inside = (_find_custom(part, allowed, seen) for part in parts)
    return next((found for found in inside if found is not None), None)
