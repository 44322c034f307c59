"""Work left to a worker that is on its way back from waking somebody.

To wake an event loop gives the interpreter lock away: the loop goes on at once, and what it asks
for next comes before the worker that has woken it waits for work again. Another worker would be
woken for that, on another core with nothing in its caches, and both would fight for the interpreter
lock, one to do the work and one to go to sleep. So a worker says that it comes back, and one piece
of work is left to it. Measured, that is a tenth of what a lone awaited ask takes besides the disk
(``python -m benchmarks --only awaited``).

Invariant: what is left is run by a worker that comes back, or is ordinary work at once. ``leave``
appends first and looks at the flag afterwards, ``come`` lowers the flag first and looks at what was
left afterwards, so one of the two sees the other. Whoever raises the flag calls ``come`` before it
waits, or ``end`` before it leaves the pool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from .offers import Runnable


class Returning:
    """What is left to those who come back."""

    def __init__(self, submit: Callable[[Runnable], None]) -> None:
        """Give what nobody takes to ``submit``."""
        self._submit = submit
        self._left: deque[Runnable] = deque()
        self.soon = False
        """A worker comes back in a moment; it raises this itself."""

    def leave(self, work: Runnable) -> None:
        """Leave ``work`` to whoever comes back, one piece at a time."""
        if self._left:
            self._submit(work)
            return
        self._left.append(work)
        if not self.soon:
            self.end()

    def come(self) -> Iterator[Runnable]:
        """Take at most one piece of work, in one call in C; IndexError if there is none."""
        self.soon = False
        self._submit_left(but=1)  # it must not wait until the first has been run
        return map(deque.popleft, (self._left,))

    def end(self) -> None:
        """Make ordinary work of what is left; may be called by anybody at any time."""
        self.soon = False
        self._submit_left(but=0)

    def _submit_left(self, *, but: int) -> None:
        while len(self._left) > but:
            try:
                self._submit(self._left.pop())
            except IndexError:  # another thread took it
                return
