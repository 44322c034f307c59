"""Messages without an answer: volatile agents, and the same agents with auto-save."""

from __future__ import annotations

import time
from pathlib import Path

from perdure import AgentSystem, AutoSave, Saving

from .agents import Counter, SavedCounter


def tells(folder: Path, *, actors: float, messages: float) -> dict[str, float]:
    """Tell each of the agents so many messages; the clock stops when all have been handled."""
    with AgentSystem.open(folder / "counters.db", agents=[Counter]) as system:
        refs = [system.agent(Counter, str(number)) for number in range(int(actors))]
        for ref in refs:
            ref.ask("count")  # activates: pykka's actors are started before the clock as well
        start = time.perf_counter()
        for _ in range(int(messages)):
            for ref in refs:
                ref.tell("add")
        counts = [future.get() for future in [ref.ask("count", block=False) for ref in refs]]
        taken = time.perf_counter() - start
    if sum(counts) != len(refs) * int(messages):
        raise ValueError(f"{sum(counts)} messages were counted")
    return {"per_second": sum(counts) / taken}


def saved(
    folder: Path, *, actors: float, seconds: float, snapshot: bool, typed: bool = False
) -> dict[str, float]:
    """Tell agents messages for some seconds, with auto-save every second or without persistence.

    With ``typed`` by method, as in ``ref.cast(Counter.add, 1)``.

    Each round of messages is handled before the next one begins, so that mailboxes stay short.
    """
    kind = SavedCounter if snapshot else Counter
    with AgentSystem.open(
        folder / "counters.db", agents=[kind], saving=Saving(auto_save=AutoSave(every=1.0))
    ) as system:
        refs = [system.agent(kind, str(number)) for number in range(int(actors))]
        for ref in refs:
            ref.ask("add")
        start = time.perf_counter()
        deadline = start + seconds
        count = 0
        while time.perf_counter() < deadline:
            for _ in range(20):
                for ref in refs:
                    if typed:
                        ref.cast(Counter.add, 1)
                    else:
                        ref.tell("add")
            for future in [ref.ask("count", block=False) for ref in refs]:
                future.get()
            count += 20 * len(refs)
        return {"per_second": count / (time.perf_counter() - start)}
