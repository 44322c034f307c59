"""Names of keys and ids: normalised, bounded, and never a path."""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Iterable
from typing import Final

from ..errors import ConfigurationError, ScopeError

LONGEST: Final = 256
"""Bytes of UTF-8 in a key or an id."""
LONGEST_AGENT: Final = 1024
"""The same of an agent's kind or key."""
RESERVED: Final = "perdure."
"""What no key of a user begins with."""
_CONTROL: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})
_FIRST_SURROGATE, _LAST_SURROGATE = 0xD800, 0xDFFF
_TRAVERSAL: Final = ("..", "\\", "//")


def checked_key(key: str) -> str:
    """Return a key in its normal form (NFC); ScopeError if it cannot be one."""
    if key.__class__ is not str:
        key = _plain(key, "key")
    # Most are seen at a glance: no other character has a second form, or takes several bytes.
    plain = 0 < len(key) <= LONGEST and key.isascii() and key.isprintable()
    normal = key if plain else _checked_name(key, "key")
    if ".." in normal or "\\" in normal or "//" in normal:
        form = next(form for form in _TRAVERSAL if form in normal)
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


def end_of(prefix: str) -> str | None:
    """Return the least text that is greater than every one that begins with ``prefix``.

    None if there is none. In the order of code points, as stores have it.
    """
    begin = prefix.rstrip("\U0010ffff")
    if not begin:
        return None
    code = ord(begin[-1]) + 1
    if code == _FIRST_SURROGATE:
        code = _LAST_SURROGATE + 1  # no text has one
    return begin[:-1] + chr(code)


def apart(patterns: Iterable[str], prefix: str = "") -> list[str]:
    """Return patterns that cover the same keys, of those with ``prefix``, each key once."""
    found: list[str] = []
    cut = (_within(pattern, prefix) for pattern in patterns)
    # Sorted so that a pattern comes before those that it covers, and next to them.
    for pattern in sorted({each for each in cut if each is not None}, key=_by_prefix):
        if not (found and found[-1].endswith("*") and pattern.startswith(found[-1][:-1])):
            found.append(pattern)
    return found


def _by_prefix(pattern: str) -> tuple[str, bool]:
    return pattern.removesuffix("*"), not pattern.endswith("*")


def _within(pattern: str, prefix: str) -> str | None:
    """Return what of a pattern begins with ``prefix``; None if nothing does."""
    if pattern.removesuffix("*").startswith(prefix):
        return pattern
    covers = pattern.endswith("*") and prefix.startswith(pattern[:-1])
    return f"{prefix}*" if covers else None


def matches(pattern: str, key: str) -> bool:
    """Tell whether a key is one of a pattern's."""
    if pattern.endswith("*"):
        return key.startswith(pattern[:-1])
    return key == pattern


def closeness(pattern: str, kind: str | None) -> tuple[int, bool, bool]:
    """Return how closely a pattern, of all scopes or a kind of them, says which keys are meant."""
    return len(pattern.rstrip("*")), not pattern.endswith("*"), kind is not None


def check_name(what: str, name: object) -> None:
    """Refuse a kind or key that could not be stored."""
    if not isinstance(name, str) or not name:
        message = f"the {what} {name!r} must be a non-empty str"
        raise ConfigurationError(message)
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        message = f"the {what} {name!r} has a lone surrogate"
        raise ConfigurationError(message) from None
    if not unicodedata.is_normalized("NFC", name):
        message = (
            f"the {what} {name!r} is not in Unicode's normal form NFC: what looks like it would be"
            " another; give unicodedata.normalize('NFC', ...) of it"
        )
        raise ConfigurationError(message)
    if size > LONGEST_AGENT or "\0" in name:
        message = f"the {what} {name[:40]!r}... must be at most {LONGEST_AGENT} bytes without NUL"
        raise ConfigurationError(message)
