"""What of contents and chunks is being saved or swept just now, and so is not as the store says.

The rows of contents are large and are not kept in the ledger's overlay. Instead this remembers
their names: who needs them (holds), and which commits that are not durable yet write or delete
them.

The race it decides: S, the sweep, finds that nobody needs a chunk; U saves the same bytes. U holds
the name before it looks whether the chunk is there. S appends the deletion only if nobody holds
the name, and both do so under one lock, the ledger's.

1. S first: the deletion is on its way when U holds the name. U sees that and writes the chunk
   again; its commit comes after the deletion.
2. U first: S finds the name held and leaves it.

Whoever commits rows that refer to a name tells so (``wrote``) before the hold may end: until those
rows are durable, the store does not show that the name is needed.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import Final, TypeAlias

from ...persistence.records.tables import Table

Name: TypeAlias = tuple[Table, str]
_MANY: Final = 8192


class Hold:
    """Keep names from being swept, for as long as somebody has a reference to it.

    A turn's hold is in the steps of its unit: it lasts until the unit is published or undone. That
    it may end late, with the garbage collector, delays a sweep and nothing else.
    """

    __slots__ = ("__weakref__", "names")

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.names: set[Name] = set()


class Traffic:
    """Know which names are held, being written and being deleted."""

    def __init__(self, lock: AbstractContextManager[object], durable: Callable[[], int]) -> None:
        """Use the ledger's ``lock``; ``durable()`` is the latest sequence on disk."""
        self.lock = lock
        self._durable = durable
        self._holds: weakref.WeakSet[Hold] = weakref.WeakSet()
        self._written: dict[Name, int] = {}
        self._deleted: dict[Name, int] = {}
        self._room = _MANY

    def hold(self, hold: Hold, name: Name) -> bool | None:
        """Hold a name; tell whether its row is (or will be) there. None: as the store says."""
        with self.lock:
            hold.names.add(name)
            self._holds.add(hold)
            durable = self._durable()
            if self._deleted.get(name, 0) > durable:
                return False
            return True if self._written.get(name, 0) > durable else None

    def keep(self, hold: Hold, names: Iterable[Name]) -> None:
        """Hold names whose rows are written whatever is there."""
        with self.lock:
            hold.names.update(names)
            self._holds.add(hold)

    def release(self, hold: Hold) -> None:
        """End a hold at once, also if somebody (a traceback) still has a reference to it."""
        with self.lock:
            hold.names.clear()

    def wrote(self, names: Iterable[Name], sequence: int) -> None:
        """Say that a commit writes these, or rows that refer to them; called under the lock."""
        for name in names:
            self._written[name] = sequence
            self._deleted.pop(name, None)
        self._trim()

    def deletes(self, names: Iterable[Name], sequence: int) -> None:
        """Say that a commit deletes these; called under the lock."""
        for name in names:
            self._deleted[name] = sequence
            self._written.pop(name, None)
        self._trim()

    def written(self, name: Name) -> int:
        """Return the sequence of the latest commit that wrote a name, or 0."""
        return self._written.get(name, 0)

    def idle(self, names: Iterable[Name]) -> list[Name]:
        """Return those that nobody holds and no commit on its way writes; called under the lock."""
        held: set[Name] = set()
        for hold in list(self._holds):
            held |= hold.names
        durable = self._durable()
        return [name for name in names if name not in held and self.written(name) <= durable]

    def _trim(self) -> None:
        if len(self._written) + len(self._deleted) > self._room:
            durable = self._durable()
            for names in (self._written, self._deleted):
                for name in [name for name, sequence in names.items() if sequence <= durable]:
                    del names[name]
            self._room = 2 * (len(self._written) + len(self._deleted)) + _MANY
