"""What the system asks of a cell, through its mailbox, so that it happens between turns."""

from __future__ import annotations

import enum
from typing import Any

from ...persistence.records.records import Commit
from ..pool.future import Future
from .turn import Letter


class Verb(enum.StrEnum):
    """A request to a cell."""

    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    RESTART = "restart"
    QUARANTINE = "quarantine"
    DELETE = "delete"
    ERASE = "erase"
    """Delete, and take what the journal holds of it as well."""
    FORK = "fork"
    """Begin with the state that is brought."""
    SAVE = "save"
    PASSIVATE = "passivate"
    WAKE = "wake"
    """Look after old mail; nothing else."""
    BEGIN = "begin"
    """Start again after a restart, also without mail."""
    REFUSE = "refuse"
    """Tell askers who would wait for the store."""
    MIGRATE = "migrate"
    """Bring what is stored to the schema of the class; nothing runs."""
    DONE = "done"
    """An async handler has ended."""


class Control(Letter):
    """An envelope from the system."""

    __slots__ = ("commit", "error", "prepared", "reason", "strikes", "value", "verb")

    def __init__(
        self,
        verb: Verb,
        reply_to: Future[Any] | None = None,
        *,
        reason: str = "",
        value: object = None,
        error: BaseException | None = None,
        edge: bool = True,
    ) -> None:
        """Ask for ``verb``; ``value`` and ``error`` are the outcome of an async handler.

        ``value`` is also the state that a fork begins with.
        """
        super().__init__(None, reply_to, edge=edge)
        self.verb = verb
        self.reason = reason
        self.value = value
        self.error = error
        self.prepared = False
        """The agent's own method for the step has run: not again if the step is struck."""
        self.commit: Commit | None = None
        """The commit of the step, once it is made: appended, the step is taken."""
        self.strikes = 0
        """How often it came again because its runner was struck."""

    @property
    def taken(self) -> Commit | None:
        """The commit of the step, if it is appended."""
        commit = self.commit
        return commit if commit is not None and commit.sequence else None
