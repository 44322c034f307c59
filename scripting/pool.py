"""Workers that are started before they are needed: a script begins at once."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Final

from ..persistence.errors import ConfigurationError
from .language import Language
from .options import Confinement, ScriptLimits
from .process import Worker

THREAD: Final = "perdure-scripts"


class WorkerPool:
    """Keep some workers of each language that was asked for ready. Thread-safe.

    A worker runs one script and is killed: nothing of it is left for the next one. All are
    started by one thread, because the kernel kills a worker when the thread that started it ends.
    """

    def __init__(
        self, limits: ScriptLimits, confinement: Confinement, *, at_once: int, warm: int
    ) -> None:
        """Run ``at_once`` workers at most; keep ``warm`` of each language ready."""
        self._limits = limits
        self._confinement = confinement
        self._warm = warm
        self._room = threading.Semaphore(at_once)
        self._lock = threading.Lock()
        self._idle: defaultdict[Language, deque[Worker]] = defaultdict(deque)
        self._orders: queue.SimpleQueue[tuple[Language, Future[Worker]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None
        self._closed = False

    @contextlib.contextmanager
    def worker(self, language: Language) -> Iterator[Worker]:
        """Give a worker that is ready, and end it with the block; waits while too many run."""
        language.folders()  # refused here, on the caller's line
        with self._room:
            worker = self._take(language)
            try:
                worker.await_ready(self._confinement)
                yield worker
            finally:
                worker.end()
                self._refill(language)  # not before: it would take the processor from the script

    def warm_up(self, language: Language) -> None:
        """Have the workers that are kept started and ready."""
        language.folders()
        self._refill(language)
        ready: list[Worker] = []
        try:
            while len(ready) < self._warm:
                ready.append(self._take(language))
                ready[-1].await_ready(self._confinement)
        finally:
            for worker in ready:
                self._put(worker)

    def _take(self, language: Language) -> Worker:
        with self._lock:
            self._start()
            if self._idle[language]:
                return self._idle[language].popleft()
            # Under the lock: what is ordered before the pool is closed is carried out.
            order: Future[Worker] = Future()
            self._orders.put((language, order))
        return order.result()

    def _refill(self, language: Language) -> None:
        with self._lock:
            if self._closed:
                return
            for _ in range(self._warm - len(self._idle[language])):
                order: Future[Worker] = Future()
                order.add_done_callback(self._keep)
                self._orders.put((language, order))

    def _keep(self, order: Future[Worker]) -> None:
        if order.exception() is None:  # else who needs one next learns why
            self._put(order.result())

    def _put(self, worker: Worker) -> None:
        with self._lock:
            wanted = not self._closed and len(self._idle[worker.language]) < self._warm
            if wanted:
                self._idle[worker.language].append(worker)
        if not wanted:
            worker.end()

    def _start(self) -> None:
        if self._closed:
            raise ConfigurationError("these scripts are closed; make another Scripts(system)")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=THREAD, daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while (order := self._orders.get()) is not None:
            language, future = order
            try:
                worker = Worker(language, self._limits)
            except BaseException as error:  # noqa: BLE001 - it is the waiter's
                future.set_exception(error)
            else:
                future.set_result(worker)

    def close(self) -> None:
        """End all workers and the thread that starts them; idempotent."""
        with self._lock:
            self._closed = True
            idle = [worker for workers in self._idle.values() for worker in workers]
            self._idle.clear()
            thread, self._thread = self._thread, None
        for worker in idle:
            worker.end()
        if thread is not None:
            self._orders.put(None)
            thread.join()
