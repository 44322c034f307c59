"""Values to JSON text and back, exactly or not at all.

A value that JSON would change without a word (NaN, a tuple in an untyped field, an integer key,
a number in a field declared as text, a StrEnum in a list of texts) is refused with its path. The
proof is a round trip: what the typed decoder makes of the text must be like the value in every
part, of the same class and equal. Values whose classes alone say so (``certain``) need none.
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
from typing import ClassVar, Final, Generic, TypeVar

import msgspec

from ..errors import ConfigurationError, CorruptState, KeyMissing, StateError
from .certain import certain_of
from .exact import DEEPEST, DIFFERENT, LARGEST_INT, SAME, SMALLEST_INT, WIDER, likeness
from .explain import changed, name_of, refused
from .ordered import FLOATS, SETS, holds, ordered
from .unknown import keep, keeper_of

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
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


class Codec(Generic[T]):
    """Encode and decode the values of one declared type.

    Thread-safe and without state. ``encode`` raises StateError naming the path of the value that
    cannot be stored; ``decode`` raises msgspec.DecodeError or msgspec.ValidationError.
    """

    __slots__ = (
        "_certain", "_decoder", "_encode", "_keeper", "_sets", "declared", "quick", "records",
        "widens",
    )  # fmt: skip

    bound: ClassVar[bool] = False
    """Whether its values are bound to the place where they stand: ``at`` gives another codec."""

    def __init__(self, declared: object) -> None:
        """Build the codec of ``declared``; ConfigurationError if JSON cannot hold such a type."""
        self.declared = declared
        try:
            self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(declared)
        except (TypeError, NameError) as error:
            message = f"{declared!r} is not a type that can be stored: {error}"
            raise ConfigurationError(message) from error
        info = msgspec.inspect.type_info(declared)
        self._encode: Callable[[object], bytes] = _encode_json
        self._certain = certain_of(info)
        self._sets = holds(info, SETS)
        self.widens = holds(info, FLOATS)
        """Whether an integer may stand in it where a load makes a float of it."""
        self._keeper = keeper_of(info)
        self.records = self._keeper is not None
        """Whether stored values may have members that their type does not know, see ``over``."""
        self.quick: Callable[[object], str | None] = _QUICK.get(declared, _never)
        """``quick(value)`` returns the text of a value that is one number or text, else None: for
        those who would have to make a path first."""

    def at(self, *place: str) -> Codec[T]:
        """Return the codec of the values at a place, which may be bound to it: itself if not."""
        del place
        return self

    def moved(self, text: str, source: str | None, part: str | int, where: str) -> str:
        """Return a text that stood at the place, under ``source`` there, as it may stand at a part.

        The same text, where no value is bound to its place.
        """
        del source, part, where
        return text

    def encode(self, value: T, path: str, part: str | int | None = None) -> str:
        """Return the JSON text of ``value``; ``path`` is how an error names it.

        ``part`` is its key or position, where several stand at one place.
        """
        text = self.quick(value)
        if text is not None:
            return text
        path = path if part is None else f"{path}[{part!r}]"
        if self._certain is not None:
            try:
                encoded = self._text(value)  # first: it finds an end to what contains itself
                if self._certain(value):
                    return _checked(encoded, path).decode()
            except StateError:
                raise
            except Exception:  # noqa: BLE001, S110 - what is wrong is found again, and explained
                pass
        return self.encode_copy(value, path)[0]

    def encode_copy(self, value: T, path: str, part: str | int | None = None) -> tuple[str, T]:
        """Return the JSON text of ``value``, and what a load would make of it.

        The copy shares nothing mutable with the value: it is what the proof has decoded.
        """
        path = path if part is None else f"{path}[{part!r}]"
        try:
            encoded = self._text(value)
            decoded = self._decoder.decode(encoded)
            like = SAME if self._is_certain(value) else likeness(value, decoded)
            if like is WIDER:  # the text of floats, so that it is the same after a load
                encoded = self._text(decoded)
        except KeyMissing:
            raise
        except Exception as error:  # values are anybody's classes, and so is what they raise
            raise refused(value, path, self.declared, error) from error
        if like is DIFFERENT:
            raise changed(value, decoded, path, self.declared)
        return _checked(encoded, path).decode(), decoded

    def as_loaded(self, value: T, text: str) -> T:
        """Return ``value`` if a load of its ``text`` gives the same, else what the load gives."""
        if not self.widens or self._is_certain(value):
            return value
        decoded = self._decoder.decode(text)
        return value if likeness(value, decoded) is SAME else decoded

    def _is_certain(self, value: object) -> bool:
        return self._certain is not None and self._certain(value)

    def _text(self, value: object) -> bytes:
        return self._encode(ordered(value, self._encode) if self._sets else value)

    def decode(self, text: str, part: str | int | None = None) -> T:
        """Return the value that ``text`` holds, of the declared type."""
        del part
        return self._decoder.decode(text)

    def seen(self, stored: str, part: str | int | None = None) -> str:
        """Return what this type makes of a stored text, without what it does not know.

        The text itself if it is not of this type, or no longer can be stored.
        """
        try:
            return self.encode(self.decode(stored, part), "stored", part)
        except (ValueError, RecursionError, StateError, KeyMissing):
            return stored

    def over(self, stored: str, seen: str, text: str) -> str:
        """Return what to store of a value that encodes as ``text``, in place of ``stored``.

        ``seen`` is what ``seen(stored)`` gives. If the value is what a load gives, what is stored
        stays. Else its records take over the members that their types do not know, each from the
        record in the same place; of a list, from the item that it was.
        """
        if text == seen:
            return stored
        if stored == seen or self._keeper is None:
            return text
        return keep(self._keeper, stored, seen, text)

    def load(self, text: str, path: str, part: str | int | None = None) -> T:
        """Decode what the store holds at ``path``; CorruptState if it is not of this type."""
        try:
            return self._decoder.decode(text)
        except (ValueError, RecursionError) as error:
            where = path if part is None else f"{path}[{part!r}]"
            raise CorruptState(
                where, f"it does not decode as {name_of(self.declared)}: {error}"
            ) from error


def _checked(encoded: bytes, path: str) -> bytes:
    """Refuse what nests too deeply for a load to be sure of it."""
    if encoded.count(b"[") + encoded.count(b"{") > DEEPEST and too_deep(encoded):
        raise StateError(path, f"nests deeper than {DEEPEST} levels")
    return encoded


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


def _fast_any(value: object) -> str | None:
    fast = _FAST.get(value.__class__)
    return None if fast is None else fast(value)


_QUICK: Final[Mapping[object, Callable[[object], str | None]]] = {**_FAST, object: _fast_any}


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
