"""What sharing costs: cached reads, durable writes alone and together, a million keys."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Literal

from perdure import Agent, AgentSystem, Boundary, Principal, Scope, State

from ..memory import peak_resident, resident
from ..peers import bare_sqlite
from ..workload import bytes_in, closed_loop, many_callers

WORK = Scope.workflow("w1")
KEYS = 1_000
SLICE = 10_000
Sync = Literal["power", "process"]


class Nothing(State):
    """No state of its own."""


class Sharer(Agent[Nothing]):
    """Counts in a shared key."""

    boundary = Boundary.SHARED

    def increment(self) -> int:
        """Add one in a turn; the sum is given out once."""
        return self.scopes.increment(WORK, "n")

    def add(self) -> None:
        """Add one without learning the sum."""
        self.scopes.add(WORK, "n")


def reading(folder: Path, *, rounds: float) -> dict[str, float]:
    """Time reads of keys that are cached: one, a hundred at once, and by a user with grants."""
    with AgentSystem.open(folder / "s.db", agents=[]) as system:
        state = system.state
        state.set_many(WORK, {f"key {n}": {"number": n, "text": "x" * 40} for n in range(KEYS)})
        names = [f"key {n}" for n in range(KEYS)]
        mira = state.acting_as(Principal.user("mira"))
        own = Scope.user("mira")
        mira.set(own, "key", 1)
        return {
            "get_us": _each(lambda n: state.get(WORK, names[n % KEYS]), rounds),
            "own_us": _each(lambda _: mira.get(own, "key"), rounds),
            "many_us": _each(lambda _: state.get_many(WORK, names[:100]), rounds / 100) / 100,
        }


def writing(folder: Path, *, what: str, threads: float, seconds: float) -> dict[str, float]:
    """Set or increment from so many threads, each waiting until its write is durable."""
    with AgentSystem.open(folder / "s.db", agents=[Sharer]) as system:
        state = system.state

        def turn(caller: int, number: int) -> None:
            if what == "set":
                state.set(WORK, f"key {(caller * 7919 + number) % KEYS}", number)
            elif what == "increment":
                state.increment(WORK, "n")
            else:
                agent = system.agent(Sharer, str(caller))
                agent.call(Sharer.increment if what == "turns" else Sharer.add).get()

        if threads == 1:
            return closed_loop(lambda number: turn(0, number), seconds)
        return many_callers(turn, int(threads), seconds)


def together(folder: Path, *, keys: float, rounds: float) -> dict[str, float]:
    """Set so many keys in one transaction, others in each round."""
    with AgentSystem.open(folder / "s.db", agents=[]) as system:
        spent = 0.0
        for number in range(int(rounds)):
            values = dict(bare_sqlite.keys_of(number * int(keys), int(keys)))
            start = time.perf_counter()
            system.state.set_many(WORK, values)
            spent += time.perf_counter() - start
    return {"per_second": keys * rounds / spent}


def million(folder: Path, *, keys: float) -> dict[str, float]:
    """Fill a scope with keys, then look at it in fresh processes."""
    path = folder / "s.db"
    with AgentSystem.open(path, agents=[], sync="process") as system:
        start = time.perf_counter()
        for first in range(0, int(keys), SLICE):
            part = range(first, min(first + SLICE, int(keys)))
            system.state.set_many(WORK, {f"key/{n:09}": n for n in part})
        filled = int(keys) / (time.perf_counter() - start)
        peak = peak_resident() / 2**20
    looks = [_look_fresh(path, int(keys)) for _ in range(3)]
    return {
        "per_second": filled,
        "peak_mib": peak,
        "bytes_per_key": bytes_in(folder) / int(keys),
        "open_ms": median(look[0] for look in looks),
        "page_ms": median(look[1] for look in looks),
        "middle_ms": median(look[2] for look in looks),
        "count_s": median(look[3] for look in looks),
        "growth_mib": median(look[4] for look in looks),
    }


def look(path: str, keys: str) -> None:
    """Open a store, list a first and a middle page, count, read every key: a fresh process."""
    before = resident()
    start = time.perf_counter()
    with AgentSystem.open(path, agents=[]) as system:
        opened = time.perf_counter()
        first = system.state.list(WORK, limit=100)
        listed = time.perf_counter()
        middle = system.state.list(WORK, after=f"key/{int(keys) // 2:09}", limit=100)
        paged = time.perf_counter()
        count = system.state.count(WORK)
        counted = time.perf_counter()
        for number in range(0, int(keys), 5):  # more than the cache holds
            system.state.get(WORK, f"key/{number:09}")
        grown = (resident() - before) / 2**20
    if (len(first), len(middle), count) != (100, 100, int(keys)):
        raise ValueError(f"{len(first)}, {len(middle)} and {count} keys of {keys} were found")
    figures = (opened - start, listed - opened, paged - listed)
    print(*(figure * 1e3 for figure in figures), counted - paged, grown)


def _look_fresh(path: Path, keys: int) -> list[float]:
    code = f"from {__name__} import look; import sys; look(*sys.argv[1:])"
    command = [sys.executable, "-c", code, str(path), str(keys)]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(figure) for figure in shown.split()]


def _each(call: Callable[[int], object], rounds: float) -> float:
    """Return the microseconds of one call: the best of five rounds, so that noise counts least."""
    for number in range(KEYS):
        call(number)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        for number in range(int(rounds)):
            call(number)
        best = min(best, time.perf_counter() - start)
    return best / int(rounds) * 1e6
