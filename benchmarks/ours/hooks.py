"""What hooks add to a turn: the same turns with and without them, side by side in one process.

In processor time: what others on the machine do, and the disk, would hide a few microseconds.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from perdure import AgentSystem, Durability, MessageDetails

from ..workload import key, owner
from .agents import Desk

SLICE = 4_000
"""Turns of one side before it is the other's: short, so that a change of the machine meets both."""
AGENTS = 100
WARM_UP = 400
"""Asks that are not counted."""


class HookedDesk(Desk):
    """A desk somebody listens to."""


class VolatileDesk(Desk):
    """A desk that is not stored."""

    durability = Durability.VOLATILE


def nothing(details: MessageDetails) -> None:
    """Let all of it go on."""


def nobody(folder: Path, *, asks: float) -> dict[str, float]:
    """Compare volatile asks in systems without hooks and in some whose hooks listen elsewhere.

    The middle ones of very many, and two systems of each, opened in either order: where objects lie
    in memory makes as much of a difference as what is looked for. ``calls`` is what a profiler
    sees, which is exact.
    """
    with ExitStack() as stack:
        sides = [
            _elsewhere(stack, folder, number, listening=number in (1, 2)) for number in range(4)
        ]
        taken: list[list[float]] = [[], [], [], []]
        for number in range(-WARM_UP, int(asks)):
            for side in range(4) if number % 2 else range(3, -1, -1):
                start = time.perf_counter()
                sides[side](number)
                if number >= 0:
                    taken[side].append((time.perf_counter() - start) * 1e6)
        calls = [_calls(side) for side in sides]
    middle = [median(each) for each in taken]
    plain, other = middle[0] + middle[3], middle[1] + middle[2]
    return {
        "plain_us": plain / 2,
        "added": 100 * (other / plain - 1),
        "calls": calls[0],
        "added_calls": calls[1] - calls[0],
    }


def _elsewhere(
    stack: ExitStack, folder: Path, number: int, *, listening: bool
) -> Callable[[int], object]:
    """Return what asks volatile desks of a system, where nobody listens to them."""
    path = folder / f"{number}.db"
    system = stack.enter_context(AgentSystem.open(path, agents=[VolatileDesk, Desk]))
    if listening:
        for point in ("message.before", "message.after", "error", "state.before", "save.before"):
            system.hooks.on(point, nothing, agents=Desk, name=point)
    return _asks(system, VolatileDesk)


def _calls(ask: Callable[[int], object]) -> int:
    """Return how many functions a turn calls, in Python and in C; mostly, as some do more."""
    found: Counter[int] = Counter()
    calls = 0

    def count(_frame: object, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    for number in range(AGENTS):
        calls = 0
        sys.setprofile(count)
        ask(number)
        sys.setprofile(None)
        found[calls] += 1
    return found.most_common(1)[0][0]


def bursts(folder: Path, *, slices: float, record: bool) -> dict[str, float]:
    """Compare durable turns in bursts, which commit in groups; a no-op hook listens to half."""
    with _listening(folder, record=record) as system:
        figures = _compared(_turns(system, Desk), _turns(system, HookedDesk), int(slices))
        _expect(system, SLICE * (int(slices) + 1))
        return figures


def lone(folder: Path, *, asks: float, record: bool) -> dict[str, float]:
    """Compare durable turns of a lone caller, who asks either side in turn.

    What is added is processor time of the caller's thread, which runs the turn and writes its
    commit; the whole that it is added to is what the clock on the wall says, with the disk.
    """
    with _listening(folder, record=record) as system:
        plain, other = _asks(system, Desk), _asks(system, HookedDesk)
        whole: list[float] = []
        taken: tuple[list[float], list[float]] = [], []
        for number in range(-WARM_UP, int(asks)):
            for side in (0, 1) if number % 2 else (1, 0):
                start, busy = time.perf_counter(), time.thread_time()
                (plain, other)[side](number)
                if number >= 0:
                    taken[side].append((time.thread_time() - busy) * 1e6)
                    if side == 0:
                        whole.append((time.perf_counter() - start) * 1e6)
        _expect(system, int(asks) + WARM_UP)
    added = median(taken[1]) - median(taken[0])
    return {"plain_us": median(whole), "added_us": added, "added": 100 * added / median(whole)}


def _listening(folder: Path, *, record: bool) -> AgentSystem:
    system = AgentSystem.open(folder / "desks.db", agents=[Desk, HookedDesk])
    system.hooks.on("message.before", nothing, agents=HookedDesk, name="nothing", record=record)
    return system


def _expect(system: AgentSystem, runs: int) -> None:
    """Refuse to give a figure for a hook that did not run."""
    if system.hooks.get("nothing").runs != runs:
        raise ValueError(f"the hook ran {system.hooks.get('nothing').runs} times, not {runs}")


def _asks(system: AgentSystem, desk: type[Desk]) -> Callable[[int], object]:
    """Return what asks a desk, and waits for the answer."""
    desks = [system.agent(desk, key(number)).proxy() for number in range(AGENTS)]
    return lambda number: desks[number % AGENTS].assign(owner(number)).get()


def _turns(system: AgentSystem, desk: type[Desk]) -> Callable[[], float]:
    """Return what makes a slice of turns, and gives the processor time of one, microseconds."""
    desks = [system.agent(desk, key(number)).proxy() for number in range(AGENTS)]
    owners = [owner(number) for number in range(997)]

    def run() -> float:
        start = time.process_time()
        waiting = [desks[n % AGENTS].assign(owners[n % 997]) for n in range(SLICE)]
        for answer in waiting:
            answer.get()
        return (time.process_time() - start) / SLICE * 1e6

    return run


def _compared(
    plain: Callable[[], float], other: Callable[[], float], slices: int
) -> dict[str, float]:
    """Run both in turn, each first as often; the share is that of neighbours, then the middle."""
    plain(), other()
    shares, first, second = [], [], []
    for number in range(slices):
        if number % 2:
            second.append(other())
            first.append(plain())
        else:
            first.append(plain())
            second.append(other())
        shares.append(100 * (second[-1] / first[-1] - 1))
    return {
        "plain_us": median(first),
        "other_us": median(second),
        "added": median(shares),
        "added_us": median(b - a for a, b in zip(first, second, strict=True)),
    }
