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
from ..sqlite.reader import SqliteReader
from .cut import reading
from .destination import Destination
from .layout import failing
from .manifest import Manifest

FILE: Final = "erased"
_SALT_BYTES: Final = 16


class Erasure(msgspec.Struct, frozen=True):
    """One agent that was erased."""

    name: str
    """The hash of its kind and key."""
    sequence: int
    """The commit that erased it."""


class ErasureList(msgspec.Struct):
    """What stands in the file."""

    salt: str
    erased: list[Erasure]


Name = tuple[str, str]
"""The kind and the key of an agent."""


class ErasedNames:
    """The list of one folder."""

    def __init__(self, place: Destination) -> None:
        """Use the list in ``place``, if there is one."""
        self._place = place
        self._path = f"{place}/{FILE}"

    def add(self, erased: Iterable[tuple[str, str, int]]) -> None:
        """Remember erased agents, by kind, key and the commit of the erasure; durable on return."""
        kept = self._read()
        known = {(each.name, each.sequence) for each in kept.erased}
        new = {(self._hash(kept.salt, kind, key), last) for kind, key, last in erased} - known
        if not new:
            return
        kept.erased += [Erasure(*each) for each in sorted(new, key=lambda each: each[1])]
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
        erased = {each.name for each in kept.erased if each.sequence > behind}
        if not erased:
            return []
        return [name for name in names if self._hash(kept.salt, *name) in erased]

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

    @staticmethod
    def _hash(salt: str, kind: str, key: str) -> str:
        text = msgspec.json.encode((salt, kind, key))
        return hashlib.sha256(text).hexdigest()


def _digest(kept: ErasureList, count: int) -> str:
    """Return the digest of the first so many erasures; empty for none."""
    if not count:
        return ""
    data = msgspec.json.encode((kept.salt, kept.erased[:count], count))
    return hashlib.sha256(data).hexdigest()


def erased_in(path: Path) -> list[tuple[str, str, int]]:
    """Return the agents whose erasure the journal of a file still knows of."""
    with closing(reading(path)) as connection:
        return _erasures(connection)


def erased_of(store: SqliteReader) -> list[tuple[str, str, int]]:
    """Return the same of a store that is open."""
    with store.reading("looking for erased agents") as connection:
        return _erasures(connection)


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
