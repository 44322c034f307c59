"""Work that no mailbox knows of: what waits for its time, and the recovery of old mail."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Final

from ...lifecycle.clock import Clock

STORE_SECONDS: Final = 1.0
"""How long whoever was hindered by a failing store waits before the next attempt."""


class Agenda:
    """Make calls at their time; a system is not quiet before they are made."""

    def __init__(self, clock: Clock) -> None:
        """Go by ``clock``."""
        self._clock = clock
        self._changed = threading.Condition()
        self._tickets = itertools.count()
        self._calls: dict[int, Callable[[], object]] = {}
        self._unfinished = 0
        self._hurried = False

    def later(self, delay: float, callback: Callable[[], object]) -> None:
        """Call back after ``delay`` seconds, at once when the system closes.

        The system is not quiet before: a restart after backoff is work that waits for its time.
        """
        with self._changed:
            ticket = next(self._tickets)
            self._unfinished += 1
            self._calls[ticket] = callback
            hurried = self._hurried
        if hurried:
            self._make_call(ticket)
        else:
            self._clock.call_later(delay, lambda: self._make_call(ticket))

    def when_the_store_may_be_back(self, callback: Callable[[], object]) -> None:
        """Call back later, to try again what a failing store has hindered."""
        self.later(STORE_SECONDS, callback)

    def hurry(self) -> None:
        """Make every call now, and those to come at once."""
        with self._changed:
            self._hurried = True
            waiting = list(self._calls)
        for ticket in waiting:
            self._make_call(ticket)

    def count(self, change: int) -> None:
        """Count other work that was begun or is done."""
        with self._changed:
            self._unfinished += change
            if self._unfinished == 0:
                self._changed.notify_all()

    def wait(self, timeout: float | None) -> bool:
        """Wait until nothing is left to do; False on timeout."""
        with self._changed:
            return self._changed.wait_for(lambda: self._unfinished == 0, timeout)

    def _make_call(self, ticket: int) -> None:
        with self._changed:
            callback = self._calls.pop(ticket, None)
        if callback is not None:
            try:
                callback()
            finally:
                self.count(-1)
