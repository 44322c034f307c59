"""The test kit: what a test pays for its system, and for an hour that passes."""

from __future__ import annotations

import random
import statistics
import time
from pathlib import Path

from perdure import Agent, State
from perdure.testing import Kit

OPENED = 200


class TimedState(State):
    """How many timers have come."""

    came: int = 0


class Timed(Agent[TimedState]):
    """Have timers."""

    def set(self, delays: list[float]) -> None:
        """Set one for each."""
        for delay in delays:
            self.after(delay, self.come)

    def come(self) -> None:
        """Count."""
        self.state.came += 1


def kit(_folder: Path, *, timers: int) -> dict[str, float]:
    """Open and close systems in memory; let an hour pass in which timers of 100 agents come."""
    return {"open_close": statistics.median(map(_opened, range(OPENED))), "hour": _hour(timers)}


def _opened(_number: int) -> float:
    """Return the milliseconds of a kit with a system, from beginning to end."""
    begun = time.perf_counter()
    with Kit() as kit:
        kit.open([Timed])
    return 1000 * (time.perf_counter() - begun)


def _hour(timers: int) -> float:
    """Return the seconds that an hour takes."""
    chance = random.Random(1)
    with Kit() as kit:
        system = kit.open([Timed])
        for number in range(100):
            delays = [chance.uniform(0, 3600) for _ in range(timers // 100)]
            system.agent(Timed, str(number)).call(Timed.set, delays).get()
        begun = time.perf_counter()
        kit.clock.advance(3600)
        return time.perf_counter() - begun
