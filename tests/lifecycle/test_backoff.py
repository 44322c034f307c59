"""How long is waited, and the breaker, alone."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from perdure import Backoff, Breaker, RestartPolicy
from perdure.hooks.breaker import BreakerState, Circuit
from perdure.lifecycle.restart import Intensity
from perdure.persistence.errors import ConfigurationError


def test_waits_double_up_to_the_longest() -> None:
    """Without jitter the waits are first, first times factor, and so on, never above longest."""
    backoff = Backoff(first=0.1, factor=2.0, longest=1.0, jitter=0.0)
    waits = [backoff.delay(attempt, random.Random(1)) for attempt in range(1, 7)]
    assert waits == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0])


def test_the_same_seed_gives_the_same_jitter() -> None:
    """Two generators of one seed draw the same waits, those of another seed do not."""
    backoff = Backoff(first=1.0, factor=2.0, longest=60.0, jitter=0.5)

    def waits(seed: int) -> list[float]:
        randomness = random.Random(seed)
        return [backoff.delay(attempt, randomness) for attempt in range(1, 20)]

    assert waits(7) == waits(7)
    assert waits(7) != waits(8)


@given(
    first=st.floats(0, 1e6),
    factor=st.floats(1, 1e300),
    more=st.floats(0, 1e6),
    jitter=st.floats(0, 1),
    attempt=st.integers(1, 10_000),
)
def test_a_wait_is_within_its_bounds(
    first: float, factor: float, more: float, jitter: float, attempt: int
) -> None:
    """A wait lies between the undrawn share of first and longest, after any number of failures."""
    backoff = Backoff(first, factor, first + more, jitter)
    wait = backoff.delay(attempt, random.Random(0))
    assert math.isfinite(wait)
    assert first * (1 - jitter) <= wait * (1 + 1e-9)
    assert wait <= (first + more) * (1 + 1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"first": -1.0}, {"factor": 0.5}, {"longest": 0.01}, {"jitter": 1.1}, {"jitter": -0.1},
        {"first": math.nan}, {"factor": math.nan}, {"jitter": math.nan}, {"longest": math.inf},
    ],
)  # fmt: skip
def test_waits_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    """A backoff that would run ahead, never come back or compute with NaN cannot be made."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Backoff(**options)


@pytest.mark.parametrize(
    "options", [{"failures": 0}, {"reset_after": 0.0}, {"reset_after": math.nan}]
)
def test_breakers_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    """A breaker that is always open or never half-opens cannot be made."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        Breaker(**options)  # type: ignore[arg-type]


class CircuitModel(RuleBasedStateMachine):
    """The circuit against the words of its contract."""

    def __init__(self) -> None:
        """Begin closed with three failures allowed."""
        super().__init__()
        self.circuit = Circuit(Breaker(failures=3))
        self.state = "closed"
        self.row = 0

    @rule()
    def succeed(self) -> None:
        """Close whatever was not closed, and say so once."""
        assert self.circuit.succeeded() == (self.state != "closed")
        self.state, self.row = "closed", 0

    @rule()
    def fail(self) -> None:
        """Open at the third failure in a row, and at the one of a trial."""
        self.row += 1
        opens = self.state == "half-open" or (self.state == "closed" and self.row >= 3)
        assert self.circuit.failed() == opens
        self.state = "open" if opens else self.state

    @rule()
    def half_open(self) -> None:
        """Only an open circuit is half-opened: a late timer leaves a closed one alone."""
        assert self.circuit.half_open() == (self.state == "open")
        self.state = "half-open" if self.state == "open" else self.state

    @invariant()
    def agrees(self) -> None:
        """State and count are as expected."""
        assert self.circuit.state == BreakerState(self.state)
        assert self.circuit.failures == self.row


TestCircuit = CircuitModel.TestCase


@given(st.integers(0, 5), st.lists(st.floats(0, 10, allow_nan=False), max_size=40))
def test_intensity_counts_the_restarts_of_its_period(allowed: int, gaps: list[float]) -> None:
    """A restart is refused exactly when more than allowed happened within the period before it."""
    intensity = Intensity(RestartPolicy(restarts=allowed, within=10.0))
    moments: list[float] = []
    now = 0.0
    for gap in gaps:
        now += gap
        moments.append(now)
        within = sum(moment > now - 10.0 for moment in moments)
        assert intensity.record(now) == (within if within <= allowed else None)
