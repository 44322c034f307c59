"""Locks and queues of simulated threads: to wait for one is to let others run."""

from __future__ import annotations

import queue
import threading
from collections import deque
from typing import Any

from .scheduler import Scheduler
from .tasks import Task


class Lock:
    """What ``threading.Lock()`` gives in a run."""

    __slots__ = ("__weakref__", "_locked", "_scheduler", "_waiters")

    def __init__(self, scheduler: Scheduler) -> None:
        """Make a free lock."""
        self._scheduler = scheduler
        self._locked = False
        self._waiters: list[Task] = []

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002
        """Take it, as the real one."""
        scheduler = self._scheduler
        task = scheduler.here()
        if task is None:  # somebody who looks at what is left of a run
            free, self._locked = not self._locked, True
            return free or blocking
        scheduler.point(task, "takes a lock")
        if self._locked:
            if not blocking:
                return False
            deadline = None if timeout < 0 else scheduler.now + timeout
            while self._locked:
                if not scheduler.block(task, self._waiters, deadline, "waits for a lock"):
                    return False
        self._locked = True
        return True

    def release(self) -> None:
        """Free it, as the real one."""
        if not self._locked:
            message = "release unlocked lock"
            raise RuntimeError(message)
        self._locked = False
        scheduler = self._scheduler
        if self._waiters:
            scheduler.wake(self._waiters)
        task = scheduler.here()
        if task is not None and not scheduler.ended:
            scheduler.point(task, "has freed a lock")

    def locked(self) -> bool:
        """Tell whether somebody has it."""
        return self._locked

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()


class RLock:
    """What ``threading.RLock()`` gives in a run."""

    __slots__ = ("__weakref__", "_count", "_lock", "_owner")

    def __init__(self, scheduler: Scheduler) -> None:
        """Make a free lock."""
        self._lock = Lock(scheduler)
        self._owner = 0
        self._count = 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002
        """Take it, as the real one."""
        me = threading.get_ident()
        if self._owner == me:
            self._count += 1
            return True
        if not self._lock.acquire(blocking, timeout):
            return False
        self._owner, self._count = me, 1
        return True

    def release(self) -> None:
        """Free it, as the real one."""
        if self._owner != threading.get_ident():
            message = "cannot release un-acquired lock"
            raise RuntimeError(message)
        self._count -= 1
        if not self._count:
            self._owner = 0
            self._lock.release()

    __enter__ = acquire

    def __exit__(self, *_: object) -> None:
        self.release()

    # What threading.Condition asks of a lock that may be taken twice.

    def _is_owned(self) -> bool:
        return self._owner == threading.get_ident()

    def _release_save(self) -> tuple[int, int]:
        state = self._count, self._owner
        self._count, self._owner = 0, 0
        self._lock.release()
        return state

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        self._lock.acquire()
        self._count, self._owner = state


class SimpleQueue:
    """What ``queue.SimpleQueue()`` gives in a run."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Make an empty queue."""
        self._scheduler = scheduler
        self._items: deque[Any] = deque()
        self._waiters: list[Task] = []

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:  # noqa: ANN401, ARG002, FBT001, FBT002
        """Append an item, as the real one."""
        scheduler = self._scheduler
        self._items.append(item)
        if self._waiters:
            scheduler.wake(self._waiters)
        task = scheduler.here()
        if task is not None and not scheduler.ended:
            scheduler.point(task, "has put into a queue")

    put_nowait = put

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401, FBT001, FBT002
        """Take the first item, as the real one."""
        scheduler, items = self._scheduler, self._items
        task = scheduler.here()
        if task is None:
            if not items:
                raise queue.Empty
            return items.popleft()
        scheduler.point(task, "takes from a queue")
        if not items:
            if not block:
                raise queue.Empty
            deadline = None if timeout is None else scheduler.now + timeout
            while not items:
                if not scheduler.block(task, self._waiters, deadline, "waits for a queue"):
                    raise queue.Empty
        return items.popleft()

    def get_nowait(self) -> Any:  # noqa: ANN401
        """Take the first item if there is one, as the real one."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Tell whether it is empty."""
        return not self._items

    def qsize(self) -> int:
        """Return how many items there are."""
        return len(self._items)
