"""How durable an agent is, and what it does while it cannot be saved."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..persistence.errors import ConfigurationError


class Durability(enum.StrEnum):
    """When an agent's changes reach the store."""

    TURN = "turn"
    """With every turn, before its result leaves the edge."""
    SNAPSHOT = "snapshot"
    """On lifecycle steps, by auto-save, and with every turn that sends or sets a timer.

    What is told to it from outside is as durable: kept in memory, and stored when it is paused,
    while it is paused, and when the system closes. What agents send it is stored with their turns.
    """
    VOLATILE = "volatile"
    """Never; only its lifecycle status is kept."""


class WhenUnsaved(enum.StrEnum):
    """What an agent does while the breaker is open."""

    PAUSE = "pause"
    """Take no messages until the store is back; new asks are refused at once."""
    CONTINUE = "continue"
    """Go on in memory, up to the system's ``most_unsaved`` commits; replies are flagged
    ``unsaved``, and everything is saved when the store is back."""
    STOP = "stop"
    """Run on_stop and leave memory once saved; start again when the store is back and there is
    mail."""


@dataclass(frozen=True, slots=True)
class AutoSave:
    """Save a changed ``SNAPSHOT`` agent at a turn boundary every so many seconds."""

    every: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an interval of nothing."""
        if self.every <= 0:
            message = f"AutoSave(every={self.every}) needs a number of seconds above 0"
            raise ConfigurationError(message)
