"""A few worker threads that run many mailboxes."""

from __future__ import annotations

import contextlib
import functools
import itertools
import logging
import os
import queue
import threading
import time
from collections.abc import Iterator
from typing import Final

from .offers import LINGER, VAIN, Offers, Runnable

logger = logging.getLogger("perdure.actors")

DEFAULT_WORKERS: Final = max(2, min(8, os.cpu_count() or 2))
MOST_WORKERS: Final = 512
"""Threads a pool may grow to when its workers wait."""


class Dispatcher:
    """Run mailboxes on a pool of threads.

    A worker that is about to wait lends its place (``blocking()``): another thread takes it, so
    the pool always has its number of threads that can run.
    """

    def __init__(self, workers: int = DEFAULT_WORKERS, *, name: str = "perdure") -> None:
        """Make a pool of ``workers`` threads, started when work comes."""
        self._size = workers
        self._name = name
        self._ready: queue.SimpleQueue[Runnable | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[threading.Thread] = set()
        self._given_up: set[threading.Thread] = set()
        self._lent = 0
        self._submitted = itertools.count()
        self._offers = Offers(self._ready.put)
        self._closed = False
        self._started = False

    def submit(self, work: Runnable) -> None:
        """Have a worker run ``work`` once."""
        if not self._started:
            self._start()
        next(self._submitted)
        self._ready.put(work)

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

    def submissions(self) -> int:
        """Return a number that rises by one from call to call, and by more if work came between."""
        return next(self._submitted)

    @contextlib.contextmanager
    def blocking(self) -> Iterator[None]:
        """Lend this worker's place while the block waits; nothing happens on other threads."""
        if threading.current_thread() not in self._threads:
            yield
            return
        with self._lock:
            self._lent += 1
            self._fill()
        try:
            yield
        finally:
            with self._lock:
                self._lent -= 1

    def lend_for(self, thread: threading.Thread) -> None:
        """Take a thread that hangs out of the pool; another takes its place.

        It may come back just now and wait for work already: it ends after that, or at the close.
        """
        with self._lock:
            if thread in self._threads:
                self._threads.discard(thread)
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

    def _start(self) -> None:
        with self._lock:
            self._started = True
            self._fill()

    def _fill(self) -> None:
        """Start threads until enough can run; the caller holds the lock."""
        while not self._closed and len(self._threads) < min(self._size + self._lent, MOST_WORKERS):
            thread = threading.Thread(target=self._work, name=f"{self._name}-worker", daemon=True)
            self._threads.add(thread)
            thread.start()

    def _work(self) -> None:
        thread = threading.current_thread()
        get, linger = self._ready.get, self._offers.linger
        a_while = functools.partial(get, timeout=LINGER)
        vain = 0
        while True:
            try:
                work = linger(a_while) if vain >= VAIN else get()
            except queue.Empty:
                work = get()
            if work is None:
                break
            vain += 1
            try:
                if work.run():
                    vain = 0
            except BaseException:
                # A mailbox answers for its actors' errors itself; this is a defect of ours.
                logger.exception("a worker met an error outside every actor")
            if len(self._threads) > self._size + self._lent or thread not in self._threads:
                with self._lock:
                    surplus = len(self._threads) > self._size + self._lent
                    if surplus or thread not in self._threads:
                        break
        with self._lock:
            self._threads.discard(thread)
            self._given_up.discard(thread)


_default: Dispatcher | None = None
_default_lock: Final = threading.Lock()


def default_dispatcher() -> Dispatcher:
    """Return the pool for pooled actors started without a system."""
    global _default  # noqa: PLW0603
    with _default_lock:
        if _default is None:
            _default = Dispatcher(max(8, DEFAULT_WORKERS), name="perdure-default")
        return _default
