"""A few worker threads that run many mailboxes."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from ...persistence.errors import PoolExhausted
from .offers import VAIN, Offers, Runnable
from .returning import Returning
from .writing import Scribe, Writing

logger = logging.getLogger("perdure.actors")

DEFAULT_WORKERS: Final = max(2, min(8, os.cpu_count() or 2))
MOST_WORKERS: Final = 512
"""Threads a pool may grow to when its workers wait."""
RETRY_SECONDS: Final = 0.1
"""After which a thread that could not be started is tried again."""


class Dispatcher:
    """Run mailboxes on a pool of threads.

    A worker that is about to wait lends its place (``blocking()``): another thread takes it, so
    the pool always has its number of threads that can run. ``most`` threads is the end of that:
    the last one that can run never waits for a reply, so work that waits for nobody goes on.

    Invariants: ``_threads`` holds the threads that run, ``_lent`` those of them that wait. Whoever
    changes either holds the lock, and decides by both in the same hold: so no more threads leave
    than are too many.

    When the machine gives no more threads, those that are there do the work, and the missing ones
    are tried again: when work comes, when a worker is through with some, and by ``later``. Only
    where that leaves nobody, a pool without ``later`` raises what ``Thread.start`` raised.
    """

    def __init__(
        self,
        workers: int = DEFAULT_WORKERS,
        *,
        name: str = "perdure",
        most: int = MOST_WORKERS,
        later: Callable[[float, Callable[[], None]], object] | None = None,
        scribe: Scribe | None = None,
    ) -> None:
        """Make a pool of ``workers`` threads, started when work comes.

        ``later(seconds, call)`` makes a call after some seconds, on a thread of its own. ``scribe``
        has something to write after a run; a worker with nothing else to do helps it.
        """
        self._size = workers
        self._most = max(most, workers)
        self._name = name
        self._later = later
        self._ready: queue.SimpleQueue[Runnable | None] = queue.SimpleQueue()
        self._returning = Returning(self._ready.put)
        self.writing = None
        if scribe is not None:
            self.writing = Writing(scribe, later, self._lend_to_the_disk, self._returning)
        self.requeue: Callable[[Runnable], None] = self._ready.put
        """Have work run that was submitted already, by a worker that is there. One call in C, so
        that it is made or not made when an asynchronous exception strikes."""
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._given_up: set[threading.Thread] = set()
        self._lent: set[threading.Thread] = set()
        self._submitted = itertools.count()
        self._offers = Offers(self._ready.put)
        self._closed = False
        self._wanting = True  # threads are missing
        self._retrying = False  # ``later`` was asked to try again

    def start(self) -> None:
        """Start the workers before there is work; RuntimeError if not one can be started."""
        with self._lock:
            error = self._fill()
            if not self._threads and error is not None:
                raise error

    def submit(self, work: Runnable) -> None:
        """Have a worker run ``work`` once."""
        next(self._submitted)
        # Before threads are started: what is here is run, though that may raise.
        if self._returning.soon:
            self._returning.leave(work)
        else:
            self._ready.put(work)
        if self._offers.lingering:
            self._offers.ring()
        if self._wanting:
            with self._lock:
                self._fill_or_raise()

    def offer(self, work: Runnable) -> None:
        """Have ``work`` run once, by a worker or by whoever is about to wait for it."""
        if self._offers.lingering:
            next(self._submitted)
            self._offers.offer(work)
        else:
            self.submit(work)

    def hurry(self) -> None:
        """Leave what was offered to the workers: somebody waits who cannot run it."""
        if self._offers.lingering:
            self._offers.end()

    def spare(self) -> bool:
        """Tell about whether a worker may write when its run is over: no work waits for it."""
        # For every run, so the threads are counted here.
        lone = len(self._threads) - len(self._lent) <= 1
        return not lone and self.writing is not None and self._ready.empty()

    def _lend_to_the_disk(self, thread: threading.Thread, *, lent: bool) -> None:
        """Replace a worker while it is held up by the disk."""
        with self._lock:
            if not lent:
                self._lent.discard(thread)
            elif thread in self._threads:
                self._lent.add(thread)
                self._fill()

    def submissions(self) -> int:
        """Return a number that rises by one from call to call, and by more if work came between."""
        return next(self._submitted)

    @contextlib.contextmanager
    def blocking(self, *, reply: bool = False) -> Iterator[None]:
        """Lend this worker's place while the block waits; nothing happens on other threads.

        At the most threads the last that can run lends nothing: what it waits for outside comes
        by itself. A ``reply`` might need this very thread, so that is refused: PoolExhausted.
        """
        thread = threading.current_thread()
        if thread not in self._threads or thread in self._lent:
            yield
            return
        try:
            with self._lock:
                if self._running() > 1 or len(self._threads) < self._most:
                    self._lent.add(thread)
                    self._fill_or_raise()
                elif reply:
                    raise PoolExhausted(self._most)
            yield
        finally:
            with self._lock:
                self._lent.discard(thread)

    def works_here(self) -> bool:
        """Tell whether the calling thread is a worker."""
        return threading.current_thread() in self._threads

    def crowded(self) -> bool:
        """Tell a worker that so many wait already that it should rather help than wait."""
        return len(self._lent) > self._most // 2 and self.works_here()

    def lend_for(self, thread: threading.Thread) -> None:
        """Take a thread that hangs out of the pool; another takes its place.

        It may come back just now and wait for work already: it ends after that, or at the close.
        """
        with self._lock:
            if thread in self._threads:
                self._threads.discard(thread)
                self._lent.discard(thread)
                self._given_up.add(thread)
                self._fill()

    def waiting(self) -> int:
        """Return about how many mailboxes wait for a worker."""
        return self._ready.qsize()

    def threads(self) -> int:
        """Return how many threads the pool has now."""
        return len(self._threads)

    def close(self, timeout: float | None = None) -> bool:
        """End the workers; work that waits is not run. False if one did not end in time."""
        with self._lock:
            self._closed = True
            threads = list(self._threads)
            takers = len(threads) + len(self._given_up)
        for _ in range(takers):
            self._ready.put(None)
        deadline = None if timeout is None else time.monotonic() + timeout
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(None if deadline is None else max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    def _running(self) -> int:
        """Return how many threads run and do not wait; without the lock, about how many."""
        return len(self._threads) - len(self._lent)

    def _fill_or_raise(self) -> None:
        """Start missing threads; raises if nobody can run, and nobody will try again by itself."""
        error = self._fill()
        if error is not None and self._later is None and self._running() <= 0:
            raise error

    def _fill(self) -> Exception | None:
        """Start threads until enough can run; the caller holds the lock.

        Returns why that was not possible. Invariant: ``_threads`` holds no thread that does not
        run; one whose start was interrupted enters itself.
        """
        was_wanting, self._wanting = self._wanting, False
        while not self._closed and self._running() < self._size and len(self._threads) < self._most:
            thread = threading.Thread(target=self._work, name=f"{self._name}-worker", daemon=True)
            self._threads.add(thread)
            try:
                thread.start()
            except BaseException as error:
                self._threads.discard(thread)
                self._wanting = True
                if not isinstance(error, Exception):
                    raise
                if not was_wanting:
                    logger.warning("%d workers, no more can be started: %s", self.threads(), error)
                self._try_again()
                return error
        return None

    def _try_again(self) -> None:
        if self._later is not None and not self._retrying:
            self._retrying = True
            self._later(RETRY_SECONDS, self._refill)

    def _refill(self) -> None:
        with self._lock:
            self._retrying = False
            self._fill()

    def _work(self) -> None:
        thread = threading.current_thread()
        with self._lock:
            if self._closed and thread not in self._threads:
                return  # its start was interrupted, and close() has not counted it
            self._threads.add(thread)
        try:
            while not self._serve(thread):
                pass
        finally:
            with self._lock:
                self._threads.discard(thread)
                self._lent.discard(thread)
                self._given_up.discard(thread)
                self._fill()  # nothing, unless it ends before its time
            self._returning.end()

    def _serve(self, thread: threading.Thread) -> bool:
        """Run work until the pool ends or this worker is too many; False if it was interrupted."""
        try:
            self._run_work(thread)
        except BaseException:
            logger.exception("a worker was interrupted between two runs; it goes on")
            return False
        return True

    def _run_work(self, thread: threading.Thread) -> None:
        vain = 0
        failed: Runnable | None = None
        for work in self._works():
            try:
                vain = 0 if work.run() else vain + 1
                failed = None
            except BaseException:
                # A mailbox answers for its actors' errors itself. Somebody threw an exception into
                # this thread, and the work may not have begun; or it is a defect, and comes again.
                if work is not failed:
                    self._ready.put(work)
                failed = work
                logger.exception("a worker met an error outside every actor")
            if self._wanting:
                with self._lock:
                    self._fill()
            if self._leaves(thread):
                return
            if vain >= VAIN:
                self._returning.end()  # it looks for offers alone, and that may last
                self._offers.linger(self._ready.empty)

    def _works(self) -> Iterator[Runnable]:
        """Give a worker its work, until the pool ends; first what was left to it."""
        self._returning.end()  # if one was interrupted while it looked
        # Taken by iterators: an asynchronous exception strikes after a call that is written out,
        # before its result is assigned, and what was taken would be lost.
        ready = iter(self._ready.get, None)
        while True:
            while self._returning.soon:
                with contextlib.suppress(IndexError):
                    for work in self._returning.come():
                        yield work
            for work in ready:
                yield work
                break
            else:
                return

    def _leaves(self, thread: threading.Thread) -> bool:
        """Tell a worker between two runs whether it is one too many; then it is out already."""
        if len(self._threads) - len(self._lent) <= self._size and thread in self._threads:
            return False
        with self._lock:
            self._lent.discard(thread)
            if self._running() <= self._size and thread in self._threads:
                return False
            # In the same hold: or several would leave for one that is too many.
            self._threads.discard(thread)
            return True


_default: Dispatcher | None = None
_default_lock: Final = threading.Lock()


def default_dispatcher() -> Dispatcher:
    """Return the pool for pooled actors started without a system."""
    global _default  # noqa: PLW0603
    with _default_lock:
        if _default is None:
            _default = Dispatcher(max(8, DEFAULT_WORKERS), name="perdure-default")
        return _default
