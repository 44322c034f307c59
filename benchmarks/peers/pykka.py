"""pykka: `ThreadingActor`, the only actor type it ships.

Set-up: two thousand actors, one sender that goes round them. The clock stops when every actor has
answered an ``ask`` that was sent after its last message: all messages have been handled by then.
"""

from __future__ import annotations

import time
from pathlib import Path

import pykka

from ..memory import resident


class Counter(pykka.ThreadingActor):
    """Counts its messages."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def on_receive(self, message: object) -> int:
        """Count a message; answer with the count."""
        if message == "add":
            self.count += 1
        return self.count


def tells(_folder: Path, *, actors: float, messages: float) -> dict[str, float]:
    """Tell each of the actors so many messages; the folder stays empty."""
    refs = [Counter.start() for _ in range(int(actors))]
    start = time.perf_counter()
    for _ in range(int(messages)):
        for ref in refs:
            ref.tell("add")
    counts = [future.get() for future in [ref.ask("count", block=False) for ref in refs]]
    taken = time.perf_counter() - start
    pykka.ActorRegistry.stop_all()
    if sum(counts) != len(refs) * int(messages):
        text = f"{sum(counts)} messages were counted"
        raise ValueError(text)
    return {"per_second": sum(counts) / taken}


def memory(_folder: Path, *, actors: float) -> dict[str, float]:
    """Report the memory of an idle actor; the folder stays empty."""
    warm = [Counter.start() for _ in range(100)]
    before = resident()
    refs = [Counter.start() for _ in range(int(actors))]
    for ref in refs:
        ref.ask("count")
    after = resident()
    del warm
    pykka.ActorRegistry.stop_all()
    return {"kib": (after - before) / len(refs) / 1024}
