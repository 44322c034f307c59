"""Many turns replayed, a few at a time, with progress, and an end that one may ask for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from ..hooks.history.record import HookRecord
from ..persistence.options import Options
from .outcome import Replay
from .report import ReplayReport

Tell = Callable[[int, int], None]
"""Told how many are done, and of how many."""
PART: Final = 250
"""Turns of one agent that one worker does in a row."""


@dataclass(frozen=True, slots=True)
class Batching:
    """How a batch runs."""

    workers: int
    tell: Tell | None
    left_out: int = 0

    def __post_init__(self) -> None:
        """Refuse workers that are none."""
        Options(self).whole("workers", least=1)


class ReplayBatch:
    """Turns that are being replayed. As a context manager it is cancelled at the end of the block.

    ``done`` of ``total`` are done.
    """

    def __init__(
        self,
        records: Sequence[HookRecord],
        work: Callable[[Sequence[HookRecord]], Iterable[Callable[[], Replay]]],
        options: Batching,
    ) -> None:
        """Begin; ``work`` gives the calls that replay some turns of one agent, in order."""
        self.total = len(records)
        self.done = 0
        self._options = options
        self._work = work
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._found: dict[str, Replay] = {}
        self._order = [record.id for record in records]
        self._pool = ThreadPoolExecutor(options.workers, "perdure-replay")
        self._parts: list[Future[None]] = [
            self._pool.submit(self._run, part) for part in _parts(records)
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
            for part in self._parts:
                if not part.cancelled():
                    part.result()
        except BaseException:
            self.cancel()
            raise
        found = [self._found[run] for run in self._order if run in self._found]
        return ReplayReport(
            found, len(found) < self.total, self._options.left_out, time.monotonic() - self._began
        )

    def _run(self, records: Sequence[HookRecord]) -> None:
        for call in self._work(records):
            if self._stop.is_set():
                return
            replay = call()
            with self._lock:
                self._found[replay.id] = replay
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


def _parts(records: Sequence[HookRecord]) -> Iterable[Sequence[HookRecord]]:
    by_agent: dict[tuple[str, str], list[HookRecord]] = {}
    for record in records:
        by_agent.setdefault((record.kind, record.key), []).append(record)
    for each in by_agent.values():
        for start in range(0, len(each), PART):
            yield each[start : start + PART]
