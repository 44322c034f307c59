"""Work that other threads do ahead: packing, unpacking and digests need no interpreter lock."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, Generic, Self, TypeVar

_NICE: Final = 5
_MOST: Final = 4
"""Threads. Whoever feeds them reads and makes digests no faster than so many pack."""

T = TypeVar("T")


class Ahead(Generic[T]):
    """Have jobs done on all processors, and take what they return in the order they were given."""

    def __init__(self, *, behind: bool, threads: int = _MOST) -> None:
        """Begin with no thread. Those that come stay ``behind`` the others of this process."""
        count = min(_processors(), threads)
        begin = _step_back if behind else None
        self._pool = ThreadPoolExecutor(count, "perdure-backup", initializer=begin)
        self._under_way: deque[Future[T]] = deque()
        self._held = count + 1  # one waits for a thread; each is some MiB

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(self, *_raised: object) -> None:
        """Wait for the jobs that have begun, and begin no other."""
        self._pool.shutdown(cancel_futures=True)

    def put(self, job: Callable[[], T]) -> Iterable[T]:
        """Have a job done; return what has to be taken before the next one."""
        self._under_way.append(self._pool.submit(job))
        over = len(self._under_way) - self._held
        return [self._under_way.popleft().result() for _ in range(over)]

    def rest(self) -> Iterator[T]:
        """Return what is left, when there are no more jobs."""
        while self._under_way:
            yield self._under_way.popleft().result()


def _processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _step_back() -> None:
    """Let the threads go first that run agents: nobody waits for a lock that this one has."""
    if sys.platform == "linux":  # elsewhere that would be the whole process
        with contextlib.suppress(OSError):
            me = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + _NICE)
