"""Wake those who await replies on event loops: those of one loop by one call, when it suits.

``call_soon_threadsafe`` writes to a socket, and gives the interpreter lock away in doing so: the
loop goes on at once, and whoever woke it waits. So a thread that writes commits wakes nobody before
it is through: it would stand in the way of the very turns that the woken ask for.
"""

from __future__ import annotations

import asyncio
import threading


class Wakes:
    """Waiters whose replies are there, until they are woken.

    Invariant: a waiter is woken by a ``send()`` that begins after its ``add()``. One that was
    interrupted is made good by the next.
    """

    def __init__(self) -> None:
        """Have nobody to wake."""
        self._lock = threading.Lock()
        self._waiters: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        self._due = False

    def add(self, loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None]) -> None:
        """Have ``waiter`` woken by the next ``send()``."""
        with self._lock:
            self._waiters.setdefault(loop, []).append(waiter)
            self._due = True

    def send(self) -> None:
        """Wake everybody."""
        if not self._due:
            return
        try:
            with self._lock:
                loops = list(self._waiters)
                self._due = False
            for loop in loops:
                try:
                    loop.call_soon_threadsafe(self._finish, loop)
                except RuntimeError:  # it is closed: nobody waits there
                    self._take(loop)
        except BaseException:
            self._due = True
            raise

    def owes(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Tell whether somebody on a loop is still to be woken."""
        return loop in self._waiters

    def _finish(self, loop: asyncio.AbstractEventLoop) -> None:
        for waiter in self._take(loop):
            if not waiter.done():
                waiter.set_result(None)

    def _take(self, loop: asyncio.AbstractEventLoop) -> list[asyncio.Future[None]]:
        with self._lock:
            return self._waiters.pop(loop, [])
