"""Names of keys and ids: normalised, bounded, and never a path."""

from __future__ import annotations

import functools
import unicodedata
from typing import Final

from ..errors import ScopeError

LONGEST: Final = 256
"""Bytes of UTF-8 in a key or an id."""
LONGEST_AGENT: Final = 1024
"""The same of an agent's kind or key."""
RESERVED: Final = "perdure."
"""What no key of a user begins with."""
_CONTROL: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_TRAVERSAL: Final = ("..", "\\", "//")


def checked_key(key: str) -> str:
    """Return a key in its normal form (NFC); ScopeError if it cannot be one."""
    if key.__class__ is not str:
        key = _plain(key, "key")
    # Most are seen at a glance: no other character has a second form, or takes several bytes.
    plain = 0 < len(key) <= LONGEST and key.isascii() and key.isprintable()
    normal = key if plain else _checked_name(key, "key")
    for form in _TRAVERSAL:
        if form in normal:
            message = f"the key {key!r} holds {form!r}, which is a form of paths; use other names"
            raise ScopeError(message)
    if normal.startswith(RESERVED):
        message = f"the key {key!r} begins with {RESERVED!r}, which is reserved; use another name"
        raise ScopeError(message)
    return normal


def checked_name(name: str, what: str) -> str:
    """Return a key or an id in its normal form (NFC); ScopeError if it cannot be one."""
    return _checked_name(name if name.__class__ is str else _plain(name, what), what)


def checked_agent(name: str, what: str) -> str:
    """Return an agent's kind or key as it is; ScopeError if no agent can have it.

    It stands for exactly one agent: nothing is normalised here, and agents have only such names.
    """
    plain = name if name.__class__ is str else _plain(name, what)
    if not plain.isascii() and not unicodedata.is_normalized(
        "NFC", _without_surrogates(plain, what)
    ):
        message = f"the {what} {plain!r} is not in the normal form NFC, as the names of agents are"
        raise ScopeError(message)
    size = len(plain.encode())
    if not 0 < size <= LONGEST_AGENT or "\0" in plain:
        message = f"the {what} {plain[:40]!r} takes {size} bytes; 1 to {LONGEST_AGENT}, without NUL"
        raise ScopeError(message)
    return plain


def checked_part(text: str, what: str) -> str:
    """Return the beginning of a key, or what is to come before one, in its normal form.

    It need not be a key itself; it may be empty.
    """
    plain = text if text.__class__ is str else _plain(text, what)
    if plain.isascii():
        return plain
    return unicodedata.normalize("NFC", _without_surrogates(plain, what))


@functools.lru_cache(maxsize=65_536)
def _checked_name(name: str, what: str) -> str:
    if name.isascii():
        normal = name
    else:
        normal = unicodedata.normalize("NFC", _without_surrogates(name, what))
    size = len(normal.encode())
    if not 0 < size <= LONGEST:
        message = f"the {what} {name[:40]!r} takes {size} bytes; 1 to {LONGEST} are allowed"
        raise ScopeError(message)
    plain = normal.isascii() and normal.isprintable()
    if not plain and any(unicodedata.category(sign) in _CONTROL for sign in normal):
        message = f"the {what} {name!r} holds a control character; leave it out"
        raise ScopeError(message)
    return normal


def _plain(text: object, what: str) -> str:
    """Return an instance of a subclass of str (an enumeration's member) as plain text."""
    if isinstance(text, str):
        # Not by its own methods: what is compared with a grant must be what is stored.
        return str.__str__(text)
    raise ScopeError(f"the {what} must be text, not {type(text).__name__}")


def _without_surrogates(text: str, what: str) -> str:
    if any("\ud800" <= sign <= "\udfff" for sign in text):
        raise ScopeError(f"the {what} {text[:40]!r} has a lone surrogate; it cannot be stored")
    return text


def checked_pattern(pattern: str) -> str:
    """Return a pattern of keys: a key, or a prefix and one ``*`` at its end."""
    if pattern.__class__ is not str:
        pattern = _plain(pattern, "pattern")
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
