"""Who runs next: drawn by a seed, or as it was before with some of it left out."""

from __future__ import annotations

import math
import random
from collections.abc import Container, Mapping, Sequence
from typing import Final, Protocol

Place = tuple[int, int]
"""A thread and the number of its own step."""
TIME: Final = -1
"""A decision that time passes, though somebody could run: machines are slow at times."""
HORIZON: Final = 3000
"""Steps among which the changes of a run by priorities are drawn."""
_SWITCHES: Final = (0.003, 0.02, 0.1, 0.3)
_CHANGES: Final = (1, 2, 3, 5, 8, 20, 60)
_SHARE_OF_PRIORITIES: Final = 0.5
_LONGEST: Final = 20_000
"""Steps after which a run by priorities lets another in: work that only waits must not starve."""


class Choices(Protocol):
    """Decide who runs, by the numbers of the threads."""

    next_step: int
    """The step at which a thread that runs is asked to let another run."""
    places: Container[Place] | None
    """Where it is asked; None for everywhere from that step on."""

    def preempt(self, step: int, place: Place, /, ready: Sequence[int]) -> int:
        """Return who runs on; TIME lets time pass. The thread at ``place`` is one of ``ready``."""
        ...

    def follow(self, step: int, place: Place, /, ready: Sequence[int]) -> int:
        """Return who runs after one that waits or has ended."""
        ...


class Walk:
    """Let another run with some probability at each step."""

    places: Container[Place] | None = None

    def __init__(self, randomness: random.Random) -> None:
        """Draw the probability first."""
        self._random = randomness
        self._probability = randomness.choice(_SWITCHES)
        self._patience = randomness.choice((0.0, 0.0, 0.01, 0.05))
        self.next_step = self._gap()

    def _gap(self) -> int:
        draw = 1.0 - self._random.random()
        return 1 + int(math.log(draw) / math.log(1.0 - self._probability))

    def preempt(self, step: int, place: Place, /, ready: Sequence[int]) -> int:
        """Choose anybody, or time."""
        self.next_step = step + self._gap()
        if self._patience and self._random.random() < self._patience:
            return TIME
        if len(ready) == 1:
            return place[0]
        return self._random.choice(ready)

    def follow(self, _step: int, _place: Place, /, ready: Sequence[int]) -> int:
        """Choose anybody."""
        return ready[0] if len(ready) == 1 else self._random.choice(ready)


class Priorities:
    """Give each thread a priority, and change some at a few steps (PCT).

    A bug that needs ``d`` orders between steps is met by one run in ``n * k ** (d - 1)`` at least,
    for ``n`` threads and ``k`` steps, and mostly much earlier: Burckhardt and others, "A Randomized
    Scheduler with Probabilistic Guarantees of Finding Bugs", 2010.
    """

    places: Container[Place] | None = None

    def __init__(self, randomness: random.Random) -> None:
        """Draw the steps at which whoever runs becomes the last."""
        self._random = randomness
        self._priorities: dict[int, float] = {}
        changes = randomness.choice(_CHANGES)
        horizon = int(HORIZON * 2 ** randomness.uniform(-3, 2))
        self._steps = sorted(randomness.randrange(1, horizon) for _ in range(changes))
        self._lowest = 0.0
        self.next_step = self._steps.pop(0)

    def _priority(self, number: int) -> float:
        if number not in self._priorities:
            self._priorities[number] = self._random.random()
        return self._priorities[number]

    def preempt(self, step: int, place: Place, /, ready: Sequence[int]) -> int:
        """Make the one that runs the last of all."""
        self._lowest -= 1.0
        self._priorities[place[0]] = self._lowest
        self.next_step = self._steps.pop(0) if self._steps else step + _LONGEST
        return self.follow(step, place, ready)

    def follow(self, _step: int, _place: Place, /, ready: Sequence[int]) -> int:
        """Choose the first by priority."""
        return max(ready, key=self._priority)


class Given:
    """Repeat decisions; where none is given, whoever runs goes on, then the first in line.

    They are found by the thread and the number of its own steps: so the rest still fits where some
    are left out.
    """

    next_step = 0

    def __init__(self, decisions: Mapping[Place, int]) -> None:
        """Repeat ``decisions``."""
        self._decisions = decisions
        self.places: Container[Place] | None = decisions

    def preempt(self, _step: int, place: Place, /, ready: Sequence[int]) -> int:
        """Do as given, if that can be done."""
        wanted = self._decisions.get(place, place[0])
        return wanted if wanted == TIME or wanted in ready else place[0]

    def follow(self, _step: int, place: Place, /, ready: Sequence[int]) -> int:
        """Do as given, if that can be done."""
        wanted = self._decisions.get(place, ready[0])
        return wanted if wanted in ready else ready[0]


def drawn(randomness: random.Random) -> Choices:
    """Return choices as a seed draws them."""
    if randomness.random() < _SHARE_OF_PRIORITIES:
        return Priorities(randomness)
    return Walk(randomness)
