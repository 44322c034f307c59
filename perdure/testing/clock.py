"""Time in tests: it passes where a test says so, and everybody has done what is due by then."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Final

from ..lifecycle.clock import DueCall, Resident, VirtualClock
from ..persistence.errors import Deadlock

PATIENCE: Final = 10.0
"""Real seconds that agents get to do what is due: who needs more waits for the test itself."""
_MOST: Final = 10_000
"""Moments that ``run_until_idle`` passes at the most."""
_TOLD: Final = 5
_TWICE: Final = 2


class SkippingClock(VirtualClock):
    """A virtual clock that lets agents handle their mail before it moves on.

    It stands still until ``advance``, ``run_until_idle`` or, in a block of ``skip()``, a reply that
    waits for time. It stops at each moment at which something is due, so that what that leads to
    is due at its own time, too; housekeeping is done late instead, so that days cost nothing.

    For one thread, that of the test: where a reply that it waits for can never come, it gets a
    Deadlock that says who waits for what.
    """

    def __init__(self, start: float = 1_000_000.0, *, skip: bool = False) -> None:
        """Begin at ``start`` seconds since the epoch; with ``skip`` it skips all the time."""
        super().__init__(start)
        self._residents: list[Resident] = []
        self._skipping = skip

    def __repr__(self) -> str:
        ways = "skips time for who waits" if self._skipping else "stands still until advance()"
        return f"<SkippingClock, advanced by {self._now:g} s; it {ways}>"

    def moved_in(self, resident: Resident) -> None:
        """Let a system handle its mail before time moves on."""
        self._residents.append(resident)

    def moved_out(self, resident: Resident) -> None:
        """Leave a system alone."""
        if resident in self._residents:
            self._residents.remove(resident)

    def advance(self, seconds: float, *, settle: bool = True) -> None:
        """Move time forward, stopping at whatever falls due; the mail of each moment is handled.

        On return nothing goes on that is not waiting for later. Without ``settle`` nobody is waited
        for: a handler may be hanging, until its time limit falls due. Deadlock for one that does.
        """
        if not settle:
            super().advance(seconds)
            return
        end = self._now + seconds
        self.settle()
        while (moment := self._next(end)) is not None:
            self._jump(moment)
            self.settle()
        self._jump(end)
        self.settle()

    def run_until_idle(self) -> float:
        """Have everything done that is due, and time pass while somebody waits for it.

        That is: an agent for its next attempt, a save, a caller for a reply. Returns the seconds
        that have passed. A timer is not waited for, unless somebody waits for what it does.
        Deadlock, which says who waits for what, if time cannot bring it.
        """
        begun = self._now
        self.settle()
        for _ in range(_MOST):
            if not self._waits():
                return self._now - begun
            self._skip_once()
        raise Deadlock(f"{_MOST:,} moments have passed, and still: {self._said()}")

    @contextlib.contextmanager
    def skip(self) -> Iterator[None]:
        """Have time pass in the block whenever its thread waits for a reply: ``future.get()``."""
        before, self._skipping = self._skipping, True
        try:
            yield
        finally:
            self._skipping = before

    def settle(self) -> None:
        """Let everybody do what is due now; Deadlock for who does not come to an end."""
        self._settle()
        while self._is_due():
            self._jump(self._now)
            self._settle()

    def within(self, seconds: float, done: Callable[[], bool]) -> bool:
        """Let time pass until ``done()``, at the most so many seconds; tell whether it is."""
        end = self._now + seconds
        self.settle()
        while not done():
            moment = self._next(end)
            if moment is None:
                self._jump(end)
                self.settle()
                return done()
            self._jump(moment)
            self.settle()
        return True

    @property
    def steers(self) -> bool:
        """Say that this clock has a say in how replies are waited for."""
        return True

    def steer(self, done: Callable[[], bool], *, patient: bool) -> None:
        """Have what is due done, and time pass if it skips, until a reply is there.

        One that cannot come is a Deadlock for who would wait without a limit, and when skipping.
        """
        if not self._skipping and not patient:
            return  # the limit is real seconds, in which another thread may bring it about
        self.settle()
        passed = 0
        while not done():
            if not self._skipping or passed > _MOST:
                moments = self.pending_work()
                soon = f"; due next: {_shown(moments)}" if moments else ""
                still = (
                    "time stands still"
                    if passed == 0
                    else f"{passed:,} moments have not brought it"
                )
                message = f"the reply would never come, because {still}: {self._said()}"
                raise Deadlock(f"{message}{soon}; advance the clock, or wait in clock.skip()")
            self._skip_once()
            passed += 1

    def pending_work(self) -> list[DueCall]:
        """Return what is due without the housekeeping of systems, soonest first."""
        calls = [call for call in self.pending() if not call.routine]
        known = {call.what for call in calls}
        calls += [
            DueCall(moment - self._now, what, routine=False)
            for moment, what in self._later(math.inf)
            if what not in known
        ]
        return sorted(calls)

    def _is_due(self) -> bool:
        with self._lock:
            due = self._heap.due()
            return due is not None and due <= self._now

    def _settle(self) -> None:
        for _ in self._residents[:_TWICE]:  # one may write to another
            for resident in list(self._residents):
                if not resident.settle(PATIENCE):
                    message = (
                        f"still at work after {PATIENCE:g} s: {', '.join(resident.busy())}; if a"
                        " handler waits for this test, let it go on first, or call"
                        " clock.advance(seconds, settle=False)"
                    )
                    raise Deadlock(message)

    def _skip_once(self) -> None:
        moment = self._next(None)
        if moment is None:
            message = f"nothing is due any more, and so it would wait for ever: {self._said()}"
            raise Deadlock(message)
        self._jump(moment)
        self.settle()

    def _waits(self) -> bool:
        return any(each.waits() or each.unanswered() for each in list(self._residents))

    def _said(self) -> str:
        found: list[str] = []
        for resident in list(self._residents):
            found += [*resident.waits(), *resident.unanswered()]
        return "; ".join(found[:_TOLD]) or "nobody has anything to do"

    def _next(self, end: float | None) -> float | None:
        """Return the next moment at which something is due, by the monotonic scale."""
        with self._lock:
            first = self._heap.first_work()
        moment = math.inf if first is None else first
        moment = min(moment, *(due for due, _ in self._later(moment)), math.inf)
        if moment == math.inf or (end is not None and moment > end):
            return None
        return moment

    def _later(self, before: float) -> list[tuple[float, str]]:
        """Return what systems have to do first that is in no delayed call yet.

        By the monotonic scale; of each what is due before ``before``.
        """
        apart = self.now() - self.monotonic()
        found = [each.next_due(before + apart) for each in list(self._residents)]
        return [(each[0] - apart, each[1]) for each in found if each is not None]

    def _jump(self, moment: float) -> None:
        """Move time to a moment, and make the calls that are due by then, housekeeping as well."""
        with self._lock:
            self._now = max(self._now, moment)
        super().advance(0.0)


def _shown(calls: list[DueCall]) -> str:
    return ", ".join(f"in {call.seconds:g} s {call.what}" for call in calls[:_TOLD])
