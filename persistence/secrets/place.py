"""Where a secret stands: its token is bound to that, and opens nowhere else.

A place is a tuple of texts. In a value it goes on with the names of members and keys of
dictionaries on the way to the secret. Positions in lists do not count: what stands beside a secret
in a list is not bound to it either, and items that a class does not know move with their list.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

Place: TypeAlias = tuple[str, ...]

DIGEST_BYTES: Final = 16
"""Bytes by which a token names its place: nobody finds another place of the same."""
IN_CALLS: Final = 2
"""Levels of a stored call at which positions count: arguments, and their two kinds."""

_encode: Final = msgspec.json.Encoder().encode


def in_state(kind: str, key: str, field: str) -> Place:
    """Return the place of a field of an agent's state."""
    return "state", kind, key, field


def in_mail(kind: str, key: str, method: str) -> Place:
    """Return the place of a message for an agent, whether it waits, is due or is dead."""
    return "mail", kind, key, method


def in_scope(kind: str, scope_id: str, part: str, key: str) -> Place:
    """Return the place of a shared key."""
    return "scope", kind, scope_id, part, key


def shown(place: Place | None) -> str:
    """Return how an error names a place."""
    match place:
        case ("state", kind, key, field, *way):
            return f"{kind}/{key}, state.{field}{_way(way)}"
        case ("mail", kind, key, method, *way):
            return f"{kind}/{key}, a message to {method or 'on_receive'}{_way(way)}"
        case ("scope", kind, scope_id, part, key, *way):
            return f"{'/'.join(filter(None, (kind, scope_id, part)))}, key {key!r}{_way(way)}"
        case None:
            return "one place of several"
        case _:
            return repr(place)


def _way(parts: list[str]) -> str:
    return "".join(f"[{part!r}]" for part in parts)


def digest_of(place: Place) -> bytes:
    """Return what a token names its place by."""
    return hashlib.sha256(_encode(place)).digest()[:DIGEST_BYTES]


def texts_in(value: object, place: Place, levels: int = 0) -> Iterator[tuple[Place, str]]:
    """Iterate over the texts in decoded JSON that stands at ``place``, each with its own place.

    In its first ``levels`` positions in lists count. Keys of dictionaries are no texts in it.
    """
    waiting = [(value, place, levels)]
    while waiting:
        part, at, left = waiting.pop()
        if isinstance(part, str):
            yield at, part
        elif isinstance(part, dict):
            waiting += [(item, (*at, name), left - 1) for name, item in part.items()]
        elif isinstance(part, list):
            waiting += [
                (item, (*at, str(position)) if left > 0 else at, left - 1)
                for position, item in enumerate(part)
            ]
