"""A roomier young generation for Python's garbage collector while systems are open.

With thousands of messages under way the collector runs every 700 new objects and visits each of
them two or three times, although reference counts free them all a moment later. Measured: a fifth
of the durable turns a second (``python -m benchmarks --only durable``). So it looks less often.
Objects in cycles wait a little longer: a few megabytes at most.
"""

from __future__ import annotations

import gc
import threading
from typing import Final

DEFAULT_YOUNG_GENERATION: Final = 100_000
"""Objects; Python's own setting is 700 or 2,000."""


class YoungGeneration:
    """What the open systems of this process ask of the collector; the largest wish counts.

    A setting made by somebody else is never lowered, never overwritten afterwards, and a
    collector that was switched off stays off.
    """

    def __init__(self) -> None:
        """Ask for nothing yet."""
        self._lock = threading.Lock()
        self._wishes: dict[int, int] = {}  # by who has them
        self._found = 0
        self._set = 0

    def ask(self, who: int, objects: int) -> None:
        """Have the collector wait for ``objects`` new ones; 0 asks for nothing."""
        with self._lock:
            self._wishes[who] = objects
            self._apply()

    def give_back(self, who: int) -> None:
        """Take back what was asked for, if it was; the last one restores what was found."""
        with self._lock:
            if self._wishes.pop(who, None) is not None:
                self._apply()

    def _apply(self) -> None:
        current, *older = gc.get_threshold()
        if current != self._set:
            self._found = current
        wanted = max(self._wishes.values(), default=0)
        if self._found == 0:  # switched off
            return
        self._set = max(wanted, self._found)
        gc.set_threshold(self._set, *older)


YOUNG_GENERATION: Final = YoungGeneration()
"""The process has one collector, so there is one of these."""
