"""A circuit breaker: stop hammering what keeps failing, and find out by itself when it is back.

Source of the idea: Michael Nygard, "Release It!" (2007).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..persistence.options import Options


class BreakerState(enum.StrEnum):
    """Where a circuit breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Breaker:
    """Open after ``failures`` in a row; half-open after ``reset_after`` seconds."""

    failures: int = 5
    reset_after: float = 5.0

    def __post_init__(self) -> None:
        """Refuse a breaker that could never close or never open."""
        options = Options(self)
        options.whole("failures", least=1)
        options.seconds("reset_after")


class Circuit:
    """The moving part of a breaker. Not thread-safe; its owner calls it under a lock."""

    def __init__(self, settings: Breaker) -> None:
        """Begin closed."""
        self.settings = settings
        self.state = BreakerState.CLOSED
        self.failures = 0
        """Failures in a row."""

    def succeeded(self) -> bool:
        """Take note of a success; True if that closed the circuit."""
        closed = self.state is not BreakerState.CLOSED
        self.state = BreakerState.CLOSED
        self.failures = 0
        return closed

    def failed(self) -> bool:
        """Take note of a failure; True if that opened the circuit."""
        self.failures += 1
        opens = self.state is BreakerState.HALF_OPEN or (
            self.state is BreakerState.CLOSED and self.failures >= self.settings.failures
        )
        if opens:
            self.state = BreakerState.OPEN
        return opens

    def half_open(self) -> bool:
        """Let one attempt through an open circuit; False if it is not open (any more).

        The call comes from a timer, and an attempt made elsewhere (by a shutdown) may have closed
        the circuit in the meantime: a closed one must not be half-opened.
        """
        if self.state is not BreakerState.OPEN:
            return False
        self.state = BreakerState.HALF_OPEN
        return True
