"""Time and delayed calls: the real thing, and one that tests move by hand."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

logger = logging.getLogger("perdure.lifecycle")

FEW: Final = 64
"""Cancelled calls that are no burden."""
LOOK_SECONDS: Final = 1.0
STEP_SECONDS: Final = 0.5
"""By how much the clock must be off after such a time to have been set: more than slewing does."""


class DelayedCall:
    """Stand for a delayed call; ``cancel()`` keeps it from happening."""

    __slots__ = ("callback", "owner", "routine", "struck", "what", "when")

    def __init__(self, when: float, callback: Callable[[], None] | None) -> None:
        """Hold a callback due at ``when`` on the clock's monotonic scale."""
        self.when = when
        self.callback = callback
        self.what: object = ""
        self.routine = False
        self.owner: object = None
        self.struck = False

    def named(self, what: object, *, routine: bool = False) -> DelayedCall:
        """Say for people what is done then: ``str(what)``.

        ``routine``: it is housekeeping that may be late, and for which nobody waits.
        """
        self.what, self.routine = what, routine
        return self

    def cancel(self) -> None:
        """Forget the call, if it has not begun."""
        self.callback = None


class DueCall(NamedTuple):
    """A delayed call that is still to be made, for people and for tests."""

    seconds: float
    """In how many seconds."""
    what: str
    """What is done then, and for whom."""
    routine: bool
    """Whether it is housekeeping, for which nobody waits."""


class _Heap:
    """Delayed calls by their time; the owner's lock is held for every method.

    Invariant: of ``n`` calls that are still to be made at most ``n + FEW`` others are kept. A time
    limit is nearly always cancelled long before it is due.
    """

    def __init__(self) -> None:
        self._entries: list[tuple[float, int, DelayedCall]] = []
        self._order = itertools.count()
        self._most = FEW  # entries at which the cancelled ones are dropped

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, handle: DelayedCall) -> bool:
        """Keep a call; tell whether it is the first that is due."""
        if len(self._entries) >= self._most:
            self._entries = [entry for entry in self._entries if entry[2].callback is not None]
            heapq.heapify(self._entries)
            self._most = 2 * len(self._entries) + FEW
        heapq.heappush(self._entries, (handle.when, next(self._order), handle))
        return self._entries[0][2] is handle

    def due(self) -> float | None:
        """Return when the first call is due that is still to be made; None if there is none."""
        while self._entries and self._entries[0][2].callback is None:
            heapq.heappop(self._entries)
        return self._entries[0][0] if self._entries else None

    def first(self) -> DelayedCall:
        """Return the first call. It stays until it is made: who is struck before finds it again."""
        return self._entries[0][2]

    def pending(self) -> list[DelayedCall]:
        """Return the calls that are still to be made, soonest first."""
        return [handle for _, _, handle in sorted(self._entries) if handle.callback is not None]

    def first_work(self) -> float | None:
        """Return when the first call is due that is no housekeeping; None if there is none.

        From the top of the heap down, and no further than below housekeeping: that is little.
        """
        entries = self._entries
        ways = [(entries[0], 0)] if entries else []
        while ways:
            (when, _, handle), at = heapq.heappop(ways)
            if handle.callback is not None and not handle.routine:
                return when
            for below in (2 * at + 1, 2 * at + 2):
                if below < len(entries):
                    heapq.heappush(ways, (entries[below], below))
        return None

    def forget(self, owner: object) -> None:
        """Forget the calls of one owner."""
        self._entries = [entry for entry in self._entries if entry[2].owner is not owner]
        heapq.heapify(self._entries)


