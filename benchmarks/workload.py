"""The work that every side does, and the loops that time it.

All sides run the same turn: one of `AGENTS` desks takes an assignment, counts it and remembers its
owner. The state is two small fields, so that the figures show the cost of a durable turn rather
than of encoding.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Final, Protocol

AGENTS = 1_000
WINDOW = 16_384
"""Messages under way at most in an open loop: a few batches, so that none waits to be filled."""


class Pending(Protocol):
    """An answer that is on its way."""

    def get(self) -> object:
        """Wait for the answer."""


def key(number: int) -> str:
    """Name the desk of turn `number`: round robin over all desks."""
    return f"desk-{number % AGENTS}"


def owner(number: int) -> str:
    """Name the owner of turn `number`: it changes at every visit to a desk."""
    return f"owner-{number % 997}"


def said(number: int, size: int = 200) -> str:
    """Make what is said in turn `number` of a conversation: `size` bytes that do not repeat."""
    return random.Random(number).randbytes((size + 1) // 2).hex()[:size]


def closed_loop(
    turn: Callable[[int], object], seconds: float, warm_up: int = 50
) -> dict[str, float]:
    """Run one turn after the other from one caller, each waiting for its durable answer."""
    for number in range(warm_up):
        turn(number)
    start = time.perf_counter()
    deadline = start + seconds
    count = 0
    while time.perf_counter() < deadline:
        turn(warm_up + count)
        count += 1
    return {"per_second": count / (time.perf_counter() - start), "turns": count}


def open_loop(
    send: Callable[[int], Pending],
    seconds: float,
    warm_up: int = 2_000,
    window: int = WINDOW,
) -> dict[str, float]:
    """Send without waiting for each answer; the clock stops when the last answer is here."""
    for pending in [send(number) for number in range(warm_up)]:
        pending.get()
    under_way: deque[Pending] = deque()
    start = time.perf_counter()
    deadline = start + seconds
    count = 0
    while time.perf_counter() < deadline:
        for _ in range(64):
            under_way.append(send(warm_up + count))
            count += 1
        while len(under_way) > window:
            under_way.popleft().get()
    for pending in under_way:
        pending.get()
    return {"per_second": count / (time.perf_counter() - start), "turns": count}


def many_callers(
    turn: Callable[[int, int], object], callers: int, seconds: float
) -> dict[str, float]:
    """Run the closed loop from several threads; `turn` gets the caller's number and the turn's."""
    counts = [0] * callers
    errors: list[BaseException] = []
    gate = threading.Barrier(callers + 1)
    stop = threading.Event()

    def call(caller: int) -> None:
        try:
            turn(caller, 0)
            gate.wait()
            while not stop.is_set():
                counts[caller] += 1
                turn(caller, counts[caller])
        except BaseException as error:  # noqa: BLE001 - reported by the caller of this function
            errors.append(error)
            gate.abort()

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(callers)]
    for thread in threads:
        thread.start()
    try:
        gate.wait()
    except threading.BrokenBarrierError:
        raise errors[0] from None
    start = time.perf_counter()
    time.sleep(seconds)
    stop.set()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return {"per_second": sum(counts) / (time.perf_counter() - start), "turns": sum(counts)}


def latencies(turn: Callable[[int], object], count: int, warm_up: int = 200) -> list[float]:
    """Time each of `count` turns from one caller, in milliseconds."""
    for number in range(warm_up):
        turn(number)
    taken: list[float] = []
    for number in range(warm_up, warm_up + count):
        start = time.perf_counter()
        turn(number)
        taken.append((time.perf_counter() - start) * 1e3)
    return taken


async def latencies_awaited(
    turn: Callable[[int], Awaitable[object]], count: int, warm_up: int = 200
) -> list[float]:
    """Do so on an event loop."""
    for number in range(warm_up):
        await turn(number)
    taken: list[float] = []
    for number in range(warm_up, warm_up + count):
        start = time.perf_counter()
        await turn(number)
        taken.append((time.perf_counter() - start) * 1e3)
    return taken


def percentiles(taken: list[float]) -> dict[str, float]:
    """Give the median and the 99th percentile of some latencies, in milliseconds."""
    return {"p50_ms": median(taken), "p99_ms": quantiles(taken, n=100)[98]}


def conversation(turn: Callable[[str], object], turns: int) -> dict[str, float]:
    """Hold a conversation of `turns` turns; compare its last turns with those around turn 100.

    One turn takes as long as the disk likes, so a turn stands for the median of its 41 neighbours.
    """
    taken: list[float] = []
    for number in range(turns):
        text = said(number)
        start = time.perf_counter()
        turn(text)
        taken.append((time.perf_counter() - start) * 1e3)
    early, late = median(taken[80:121]), median(taken[-41:])
    return {
        "early_ms": early,
        "late_ms": late,
        "slowdown": late / early,
        "payload_bytes": float(turns * len(said(0))),
    }


def bytes_in(folder: Path) -> int:
    """Add up the files of a folder: a database with its write-ahead log and its index."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def with_size(figures: dict[str, float], folder: Path) -> dict[str, float]:
    """Add to a conversation's figures what it left on the disk, also per byte of payload."""
    size = bytes_in(folder)
    return {**figures, "disk_bytes": size, "per_payload": size / figures["payload_bytes"]}


BURNT_BEFORE: Final = 2.0
"""Seconds for which the thread has computed when the block begins: what lasts is measured."""


@contextmanager
def burner(*, on: bool) -> Iterator[None]:
    """Compute in pure Python on one more thread of this process, from before the block runs.

    This is what an agent's own work does to its process: the thread holds the interpreter lock for
    whole switch intervals, and everything that gives the lock up pays to get it back.
    """
    if not on:
        yield
        return
    stop = threading.Event()

    def compute() -> None:
        number = 1
        while not stop.is_set():
            for _ in range(1_000):
                number = (number * 1_103_515_245 + 12_345) & 0x7FFFFFFF

    thread = threading.Thread(target=compute, name="burner", daemon=True)
    thread.start()
    time.sleep(BURNT_BEFORE)
    try:
        yield
    finally:
        stop.set()
        thread.join()
