"""The pool of threads that mailboxes run on."""

import itertools
import queue
import random
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.pool.offers import Offers, Runnable
from perdure.persistence.errors import PoolExhausted
from tests.kit.deadline import DEADLINE
from tests.kit.threads import at_once


class Watched(queue.SimpleQueue[Runnable | None]):
    """Tell when a worker comes back for more."""

    def __init__(self) -> None:
        super().__init__()
        self.gets = 0
        self.back = threading.Event()

    def get(self, block: bool = True, timeout: float | None = None) -> Runnable | None:  # noqa: FBT001, FBT002 - as its base
        self.gets += 1
        if self.gets > 1:
            self.back.set()
        return super().get(block, timeout)


class Work:
    """Remember who runs it."""

    thread: threading.Thread

    def waits(self) -> bool:
        return True

    def run(self) -> bool:
        self.thread = threading.current_thread()
        return True


def test_a_thread_given_up_too_late_ends_with_the_pool() -> None:
    """A worker that came back just before it was given up does not wait for work for ever."""
    dispatcher, ready, work = Dispatcher(1), Watched(), Work()
    dispatcher._ready = ready
    dispatcher.submit(work)
    assert ready.back.wait(DEADLINE)
    dispatcher.lend_for(work.thread)
    assert dispatcher.close(DEADLINE)
    work.thread.join(DEADLINE)
    assert not work.thread.is_alive()


# Work that its sender is likely to run itself.


class Once:
    """Work that whoever comes first may take, once."""

    def __init__(self) -> None:
        self._left = [self]
        self.done = threading.Event()
        self.thread: threading.Thread | None = None

    def waits(self) -> bool:
        return bool(self._left)

    def run(self) -> bool:
        try:
            self._left.pop()
        except IndexError:
            return False
        self.thread = threading.current_thread()
        self.done.set()
        return True


@pytest.fixture
def pool() -> Iterator[Dispatcher]:
    """Return a pool of one worker."""
    dispatcher = Dispatcher(1)
    yield dispatcher
    assert dispatcher.close(DEADLINE)


def make_linger(pool: Dispatcher) -> None:
    """Wake the worker in vain until it lingers."""
    for _ in itertools.count():
        work = Once()
        work.run()
        pool.offer(work)
        if pool._offers.lingering:
            return


def test_an_offer_that_nobody_takes_is_run(pool: Dispatcher) -> None:
    """Lingering delays work and loses none, however often it begins and ends."""
    for _ in range(20):
        make_linger(pool)
        work = Once()
        pool.offer(work)
        assert work.done.wait(DEADLINE)
        assert work.thread is not threading.current_thread()


def test_those_who_cannot_help_hurry_it(pool: Dispatcher) -> None:
    """After ``hurry`` an offer is ordinary work, which wakes the worker at once."""
    make_linger(pool)
    work = Once()
    pool.offer(work)
    pool.hurry()
    assert not pool._offers._offers
    assert work.done.wait(DEADLINE)


def test_work_ends_the_lingering(pool: Dispatcher) -> None:
    """Offers do not wait behind a worker that went from lingering to work which takes long."""
    make_linger(pool)
    busy, go_on = threading.Event(), threading.Event()

    class Long(Once):
        def run(self) -> bool:
            busy.set()
            return go_on.wait(DEADLINE)

    pool.submit(Long())
    assert busy.wait(DEADLINE)
    assert not pool._offers.lingering
    go_on.set()


def test_a_pool_that_lingers_can_be_closed() -> None:
    """The end of the pool is no work to be looked after."""
    pool = Dispatcher(2)
    make_linger(pool)
    assert pool.close(DEADLINE)


def test_idle_workers_do_not_linger(pool: Dispatcher) -> None:
    """When nothing is offered any more the worker sleeps until it is woken."""
    make_linger(pool)
    assert pool._offers._looking.acquire(timeout=DEADLINE)
    assert not pool._offers.lingering
    pool._offers._looking.release()


