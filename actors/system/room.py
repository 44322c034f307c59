"""Room in memory: who is put to rest when more agents are in it than the limit allows."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from operator import attrgetter
from typing import Final

from ..cell.receiver import RunningCell
from ..talk.control import Control, Verb

MOST: Final = 4
"""Agents put to rest for a new one: more than one, so that a surplus shrinks, and few, because
somebody waits meanwhile."""


class Room:
    """Keep the agents in memory down to a limit, as far as there are some that may rest.

    The limit is exceeded where nobody may: by agents that are VOLATILE or at work. A new agent is
    never put to rest before its first message, or whoever brings that would make it for ever.
    """

    def __init__(self, cells: Mapping[tuple[str, str], RunningCell], limit: int) -> None:
        """Keep ``cells`` down to ``limit``."""
        self._cells = cells
        self._limit = limit
        # A look at every cell takes time, so there is one for each quarter of the limit.
        self._step = max(1, limit // 4)
        self._one = threading.Lock()
        self._idle: deque[tuple[RunningCell, float]] = deque()
        """The longest idle at the last look, and when they were last used."""
        self._leaving: deque[RunningCell] = deque()
        """Told to rest, and not gone yet."""
        self._made = self._step  # since the last look

    def make(self, *, here: bool) -> None:
        """Make room after a cell was made; ``here`` says that this thread may do it itself.

        It may be faster than all workers. Not in an event loop, nor on the clock's thread.
        """
        self._made += 1
        over = len(self._cells) - self._limit
        if over <= 0 or not self._one.acquire(blocking=False):
            return
        try:
            self._see_off()
            for _ in range(min(over - len(self._leaving), MOST)):
                cell = self._longest_idle(over)
                if cell is None:
                    return
                if cell.leave():
                    continue
                cell.mailbox.put_urgent(Control(Verb.PASSIVATE, edge=False))
                if here and not cell.blueprint.passivates:
                    # If the agent has a say in it, what it does may wait for the caller's turn.
                    cell.mailbox.steal()
                if not cell.mailbox.is_closed():
                    self._leaving.append(cell)
        finally:
            self._one.release()

    def sweep(self) -> None:
        """Have those rest that were busy when the limit was exceeded, and are not any more."""
        over = len(self._cells) - self._limit
        if over > 0 and self._one.acquire(blocking=False):
            try:
                self._leaving.clear()
                self._look(over)
                while over > 0 and (cell := self._next()) is not None:
                    if not cell.leave():
                        cell.mailbox.put_urgent(Control(Verb.PASSIVATE, edge=False))
                    over -= 1
            finally:
                self._one.release()

    def _longest_idle(self, over: int) -> RunningCell | None:
        cell = self._next()
        if cell is None and self._made >= self._step:
            self._look(max(over, self._step))
            cell = self._next()
        return cell

    def _next(self) -> RunningCell | None:
        """Return one that has been idle since the last look; None if nobody is left."""
        while self._idle:
            cell, used = self._idle.popleft()
            if cell.used == used and cell.activation is not None and cell.mailbox.at_rest():
                return cell
        return None

    def _look(self, wanted: int) -> None:
        """Find those who may rest, and close cells that their agents have left already."""
        self._made = 0
        idle: list[RunningCell] = []
        for cell in list(self._cells.values()):
            if not cell.mailbox.at_rest() or cell.is_new():
                continue
            if cell.activation is None:
                cell.retire()  # or it waits for its mail, and has no place among the idle
            elif not cell.volatile:
                idle.append(cell)
        # Sorted by a key: a tuple for each would be thousands that the garbage collector visits.
        idle.sort(key=attrgetter("used"))
        self._idle = deque((cell, cell.used) for cell in idle[:wanted])

    def _see_off(self) -> None:
        """Close a few of the cells whose agents have left; forget those that have come back."""
        for _ in range(min(len(self._leaving), MOST)):
            cell = self._leaving.popleft()
            at_rest = cell.mailbox.at_rest()
            if at_rest and cell.activation is None:
                cell.retire()
            came_back = at_rest and cell.activation is not None
            if not came_back and not cell.mailbox.is_closed():
                self._leaving.append(cell)
