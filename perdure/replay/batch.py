"""Many turns replayed, a few at a time, with progress, and an end that one may ask for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Final, Self, TypeAlias

from ..hooks.history.record import HookRecord
from ..persistence.options import Options
from .gathering import Gathering
from .outcome import Replay
from .report import ReplayReport

Tell = Callable[[int, int], None]
"""Told how many are done, and of how many."""
Part: TypeAlias = Sequence[HookRecord]
"""Turns of one agent, in order."""
Work: TypeAlias = Callable[[], AbstractContextManager[Callable[[Part], Iterator[Replay]]]]
"""Gives a worker what replays the turns of a part, one whenever it is asked for the next."""
PART: Final = 250
"""Turns of one agent that one worker does in a row."""
WINDOW: Final = 2000
"""Turns that are read at once, to be put together by their agents.

No more than these, and a part for each worker, are in memory.
"""


@dataclass(frozen=True, slots=True)
class Batching:
    """How a batch runs."""

    workers: int
    tell: Tell | None
    most: int | None = None
    total: int = 0
    left_out: int = 0

    def __post_init__(self) -> None:
        """Refuse workers that are none."""
        options = Options(self)
        options.whole("workers", least=1)
        options.whole("most", least=0, none="all that differ")


class ReplayBatch:
    """Turns that are being replayed. As a context manager it is cancelled at the end of the block.

    ``done`` of ``total`` are done.
    """

    def __init__(self, records: Iterable[HookRecord], work: Work, options: Batching) -> None:
        """Begin; ``records`` are read as they are needed, by one thread at a time."""
        self.total = options.total
        self.done = 0
        self._options = options
        self._work = work
        self._stop = threading.Event()
        self._reading = threading.Lock()
        self._parts = _parts(records)
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._found = Gathering(options.most)
        self._pool = ThreadPoolExecutor(options.workers, "perdure-replay")
        self._workers: list[Future[None]] = [
            self._pool.submit(self._work_off) for _ in range(options.workers)
        ]
        self._pool.shutdown(wait=False)

    @property
    def cancelled(self) -> bool:
        """Whether it was asked to stop."""
        return self._stop.is_set()

    def cancel(self) -> None:
        """Stop: turns that have begun end, no other begins. Returns when that is so."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def report(self) -> ReplayReport:
        """Wait until all are done, or it was cancelled; return what came of them, in order.

        An interrupt while it waits cancels it.
        """
        try:
            for worker in self._workers:
                if not worker.cancelled():
                    worker.result()
        except BaseException:
            self.cancel()
            raise
        return self._found.report(
            cancelled=self.cancelled and self.done < self.total,
            left_out=self._options.left_out,
            seconds=time.monotonic() - self._began,
        )

    def _work_off(self) -> None:
        try:
            with self._work() as replayed:
                while part := self._next():
                    for replay in replayed(part):
                        self._take(replay)
                        if self._stop.is_set():
                            return
        except BaseException:
            self._stop.set()  # the others need not go on: the report raises this
            raise

    def _next(self) -> Part:
        with self._reading:
            return () if self._stop.is_set() else next(self._parts, ())

    def _take(self, replay: Replay) -> None:
        with self._lock:
            self._found.take(replay)
            self.done += 1
            if self._options.tell is not None:
                self._options.tell(self.done, self.total)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Cancel it, if it is not done."""
        self.cancel()


def _parts(records: Iterable[HookRecord]) -> Iterator[Part]:
    """Give the turns of one agent after the other, window by window."""
    coming = iter(records)
    while True:
        by_agent: dict[tuple[str, str], list[HookRecord]] = {}
        for record in islice(coming, WINDOW):
            by_agent.setdefault((record.kind, record.key), []).append(record)
        if not by_agent:
            return
        for agent in list(by_agent):
            turns = by_agent.pop(agent)
            while turns:
                part, turns = turns[:PART], turns[PART:]
                yield part
