"""Delayed calls of both clocks: made in order, and forgotten when they are cancelled."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, State
from perdure.lifecycle.clock import FEW, DelayedCall, SystemClock, VirtualClock


def kept(clock: SystemClock | VirtualClock) -> int:
    """Return how many calls a clock remembers, cancelled ones as well."""
    return len(clock._heap)


class Counter(State):
    """How often."""

    n: int = 0


class Limited(Agent[Counter]):
    """An agent whose turns have a limit that is hardly ever reached."""

    turn_limit = 3600

    def inc(self) -> int:
        """Count."""
        self.state.n += 1
        return self.state.n

    async def inc_later(self) -> int:
        """Count on the loop."""
        self.state.n += 1
        return self.state.n


STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 300), st.integers(0, 10**6)), max_size=400)


@given(STEPS)
def test_cancelled_calls_are_a_bounded_burden(
    steps: list[tuple[bool, int, int]],
) -> None:
    """A clock keeps every live call, makes it in its order, and few of the cancelled ones."""
    clock = VirtualClock()
    made: list[int] = []
    live: dict[int, DelayedCall] = {}
    due: dict[int, float] = {}
    most = 0
    for number, (cancel, delay, which) in enumerate(steps):
        if cancel and live:
            live.pop(sorted(live)[which % len(live)]).cancel()
        else:
            due[number] = float(delay)
            live[number] = clock.call_later(delay, lambda number=number: made.append(number))  # type: ignore[misc]
        most = max(most, len(live))
        assert kept(clock) <= 2 * most + FEW
    clock.advance(1000.0)
    assert made == sorted(live, key=lambda number: (due[number], number))
    assert kept(clock) == 0


def test_turns_that_end_in_time_leave_nothing_on_the_clock() -> None:
    """A turn's time limit goes with the turn, whether its handler is async or not."""
    clock = SystemClock()
    with AgentSystem.open("memory://", agents=[Limited], clock=clock) as system:
        agent = system.agent(Limited, "one")
        for _ in range(3 * FEW):
            agent.call(Limited.inc).get()
            agent.call(Limited.inc_later).get()
        assert agent.call(Limited.inc).get() == 6 * FEW + 1
        assert kept(clock) < 3 * FEW
