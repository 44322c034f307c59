"""A shorter switch interval of the interpreter while systems are open.

Whoever wants the interpreter lock asks the thread that holds it to let go after this time; Python's
own setting is 5 ms. A commit gives the lock away at every statement, and a turn changes threads now
and then, so beside a thread that computes each of these takes 5 ms. The computing thread is asked
to let go more often meanwhile; where nobody computes, nothing changes. ``python -m benchmarks
--only burner-perdure`` measures what is left of the durable turns beside such a thread.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Final

from .setting import ProcessSetting

DEFAULT_SWITCH_INTERVAL: Final = 0.001
"""Seconds."""


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
