"""What deleted agents have left is removed behind the commits that deleted them, in slices."""

from __future__ import annotations

import threading
import time
from typing import ClassVar, Final

from ...lifecycle.supervisor import PersistenceSupervisor
from ...persistence.errors import PerdureError, SystemClosed
from ...persistence.records.records import Reply
from ...persistence.store.store import Store
from ...shared.ledger.sweep import AT_ONCE, NEVER, Sweep

GOES_ON: Final = "the agent is gone; what is left of its bytes is erased when the store is open"


class LeftoverSweep(Sweep):
    """Remove a slice at a time: between two of them others save."""

    what: ClassVar[str] = "what deleted agents have left is not removed"
    first: ClassVar[float] = 0.0

    def __init__(self, store: Store, supervisor: PersistenceSupervisor) -> None:
        """Go on with what the owner before has left."""
        super().__init__()
        self._store = store
        self._committer = supervisor.committer
        self._lock = threading.Lock()
        self._waiting: list[Reply] = []

    def slice(self) -> float:
        """Remove a slice."""
        with self._lock:
            waiting = [*self._waiting]
        if self._store.remove_deleted():
            return AT_ONCE
        self._answer(waiting, None)
        return NEVER

    def begin(self, sequence: int) -> None:
        """Begin when a deletion is durable."""
        self._committer.once_durable(sequence, lambda: self.due(AT_ONCE))

    def behind(self, reply_to: Reply) -> Reply:
        """Return a reply that leaves when nothing is left of what its commit deletes."""

        def reply(unsaved: Exception | None) -> None:
            if unsaved is not None:
                reply_to(unsaved)
                return
            with self._lock:
                if reply_to not in self._waiting:
                    self._waiting.append(reply_to)
            self.due(AT_ONCE)

        return reply

    def finish(self) -> None:
        """Remove all of it, on this thread."""
        while self._store.remove_deleted():
            pass

    def drain(self, seconds: float) -> None:
        """Remove what is left before the system closes, for up to some seconds.

        The next owner goes on with the rest, and who waits is told so.
        """
        end, more = time.monotonic() + seconds, True
        try:
            while more and time.monotonic() < end:
                more = self._store.remove_deleted()
        except PerdureError:
            more = True
        with self._lock:
            waiting = [*self._waiting]
        self._answer(waiting, SystemClosed(GOES_ON) if more else None)

    def _answer(self, waiting: list[Reply], error: Exception | None) -> None:
        for each in waiting:
            each(error)
        with self._lock:
            self._waiting = [each for each in self._waiting if each not in waiting]
