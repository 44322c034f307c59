"""The pool of threads that mailboxes run on."""

import itertools
import queue
import random
import threading
from collections.abc import Iterator

import pytest

from perdure.actors.pool.dispatcher import Dispatcher
from perdure.actors.pool.offers import Offers, Runnable
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

    def get() -> Runnable | None:
        inside.set()
        assert go_on.wait(DEADLINE)
        return None

    thread = threading.Thread(target=offers.linger, args=(get,))
    thread.start()
    assert inside.wait(DEADLINE)
    with pytest.raises(queue.Empty):
        offers.linger(get)
    go_on.set()
    thread.join(DEADLINE)
