"""How long to wait before trying again."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..persistence.options import Options


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
        options = Options(self)
        options.seconds("longest", zero=True)
        options.seconds("first", zero=True)
        if self.first > self.longest:
            raise options.wrong("first", f"seconds up to longest={self.longest:g}")
        options.number("factor", "a number, 1 or more")
        if self.factor < 1:
            raise options.wrong("factor", "a number, 1 or more")
        options.number("jitter", "a share from 0 to 1", zero=True, most=1.0)

    def delay(self, attempt: int, randomness: random.Random) -> float:
        """Return the seconds to wait after failure number ``attempt``, counted from 1."""
        try:
            full = min(self.longest, self.first * self.factor ** (attempt - 1))
        except OverflowError:  # after a long outage the power no longer fits a float
            full = self.longest if self.first else 0.0
        return full * (1 - self.jitter * randomness.random())
