"""A worker that writes what its turn has committed, where no other work waits for it.

Who awaits a reply on an event loop cannot run the turn, so a worker does; to wake a third thread
for the commit is one more switch before the reply may leave. So a worker that has nothing else to
do writes itself, as a caller does that helps. What the disk holds up for long is no reason for the
pool to be one thread short: such a worker is replaced.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, Protocol

from .returning import Returning

LOOK_SECONDS: Final = 0.05
"""Seconds between two looks at who writes; who writes at both is held up."""


class Scribe(Protocol):
    """Has things to write."""

    @property
    def wake(self) -> Callable[[], None]:
        """Have a thread of its own look for work; one call in C."""
        ...

    def due(self) -> bool:
        """Tell, without a lock, whether there is anything to write."""
        ...

    def help(self, *, free: bool) -> None:
        """Write what there is on the calling thread, unless somebody writes already.

        Without ``free`` the caller does ``on_free`` afterwards.
        """
        ...

    @property
    def on_free(self) -> Callable[[], None]:
        """Do what the replies of what was written have left to be done."""
        ...


class Lend(Protocol):
    """Count a worker as one that waits, or no more."""

    def __call__(self, thread: threading.Thread, *, lent: bool) -> None:
        """Do so."""
        ...


class Writing:
    """Let workers write, and look that none is missed for long.

    Invariant: a worker that is in ``_writing`` at two looks, for the same writing, is lent, and
    takes itself back when it is through. Both happen under the lock.
    """

    def __init__(
        self,
        scribe: Scribe,
        later: Callable[[float, Callable[[], None]], object] | None,
        lend: Lend,
        returning: Returning,
    ) -> None:
        """Write for ``scribe``; look after a while by ``later``."""
        self._scribe = scribe
        self._returning = returning
        self.wake, self.due = scribe.wake, scribe.due
        self._later = later
        self._lend = lend
        self._lock = threading.Lock()
        self._count = 0
        self._writing: dict[threading.Thread, int] = {}
        self._lent: set[threading.Thread] = set()
        self._looking = False

    def write(self) -> None:
        """Write on this thread."""
        thread = threading.current_thread()
        try:
            with self._lock:
                self._count += 1
                self._writing[thread] = self._count
                look = not self._looking and self._later is not None
                self._looking = self._looking or look
            if look:
                self._look_later()
            self._scribe.help(free=False)
        finally:
            self._through(thread)
        self._returning.soon = True
        self._scribe.on_free()  # last: whoever is woken makes work for others

    def _through(self, thread: threading.Thread) -> None:
        with self._lock:
            self._writing.pop(thread, None)
            if thread in self._lent:
                self._lent.discard(thread)
                self._lend(thread, lent=False)

    def _look_later(self) -> None:
        seen, count = dict(self._writing), self._count
        self._later(LOOK_SECONDS, lambda: self._look(seen, count))  # type: ignore[misc]

    def _look(self, seen: dict[threading.Thread, int], count: int) -> None:
        with self._lock:
            for thread, number in self._writing.items():
                if seen.get(thread) == number and thread not in self._lent:
                    self._lent.add(thread)
                    self._lend(thread, lent=True)
            self._looking = bool(self._writing) or count != self._count
            again = self._looking
        if again:
            self._look_later()
