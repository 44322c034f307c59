"""An event loop that waits as simulated threads do, for calls and time; it has no sockets."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any, NoReturn

from .scheduler import Scheduler
from .tasks import Task


class SimulatedLoop(asyncio.SelectorEventLoop):
    """What ``asyncio.new_event_loop()`` gives in a run."""

    def __init__(self, scheduler: Scheduler) -> None:
        """Make a loop whose time is the run's."""
        self._scheduler = scheduler
        self._bell = _Bell(scheduler)
        super().__init__(self._bell)

    def time(self) -> float:
        """Return the run's time."""
        return self._scheduler.now

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Say nothing of tasks that a crash has left."""
        if not self._scheduler.ended:
            super().call_exception_handler(context)

    def __del__(self) -> None:
        """Complain of nothing: a crash closes no loops."""

    # What the base class does with a pair of sockets.

    def _make_self_pipe(self) -> None:
        pass

    def _close_self_pipe(self) -> None:
        pass

    def _write_to_self(self) -> None:
        self._bell.ring()


class _Bell(selectors.BaseSelector):
    """Wait for a ring instead of for files."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._rung = False
        self._waiters: list[Task] = []

    def ring(self) -> None:
        """Wake the loop, as a byte in a pipe does."""
        self._rung = True
        scheduler = self._scheduler
        scheduler.wake(self._waiters)
        task = scheduler.here()
        if task is not None and not scheduler.ended:
            scheduler.point(task, "has woken a loop")

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait until somebody rings."""
        scheduler = self._scheduler
        task = scheduler.here()
        if task is None:
            return []
        scheduler.point(task, "looks at its loop")
        deadline = None if timeout is None else scheduler.now + max(0.0, timeout)
        while not self._rung and (deadline is None or scheduler.now < deadline):
            if not scheduler.block(task, self._waiters, deadline, "waits in its loop"):
                break
        self._rung = False
        return []

    def register(self, fileobj: Any, events: int, data: Any = None) -> NoReturn:  # noqa: ANN401, ARG002
        """Refuse files and sockets: what comes from there is not the seed's."""
        message = "sockets and pipes cannot be simulated; give the agent a stand-in for them"
        raise RuntimeError(message)

    def unregister(self, fileobj: Any) -> NoReturn:  # noqa: ANN401
        """Find nothing."""
        raise KeyError(fileobj)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return no files."""
        return {}

    def close(self) -> None:
        """Close nothing."""
