"""Names of erased agents, as hashes, kept beside the backups: older ones still have the agents.

A line for each erasure, and a salt of its own for each folder. Whoever reads the list learns no
name; who has a name can find out whether it is in the list.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from ..errors import BackupDamaged
from ..records.erasures import HashedName, Name, found_in, hashed, read
from ..sqlite.reader import SqliteReader
from .cut import reading
from .destination import Destination
from .layout import failing
from .manifest import Manifest

FILE: Final = "erased"
_SALT_BYTES: Final = 16


class Erasure(msgspec.Struct, frozen=True, omit_defaults=True):
    """One agent that was erased."""

    name: str
    """The hash of its kind and key."""
    sequence: int
    """The commit that erased it."""
    salt: str = ""
    """That of the store, where it had no more than a hash; else that of the list."""

    def hashed(self, salt: str) -> HashedName:
        """Return the name, in a list of a salt."""
        return HashedName(self.salt or salt, self.name)


class ErasureList(msgspec.Struct):
    """What stands in the file."""

    salt: str
    erased: list[Erasure]


class ErasedNames:
    """The list of one folder."""

    def __init__(self, place: Destination) -> None:
        """Use the list in ``place``, if there is one."""
        self._place = place
        self._path = f"{place}/{FILE}"

    def add(self, erased: Iterable[tuple[str, str, int]]) -> None:
        """Remember erased agents, by kind, key and the commit of the erasure; durable on return."""
        kept = self._read()
        new = {_erasure(kept.salt, *each) for each in erased} - {*kept.erased}
        if not new:
            return
        kept.erased += sorted(new, key=lambda each: each.sequence)
        with failing(f"{self._path} cannot be written"):
            self._place.put(FILE, msgspec.json.encode(kept))

    def digest(self) -> tuple[int, str]:
        """Return how many erasures the list has, and their digest."""
        kept = self._read()
        return len(kept.erased), _digest(kept, len(kept.erased))

    def refuse_lost(self, manifest: Manifest) -> None:
        """Raise BackupDamaged if the list is not that of a backup, or one that went on from it."""
        kept = self._read()
        if _digest(kept, manifest.erasures) != manifest.erased:
            # Without it agents that were erased would come back, and nobody were told.
            problem = f"the list of erased agents is gone, or not that of {manifest.name}"
            raise BackupDamaged(self._path, f"{problem}; put its copy back")

    def among(self, names: Iterable[Name], behind: int) -> list[Name]:
        """Return those of the names that were erased behind a commit."""
        kept = self._read()
        return found_in(
            (each.hashed(kept.salt) for each in kept.erased if each.sequence > behind), names
        )

    def _read(self) -> ErasureList:
        try:
            size = self._place.size(FILE)
            if size is None:
                return ErasureList(os.urandom(_SALT_BYTES).hex(), [])
            data = self._place.read(FILE, 0, size)
        except OSError as error:
            problem = f"the list of erased agents cannot be read: {error.strerror or error}"
            raise BackupDamaged(self._path, problem) from error
        try:
            return msgspec.json.decode(data, type=ErasureList)
        except msgspec.MsgspecError as error:
            # Without it agents that were erased would come back.
            problem = "the list of erased agents is damaged; put its copy back, or move it away"
            raise BackupDamaged(self._path, problem) from error


def _erasure(salt: str, kind: str, key: str, sequence: int) -> Erasure:
    """Return what the list has of an erasure, whose name may be hashed already."""
    if kind:
        return Erasure(hashed(salt, kind, key).digest, sequence)
    own = read(key)
    return Erasure(own.digest, sequence, own.salt)


def _digest(kept: ErasureList, count: int) -> str:
    """Return the digest of the first so many erasures; empty for none."""
    if not count:
        return ""
    data = msgspec.json.encode((kept.salt, kept.erased[:count], count))
    return hashlib.sha256(data).hexdigest()


def erased_in(path: Path) -> list[tuple[str, str, int]]:
    """Return the agents that were erased in a file: kind, key and commit.

    Of one whose entries the journal has no more, the kind is empty and the key a hash.
    """
    with closing(reading(path)) as connection:
        return _erasures(connection)


def erased_of(store: SqliteReader, names: Iterable[Name], behind: int) -> list[Name]:
    """Return those of the names that were erased in a store that is open, behind a commit."""
    with store.reading("looking for erased agents") as connection:
        erased = [each for each in _erasures(connection) if each[2] > behind]
    plain = {(kind, key) for kind, key, _ in erased if kind}
    by_hash = [read(key) for kind, key, _ in erased if not kind]
    names = [*names] if erased else []
    return [*(name for name in names if name in plain), *found_in(by_hash, names)]


def _erasures(connection: sqlite3.Connection) -> list[tuple[str, str, int]]:
    query = "SELECT kind, key, sequence FROM tombstones WHERE erased"
    return connection.execute(query).fetchall()


def names_in(path: Path) -> Iterator[Name]:
    """Iterate over the names of all agents of whom a file has something; not opened before."""
    query = " UNION ".join(
        f"SELECT kind, key FROM {table}"  # noqa: S608
        for table in ("agents", "mailbox", "timers", "dead_letters")
    )
    scopes = "SELECT id, part FROM scoped WHERE kind = 'agent'"
    with closing(reading(path)) as connection:
        yield from connection.execute(f"{query} UNION {scopes}")