@pytest.mark.usefixtures("hasty_threads")
def test_races_between_offers_and_their_end() -> None:
    """Whoever offers, helps, hurries or lingers when: each piece of work runs exactly once."""
    pool = Dispatcher(3)
    done: list[Once] = []

    def offer(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(300):
            work = Once()
            done.append(work)
            pool.offer(work)
            if chance.random() < 0.9:
                work.run()
            elif chance.random() < 0.5:
                pool.hurry()

    at_once(4, offer)
    assert all(work.done.wait(DEADLINE) for work in done)
    assert pool.close(DEADLINE)


def test_another_worker_does_not_linger_too() -> None:
    """One looks after the offers; a second one is told that there is nothing to wait for."""
    offers = Offers(lambda _work: None)
    inside, go_on = threading.Event(), threading.Event()

    def idle() -> bool:
        inside.set()
        assert go_on.wait(DEADLINE)
        return False

    thread = threading.Thread(target=offers.linger, args=(idle,))
    thread.start()
    assert inside.wait(DEADLINE)
    offers.linger(idle)
    go_on.set()
    thread.join(DEADLINE)


# Places that are lent.


class Waiting:
    """Work that waits for a reply until it is let go."""

    def __init__(self, pool: Dispatcher) -> None:
        self._pool = pool
        self.begun, self.go_on, self.done = (threading.Event() for _ in range(3))
        self.error: BaseException | None = None

    def waits(self) -> bool:
        return True

    def run(self) -> bool:
        try:
            with self._pool.blocking(reply=True):
                self.begun.set()
                assert self.go_on.wait(DEADLINE)
        except PoolExhausted as error:
            self.error = error
            self.begun.set()
        self.done.set()
        return True


def goes_on(pool: Dispatcher) -> bool:
    """Tell whether work that waits for nobody is run."""
    work = Once()
    pool.submit(work)
    return work.done.wait(DEADLINE)


@given(
    st.integers(1, 3),
    st.integers(1, 6),
    st.lists(st.integers(0, 9).map(lambda n: n - 4), max_size=30),
)
def test_places_are_lent_and_given_back(workers: int, most: int, steps: list[int]) -> None:
    """As many may wait as leave one thread that runs; the next is refused, and others go on.

    The model is the number of those that wait: each step lets one go, or has another wait.
    """
    pool = Dispatcher(workers, most=most)
    most = max(most, workers)
    lent: list[Waiting] = []
    try:
        for step in steps:
            if step < 0 and lent:
                work = lent.pop(step % len(lent))
                work.go_on.set()
                assert work.done.wait(DEADLINE)
            else:
                work = Waiting(pool)
                pool.submit(work)
                assert work.begun.wait(DEADLINE)
                if len(lent) < most - 1:
                    assert work.error is None
                    lent.append(work)
                else:
                    assert isinstance(work.error, PoolExhausted)
            assert goes_on(pool)
            assert len(lent) < pool.threads() <= most
    finally:
        for work in lent:
            work.go_on.set()
        assert pool.close(DEADLINE)


@pytest.mark.usefixtures("hasty_threads")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_pool_keeps_its_workers(workers: int) -> None:
    """However many lend their places and come back at once, none leaves who is not too many."""
    pool = Dispatcher(workers)
    gate = threading.Semaphore(0)

    class Brief(Once):
        def run(self) -> bool:
            with pool.blocking():
                gate.acquire(timeout=DEADLINE)
            return super().run()

    for _ in range(60):
        works = [Brief() for _ in range(12)]
        for work in works:
            pool.submit(work)
        for _ in works:
            gate.release()
        assert all(work.done.wait(DEADLINE) for work in works)
        assert goes_on(pool)
    assert pool.close(DEADLINE)


def test_the_last_worker_may_wait_for_what_comes_by_itself() -> None:
    """At the most threads ``blocking()`` goes on without lending anything."""
    pool = Dispatcher(1, most=1)
    ran = threading.Event()

    class Sleeper(Once):
        def run(self) -> bool:
            with pool.blocking(), pool.blocking():
                ran.set()
            return True

    pool.submit(Sleeper())
    assert ran.wait(DEADLINE)
    assert goes_on(pool)
    assert pool.close(DEADLINE)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_exception_thrown_into_a_worker_costs_no_work(error: type[BaseException]) -> None:
    """What a worker had taken is run all the same, and the pool keeps its number of threads."""
    pool = Dispatcher(1)

    class Struck(Once):
        def __init__(self) -> None:
            super().__init__()
            self.strikes = 1

        def run(self) -> bool:
            if self.strikes:
                self.strikes -= 1
                raise error
            return super().run()

    work = Struck()
    pool.submit(work)
    assert work.done.wait(DEADLINE)
    assert goes_on(pool)
    assert pool.threads() == 1
    assert pool.close(DEADLINE)
