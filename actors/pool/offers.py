"""Work that its sender will most likely run itself: a worker is woken for it only if that fails.

A caller that asks and waits runs the turn on its own thread (*steal*). Waking a worker for the same
mailbox then costs two thread switches and a fight for the interpreter lock: measured, 50 of the 370
microseconds of a lone durable ask (``python -m benchmarks --only lone``).

A worker that was woken in vain a few times in a row *lingers*: it waits with a short timeout, and
asks from outside are only offered meanwhile. At each timeout it looks at the offers. One that still
waits, or none at all since the last look, ends the lingering: what is left becomes ordinary work.
Ordinary work rings a bell, so that it waits for nobody.

Invariant: an offer is run by whoever waits for it, or is ordinary work within ``LINGER`` seconds.
``offer`` appends first and looks at the flag afterwards, ``end`` lowers the flag first and moves
the offers afterwards, so one of the two sees the other.

The wait is for a lock. ``SimpleQueue.get(timeout)`` would do, but on CPython 3.11 one whose timeout
passes while another thread takes the item it was woken for waits for ever.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

LINGER: Final = 0.001
"""Seconds between two looks at what was offered."""
VAIN: Final = 8
"""Wakings in vain, in a row, after which a worker lingers."""


class Runnable(Protocol):
    """Something a worker can run for a while, unless another thread has done so."""

    def run(self) -> bool:
        """Do some work and come back; tell whether there was any."""
        ...

    def waits(self) -> bool:
        """Tell whether nobody has begun it."""
        ...


class Offers:
    """What was offered while a worker lingers."""

    def __init__(self, submit: Callable[[Runnable], None]) -> None:
        """Give what nobody took to ``submit``."""
        self._submit = submit
        self._offers: deque[Runnable] = deque()
        self.lingering = False
        """A worker looks after the offers."""
        self._looking = threading.Lock()  # held by the worker that lingers
        self._bell = threading.Lock()  # released to wake it
        self._bell.acquire()

    def offer(self, work: Runnable) -> None:
        """Keep ``work`` for whoever waits for it."""
        self._offers.append(work)
        if not self.lingering:
            self.end()

    def linger(self, idle: Callable[[], bool]) -> None:
        """Look after the offers while it is worth while, and ``idle()`` says there is no work.

        Comes back at once when another worker does it.
        """
        if not self._looking.acquire(blocking=False):
            return
        try:
            # Before the look at the work: who brings some looks at this afterwards.
            self.lingering = True
            while idle():
                rung = self._bell.acquire(timeout=LINGER)
                if not rung and not (self.lingering and self._all_taken()):
                    return
        finally:
            # Work may keep this worker busy for long.
            self.end()
            self._looking.release()

    def ring(self) -> None:
        """Have the worker that lingers look for work."""
        with contextlib.suppress(RuntimeError):  # it has been rung already
            self._bell.release()

    def _all_taken(self) -> bool:
        """Drop what was taken; tell whether that was all, and not nothing."""
        if not self._offers:
            return False
        try:
            while self._offers:
                if self._offers[0].waits():
                    return False
                self._offers.popleft()
        except IndexError:  # another thread moved it
            return False
        return True

    def end(self) -> None:
        """Make ordinary work of what is left; may be called by anybody at any time."""
        self.lingering = False
        while self._offers:
            try:
                work = self._offers.popleft()
            except IndexError:  # another thread moved it
                return
            self._submit(work)
            self.ring()
