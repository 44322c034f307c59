"""Names of keys and ids: normalised, bounded, and never a path."""

from __future__ import annotations

import functools
import unicodedata
from typing import Final

from ..errors import ScopeError

LONGEST: Final = 256
"""Bytes of UTF-8 in a key or an id."""
RESERVED: Final = "perdure."
"""What no key of a user begins with."""
_CONTROL: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TRAVERSAL: Final = ("..", "\\", "//")


@functools.lru_cache(maxsize=65_536)
def checked_key(key: str) -> str:
    """Return a key in its normal form (NFC); ScopeError if it cannot be one."""
    normal = checked_name(key, "key")
    for form in _TRAVERSAL:
        if form in normal:
            message = f"the key {key!r} holds {form!r}, which is a form of paths; use other names"
            raise ScopeError(message)
    if normal.startswith(RESERVED):
        message = f"the key {key!r} begins with {RESERVED!r}, which is reserved; use another name"
        raise ScopeError(message)
    return normal


@functools.lru_cache(maxsize=65_536)
def checked_name(name: str, what: str) -> str:
    """Return a key or an id in its normal form (NFC); ScopeError if it cannot be one."""
    if name.__class__ is not str:
        message = f"the {what} {name!r} must be text"
        raise ScopeError(message)
    if name.isascii():
        normal = name
    else:
        if any(unicodedata.category(sign) == "Cs" for sign in name):
            raise ScopeError(f"the {what} {name!r} has a lone surrogate; it cannot be stored")
        normal = unicodedata.normalize("NFC", name)
    size = len(normal.encode())
    if not 0 < size <= LONGEST:
        message = f"the {what} {name[:40]!r} takes {size} bytes; 1 to {LONGEST} are allowed"
        raise ScopeError(message)
    if any(unicodedata.category(sign) in _CONTROL for sign in normal):
        message = f"the {what} {name!r} holds a control character; leave it out"
        raise ScopeError(message)
    return normal


def checked_pattern(pattern: str) -> str:
    """Return a pattern of keys: a key, or a prefix and one ``*`` at its end."""
    if pattern == "*":
        return pattern
    if pattern.endswith("*"):
        return checked_key(pattern[:-1]) + "*"
    return checked_key(pattern)


def matches(pattern: str, key: str) -> bool:
    """Tell whether a key is one of a pattern's."""
    if pattern.endswith("*"):
        return key.startswith(pattern[:-1])
    return key == pattern
