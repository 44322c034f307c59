"""Signals of running systems: heard, and waited for instead of a sleep."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Self

from perdure.lifecycle import signals
from perdure.lifecycle.signals import AgentEvent, SaveEvent
from tests.kit.deadline import DEADLINE


class Told:
    """Record the signals of every system, and wait for them.

    The supervisor arranges its next attempt before it tells anybody. So a test that waited for
    the n-th ``save_failed`` may advance a virtual clock: the call it is after is in there.
    """

    def __init__(self, *names: str) -> None:
        """Listen to the signals ``names``, or to all."""
        self._names = names or tuple(signals.SIGNALS)
        self._changed = threading.Condition()
        self._receivers: list[tuple[str, Callable[..., None]]] = []
        self.heard: list[tuple[str, AgentEvent | SaveEvent]] = []

    def __enter__(self) -> Self:
        for name in self._names:
            receiver = self._receiver(name)
            self._receivers.append((name, receiver))
            signals.SIGNALS[name].connect(receiver, weak=False)
        return self

    def __exit__(self, *_: object) -> None:
        for name, receiver in self._receivers:
            signals.SIGNALS[name].disconnect(receiver)

    def names(self, *among: str) -> list[str]:
        """Return the names of the signals so far, in order; only those ``among`` if given."""
        return [name for name, _ in self.heard if not among or name in among]

    def events(self, name: str) -> list[Any]:
        """Return the events of one signal so far."""
        return [event for heard, event in self.heard if heard == name]

    def wait(self, name: str, count: int = 1) -> Any:  # noqa: ANN401 - either kind of event
        """Wait for the ``count``-th event of a signal and return it."""
        with self._changed:
            arrived = self._changed.wait_for(lambda: len(self.events(name)) >= count, DEADLINE)
        assert arrived, f"{name} was heard {len(self.events(name))} times: {self.names()}"
        return self.events(name)[count - 1]

    def _receiver(self, name: str) -> Callable[..., None]:
        def told(_sender: object, event: AgentEvent | SaveEvent) -> None:
            with self._changed:
                self.heard.append((name, event))
                self._changed.notify_all()

        return told
