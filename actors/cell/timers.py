"""Durable timers: rows in the store, calls in memory for those that are due soon."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable
from typing import Final

from ...lifecycle.clock import Clock, DelayedCall
from ...persistence.errors import StoreError
from ...persistence.records.records import Timer
from ...persistence.store.store import Store
from ..pool.agenda import STORE_SECONDS

logger = logging.getLogger("perdure.actors")

WINDOW: Final = 60.0
"""Seconds ahead for which timers are held in memory."""
PAGE: Final = 5_000
"""Timers read at a time."""

EARLY: Final = 0.5
"""Seconds a timer may come early by the wall clock and still come at its moment."""

_AGAIN: Final = "the timers are read again, as that has failed"
_MORE: Final = "the timers of the next minute are read"

Place = tuple[str, str, str]


class Tick:
    """Say whose timer it is; nothing is put together for the many that nobody asks about."""

    __slots__ = ("_timer",)

    def __init__(self, timer: Timer) -> None:
        self._timer = timer

    def __str__(self) -> str:
        timer = self._timer
        named = "" if timer.name.partition("#")[0] == timer.method else f" ({timer.name})"
        return f"{timer.kind}/{timer.key}: its timer{named} calls {timer.method}"


class TimerService:
    """Deliver timers when they fall due.

    Invariant: a timer set while it was due before ``_horizon`` and not consumed has a call in
    ``_calls`` or was delivered; all others are in the store, or on their way to it, and read in
    time. ``_read_until`` says how far the store was read.
    A timer is due at a moment; the calls in memory wait for an amount of time, so they are made
    anew when the clock was set (``stepped``). An interval timer never waits longer than its
    interval, however far the clock was set back.
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
        self._calls: dict[Place, tuple[Timer, DelayedCall | None]] = {}
        self._from_store: set[Place] = set()  # those of _calls that were read, not set
        self._horizon = -math.inf
        self._read_until = -math.inf

    @property
    def horizon(self) -> float:
        """Up to when, in seconds since the epoch, timers are in memory."""
        return self._horizon

    def start(self) -> None:
        """Read the timers that are due soon, and go on doing so."""
        self._advance()
        self._clock.call_aside(self._see_whether_set_back)

    def stepped(self) -> None:
        """Look at all moments again: the clock was set, or the machine slept."""
        with self._lock:
            waiting = [timer for timer, handle in self._calls.values() if handle is not None]
            for timer in sorted(waiting, key=lambda timer: timer.due):
                read = timer[:3] in self._from_store
                self._forget(timer[:3])
                self._call(timer)
                if read:
                    self._from_store.add(timer[:3])
        self._advance(again=False)
        self._when_settled(lambda: self._clock.call_aside(self._read_far))

    def set(self, timer: Timer) -> None:
        """Take note of a committed timer; it replaces the one of its name."""
        with self._lock:
            self._forget(timer[:3])
            self._call_if_soon(timer)

    def known(self, timer: Timer) -> None:
        """Take note of a timer an activation found in the store, unless it is in hand already.

        All commits of its agent are durable then, so what is in hand and differs is out of date.
        """
        with self._lock:
            held = self._calls.get(timer[:3])
            if held is not None and held[0] == timer:
                return
            self._forget(timer[:3])
            self._call_if_soon(timer)

    def unwanted(self, timer: Timer) -> None:
        """Take note that a timer was delivered and found to be out of date."""
        with self._lock:
            held = self._calls.get(timer[:3])
            if held is not None and held[0] == timer:
                self._forget(timer[:3])

    def cancelled(self, place: Place) -> None:
        """Take note that a timer is gone."""
        with self._lock:
            self._forget(place)

    def _advance(self, *, again: bool = True) -> None:
        """Move the horizon one window ahead, then read what is due before it.

        In this order: a timer set before the move was committed before it, so it is in the store
        when everything committed so far is; one set after the move is kept in memory.
        """
        with self._lock:
            self._horizon = max(self._horizon, self._clock.now() + WINDOW)
        self._when_settled(lambda: self._clock.call_aside(lambda: self._read(again=again)))

    def _read(self, *, again: bool) -> None:
        """Read up to the horizon; ``again``, and then go on in time. One thread does this."""
        until = self._horizon
        try:
            found, until = self._page(self._read_until, until)
        except StoreError as error:
            logger.warning("reading timers failed and is tried again: %s", error)
            self._clock.call_later(STORE_SECONDS, lambda: self._advance(again=again)).named(_AGAIN)
            return
        with self._lock:
            for timer in found:
                self._found(timer)
        self._read_until = until
        # A full page means there are more: go on at once, else in good time before the horizon.
        if until < self._horizon:
            self._clock.call_later(0.0, lambda: self._advance(again=again)).named(_MORE)
        elif again:
            self._clock.call_later(WINDOW / 2, self._advance).named(_MORE, routine=True)

    def _found(self, timer: Timer) -> None:
        """Take note of what was read; the caller holds the lock.

        What was set is newer than what is read. What was read may have been replaced in the store
        since: every row is read once, unless its time was changed.
        """
        place = timer[:3]
        if place not in self._calls or place in self._from_store:
            self._forget(place)
            self._call(timer)
            self._from_store.add(place)

    def _see_whether_set_back(self) -> None:
        """Look far ahead at the opening, if the clock was set back while nobody was there."""
        try:
            newest = self._store.journal(limit=1, newest=True)
        except StoreError as error:
            logger.warning("reading the journal failed and is tried again: %s", error)
            self._later_aside(self._see_whether_set_back)
            return
        if newest and newest[0].time > self._clock.now():
            self._read_far()

    def _read_far(self) -> None:
        """Find interval timers that the clock left behind when it was set back."""
        after = self._horizon
        while True:
            try:
                found, reached = self._page(after, math.inf)
            except StoreError as error:
                logger.warning("reading timers failed and is tried again: %s", error)
                self._later_aside(self._read_far)
                return
            now = self._clock.now()
            with self._lock:
                for timer in found:
                    if timer.interval is not None and timer.due - timer.interval > now:
                        self._found(timer)
            if reached == math.inf:
                return
            after = reached

    def _later_aside(self, callback: Callable[[], None]) -> None:
        again = self._clock.call_later(STORE_SECONDS, lambda: self._clock.call_aside(callback))
        again.named(_AGAIN)

    def _page(self, after: float, until: float) -> tuple[list[Timer], float]:
        """Return timers due after ``after``, and the moment up to which these are all."""
        limit = PAGE
        while True:
            found = self._store.timers_between(after, until, limit)
            if len(found) < limit:
                return found, until
            # There may be more of the last moment than fit: leave all of those to the next page.
            last = found[-1].due
            complete = [timer for timer in found if timer.due < last]
            if complete:
                return complete, complete[-1].due
            limit *= 2

    def _wait(self, timer: Timer) -> float:
        """Return the seconds until a timer is to be delivered."""
        left = timer.due - self._clock.now()
        return max(0.0, left if timer.interval is None else min(left, timer.interval))

    def _call_if_soon(self, timer: Timer) -> None:
        if self._clock.now() + self._wait(timer) <= self._horizon:
            self._call(timer)

    def _call(self, timer: Timer) -> None:
        delay = self._wait(timer)
        handle = self._clock.call_later(delay, lambda: self._due(timer))
        self._calls[timer[:3]] = (timer, handle.named(Tick(timer)))

    def _due(self, timer: Timer) -> None:
        with self._lock:
            held = self._calls.get(timer[:3])
            if held is None or held[0] is not timer:
                return
            if timer.interval is None and timer.due - self._clock.now() > EARLY:
                self._call(timer)  # the clock was set back, and nobody has noticed yet
                return
            # Kept until the commit that consumes it, so that nobody delivers it twice.
            self._calls[timer[:3]] = (timer, None)
        self._deliver(timer)

    def _forget(self, place: Place) -> None:
        held = self._calls.pop(place, None)
        self._from_store.discard(place)
        if held is not None and held[1] is not None:
            held[1].cancel()


def next_due(timer: Timer, now: float) -> Timer | None:
    """Return an interval timer's next appointment after a tick was handled, None for the last."""
    if timer.interval is None:
        return None
    if timer.due - now > EARLY:  # the clock was set back since it was set
        return timer._replace(due=now + timer.interval)
    due = timer.due + timer.interval
    if timer.catch_up != "all" and due <= now:
        missed = math.floor((now - timer.due) / timer.interval)
        due = timer.due + (missed + 1) * timer.interval
    return timer._replace(due=due)


def is_skipped(timer: Timer, now: float) -> bool:
    """Tell whether a late tick is to be passed over."""
    late = now - timer.due
    return timer.interval is not None and timer.catch_up == "skip" and late >= timer.interval
