"""An agent with very many rows is deleted while another agent's turns are saved one by one."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from perdure import Agent, AgentSystem, Map, State


class Heap(State):
    """Very many entries."""

    entries: Map[int, str] = Map.field()


class Hoarder(Agent[Heap]):
    """Has very many entries."""

    def fill(self, first: int, last: int) -> int:
        """Put some of them."""
        for number in range(first, last):
            self.state.entries[number] = f"the value of entry {number}"
        return last


class Count(State):
    """A number."""

    count: int = 0


class Beside(Agent[Count]):
    """Is saved with each of its turns."""

    def add(self) -> int:
        """Count one more."""
        self.state.count += 1
        return self.state.count


_PART = 10_000


def deleted(folder: Path, *, entries: int, erase: bool, seconds: float) -> dict[str, float]:
    """Return the longest wait of another's durable turn in a second like any, and meanwhile.

    Meanwhile is from the deletion until nothing of the agent is left.
    """
    with AgentSystem.open(folder / "deleting.db", agents=[Hoarder, Beside]) as system:
        hoarder, beside = system.agent(Hoarder, "one"), system.agent(Beside, "one")
        for first in range(0, entries, _PART):
            hoarder.call(Hoarder.fill, first, min(entries, first + _PART)).get()
        hoarder.stop()

        def longest(until: threading.Event) -> float:
            waits = []
            while not until.is_set():
                start = time.perf_counter()
                beside.call(Beside.add).get()
                waits.append(time.perf_counter() - start)
            return max(waits)

        quiet, gone = threading.Event(), threading.Event()
        clock = threading.Timer(seconds, quiet.set)
        clock.start()
        before = longest(quiet)
        clock.join()

        def delete() -> None:
            hoarder.delete(erase=erase)
            system.idle()
            while system._store.disk().deleted:  # noqa: SLF001 - no figure of a program
                system.idle()
            gone.set()

        start = time.perf_counter()
        thread = threading.Thread(target=delete)
        thread.start()
        stall = longest(gone)
        thread.join()
        took = time.perf_counter() - start
    return {"quiet": before * 1000, "stall": stall * 1000, "took": took}
