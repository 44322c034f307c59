"""A shorter switch interval of the interpreter while another thread computes beside open systems.

Whoever wants the interpreter lock asks the thread that holds it to let go after this time; Python's
own setting is 5 ms. A commit gives the lock away at every statement, and a turn changes threads now
and then, so beside a thread that computes each of these takes 5 ms. Where nobody computes a shorter
interval only adds switches, a tenth of the durable turns a second. So it is shortened when a thread
is seen to compute, and no longer. ``python -m benchmarks --only burner-perdure`` measures what is
left of the durable turns beside such a thread.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable
from types import FrameType
from typing import Final

from ...lifecycle.clock import Clock
from .setting import ProcessSetting

COMPUTING_INTERVAL: Final = 0.001
"""Seconds, while a thread computes."""
LOOK_SECONDS: Final = 0.5
"""Between two looks at the threads of the process."""
_BUSY: Final = 0.25
"""Share of a processor from which on a thread computes: there may be others beside it."""
_CALM_LOOKS: Final = 4
"""Looks without a computing thread after which the interval is given back."""
_PACKAGE: Final = __name__.partition(".")[0]


class SwitchInterval(ProcessSetting[float]):
    """Seconds after which a thread is asked to let others run; the shortest wish counts."""

    def _read(self) -> float:
        return sys.getswitchinterval()

    def _write(self, value: float) -> None:
        # Python cuts what it is given to whole microseconds: what was read would shrink.
        sys.setswitchinterval(value + 5e-7)

    def _strongest(self, values: Iterable[float]) -> float:
        return min(values)


SWITCH_INTERVAL: Final = SwitchInterval()
"""The process has one interpreter lock, so there is one of these."""


class ComputingWatch:
    """See whether a thread that is none of ours computes, and wish for a short interval meanwhile.

    A thread computes when it has used a processor between two looks and was outside perdure at
    both: one that sends messages without a pause is nearly always inside. On systems that do not
    tell what a thread has used, nothing is wished for.
    """

    def __init__(self, clock: Clock, wish: Callable[[float], None]) -> None:
        """Look by ``clock`` once started; ``wish`` takes seconds, or 0 for nothing."""
        self._clock = clock
        self._wish = wish
        self._at = time.monotonic()
        self._used: dict[int, float] = {}
        self._wished = False
        self._calm = 0

    def start(self) -> None:
        """Look now, and then again and again."""
        if hasattr(time, "pthread_getcpuclockid"):
            self.look()
            self._clock.call_later(LOOK_SECONDS, self.start).named(
                "a look at which threads compute", routine=True
            )

    def look(self) -> None:
        """Compare with the look before, and wish for what follows."""
        now = time.monotonic()
        if now - self._at < LOOK_SECONDS / 2:
            return  # a virtual clock was advanced
        used = _used_outside()
        enough = _BUSY * (now - self._at)
        computing = any(used[each] - self._used.get(each, used[each]) > enough for each in used)
        self._at, self._used = now, used
        self._calm = 0 if computing else self._calm + 1
        wished = computing or (self._wished and self._calm < _CALM_LOOKS)
        if wished != self._wished:
            self._wished = wished
            self._wish(COMPUTING_INTERVAL if wished else 0.0)


def _used_outside() -> dict[int, float]:
    """Return the processor seconds of each thread that is outside perdure now."""
    # Nobody else runs Python between these lines, so each thread that has a frame is still there:
    # a clock of one that has ended must not be asked for. Threads that are not Python's are left.
    frames = sys._current_frames()  # noqa: SLF001 - documented
    try:
        return {
            thread.ident: time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
            for thread in threading.enumerate()
            if thread.ident in frames
            and not isinstance(thread, threading._DummyThread)  # noqa: SLF001 - no other way
            and not _inside(frames[thread.ident])
        }
    finally:
        # This very frame is in it: what all threads work with would stay until a collection.
        frames.clear()


def _inside(frame: FrameType | None) -> bool:
    """Tell whether a thread is somewhere in perdure, or in what perdure has called."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == _PACKAGE:
            return True
        frame = frame.f_back
    return False
