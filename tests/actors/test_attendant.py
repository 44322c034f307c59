"""An attendant of a sweep, under a clock that is moved while it works."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import VirtualClock
from perdure.actors.pool.agenda import Agenda
from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.system.attendant import RETRY_SECONDS, Attendant
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


class LookedAt(Agenda):
    """Somebody comes in between when work is begun or ended."""

    between: Callable[[str], None] = staticmethod(lambda _place: None)
    behind: Callable[[], None] = staticmethod(lambda: None)

    def begin(self, work: object) -> None:
        self.between("begin")
        super().begin(work)

    def end(self, work: object) -> None:
        self.between("end")
        super().end(work)
        self.behind()


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


@pytest.mark.parametrize("place", ["begin", "end"])
def test_who_asks_while_a_slice_is_begun_or_ended_finds_it_done_at_rest(place: str) -> None:
    """What another asks for in between counts: at rest it is done, however the two meet."""
    pool, clock = Dispatcher(1), VirtualClock()
    agenda = LookedAt(clock)
    chores = Chores(clock, [], iter(()))
    attendant = Attendant(chores, clock, pool, agenda)
    overdue: list[bool] = []
    asked = threading.Event()

    def ask(where: str) -> None:
        if where == place and not asked.is_set():
            asked.set()
            chores.left = [0.0]
            attendant.look()
            if place == "begin":
                look()

    def look() -> None:
        overdue.append(agenda.wait(DEADLINE if place == "begin" else 0) and bool(chores.left))

    agenda.between, agenda.behind = ask, look
    try:
        chores.due(0.0)
        assert asked.wait(DEADLINE)
        assert agenda.wait(DEADLINE)
        assert not chores.left
        assert not any(overdue)
    finally:
        attendant.stop()
        pool.close()


def test_a_slice_that_is_left_by_any_error_is_tried_again() -> None:
    """People's code in it may end it by what is no Exception: the sweep goes on all the same."""
    pool, clock = Dispatcher(1), VirtualClock()
    agenda = Agenda(clock)

    class Leaving(Chores):
        def slice(self) -> float:
            if len(self.left) > 1:
                self.left.pop()
                sys.exit()
            return super().slice()

    chores = Leaving(clock, [0.0, 9.0], iter(()))
    attendant = Attendant(chores, clock, pool, agenda)
    try:
        chores.due(0.0)
        assert agenda.wait(DEADLINE)
        assert chores.left == [0.0]
        clock.advance(RETRY_SECONDS)
        assert agenda.wait(DEADLINE)
        assert not chores.left
    finally:
        attendant.stop()
        pool.close()


def test_who_is_struck_while_a_slice_is_arranged_leaves_it_to_the_next() -> None:
    """A call that was not arranged keeps no later one from being."""
    pool = Dispatcher(1)

    class Struck(VirtualClock):
        strikes = 1

        def call_at(self, when: float, callback: Callable[[], None]) -> DelayedCall:
            if self.strikes:
                self.strikes -= 1
                raise KeyboardInterrupt
            return super().call_at(when, callback)

    clock = Struck()
    agenda = Agenda(clock)
    chores = Chores(clock, [6.0], iter(()))
    attendant = Attendant(chores, clock, pool, agenda)
    try:
        with pytest.raises(KeyboardInterrupt):
            chores.due(5.0)
        chores.due(6.0)
        clock.advance(6.0)
        assert agenda.wait(DEADLINE)
        assert not chores.left
    finally:
        attendant.stop()
        pool.close()
