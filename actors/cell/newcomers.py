"""Cells that were made and not read yet: one look at the store tells which of their agents exist.

Many new agents come at once, and each look of its own is a hand-off of the interpreter lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final, Protocol

from ...persistence.errors import StoreError

TOGETHER: Final = 128
"""Cells that are looked up at once."""


class Newcomer(Protocol):
    """A cell."""

    key: str
    unread: bool
    missing: bool

    @property
    def kind(self) -> str:
        """The agent's kind."""
        ...


class Index(Protocol):
    """A store."""

    def known(self, kind: str, keys: Sequence[str]) -> set[str]:
        """Return those keys whose agents are there."""
        ...


class Newcomers:
    """Know of agents that nobody has read whether the store has them. Thread-safe.

    Invariant: only a cell's own commits make its agent, and it makes none before it was read. So
    what a look finds missing, at any time since the cell was made, is missing when it is read
    first; what was found is of no meaning afterwards (``AgentCell.unread``).
    """

    def __init__(self, store: Index) -> None:
        """Look into ``store``."""
        self._store = store
        self._waiting: deque[Newcomer] = deque()

    def add(self, cell: Newcomer) -> None:
        """Take note of a cell that was just made, and is its agent's only one."""
        self._waiting.append(cell)

    def missing(self, cell: Newcomer) -> bool:
        """Tell, when a cell is about to be read, whether it is known that there is no agent."""
        first, cell.unread = cell.unread, False
        if not first:
            return False
        if not cell.missing and len(self._waiting) > 1:
            others = [each for each in self._take() if each.unread]
            if others:
                self._look([cell, *others])
        return cell.missing

    def _look(self, newcomers: Sequence[Newcomer]) -> None:
        by_kind: dict[str, dict[str, Newcomer]] = {}
        for cell in newcomers:
            by_kind.setdefault(cell.kind, {})[cell.key] = cell
        for kind, cells in by_kind.items():
            try:
                found = self._store.known(kind, list(cells))
            except StoreError:
                return  # each meets it by itself, and knows what to do
            for key in cells.keys() - found:
                cells[key].missing = True

    def _take(self) -> list[Newcomer]:
        taken: list[Newcomer] = []
        try:
            while len(taken) < TOGETHER:
                taken.append(self._waiting.popleft())
        except IndexError:
            pass
        return taken
