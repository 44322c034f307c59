"""When changed SNAPSHOT agents are saved."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from .clock import Clock

_SAVE: Final = "changed SNAPSHOT agents are saved"


class AutoSaver:
    """Call back for every changed agent within its interval, many agents per tick. Thread-safe."""

    def __init__(self, clock: Clock, may_save: Callable[[], bool]) -> None:
        """Use ``clock`` for the intervals; nothing is saved by itself unless ``may_save()``."""
        self._clock = clock
        self._may_save = may_save
        self._lock = threading.Lock()
        self._due: dict[float, dict[object, Callable[[], None]]] = {}

    def dirty(self, agent: object, every: float, save: Callable[[], None]) -> None:
        """Have ``save`` called within ``every`` seconds; once, however often this is called."""
        with self._lock:
            waiting = self._due.get(every)
            if waiting is None:
                waiting = self._due[every] = {}
                self._clock.call_later(every, lambda: self._tick(every)).named(_SAVE)
            waiting[agent] = save

    def save_all(self) -> None:
        """Call every ``save`` that is waiting, now."""
        with self._lock:
            waiting = [save for saves in self._due.values() for save in saves.values()]
            self._due.clear()
        for save in waiting:
            save()

    def _tick(self, every: float) -> None:
        with self._lock:
            if every in self._due and not self._may_save():
                # Saving now would only pile up; whoever ends the outage calls save_all().
                self._clock.call_later(every, lambda: self._tick(every)).named(_SAVE)
                return
            # After save_all() the tick of an interval may find agents of the next one: they are
            # saved early, which does no harm.
            waiting = self._due.pop(every, {})
        for save in waiting.values():
            save()
