"""The interpreter's switch interval while systems are open."""

from __future__ import annotations

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Durability, Resources, State
from perdure.actors.pool.switching import COMPUTING_INTERVAL, LOOK_SECONDS, ComputingWatch
from perdure.lifecycle.clock import SystemClock
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE

OWN = 0.005
"""Python's own setting."""


needs_thread_clocks = pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="this system does not tell"
)


class Busy(Agent[State]):
    durability = Durability.VOLATILE

    def work(self, look: Callable[[], None]) -> None:
        """Use a processor between two looks."""
        look()
        begun = time.thread_time()
        while time.thread_time() - begun < LOOK_SECONDS:
            pass
        look()


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    found = sys.getswitchinterval()
    sys.setswitchinterval(OWN)
    yield
    sys.setswitchinterval(found)


def opened(wish: float | None = 0.001) -> AgentSystem:
    """Open a system in memory that wishes for an interval."""
    return AgentSystem.open("memory://", agents=[Busy], resources=Resources(switch_interval=wish))


@contextmanager
def computing() -> Iterator[None]:
    """Have a thread compute in pure Python."""
    stop = threading.Event()

    def compute() -> None:
        number = 0
        while not stop.is_set():
            number += sum(range(100))

    thread = threading.Thread(target=compute, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(DEADLINE)


def until(interval: float) -> None:
    """Wait until the interval is this one."""
    before = time.monotonic()
    while sys.getswitchinterval() != pytest.approx(interval):
        assert time.monotonic() - before < DEADLINE, sys.getswitchinterval()
        threading.Event().wait(0.01)


@needs_thread_clocks
def test_it_is_short_as_long_as_a_thread_computes() -> None:
    """Found when nobody computes, a millisecond beside a thread that does, and then as before."""
    with opened(None):
        assert sys.getswitchinterval() == OWN
        with computing():
            until(COMPUTING_INTERVAL)
        until(OWN)
        with computing():
            until(COMPUTING_INTERVAL)
    assert sys.getswitchinterval() == OWN


@needs_thread_clocks
def test_a_look_keeps_nothing_of_what_threads_work_with() -> None:
    """What a thread had in hand during a look is free when the thread lets go of it."""

    class Thing:
        pass

    watch = ComputingWatch(SystemClock(), lambda _seconds: None)
    gone: list[weakref.ref[Thing]] = []

    def work() -> None:
        thing = Thing()
        gone.append(weakref.ref(thing))
        begun = time.monotonic()
        while time.monotonic() - begun < LOOK_SECONDS:
            pass
        watch.look()

    gc.disable()
    try:
        work()
        assert gone[0]() is None
    finally:
        gc.enable()


@needs_thread_clocks
def test_work_inside_perdure_is_no_reason() -> None:
    """A turn that uses a processor is inside; more switches would help nobody."""
    wishes: list[float] = []
    with opened(0.0) as system:
        watch = ComputingWatch(SystemClock(), wishes.append)
        system.agent(Busy, "one").call(Busy.work, watch.look).get(timeout=DEADLINE)
    assert wishes == []


WISHES = st.sampled_from([0.0, 0.0005, 0.001, 0.002, 0.02])


@given(
    found=st.sampled_from([0.0001, 0.001, OWN, 0.1]),
    wishes=st.lists(WISHES, min_size=1, max_size=4),
    data=st.data(),
)
def test_the_shortest_wish_counts_until_the_last_system_is_closed(
    found: float, wishes: list[float], data: st.DataObject
) -> None:
    """Whatever the order of closing, it is the least of what was found and of the open wishes."""
    sys.setswitchinterval(found)
    found = sys.getswitchinterval()  # in whole microseconds
    with ExitStack() as undo:
        systems = [(undo.enter_context(opened(wish)), wish) for wish in wishes]
        while systems:
            expected = min([found, *(wish for _, wish in systems if wish)])
            assert sys.getswitchinterval() == pytest.approx(expected)
            system, _ = systems.pop(data.draw(st.integers(0, len(systems) - 1)))
            system.close()
    assert sys.getswitchinterval() == found


@pytest.mark.parametrize("mine", [0.0002, 0.03])
def test_a_setting_made_meanwhile_stays(mine: float) -> None:
    """What somebody else sets while the system is open is not undone by its close."""
    with opened():
        sys.setswitchinterval(mine)
        mine = sys.getswitchinterval()  # in whole microseconds
    assert sys.getswitchinterval() == mine


def test_an_opening_that_fails_gives_it_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a later step of the opening fails, the interval is what it was before."""
    seen: list[float] = []

    def fail(_clock: object) -> None:
        seen.append(sys.getswitchinterval())
        raise RuntimeError("no thread")

    monkeypatch.setattr("perdure.lifecycle.clock.SystemClock.start", fail)
    with pytest.raises(RuntimeError, match="no thread"):
        opened()
    assert (seen, sys.getswitchinterval()) == ([0.001], OWN)


def test_less_than_nothing_is_refused() -> None:
    """A negative interval is a mistake, named with the right form."""
    with pytest.raises(ConfigurationError, match=r"Resources\(switch_interval=-1\)"):
        Resources(switch_interval=-1)
