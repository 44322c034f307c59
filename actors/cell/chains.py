"""The chain of messages a turn belongs to: everything it leads to carries the same correlation."""

from __future__ import annotations

from typing import Protocol

from ...shared.sessions.current import entered
from ..talk.turn import Letter, Turn


class Numbering(Protocol):
    """Give ids to letters."""

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        ...


def identified(home: Numbering, letter: Letter) -> Letter:
    """Give a letter an id and a chain of its own, if it came without.

    A bare value has neither until something asks: most of what VOLATILE and SNAPSHOT agents are
    told from outside leads to nothing that would carry them.
    """
    if not letter.correlation:
        letter.id = letter.id or home.next_letter()
        letter.correlation = letter.id
    return letter


def chain_of(home: Numbering, turn: Turn) -> int:
    """Return the correlation of what a turn sends: of the session it is in, else its own."""
    return entered(turn) or identified(home, turn.letter).correlation
