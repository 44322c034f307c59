"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..persistence.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Backoff:
    """Wait ``first`` seconds, then ``factor`` times longer each time, ``longest`` at the most.

    ``jitter`` is the share of the wait that is drawn at random, so that many who failed together
    do not come back together (AWS architecture blog, "Exponential backoff and jitter", 2015).
    """

    first: float = 0.1
    factor: float = 2.0
    longest: float = 30.0
    jitter: float = 0.5

    def __post_init__(self) -> None:
        """Refuse values that would never wait or never come back."""
        # Written so that NaN, which compares false with everything, is refused as well.
        if not (0 <= self.first <= self.longest < float("inf") and 1 <= self.factor < float("inf")):
            message = f"{self} needs 0 <= first <= longest, factor >= 1, all of them finite"
            raise ConfigurationError(message)
        if not 0 <= self.jitter <= 1:
            message = f"jitter={self.jitter} is a share between 0 and 1"
            raise ConfigurationError(message)

    def delay(self, attempt: int, randomness: random.Random) -> float:
        """Return the seconds to wait after failure number ``attempt``, counted from 1."""
        try:
            full = min(self.longest, self.first * self.factor ** (attempt - 1))
        except OverflowError:  # after a long outage the power no longer fits a float
            full = self.longest if self.first else 0.0
        return full * (1 - self.jitter * randomness.random())
