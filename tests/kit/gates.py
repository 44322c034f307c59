"""Gates: a handler or a store stops at one until the test lets it go on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kit.deadline import DEADLINE


class Gate:
    """Let a test stop others in the middle, and know that they got there."""

    def __init__(self) -> None:
        self._arrivals = threading.Semaphore(0)
        self.opened = threading.Event()

    def pass_through(self) -> None:
        """Say that somebody is here, and wait until the test lets it go on."""
        self.arrive()
        assert self.opened.wait(DEADLINE)

    def arrive(self) -> None:
        """Say that somebody is here."""
        self._arrivals.release()

    def wait(self) -> None:
        """Wait for somebody to arrive; each arrival counts for one wait."""
        assert self._arrivals.acquire(timeout=DEADLINE)

    def open(self) -> None:
        """Let everybody pass from now on."""
        self.opened.set()


GATES: dict[str, Gate] = {}
"""For handlers, which are told the name of a gate and not the gate."""


@contextmanager
def gate(name: str) -> Iterator[Gate]:
    """Let handlers wait at the gate of that name; at the end at the latest it is open."""
    GATES[name] = Gate()
    try:
        yield GATES[name]
    finally:
        GATES.pop(name).open()
