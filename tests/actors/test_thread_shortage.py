"""When the machine gives no more threads nothing is lost or hangs, and no worker is a ghost."""

import threading
from collections.abc import Callable

import pytest

from perdure import Agent, AgentSystem, Resources, State, VirtualClock
from perdure.actors.pool.dispatcher import RETRY_SECONDS, Dispatcher
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate

REFUSED = "can't start new thread"
"""What CPython says at the limit."""


class Machine:
    """Refuse to start some threads, by the number of the try; those of tests are not counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.refused: Callable[[int], bool] = lambda _number: False
        self.tries = 0
        self._real = threading.Thread.start
        machine = self

        def start(thread: threading.Thread) -> None:
            if thread.name.startswith("perdure"):
                machine.tries += 1
                if machine.refused(machine.tries):
                    raise RuntimeError(REFUSED)
            machine._real(thread)

        monkeypatch.setattr(threading.Thread, "start", start)

    def refuse(self, *numbers: int) -> None:
        """Refuse these of the tries to come, counted from 1."""
        self.tries = 0
        self.refused = lambda number: number in numbers

    def refuse_all(self) -> None:
        """Refuse every try from now on."""
        self.refused = lambda _number: True

    def mend(self) -> None:
        """Start all threads again."""
        self.refused = lambda _number: False


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Give a machine that is in good health."""
    return Machine(monkeypatch)


class Job:
    """Tell when it is run."""

    def __init__(self, function: Callable[[], object] = lambda: None) -> None:
        self.done = threading.Event()
        self._function = function

    def waits(self) -> bool:
        return True

    def run(self) -> bool:
        try:
            self._function()
        finally:
            self.done.set()
        return True


def running(pool: Dispatcher) -> int:
    """Count the threads of a pool that run."""
    return sum(thread.is_alive() for thread in pool._threads)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_pool_counts_the_threads_that_run(machine: Machine, number: int) -> None:
    """A thread that was not started is not counted; others do the work, and it is tried again."""
    pool = Dispatcher(3, later=lambda _seconds, _call: None)
    machine.refuse(number)
    first = Job()
    pool.submit(first)
    assert pool.threads() == running(pool) == number - 1
    second = Job()
    pool.submit(second)  # and with it the missing ones
    assert first.done.wait(DEADLINE)
    assert second.done.wait(DEADLINE)
    assert pool.threads() == running(pool) == 3
    assert pool.close(DEADLINE)


def test_work_that_nobody_can_run_is_run_later(machine: Machine) -> None:
    """Without any thread work waits, and the clock tries to start one again and again."""
    clock = VirtualClock()
    pool = Dispatcher(1, later=clock.call_later)
    machine.refuse_all()
    job = Job()
    pool.submit(job)
    for _ in range(3):
        clock.advance(RETRY_SECONDS)
        assert (pool.threads(), job.done.is_set()) == (0, False)
    assert len(clock.pending()) == 1
    machine.mend()
    clock.advance(RETRY_SECONDS)
    assert job.done.wait(DEADLINE)
    assert clock.pending() == []
    assert pool.close(DEADLINE)


def test_a_pool_without_a_clock_says_so(machine: Machine) -> None:
    """Where nobody tries again by itself, the sender is told; the work is run with the next."""
    pool = Dispatcher(1)
    machine.refuse_all()
    first, second = Job(), Job()
    with pytest.raises(RuntimeError, match=REFUSED):
        pool.submit(first)
    machine.mend()
    pool.submit(second)
    assert first.done.wait(DEADLINE)
    assert second.done.wait(DEADLINE)
    assert pool.close(DEADLINE)


@pytest.mark.parametrize("with_clock", [True, False])
def test_a_worker_that_waits_for_work_behind_it(machine: Machine, with_clock: bool) -> None:  # noqa: FBT001 - a parameter
    """A worker's place that nobody can take is taken later, or it is told not to wait."""
    clock = VirtualClock()
    pool = Dispatcher(1, later=clock.call_later if with_clock else None)
    behind, gate = Job(), Gate()
    told: list[bool | str] = []

    def wait() -> None:
        gate.pass_through()
        try:
            with pool.blocking():
                told.append(behind.done.wait(DEADLINE))
        except RuntimeError as error:
            told.append(str(error))

    front = Job(wait)
    pool.submit(front)
    gate.wait()
    pool.submit(behind)
    machine.refuse_all()
    if with_clock:
        asked = threading.Event()

        def later(seconds: float, call: Callable[[], None]) -> None:
            clock.call_later(seconds, call)
            asked.set()

        pool._later = later
        gate.open()
        assert asked.wait(DEADLINE)
        machine.mend()
        clock.advance(RETRY_SECONDS)
    else:
        gate.open()
    assert front.done.wait(DEADLINE)
    assert behind.done.wait(DEADLINE)
    assert told == [True if with_clock else REFUSED]
    machine.mend()
    assert pool.close(DEADLINE)
    assert pool.threads() == 0


def test_an_interrupt_while_a_thread_starts_leaves_no_ghost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thread that runs although its start was interrupted works, and ends with the pool."""
    real, interrupts = threading.Thread.start, [KeyboardInterrupt]
    begun: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        real(thread)
        begun.append(thread)
        if interrupts:
            raise interrupts.pop()

    monkeypatch.setattr(threading.Thread, "start", start)
    pool = Dispatcher(1)
    job, other = Job(), Job()
    with pytest.raises(KeyboardInterrupt):
        pool.submit(job)
    assert job.done.wait(DEADLINE)
    pool.submit(other)
    assert other.done.wait(DEADLINE)
    assert pool.close(DEADLINE)
    for thread in begun:
        thread.join(DEADLINE)
        assert not thread.is_alive()


class CountState(State):
    count: int = 0


class Counter(Agent[CountState]):
    """Count here, or have it counted elsewhere."""

    def add(self) -> int:
        self.state.count += 1
        return self.state.count

    async def add_slowly(self) -> int:
        return self.add()

    def pass_on(self) -> int:
        # With a timeout the asker does not run the turn itself: it needs another thread.
        return self.system.agent(Counter, "other").call(Counter.add).get(timeout=DEADLINE)


def test_an_agent_that_asks_another_gets_its_answer(machine: Machine) -> None:
    """A chain of asks in a pool of one ends also when the thread it needs comes late."""
    with AgentSystem.open("memory://", agents=[Counter], resources=Resources(workers=1)) as system:
        machine.refuse(1, 2)
        assert system.agent(Counter, "a").call(Counter.pass_on).get(timeout=DEADLINE) == 1
        assert machine.tries > 2
        system.agent(Counter, "b").cast(Counter.add)
        assert system.idle(DEADLINE)


def test_an_async_handler_without_its_thread_fails_alone(machine: Machine) -> None:
    """The one whose handler found no thread for the loop is told; the next finds one."""
    with AgentSystem.open("memory://", agents=[Counter]) as system:
        counter = system.agent(Counter, "a")
        assert counter.call(Counter.add).get(timeout=DEADLINE) == 1
        machine.refuse(1)
        with pytest.raises(RuntimeError, match=REFUSED):
            counter.call(Counter.add_slowly).get(timeout=DEADLINE)
        assert counter.call(Counter.add_slowly).get(timeout=DEADLINE) == 2
