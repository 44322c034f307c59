"""What agents cost when there are many of them: memory, activation, opening a store."""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

from perdure import AgentSystem, Passivation, Resources

from ..memory import peak_resident, resident
from ..workload import bytes_in, owner, percentiles
from .agents import Desk

NEVER = Passivation(idle=None, limit=None)


def memory(folder: Path, *, actors: float) -> dict[str, float]:
    """Report the memory of a live idle agent: the growth of the process by so many of them."""
    with AgentSystem.open(
        folder / "desks.db", agents=[Desk], resources=Resources(passivation=NEVER)
    ) as system:
        _touch(system, 0, 1_000)
        before = resident()
        _touch(system, 1_000, 1_000 + int(actors))
        return {"kib": (resident() - before) / int(actors) / 1024}


def activation(folder: Path, *, actors: float, samples: float) -> dict[str, float]:
    """Time the first answer of dormant agents to a question that changes nothing."""
    path = folder / "desks.db"
    with AgentSystem.open(path, agents=[Desk]) as system:
        for start in range(0, int(actors), 10_000):
            _assign(system, start, min(start + 10_000, int(actors)))
    chosen = random.Random(1).sample(range(int(actors)), int(samples))
    taken: list[float] = []
    with AgentSystem.open(path, agents=[Desk]) as system:
        for number in chosen:
            start_time = time.perf_counter()
            found = system.agent(Desk, str(number)).proxy().look().get()
            taken.append((time.perf_counter() - start_time) * 1e3)
            if found != 1:
                raise ValueError(f"desk {number} came back with {found} open")
    return percentiles(taken)


def created(folder: Path, *, actors: float) -> dict[str, float]:
    """Create agents with one durable turn each, more than are kept in memory."""
    with AgentSystem.open(folder / "desks.db", agents=[Desk]) as system:
        _assign(system, 0, 2_000)
        start = time.perf_counter()
        for first in range(2_000, 2_000 + int(actors), 10_000):
            _assign(system, first, min(first + 10_000, 2_000 + int(actors)))
        return {"per_second": int(actors) / (time.perf_counter() - start)}


def million(folder: Path, *, actors: float) -> dict[str, float]:
    """Create agents with one durable turn each, then open the store in fresh processes.

    Live agents are bounded by passivation at its defaults, so the peak shows whether memory follows
    the agents that exist or those that are live.
    """
    path = folder / "desks.db"
    before = resident()
    with AgentSystem.open(path, agents=[Desk]) as system:
        start = time.perf_counter()
        for first in range(0, int(actors), 10_000):
            _assign(system, first, min(first + 10_000, int(actors)))
        created = int(actors) / (time.perf_counter() - start)
    opened = [_open_fresh(path, int(actors)) for _ in range(5)]
    return {
        "per_second": created,
        "peak_mib": peak_resident() / 2**20,
        "growth_mib": (peak_resident() - before) / 2**20,
        "bytes_per_agent": bytes_in(folder) / int(actors),
        "open_s": statistics.median(opened),
    }


def opened(path: str, number: str) -> None:
    """Time the opening of a store, and print it: the body of the fresh process."""
    start = time.perf_counter()
    with AgentSystem.open(path, agents=[Desk]) as system:
        taken = time.perf_counter() - start
        found = system.agent(Desk, number).proxy().look().get()
    if found != 1:
        raise ValueError(f"desk {number} came back with {found} open")
    print(taken)


def _open_fresh(path: Path, actors: int) -> float:
    code = f"from {__name__} import opened; import sys; opened(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(path), str(actors // 2)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _touch(system: AgentSystem, first: int, last: int) -> None:
    """Activate agents by a question that changes nothing."""
    for answer in [system.agent(Desk, str(number)).proxy().look() for number in range(first, last)]:
        answer.get()


def _assign(system: AgentSystem, first: int, last: int) -> None:
    """Give agents one durable turn each."""
    for answer in [
        system.agent(Desk, str(number)).proxy().assign(owner(number))
        for number in range(first, last)
    ]:
        answer.get()
