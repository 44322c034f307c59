"""What those below the cells know of them: futures that are answered, turns, references.

A cell is an agent in memory. What it is made of stands in rooms above this one, which must not be
imported from here; so the parts that are needed below are named once more.
"""

from __future__ import annotations

from typing import Protocol

from ...lifecycle.status import Status
from ...lifecycle.writer import Writer
from .mailbox import Mailbox, MailHold


class Asker(Protocol):
    """A turn, as the one who waits for replies."""

    waits: list[Cell] | tuple[()]
    """Cells whose replies it is waiting for."""

    @property
    def cell(self) -> Cell:
        """The cell whose turn it is."""
        ...


class Live(Protocol):
    """An activation, as the owner of a right."""

    @property
    def writer(self) -> Writer:
        """The right to commit for the agent."""
        ...


class Cell(Protocol):
    """An agent in memory; the class is ``AgentCell``.

    Invariant: an agent has one cell at a time that is not closed, so two are one if
    they are the same object.
    """

    shares: bool
    """Whether its turns may be overtaken: they write, or may write, what others do."""

    @property
    def kind(self) -> str:
        """The agent's kind."""
        ...

    @property
    def key(self) -> str:
        """The agent's key."""
        ...

    @property
    def home(self) -> object:
        """The system it lives in."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """The messages that wait."""
        ...

    @property
    def holds(self) -> tuple[MailHold, ...]:
        """Why they wait."""
        ...

    @property
    def status(self) -> Status:
        """The status as the cell knows it."""
        ...

    @property
    def reason(self) -> str:
        """Why it has this status."""
        ...

    @property
    def error(self) -> str:
        """The latest failure."""
        ...

    @property
    def turn(self) -> Asker | None:
        """The turn under way."""
        ...

    @property
    def turn_limit(self) -> float | None:
        """Seconds a turn may take."""
        ...

    @property
    def activation(self) -> Live | None:
        """The live instance, if there is one."""
        ...

    @property
    def live(self) -> bool:
        """Whether the agent is in memory."""
        ...

    @property
    def last_sequence(self) -> int:
        """The place of the latest commit."""
        ...

    @property
    def seen(self) -> int:
        """The place of the latest commit that a reply may know of."""
        ...
