"""Backups of the flights store: how fast, how small, and how long a writer waits meanwhile."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from examples.flights import data
from examples.flights.worker import work
from perdure import Agent, AgentSystem, Backups, State
from perdure.persistence.backup.levels import DEFAULT_LEVEL

from ..workload import percentiles

MIB = 2**20
LONG = 50
"""Milliseconds that a commit may take, also beside a backup."""


class Ticks(State):
    """A number."""

    number: int = 0


class Ticker(Agent[Ticks]):
    """Writes all the time."""

    def tick(self) -> int:
        """Make a commit."""
        self.state.number += 1
        return self.state.number


def rates(folder: Path, *, period: Literal["month", "year"]) -> dict[str, float]:
    """Back the store up and bring it back, beside reading its file: from the disk, and from memory.

    The disk is what the machine calls so: the host of a virtual one may have all of it in memory.
    """
    store = folder / "flights.db"
    work(store, data.year() if period == "year" else data.JANUARY, lambda _: None)
    size = store.stat().st_size / MIB
    backups = Backups(folder / "backups")
    found = {
        "read_cold": size / min(_seconds(lambda: _read(store)) for _ in range(3) if _forget(store)),
        "read_warm": size / min(_seconds(lambda: _read(store)) for _ in range(3)),
    }
    for name, level in (("none", 0), ("create", DEFAULT_LEVEL)):
        _forget(store)
        found[f"{name}_cold"] = size / _seconds(lambda: backups.create(store, level=level))  # noqa: B023
        found[f"{name}_warm"] = size / _seconds(lambda: backups.create(store, level=level))  # noqa: B023
    made = backups.get()
    again = _seconds(lambda: backups.create(store, incremental=True))
    restoring = _seconds(lambda: backups.restore(folder / "again.db", made.name))
    return found | {
        "again": size / again,
        "restore": size / restoring,
        "saved": 100 * (1 - made.bytes / made.size),
    }


def levels(folder: Path, *, period: Literal["month", "year"], tried: list[int]) -> dict[str, float]:
    """Tell what levels of compression save, and the processor time that a MiB takes."""
    store = folder / "flights.db"
    work(store, data.year() if period == "year" else data.JANUARY, lambda _: None)
    size = store.stat().st_size / MIB
    backups, found = Backups(folder / "backups"), dict[str, float]()
    backups.create(store)  # what is imported by the first one is not counted
    for level in tried:
        taken = [_processor_ms(lambda: backups.create(store, level=level)) for _ in range(3)]  # noqa: B023
        made = backups.get()
        found[f"saved_{level}"] = 100 * (1 - made.bytes / made.size)
        found[f"ms_{level}"] = min(taken) / size
    for name, make in (
        ("again", lambda: backups.create(store, incremental=True)),
        ("restore", lambda: backups.restore(folder / "again.db", made.name)),
    ):
        found[f"ms_{name}"] = _processor_ms(make) / size
    return found


def one_agent(folder: Path, *, actors: float) -> dict[str, float]:
    """Bring one agent back to a commit behind a backup, in a store of so many."""
    store, backups = folder / "tickers.db", Backups(folder / "backups")
    with AgentSystem.open(store, agents=[Ticker]) as system:
        for start in range(0, int(actors), 10_000):
            keys = range(start, min(start + 10_000, int(actors)))
            for asked in [system.agent(Ticker, str(key)).call(Ticker.tick) for key in keys]:
                asked.get()
        backups.create(store)
        ticker = system.agent(Ticker, "7")
        ticker.call(Ticker.tick).get()
        moment = system.journal.list(newest=True, limit=1)[0].sequence
        ticker.call(Ticker.tick).get()

    def bring_back() -> None:
        done = backups.bring_back(store, agents=[("Ticker", "7")], sequence=moment)
        if done.counts.changed != 1:
            raise ValueError("the agent was not brought back")

    used = time.process_time()
    seconds = _seconds(bring_back)
    return {
        "seconds": seconds,
        "cpu": time.process_time() - used,
        "restore": _seconds(lambda: backups.restore(folder / "again.db", backups.list()[0].name)),
    }


def stall(folder: Path, *, seconds: float, period: Literal["month", "year"]) -> dict[str, float]:
    """Commit without a pause, and measure each commit, with backups meanwhile and without."""
    store = folder / "flights.db"
    work(store, data.year() if period == "year" else data.JANUARY, lambda _: None)
    with AgentSystem.open(store, agents=[Ticker]) as system:
        ticker = system.agent(Ticker, "1")
        quiet = _commits(lambda: ticker.call(Ticker.tick).get(), lambda: time.sleep(seconds))
        made: list[float] = []

        def back_up() -> None:
            until = time.perf_counter() + seconds
            while time.perf_counter() < until:
                made.append(_seconds(lambda: system.backup.create(folder / "backups")))

        busy = _commits(lambda: ticker.call(Ticker.tick).get(), back_up)
    return {
        **{f"quiet_{name}": value for name, value in _told(quiet).items()},
        **{f"busy_{name}": value for name, value in _told(busy).items()},
        "backup_rate": store.stat().st_size / MIB / statistics.median(made),
    }


def _told(commits: list[float]) -> dict[str, float]:
    found = percentiles(commits)
    return {
        "p50": found["p50_ms"],
        "p99": found["p99_ms"],
        "longest": max(commits),
        "over": 100 * sum(each > LONG for each in commits) / len(commits),
    }


def _commits(commit: Callable[[], object], meanwhile: Callable[[], object]) -> list[float]:
    """Return how many milliseconds each commit took."""
    ended, taken = threading.Event(), list[float]()

    def go() -> None:
        while not ended.is_set():
            taken.append(1000 * _seconds(commit))

    thread = threading.Thread(target=go)
    thread.start()
    try:
        meanwhile()
    finally:
        ended.set()
        thread.join()
    return taken


def _processor_ms(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return 1e3 * (time.process_time() - start)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _read(path: Path) -> None:
    with path.open("rb", buffering=0) as file:
        while file.read(MIB):
            pass


def _forget(path: Path) -> bool:
    """Have a file read from the disk next time, not from the page cache."""
    with path.open("rb", buffering=0) as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return True
