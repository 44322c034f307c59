"""Work that no mailbox knows of: what waits for its time, and the recovery of old mail."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Callable
from typing import Final, NamedTuple

from ...lifecycle.clock import Clock
from .cell import Cell
from .dispatcher import Dispatcher

STORE_SECONDS: Final = 1.0
"""How long whoever was hindered by a failing store waits before the next attempt."""


class _Call(NamedTuple):
    callback: Callable[[], object]
    what: str
    cell: Cell | None


class Errand:
    """A call that a worker makes; a system is not quiet before it is made."""

    def __init__(self, agenda: Agenda, call: Callable[[], object]) -> None:
        """Make ``call`` once it is sent."""
        self._agenda = agenda
        self._call = call
        self._made = False
        self._waits: Callable[[], bool] = _no

    def send_behind(
        self, arrange: Callable[[Callable[[], None]], bool], dispatcher: Dispatcher
    ) -> None:
        """Have a worker make the call later, which counts from now on.

        ``arrange(send)`` has ``send`` called when it is time; False if it already is. Who is struck
        meanwhile has a worker arrange that.
        """

        def send() -> None:
            self._waits = _no
            self.send(dispatcher)

        self._waits = functools.partial(arrange, send)
        try:
            self._agenda.begin(self)
            if not self._waits():
                send()
        except BaseException:
            dispatcher.requeue(self)
            raise

    def send(self, dispatcher: Dispatcher) -> None:
        """Have a worker make the call. Who is struck meanwhile has sent it all the same."""
        try:
            self._agenda.begin(self)
            dispatcher.submit(self)
        except BaseException:
            # It may be there already. The second time it comes up there is nothing left to do.
            dispatcher.requeue(self)
            raise

    def waits(self) -> bool:
        """Tell that only a worker does this."""
        return True

    def run(self) -> bool:
        """Make the call; again if it was struck."""
        if not self._made and self._waits():
            return True
        try:
            if not self._made:
                self._call()
        finally:
            self._agenda.end(self)
        self._made = True
        return True


class Agenda:
    """Make calls at their time; a system is not quiet before they are made.

    Who is struck while it begins or ends does so once more: work is a member of a set, no number.
    """

    def __init__(self, clock: Clock) -> None:
        """Go by ``clock``."""
        self._clock = clock
        self._changed = threading.Condition()
        self._tickets = itertools.count()
        self._calls: dict[int, _Call] = {}
        self._open: set[object] = set()
        """What was begun and is not done: other work, and the tickets of calls."""
        self._hurried = False
        self.look: Callable[[], None] = _nothing
        """Called when a cell has something to wait for: another may be waiting for that cell."""
        self.asleep: Callable[[list[object]], bool] = _never
        """Tell whether pieces of other work, all of them begun, wait for their time as well."""

    def later(
        self, delay: float, callback: Callable[[], object], what: str, cell: Cell | None = None
    ) -> Callable[[], None]:
        """Call back after ``delay`` seconds, at once when the system closes.

        The system is not quiet before: a restart after backoff is work that waits for its time.
        ``what`` tells people what will happen; ``cell`` does nothing else before. Returns what
        calls it off.
        """
        with self._changed:
            ticket = next(self._tickets)
            try:
                self._open.add(ticket)
                self._calls[ticket] = _Call(callback, what, cell)
                hurried = self._hurried
                if not hurried:
                    # In the same hold: who sees it here may advance a clock that stands still.
                    self._clock.call_later(delay, lambda: self._make_call(ticket)).named(what)
            except BaseException:
                self._answered(ticket)  # who is struck here arranges it once more
                raise
        if hurried:
            self._make_call(ticket)
        elif cell is not None:
            cell.mailbox.look_again()  # somebody may wait for it to come to rest
            self.look()
        return functools.partial(self._answered, ticket)

    def wait_for(self, what: str, cell: Cell, give_up: Callable[[], object]) -> Callable[[], None]:
        """Have ``cell`` wait for somebody outside, and return what says that it does so no more.

        The system is not quiet before. ``what`` tells people; ``give_up`` is called when the system
        closes.
        """
        with self._changed:
            ticket = next(self._tickets)
            self._open.add(ticket)
            self._calls[ticket] = _Call(give_up, what, cell)
        cell.mailbox.look_again()
        self.look()
        return functools.partial(self._answered, ticket)

    def _answered(self, ticket: int) -> None:
        with self._changed:
            self._calls.pop(ticket, None)
        self.end(ticket)

    def when_the_store_may_be_back(
        self, callback: Callable[[], object], what: str, cell: Cell | None = None
    ) -> None:
        """Call back later, to try again what a failing store has hindered."""
        self.later(STORE_SECONDS, callback, what, cell)

    def hurry(self) -> None:
        """Make every call now, and those to come at once."""
        with self._changed:
            self._hurried = True
            waiting = list(self._calls)
        for ticket in waiting:
            self._make_call(ticket)

    def look_again(self) -> None:
        """Have who waits until nothing is left to do look at what is asleep."""
        with self._changed:
            self._changed.notify_all()
        self.look()

    def begin(self, work: object) -> None:
        """Take note of other work, which has an end."""
        self._open.add(work)

    def end(self, work: object) -> None:
        """Take note that work is done."""
        try:
            self._open.discard(work)
        finally:
            with self._changed:
                # Or all that is left sleeps: it has told so when it fell asleep, and does no more.
                if len(self._open) <= len(self._calls) or self.asleep([]):
                    self._changed.notify_all()

    def wait(self, timeout: float | None, *, for_time: bool = True) -> bool:
        """Wait until nothing is left to do; False on timeout.

        Without ``for_time`` until nothing is left but what waits for its time.
        """
        with self._changed:
            if for_time:
                return self._changed.wait_for(lambda: not self._open, timeout)
            return self._changed.wait_for(
                lambda: len(self._open) == len(self._calls) or self.asleep(self._others()), timeout
            )

    def _others(self) -> list[object]:
        return [work for work in list(self._open) if work not in self._calls]

    def waiting(self) -> list[str]:
        """Return what waits for its time, for people."""
        with self._changed:
            return [call.what for call in list(self._calls.values())]

    def delays(self, cell: object) -> bool:
        """Tell whether a cell does nothing before something whose time has not come."""
        with self._changed:
            return any(call.cell is cell for call in list(self._calls.values()))

    def _make_call(self, ticket: int) -> None:
        # By an iterator, without the lock: who is struck has not taken the call, or is at it.
        for call in map(self._calls.pop, (ticket,), (None,)):
            if call is None:
                return
            try:
                call.callback()
                self.end(ticket)
            except Exception:
                self.end(ticket)
                raise
            except BaseException:
                # Struck: nobody knows how far it came. All that is called here may be called twice.
                self._open.add(ticket)
                self._calls[ticket] = call
                again = functools.partial(self._make_call, ticket)
                self._clock.call_later(0.0, again).named(call.what)
                raise


def _nothing() -> None:
    """Have nobody to tell."""


def _never(_works: list[object]) -> bool:
    """Say that nothing sleeps."""
    return False


def _no() -> bool:
    """Wait for nothing."""
    return False
