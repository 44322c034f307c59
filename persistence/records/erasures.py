"""Names of erased agents that nobody can read: hashes, under which a name is found again."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

HASHED: Final = 2
"""In the column ``erased`` of a tombstone: it has a hash in the place of the name."""
Name = tuple[str, str]
"""The kind and the key of an agent."""


class HashedName(NamedTuple):
    """The name of an agent, with the salt that it was hashed with."""

    salt: str
    digest: str

    @property
    def columns(self) -> Name:
        """What stands in the columns kind and key: no kind is empty."""
        return "", f"{self.salt}:{self.digest}"


def hashed(salt: str, kind: str, key: str) -> HashedName:
    """Return the hash of a name."""
    text = msgspec.json.encode((salt, kind, key))
    return HashedName(salt, hashlib.sha256(text).hexdigest())


def read(key: str) -> HashedName:
    """Return what stands in the column key of a tombstone that is hashed."""
    salt, _, digest = key.partition(":")
    return HashedName(salt, digest)


def found_in(erased: Iterable[HashedName], names: Iterable[Name]) -> list[Name]:
    """Return those of some names that are among the hashed ones: one hash a name and salt."""
    digests: dict[str, set[str]] = defaultdict(set)
    for salt, digest in erased:
        digests[salt].add(digest)
    if not digests:
        return []
    return [
        name
        for name in names
        if any(hashed(salt, *name).digest in known for salt, known in digests.items())
    ]
