"""An attendant of a sweep, under a clock that is moved while it works."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from hypothesis import given
from hypothesis import strategies as st

from perdure import VirtualClock
from perdure.actors.pool.agenda import Agenda
from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.system.attendant import Attendant
from perdure.lifecycle.clock import DelayedCall
from perdure.shared.ledger.sweep import Sweep
from tests.kit.deadline import DEADLINE


class MovedClock(VirtualClock):
    """A clock that somebody moves just before a call is arranged, and just behind that."""

    def __init__(self, steps: Iterator[float]) -> None:
        super().__init__()
        self.steps = steps

    def call_at(self, when: float, callback: Callable[[], None]) -> DelayedCall:
        self.advance(next(self.steps, 0.0))
        call = super().call_at(when, callback)
        self.advance(next(self.steps, 0.0))
        return call


class Chores(Sweep):
    """Do what is due at some moments; somebody moves the clock behind the look at it."""

    what = "chores are not done"

    def __init__(self, clock: VirtualClock, moments: list[float], steps: Iterator[float]) -> None:
        super().__init__()
        self.left = sorted(moments)
        self._clock = clock
        self._steps = steps

    def slice(self) -> float:
        now = self._clock.monotonic()
        while self.left and self.left[0] <= now:
            self.left.pop(0)
        self._clock.advance(next(self._steps, 0.0))
        return self.left[0] - now if self.left else -1.0


STEPS = st.lists(st.sampled_from([0.0, 1.0, 29.0, 45.0, 600.0]), max_size=12)


def test_at_rest_nothing_is_overdue() -> None:
    """However a clock is moved during a slice: once it is at rest, all that was due is done."""
    pool = Dispatcher(1)

    @given(
        moments=st.lists(st.integers(1, 4000), min_size=1, max_size=5, unique=True),
        steps=STEPS,
        advances=st.lists(st.sampled_from([1.0, 50.0, 3600.0]), min_size=1, max_size=3),
    )
    def moved(moments: list[int], steps: list[float], advances: list[float]) -> None:
        moving = itertools.chain(steps)
        clock = MovedClock(moving)
        agenda = Agenda(clock)
        chores = Chores(clock, [float(moment) for moment in moments], moving)
        attendant = Attendant(chores, clock, pool, agenda)
        chores.due(0.0)
        for seconds in (0.0, *advances):
            clock.advance(seconds)
            assert agenda.wait(DEADLINE)
            assert all(moment > clock.monotonic() for moment in chores.left)
        attendant.stop()

    try:
        moved()
    finally:
        pool.close()
