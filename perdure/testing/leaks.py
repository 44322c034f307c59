"""Finds what a test leaves behind: threads, systems that nobody closed."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Final

from ..system import AgentSystem, open_systems

JOIN_SECONDS: Final = 5.0
"""Seconds that all threads of a test together get to end."""


class LeakWatch:
    """Remember what there is now, to tell later what is new and still there."""

    def __init__(self) -> None:
        """Look at what is there."""
        self._threads = set(threading.enumerate())
        self._systems = set(open_systems())

    def leaks(self) -> list[str]:
        """Name the leaks, one per item, and close the systems; threads get some time to end."""
        systems = [each for each in open_systems() if each not in self._systems]
        found = [f"{each!r} was not closed" for each in systems]
        for system in systems:
            AgentSystem.close(system)
        return [*found, *(f"thread {each.name}\n{_stack(each)}" for each in self._live_threads())]

    def _live_threads(self) -> list[threading.Thread]:
        deadline = time.monotonic() + JOIN_SECONDS
        live = []
        for thread in set(threading.enumerate()) - self._threads:
            if isinstance(thread, threading._DummyThread):  # noqa: SLF001 - there is no other way
                continue  # a foreign thread that passed through Python: it can't be joined
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                live.append(thread)
        return live


def _stack(thread: threading.Thread) -> str:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented
    return "".join(traceback.format_stack(frame)) if frame is not None else "  (just ended)"
