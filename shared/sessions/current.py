"""The session a block of code is in: ``with session:``."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final, NamedTuple


class Inside(NamedTuple):
    """A block, and the one around it."""

    turn: object
    """The turn it belongs to; None outside of turns."""
    correlation: int
    around: Inside | None


_inside: Final[ContextVar[Inside | None]] = ContextVar("perdure_session", default=None)


def entered(turn: object) -> int:
    """Return the correlation of the session that was entered in ``turn``; 0 if there is none.

    A block that was entered in one turn counts for no other: a handler that never left one leaves
    nothing behind.
    """
    inside = _inside.get()
    return inside.correlation if inside is not None and inside.turn is turn else 0


def enter(turn: object, correlation: int) -> None:
    """Begin a block."""
    _inside.set(Inside(turn, correlation, _inside.get()))


def leave() -> None:
    """End the innermost block."""
    inside = _inside.get()
    if inside is not None:
        _inside.set(inside.around)
