"""Does what falls due behind everybody's back: one attendant for each sweep of shared state."""

from __future__ import annotations

import logging
import math
import threading
from typing import Final

from ...lifecycle.clock import Clock
from ...persistence.errors import PerdureError, SystemClosed
from ...shared.ledger.sweep import AT_ONCE, Sweep
from ..pool.agenda import Agenda
from ..pool.dispatcher import Dispatcher

logger = logging.getLogger("perdure.actors")

RETRY_SECONDS: Final = 1.0
"""After which what failed is tried again."""
LONGEST_WAIT: Final = 30.0
"""Seconds after which an attendant looks again whatever it waits for: a clock may be wrong by a
little every minute, and the wait is measured by another."""


class Attendant:
    """Own a sweep: call its slices on a worker, one at a time, when they are due."""

    def __init__(self, sweep: Sweep, clock: Clock, dispatcher: Dispatcher, agenda: Agenda) -> None:
        """See to ``sweep``; the system is not idle while a slice is under way."""
        self._sweep = sweep
        self._clock = clock
        self._dispatcher = dispatcher
        self._agenda = agenda
        self._lock = threading.Lock()
        self.next = math.inf
        """When the next slice is due, by the monotonic clock."""
        self.exact = sweep.exact
        self.what = f"a look at what is due (if not, {sweep.what})"
        self._busy = self._again = False
        self._work: object = None
        """Stands in the agenda for the slice that a worker is to do. Each has its own, so that
        the end of one is not taken for the end of the next, begun meanwhile."""
        sweep.due = self.due

    def start(self) -> None:
        """Have the first slice done when that is due."""
        self.due(self._sweep.first)

    def look(self) -> None:
        """Have a slice done now: the clock was set, and what waits for a moment may be due."""
        self._begin()

    def stop(self) -> None:
        """Begin no further slice. Takes no lock: a forked child calls this as well."""
        self._sweep.stopped = True

    def due(self, seconds: float) -> None:
        """Have a slice done in some seconds, or earlier if one is due before."""
        if seconds <= 0:
            self._begin()
            return
        if self._arrange(self._clock.monotonic() + seconds):
            self._begin()

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Do one slice, and go to the tail of the queue if there is more."""
        work: object = None
        try:
            with self._lock:
                work, self._work = self._work, None
            if work is not None:  # else it came up twice: who had it done was struck
                self._do(work)
        except BaseException:
            # Struck: it comes up again, and the slice is under way until then.
            with self._lock:
                if self._work is None and work is not None:
                    self._busy, self._work = True, work
                begun = self._work
            if begun is not work:  # the next was begun meanwhile: that is to come
                self._agenda.end(work)
            raise
        return True

    def _do(self, work: object) -> None:
        wait = -1.0
        begun = self._clock.monotonic()  # time may pass between a slice's look at it and the wait
        try:
            if not self._sweep.stopped:
                wait = self._sweep.slice()
        except SystemClosed:
            pass
        except PerdureError as error:
            logger.warning("%s, and tried again: %s", self._sweep.what, error)
            wait = RETRY_SECONDS
        # BaseException: a slice calls people's code, and who ends here ends no sweep.
        except BaseException:
            logger.exception("%s, and tried again", self._sweep.what)
            wait = RETRY_SECONDS
        # While this still counts as under way: who sees the system idle may move a clock that
        # stands still at once, and what is due by then has to be done before it is idle.
        if wait > 0 and self._arrange(begun + wait):
            wait = AT_ONCE
        with self._lock:
            more = (wait == AT_ONCE or self._again) and not self._sweep.stopped
            self._again = False
            self._busy = more
            if more:
                self._work = work
        if more:
            self._dispatcher.submit(self)
        else:
            self._agenda.end(work)

    def _arrange(self, moment: float) -> bool:
        """Be called at a moment, unless an earlier one is arranged; True if it has come by now.

        A clock that stands still may be moved past it meanwhile, by who then calls nobody.
        """
        with self._lock:
            if moment >= self.next or self._sweep.stopped:
                return False
            self.next = moment
        soon = min(moment, self._clock.monotonic() + LONGEST_WAIT)
        try:
            self._clock.call_at(soon, lambda: self._called(moment)).named(self.what, routine=True)
        except BaseException:
            self._taken(moment)  # struck: who comes next arranges it
            raise
        return self._clock.monotonic() >= moment and self._taken(moment)

    def _called(self, moment: float) -> None:
        if self._taken(moment):
            self._begin()

    def _taken(self, moment: float) -> bool:
        """Take what is arranged for a moment; False if an earlier one has come in between."""
        with self._lock:
            if moment != self.next:
                return False
            self.next = math.inf
            return True

    def _begin(self) -> None:
        """Have a worker do a slice. Who is struck meanwhile has one done all the same."""
        work = object()
        try:
            # First: who finds a slice under way, and so begins none, finds the system busy as well.
            self._agenda.begin(work)
            with self._lock:
                begins = not (self._busy or self._sweep.stopped)
                self._again = self._busy
                if begins:
                    self._busy, self._work = True, work
            if begins:
                self._dispatcher.submit(self)
            else:
                self._agenda.end(work)
        except BaseException:
            if self._work is work:
                self._dispatcher.requeue(self)
            else:
                self._agenda.end(work)
            raise
