"""The chain of messages a turn belongs to: everything it leads to carries the same correlation."""

from __future__ import annotations

from typing import Protocol, cast

from ...shared.sessions.current import entered
from ..talk.turn import Letter, Turn


class Numbering(Protocol):
    """Give ids to letters."""

    def next_letter(self) -> int:
        """Return an id for a new letter."""
        ...


class Leaving(Protocol):
    """A cell, as far as it is asked whether its turns leave commits."""

    volatile: bool


def identified(home: Numbering, letter: Letter) -> Letter:
    """Give a letter an id and a chain of its own, if it came without.

    A bare value has neither until something asks: most of what VOLATILE and SNAPSHOT agents are
    told from outside leads to nothing that would carry them.
    """
    if not letter.correlation:
        letter.id = letter.id or home.next_letter()
        letter.correlation = letter.id
    return letter


def numbered(home: Numbering, letter: Letter) -> Letter:
    """Give a letter an id of its own as well, if it came without: letters in memory may."""
    letter.id = letter.id or home.next_letter()
    return identified(home, letter)


def asker_of(home: Numbering, turn: Turn) -> int:
    """Return the cause of what a turn asks for: less the id of its message, for want of a sequence.

    A turn that leaves no commit hands on what led to it.
    """
    if cast("Leaving", turn.cell).volatile:
        return turn.letter.cause
    return -numbered(home, turn.letter).id


def cause_after(turn: Turn) -> int:
    """Return the cause of what follows a turn: its commit, or without one what led to the turn."""
    commit = turn.commit
    return commit.sequence if commit is not None and commit.agent else turn.letter.cause


def follow(letter: Letter, home: Numbering, turn: Turn, cause: int) -> None:
    """Have a letter go on with the chain of a turn, and be caused by a commit or a message."""
    letter.cause, letter.correlation = cause, chain_of(home, turn)


def chain_of(home: Numbering, turn: Turn) -> int:
    """Return the correlation of what a turn sends: of the session it is in, else its own."""
    return entered(turn) or identified(home, turn.letter).correlation
