"""Clocks are set and machines sleep: what waits for a moment in time notices within a second."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Log,
    MemoryStore,
    Principal,
    Right,
    Scope,
    SessionLimits,
    State,
    VirtualClock,
)
from perdure.actors.cell.timers import EARLY
from perdure.lifecycle.clock import StepWatch, SystemClock
from perdure.persistence.records.shared_tables import GRANTS, SCOPED
from perdure.persistence.records.tables import Order
from tests.kit.deadline import DEADLINE

HOUR = 3600.0


class ChimeState(State):
    rung: Log[tuple[str, float]] = Log.field()


class Chime(Agent[ChimeState]):
    """Write down every ring with the wall clock's time."""

    def ring(self, name: str) -> None:
        now = cast("AgentSystem", self.system)._clock.now()
        self.state.rung.append((name, now))

    def in_seconds(self, seconds: list[float]) -> None:
        """Set a timer for each."""
        for each in seconds:
            self.after(each, self.ring, f"{each}", name=f"{each}")

    def repeat(self, seconds: float) -> None:
        """Set an interval timer."""
        self.every(seconds, self.ring, "tick", name="tick")

    def names(self) -> list[str]:
        """Return what rang, in order."""
        return [name for name, _ in self.state.rung]

    def times(self) -> list[float]:
        """Return when it rang."""
        return [when for _, when in self.state.rung]


def pass_a_second(system: AgentSystem, clock: VirtualClock) -> None:
    """Let a second pass, and what it brings be done."""
    for _ in range(2):  # what was found in the store is called at once, but by the clock
        clock.advance(0.5)
        assert system.idle(DEADLINE)


@pytest.mark.parametrize("step", [700.0, HOUR, 30 * 24 * HOUR])
def test_after_a_step_forward_all_that_is_overdue_comes_in_order(step: float) -> None:
    """Whether it stood in memory or in the store, what is due comes within a second, by its due."""
    clock = VirtualClock()
    with AgentSystem.open(MemoryStore(), agents=[Chime], clock=clock) as system:
        chime = system.agent(Chime, "a")
        chime.call(Chime.in_seconds, [600.0, 50.0, 70.0, 5.0, 55.0, 1e9]).get()
        clock.set_back(-step)
        pass_a_second(system, clock)
        assert chime.call(Chime.names).get() == ["5.0", "50.0", "55.0", "70.0", "600.0"]


@pytest.mark.parametrize("interval", [10.0, 600.0, 7200.0])
def test_after_a_step_back_an_interval_goes_on(interval: float) -> None:
    """An interval timer ticks once in its interval, however far the clock was set back."""
    clock = VirtualClock()
    with AgentSystem.open(MemoryStore(), agents=[Chime], clock=clock) as system:
        chime = system.agent(Chime, "a")
        chime.call(Chime.repeat, interval).get()
        clock.set_back(HOUR)
        pass_a_second(system, clock)
        for ticks in range(1, 4):
            clock.advance(interval)
            assert system.idle(DEADLINE)
            assert chime.call(Chime.names).get() == ["tick"] * ticks


@pytest.mark.parametrize("interval", [10.0, 600.0])
def test_an_interval_goes_on_if_the_clock_was_set_back_while_nobody_was_there(
    interval: float,
) -> None:
    """The next system finds dormant agents' timers that are further away than their interval."""
    clock, store = VirtualClock(), MemoryStore()
    with AgentSystem.open(store, agents=[Chime], clock=clock) as system:
        system.agent(Chime, "a").call(Chime.repeat, interval).get()
    clock = VirtualClock(clock.now() - 10 * HOUR)
    with AgentSystem.open(store, agents=[Chime], clock=clock) as system:
        clock.advance(interval)
        assert system.idle(DEADLINE)
        assert system.agent(Chime, "a").call(Chime.names).get() == ["tick"]


def test_a_moment_stays_one_when_the_clock_is_set_back() -> None:
    """What is to happen once happens at its time by the clock on the wall, not before."""
    clock = VirtualClock()
    with AgentSystem.open(MemoryStore(), agents=[Chime], clock=clock) as system:
        chime = system.agent(Chime, "a")
        chime.call(Chime.in_seconds, [10.0]).get()
        clock.set_back(100.0)
        clock.advance(109.0)
        assert system.idle(DEADLINE)
        assert chime.call(Chime.names).get() == []
        clock.advance(1.0)
        assert system.idle(DEADLINE)
        assert chime.call(Chime.names).get() == ["10.0"]


