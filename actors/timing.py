"""Durable timers: rows in the store, calls in memory for those that are due soon."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Final

from ..lifecycle.clock import Clock, Handle
from ..persistence.errors import StoreError
from ..persistence.records import Timer
from ..persistence.store import Store

logger = logging.getLogger("perdure.actors")

WINDOW: Final = 60.0
"""Seconds ahead for which timers are held in memory."""
PAGE: Final = 5_000
"""Timers read at a time."""

Place = tuple[str, str, str]


class TimerService:
    """Deliver timers when they fall due.

    Invariant: a timer that is due before ``_horizon`` and not consumed has a call in ``_calls``
    or was delivered; all others are in the store, or on their way to it, and read in time.
    Delivery is at least once in memory; the commit that consumes a timer also removes or
    advances its row, so in effect it is exactly once.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        when_settled: Callable[[Callable[[], None]], None],
        deliver: Callable[[Timer], None],
    ) -> None:
        """Read timers from ``store`` and hand those due to ``deliver``.

        ``when_settled`` calls back once everything committed so far is in the store.
        """
        self._store = store
        self._clock = clock
        self._when_settled = when_settled
        self._deliver = deliver
        self._lock = threading.Lock()
        self._calls: dict[Place, tuple[Timer, Handle | None]] = {}
        self._horizon = -math.inf

    def start(self) -> None:
        """Read the timers that are due soon, and go on doing so."""
        self._advance()

    def set(self, timer: Timer) -> None:
        """Take note of a committed timer; it replaces the one of its name."""
        with self._lock:
            self._forget(timer[:3])
            if timer.due <= self._horizon:
                self._call(timer)

    def known(self, timer: Timer) -> None:
        """Take note of a timer an activation found in the store, unless it is in hand already."""
        with self._lock:
            if timer.due <= self._horizon and timer[:3] not in self._calls:
                self._call(timer)

    def cancelled(self, place: Place) -> None:
        """Take note that a timer is gone."""
        with self._lock:
            self._forget(place)

    def _advance(self) -> None:
        # Timers set since the last advance may still be on their way to the store.
        self._when_settled(self._read)

    def _read(self) -> None:
        """Move the horizon one window ahead."""
        after, until = self._horizon, self._clock.now() + WINDOW
        try:
            found = self._store.timers_between(after, until, PAGE)
        except StoreError as error:
            logger.warning("reading timers failed and is tried again: %s", error)
            self._clock.call_later(1.0, self._advance)
            return
        with self._lock:
            if len(found) == PAGE:
                until = found[-1].due
            self._horizon = until
            for timer in found:
                if timer[:3] not in self._calls:
                    self._call(timer)
        # A full page means there are more: go on at once, else in good time before the horizon.
        wait = 0.0 if len(found) == PAGE and until > after else WINDOW / 2
        self._clock.call_later(wait, self._advance)

    def _call(self, timer: Timer) -> None:
        delay = max(0.0, timer.due - self._clock.now())
        self._calls[timer[:3]] = (timer, self._clock.call_later(delay, lambda: self._due(timer)))

    def _due(self, timer: Timer) -> None:
        with self._lock:
            held = self._calls.get(timer[:3])
            if held is None or held[0] is not timer:
                return
            # Kept until the commit that consumes it, so that nobody delivers it twice.
            self._calls[timer[:3]] = (timer, None)
        self._deliver(timer)

    def _forget(self, place: Place) -> None:
        held = self._calls.pop(place, None)
        if held is not None and held[1] is not None:
            held[1].cancel()


def next_due(timer: Timer, now: float) -> Timer | None:
    """Return an interval timer's next appointment after a tick was handled, None for the last."""
    if timer.interval is None:
        return None
    due = timer.due + timer.interval
    if timer.catch_up != "all" and due <= now:
        missed = math.floor((now - timer.due) / timer.interval)
        due = timer.due + (missed + 1) * timer.interval
    return timer._replace(due=due)


def is_skipped(timer: Timer, now: float) -> bool:
    """Tell whether a late tick is to be passed over."""
    late = now - timer.due
    return timer.interval is not None and timer.catch_up == "skip" and late >= timer.interval
