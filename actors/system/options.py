"""What a system is opened with as to its agents: how much there may be, and what they run on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from ...persistence.options import Options
from ...persistence.state.state import DEFAULT_LARGEST_VALUE
from ...shared.artifacts.records import ArtifactLimits
from ...shared.ledger.cache import DEFAULT_CACHE_BYTES
from ..pool.dispatcher import DEFAULT_WORKERS, MOST_WORKERS
from ..pool.garbage import DEFAULT_YOUNG_GENERATION
from .cells import Passivation

DEFAULT_MAILBOX_WAIT: Final = 30.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much there may be, and how long to wait for room. Agent classes limit their mailboxes."""

    largest_value: int = DEFAULT_LARGEST_VALUE
    """Characters one stored value or one message may take."""
    mailbox_wait: float = DEFAULT_MAILBOX_WAIT
    """Seconds a sender outside a turn waits for room in a full mailbox."""
    artifacts: ArtifactLimits = field(default_factory=ArtifactLimits)
    """How many bytes of artifacts there may be."""

    def __post_init__(self) -> None:
        """Refuse what is no such limit."""
        options = Options(self)
        options.whole("largest_value", least=1)
        options.seconds("mailbox_wait", zero=True)
        options.kind("artifacts", ArtifactLimits, "ArtifactLimits(scope=2**30)")


@dataclass(frozen=True, slots=True)
class Resources:
    """What a system takes of its process: threads, and memory for what is not in use just now."""

    workers: int = DEFAULT_WORKERS
    """Threads that run handlers."""
    passivation: Passivation = field(default_factory=Passivation)
    """When idle agents leave memory."""
    scope_cache: int = DEFAULT_CACHE_BYTES
    """Bytes of shared keys to remember, about."""
    young_generation: int = DEFAULT_YOUNG_GENERATION
    """New objects after which Python's garbage collector looks for cycles while the system is open
    (``gc.set_threshold``); 0 leaves it as it is."""
    switch_interval: float | None = None
    """Seconds after which Python asks a thread that computes to let others run, while the system is
    open (``sys.setswitchinterval``); 0 leaves it as it is, None shortens it to 1 ms while a thread
    of yours computes."""

    def __post_init__(self) -> None:
        """Refuse what no system could run on."""
        options = Options(self)
        options.whole("workers", least=1)
        if self.workers > MOST_WORKERS:
            raise options.wrong("workers", f"a whole number up to {MOST_WORKERS}")
        options.kind("passivation", Passivation, "Passivation(idle=300)")
        options.whole("scope_cache", least=0)
        options.whole("young_generation", least=0)
        options.seconds("switch_interval", zero=True, none="only beside a thread that computes")
