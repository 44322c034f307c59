"""Who was deleted and when, in the order of commits."""

from __future__ import annotations

import threading
from typing import Final

MOST_GRAVES: Final = 10_000
"""Deletions that are remembered: letters appended before them and still on their way are few."""


class Graves:
    """Know when agents were deleted, so that no letter of an old life reaches the new one."""

    def __init__(self) -> None:
        """Begin with none."""
        self._deleted: dict[tuple[str, str], int] = {}
        self.letters = threading.Lock()
        """Held while a dead letter is put back, and while an agent with its letters is deleted."""

    def __bool__(self) -> bool:
        """Tell whether anybody was ever deleted: what nobody uses costs one look."""
        return bool(self._deleted)

    def add(self, kind: str, key: str, sequence: int) -> None:
        """Remember the commit that deleted an agent."""
        self._deleted.pop((kind, key), None)
        self._deleted[kind, key] = sequence
        if len(self._deleted) > MOST_GRAVES:
            del self._deleted[next(iter(self._deleted))]

    def hold(self, kind: str, key: str, letter: object) -> bool:
        """Tell whether a letter was stored before its agent was deleted, and so went with it."""
        deleted = self._deleted.get((kind, key))
        if deleted is None or not getattr(letter, "durable", False):
            return False
        return getattr(letter, "placed", 0) < deleted

    def since(self, kind: str, key: str, sequence: int) -> bool:
        """Tell whether an agent was deleted behind a place in the order of commits."""
        return self._deleted.get((kind, key), 0) > sequence
