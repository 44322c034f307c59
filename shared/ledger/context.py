"""Where a call on shared state comes from, as what runs agents tells the desk."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from ...persistence.records.records import Message
from .guard import Standing
from .unit import Unit


class Context(Protocol):
    """Know the turn in which a call is made. Asked on the calling thread, in its context."""

    @property
    def closing(self) -> bool:
        """Whether the system takes nothing more from outside."""
        ...

    def standing(self) -> Standing | None:
        """Return who speaks in this context, also after the turn that began it; None outside."""
        ...

    def entered(self) -> int:
        """Return the correlation of the session that was entered here, outside of turns; or 0."""
        ...

    def turn(self) -> object:
        """Return the turn under way; None outside of turns, and in what goes on after one."""
        ...

    def origin(self) -> object:
        """Return the turn in which this context began, under way or over; None outside.

        Also what a hook acts as that runs beside the turns of its agent.
        """
        ...

    def led(self) -> tuple[int, int]:
        """Return the correlation and the cause of a commit that is no turn's; 0 from outside."""
        ...

    def unit(self) -> Unit | None:
        """Return the unit of the turn under way, made when it is first asked for."""
        ...

    def learnt(self) -> None:
        """Have the reply of the turn under way wait for what it may know of."""
        ...

    def clock(self) -> float:
        """Return seconds since the epoch."""
        ...

    def now(self) -> float:
        """Return them as the turn under way knows them: one that is recorded has one moment."""
        ...

    def number(self, draw: Callable[[], int]) -> int:
        """Return a number that is drawn or counted; in a replay the one that was."""
        ...

    def rows(self, mail: list[object]) -> list[Message]:
        """Return the mailbox rows of what leaves with a commit."""
        ...

    def deliver(self, mail: list[object], sequence: int) -> None:
        """Deliver what has left with the commit ``sequence``."""
        ...


class Receipt:
    """Tell one caller that its commit is durable: a reply that the committer gives."""

    __slots__ = ("_error", "_pending")

    def __init__(self) -> None:
        """Begin without an answer."""
        self._pending = (
            threading.Lock()
        )  # held until there is one; an Event is made of four objects
        self._pending.acquire()
        self._error: Exception | None = None

    def __call__(self, error: Exception | None) -> None:
        """Take the answer; it comes once."""
        self._error = error
        self._pending.release()

    def wait(self, blocking: Callable[[], AbstractContextManager[object]]) -> None:
        """Wait for it inside ``blocking()`` if it is not there; raise the error it is."""
        if self._pending.locked():
            with blocking(), self._pending:
                pass
        if self._error is not None:
            raise self._error
