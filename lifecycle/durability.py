"""How durable an agent is, and what it does while it cannot be saved."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Final

from ..hooks.breaker import Breaker
from ..persistence.options import Options
from .backoff import Backoff

DEFAULT_MOST_UNSAVED: Final = 20_000
"""Commits kept in memory, at one to two KiB each, before agents are held."""


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
        Options(self).seconds("every")


@dataclass(frozen=True, slots=True)
class Saving:
    """How what agents did reaches the store, and what happens while it cannot."""

    backoff: Backoff = field(default_factory=Backoff)
    """How long to wait after a failed save."""
    breaker: Breaker = field(default_factory=Breaker)
    """When to leave a failing store alone, and for how long."""
    auto_save: AutoSave = field(default_factory=AutoSave)
    """How often changed ``SNAPSHOT`` agents are saved whose class does not say."""
    most_unsaved: int = DEFAULT_MOST_UNSAVED
    """Commits that may wait in memory, at one to two KiB each; above it agents and senders are
    held up until half of them are durable."""

    def __post_init__(self) -> None:
        """Refuse what is no such option."""
        options = Options(self)
        options.kind("backoff", Backoff, "Backoff(first=0.1)")
        options.kind("breaker", Breaker, "Breaker(failures=5)")
        options.kind("auto_save", AutoSave, "AutoSave(every=1.0)")
        options.whole("most_unsaved", least=1)
