"""A setting that a whole process has once, and that open systems want otherwise."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

N = TypeVar("N", bound=float)


class ProcessSetting(ABC, Generic[N]):
    """What the open systems of this process ask of a setting; the strongest wish counts.

    What somebody else has set is never weakened. The last system that is closed gives back what was
    found, or what somebody else has set meanwhile.
    """

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self._lock = threading.Lock()
        self._wishes: dict[int, N] = {}  # by who has them
        self._found: N | None = None  # what stands there without us
        self._set: N | None = None  # what we have put there

    def ask(self, who: int, wish: N) -> None:
        """Wish for a value as long as ``who`` does not give it back; 0 asks for nothing."""
        with self._lock:
            self._wishes[who] = wish
            self._apply()

    def give_back(self, who: int) -> None:
        """Take back what was asked for, if it was; the last one restores what was found."""
        with self._lock:
            if self._wishes.pop(who, None) is not None:
                self._apply()

    def _apply(self) -> None:
        found = self._read()
        if self._found is None or found != self._set:
            self._found = found
        wished: list[N] = [wish for wish in self._wishes.values() if wish]
        self._write(self._strongest([self._found, *wished]))
        self._set = self._read()  # which may be rounded

    @abstractmethod
    def _read(self) -> N:
        """Return the setting as it is."""

    @abstractmethod
    def _write(self, value: N) -> None:
        """Set it."""

    @abstractmethod
    def _strongest(self, values: Iterable[N]) -> N:
        """Choose among what is wished for and what was found."""