class Clock(Protocol):
    """Tell the time and call back later."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        ...

    def call_later(self, delay: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back after ``delay`` seconds; callbacks must be short, and wait for nothing."""
        ...

    def call_at(self, when: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back when ``monotonic()`` has come to ``when``, however long the arranging takes."""
        ...

    def call_aside(self, callback: Callable[[], None]) -> None:
        """Call back soon, where it may wait for a disk or a lock, and holds up no delayed call.

        One after the other, in this order.
        """
        ...

    def calls_here(self) -> bool:
        """Tell whether the calling thread makes the delayed calls: nobody may hold it up."""
        ...

    def start(self) -> None:
        """Begin to call back."""
        ...

    def close(self) -> None:
        """Call nothing back any more; idempotent."""
        ...


class SystemClock:
    """Use the machine's clock, one thread for delayed calls and one for those that may wait."""

    def __init__(self) -> None:
        """Make a clock that calls back once it is started."""
        self._heap = _Heap()
        self._changed = threading.Condition()
        self._asides: queue.SimpleQueue[DelayedCall | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._closed = False

    now = staticmethod(time.time)
    """Return seconds since the epoch."""

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    def call_later(self, delay: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back on the clock's thread after ``delay`` seconds."""
        return self.call_at(time.monotonic() + max(0.0, delay), callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back on the clock's thread at a moment."""
        handle = DelayedCall(when, callback)
        with self._changed:
            if self._heap.add(handle):
                self._changed.notify()
        return handle

    def call_aside(self, callback: Callable[[], None]) -> None:
        """Call back on the second thread."""
        self._asides.put(DelayedCall(0.0, callback))

    def calls_here(self) -> bool:
        """Tell whether this is the clock's thread."""
        return bool(self._threads) and threading.current_thread() is self._threads[0]

    def start(self) -> None:
        """Start the threads."""
        for target, name in ((self._run, "perdure-clock"), (self._run_asides, "perdure-aside")):
            thread = threading.Thread(target=target, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def close(self) -> None:
        """End the threads; what the second one has begun is waited for."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._asides.put(None)
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()

    def _run(self) -> None:
        while not self._closed:
            with _going_on():
                self._make_calls()

    def _make_calls(self) -> None:
        while True:
            with self._changed:
                while not self._closed:
                    due = self._heap.due()
                    wait = None if due is None else due - time.monotonic()
                    if wait is not None and wait <= 0:
                        break
                    self._changed.wait(wait)
                if self._closed:
                    return
                handle = self._heap.first()
            run(handle)

    def _run_asides(self) -> None:
        aside: DelayedCall | None = None
        # Taken by an iterator: who is struck has not taken a call, or has it in hand.
        taken = iter(self._asides.get, None)
        while not self._closed:
            with _going_on():
                if aside is not None:
                    run(aside)  # again, if it was struck
                for aside in taken:
                    if not self._closed:
                        run(aside)


class Resident(Protocol):
    """A system, as a clock that tests move sees it."""

    def settle(self, timeout: float | None) -> bool:
        """Wait until nothing goes on that does not wait for time to pass; False on timeout."""
        ...

    def waits(self) -> list[str]:
        """Return what waits for time to pass: attempts, saves, agents that others wait for."""
        ...

    def unanswered(self) -> list[str]:
        """Return the asks from outside that have no reply yet, and why."""
        ...

    def next_due(self, before: float) -> tuple[float, str] | None:
        """Return what is due first of what is in no delayed call yet, and what that is.

        In seconds since the epoch; None if that is not before ``before``.
        """
        ...

    def busy(self) -> list[str]:
        """Name what keeps it from being settled."""
        ...


class VirtualClock:
    """A clock that stands still until a test advances it; callbacks run on the test's thread."""

    def __init__(self, start: float = 1_000_000.0) -> None:
        """Begin at ``start`` seconds since the epoch."""
        self._epoch = start
        self._now = 0.0
        self._heap = _Heap()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<VirtualClock, advanced by {self._now:g} s; it stands still until advance()>"

    def now(self) -> float:
        """Return virtual seconds since the epoch."""
        return self._epoch + self._now

    def monotonic(self) -> float:
        """Return virtual seconds since the start."""
        return self._now

    def call_later(self, delay: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back when the clock has been advanced by ``delay`` seconds."""
        with self._lock:
            return self.call_at(self._now + max(0.0, delay), callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back when the clock has been advanced to a moment; the next time, if it is past."""
        handle = DelayedCall(when, callback)
        with self._lock:
            self._heap.add(handle)
        return handle

    def advance(self, seconds: float) -> None:
        """Move time forward, making the calls that fall due, in their order."""
        end = self._now + seconds
        while True:
            with self._lock:
                due = self._heap.due()
                if due is None or due > end:
                    self._now = end
                    return
                handle = self._heap.first()
                self._now = max(self._now, handle.when)
            run(handle)

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, as somebody does on a machine; below 0 it is set forward.

        So does a machine that was asleep: for it, only ``now()`` has gone on. Nothing is called,
        and nobody is told: who depends on it has to look.
        """
        self._epoch -= seconds

    def call_aside(self, callback: Callable[[], None]) -> None:
        """Call back at once, on this thread."""
        run(DelayedCall(0.0, callback))

    def calls_here(self) -> bool:
        """Return False: who advances it has no other calls to make meanwhile."""
        return False

    def pending(self) -> list[DueCall]:
        """Return the calls that are still to be made, and what each is for, soonest first."""
        with self._lock:
            now, calls = self._now, self._heap.pending()
        return [DueCall(call.when - now, str(call.what), call.routine) for call in calls]

    def start(self) -> None:
        """Make the calls that are due at once; all later ones wait for ``advance()``."""
        VirtualClock.advance(self, 0.0)

    def close(self) -> None:
        """Forget all calls that are nobody's: those of a system go when that is closed."""
        self.forget(None)

    def forget(self, owner: object) -> None:
        """Forget the calls of one owner."""
        with self._lock:
            self._heap.forget(owner)

    def moved_in(self, resident: Resident) -> None:
        """Take note of a system that goes by this clock from now on."""

    def moved_out(self, resident: Resident) -> None:
        """Take note that a system is closed, or was struck dead."""

    def steer(self, done: Callable[[], bool], *, patient: bool) -> None:
        """Do what has to be done for a reply, on the thread outside that is about to wait for it.

        Nothing: who is to advance this clock does so elsewhere. ``patient`` for one that waits
        without a time limit. Deadlock if that would be for ever.
        """

    @property
    def steers(self) -> bool:
        """Whether ``steer`` does anything: then no turn runs on the thread of who waits for it."""
        return False


class ClockShare(VirtualClock):
    """One system's share in a virtual clock: its calls, which end with it."""

    def __init__(self, clock: VirtualClock) -> None:
        """Go by ``clock``, which others may go by as well."""
        self._clock = clock
        self._ended = False

    def __repr__(self) -> str:
        return repr(self._clock)

    def now(self) -> float:
        """Return virtual seconds since the epoch."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return virtual seconds since the start."""
        return self._clock.monotonic()

    def call_later(self, delay: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back when the clock has been advanced, unless this share has ended by then."""
        return self._own(self._clock.call_later(delay, callback))

    def call_at(self, when: float, callback: Callable[[], None]) -> DelayedCall:
        """Call back when the clock has been advanced, unless this share has ended by then."""
        return self._own(self._clock.call_at(when, callback))

    def _own(self, handle: DelayedCall) -> DelayedCall:
        handle.owner = self
        if self._ended:
            handle.cancel()
        return handle

    def call_aside(self, callback: Callable[[], None]) -> None:
        """Call back at once, on this thread; not once this share has ended."""
        if not self._ended:
            self._clock.call_aside(callback)

    def calls_here(self) -> bool:
        """Tell whether the calling thread makes the delayed calls."""
        return self._clock.calls_here()

    def advance(self, seconds: float) -> None:
        """Move time forward, for all that go by the clock."""
        self._clock.advance(seconds)

    def set_back(self, seconds: float) -> None:
        """Set the wall clock back, for all that go by it."""
        self._clock.set_back(seconds)

    def pending(self) -> list[DueCall]:
        """Return the calls that are still to be made, of all that go by the clock."""
        return self._clock.pending()

    def start(self) -> None:
        """Make the calls that are due at once."""
        self._clock.start()

    def close(self) -> None:
        """Forget the calls of this share, and take no more."""
        self._ended = True
        self._clock.forget(self)

    def moved_in(self, resident: Resident) -> None:
        """Have the clock know who goes by it."""
        self._clock.moved_in(resident)

    def moved_out(self, resident: Resident) -> None:
        """Have the clock know that it is gone."""
        self._clock.moved_out(resident)

    def steer(self, done: Callable[[], bool], *, patient: bool) -> None:
        """Do what the clock does for a reply that is waited for."""
        self._clock.steer(done, patient=patient)

    @property
    def steers(self) -> bool:
        """Whether it does anything."""
        return self._clock.steers


class StepWatch:
    """Notice when the wall clock was set, or the machine slept, and tell who depends on it.

    Delayed calls are measured by the monotonic clock, which knows of neither. Moments in time
    have to be looked at again then.
    """

    def __init__(self, clock: Clock, told: Sequence[Callable[[], None]]) -> None:
        """Watch ``clock``; ``told`` are called after a step, and must be short."""
        self._clock = clock
        self._told = told
        self._apart = self._measure()

    def start(self) -> None:
        """Look now, and then every second."""
        apart = self._measure()
        if abs(apart - self._apart) >= STEP_SECONDS:
            logger.info("the clock was set, or stood still, by %.1f s", apart - self._apart)
            for tell in self._told:
                tell()
        self._apart = apart
        self._clock.call_later(LOOK_SECONDS, self.start).named(
            "a look at whether the clock was set", routine=True
        )

    def _measure(self) -> float:
        return self._clock.now() - self._clock.monotonic()


def run(handle: DelayedCall) -> None:
    """Make a delayed call once; what it raises is logged.

    If it is struck by what is no Exception, it is to be made once more: nobody knows how far it
    came.
    """
    callback, handle.callback = handle.callback, None
    if callback is None:
        return
    try:
        callback()
    except Exception:
        logger.exception("a delayed call raised")
    except BaseException:
        if not handle.struck:
            handle.callback, handle.struck = callback, True
        raise


@contextlib.contextmanager
def _going_on() -> Iterator[None]:
    """Have a thread go on that was struck: nobody else makes its calls."""
    try:
        yield
    except BaseException:
        logger.exception("the clock was interrupted; it goes on")