@given(
    st.lists(st.floats(1.0, 1000.0).map(lambda number: round(number, 1)), unique=True, max_size=8),
    st.lists(
        st.tuples(st.sampled_from([0.0, 1.0, 25.0, 200.0]), st.integers(-400, 400)), max_size=6
    ),
)
@settings(max_examples=60)
def test_every_timer_comes_once_and_not_before_its_time(
    timers: list[float], moves: list[tuple[float, int]]
) -> None:
    """However the clock is moved, by itself or by somebody, each rings once, at its time."""
    clock = VirtualClock()
    start = latest = clock.now()
    with AgentSystem.open(MemoryStore(), agents=[Chime], clock=clock) as system:
        chime = system.agent(Chime, "a")
        chime.call(Chime.in_seconds, timers).get()
        for seconds, step in moves:
            clock.advance(seconds)
            assert system.idle(DEADLINE)
            latest = max(latest, clock.now())
            clock.set_back(step)
            pass_a_second(system, clock)
            latest = max(latest, clock.now())
        names, times = chime.call(Chime.names).get(), chime.call(Chime.times).get()
        early = [start + float(name) - when for name, when in zip(names, times, strict=True)]
        assert max(early, default=0.0) <= EARLY
        due = {f"{each}" for each in timers if start + each <= clock.now()}
        assert due <= set(names) <= {f"{each}" for each in timers if start + each <= latest + 1.0}
        assert len(set(names)) == len(names)


def overdue_session(system: AgentSystem) -> Callable[[], bool]:
    """Make a session with a deadline; return whether it has ended."""
    session = system.sessions.create("s", limits=SessionLimits(duration=600.0))
    return lambda: session.info().status == "failed"


def overdue_key(system: AgentSystem) -> Callable[[], bool]:
    """Make a key that expires; return whether its row is gone."""
    system.state.set(Scope.GLOBAL, "k", 1, ttl=600.0)
    return lambda: not system._store.page(SCOPED, Order(("kind",)), None, 1)


def overdue_grant(system: AgentSystem) -> Callable[[], bool]:
    """Make a grant that runs out; return whether it is gone."""
    anna = Principal.agent("Chime", "anna")
    system.access.grant(anna, Scope.workflow("w"), Right.READ, seconds=600.0)
    return lambda: not system._store.page(GRANTS, Order(("number",)), None, 1)


@pytest.mark.parametrize("make", [overdue_session, overdue_key, overdue_grant])
def test_what_has_a_deadline_ends_after_a_step_forward(
    make: Callable[[AgentSystem], Callable[[], bool]],
) -> None:
    """A machine that slept over the end of a session, a key or a grant sees to it at once."""
    clock = VirtualClock()
    with AgentSystem.open(MemoryStore(), agents=[Chime], clock=clock) as system:
        ended = make(system)
        pass_a_second(system, clock)
        assert not ended()
        clock.set_back(-HOUR)
        pass_a_second(system, clock)
        pass_a_second(system, clock)
        assert ended()


@given(st.lists(st.floats(-0.1, 0.1), max_size=20))
def test_a_clock_that_is_slewed_was_not_set(drifts: list[float]) -> None:
    """Only what is more than half a second a second is a step; told once for each."""
    clock, told = VirtualClock(), []
    StepWatch(clock, [lambda: told.append(clock.monotonic())]).start()
    for drift in drifts:
        clock.set_back(drift)
        clock.advance(1.0)
    assert told == []
    clock.set_back(60.0)
    clock.advance(5.0)
    assert told == [len(drifts) + 1.0]


def test_what_waits_aside_holds_up_no_call() -> None:
    """What waits for a locked store keeps others of its sort waiting, but no delayed call."""
    clock = SystemClock()
    waits, called, gone_on = threading.Event(), threading.Event(), threading.Event()
    order: list[int] = []

    def wait() -> None:
        waits.set()
        assert gone_on.wait(DEADLINE)
        order.append(1)

    clock.start()
    try:
        clock.call_aside(wait)
        clock.call_aside(lambda: order.append(2))
        assert waits.wait(DEADLINE)
        clock.call_later(0.0, called.set)
        assert called.wait(DEADLINE)
        assert order == []
        done = threading.Event()
        clock.call_aside(done.set)
        gone_on.set()
        assert done.wait(DEADLINE)
        assert order == [1, 2]
    finally:
        gone_on.set()
        clock.close()
