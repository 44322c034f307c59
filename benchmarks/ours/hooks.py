"""What hooks add to a turn: the same turns with and without them, side by side in one process."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from perdure import AgentSystem, Durability, MessageDetails

from ..workload import key, latencies, owner
from .agents import Desk

SLICE = 4_000
"""Turns of one side before it is the other's: short, so that a change of the machine meets both."""
ASKS = 200
"""The same for a caller that waits for each."""
AGENTS = 100


class HookedDesk(Desk):
    """A desk somebody listens to."""


class VolatileDesk(Desk):
    """A desk that is not stored."""

    durability = Durability.VOLATILE


class BesideDesk(VolatileDesk):
    """The same, in a system in which hooks listen to other agents."""


def nothing(details: MessageDetails) -> None:
    """Let all of it go on."""


def nobody(folder: Path, *, slices: float) -> dict[str, float]:
    """Compare volatile turns in a system without hooks and in one whose hooks listen elsewhere."""
    with (
        AgentSystem.open(folder / "a.db", agents=[VolatileDesk]) as without,
        AgentSystem.open(folder / "b.db", agents=[BesideDesk, Desk]) as beside,
    ):
        for point in ("message.before", "message.after", "error", "state.before", "save.before"):
            beside.hooks.on(point, nothing, agents=Desk, name=point)
        return _compared(_turns(without, VolatileDesk), _turns(beside, BesideDesk), int(slices))


def bursts(folder: Path, *, slices: float, record: bool) -> dict[str, float]:
    """Compare durable turns in bursts, which commit in groups; a no-op hook listens to half."""
    with _listening(folder, record=record) as system:
        figures = _compared(_turns(system, Desk), _turns(system, HookedDesk), int(slices))
        _expect(system, SLICE * (int(slices) + 1))
        return figures


def lone(folder: Path, *, slices: float, record: bool) -> dict[str, float]:
    """Compare durable turns of a lone caller, the middle one of each slice."""
    with _listening(folder, record=record) as system:
        figures = _compared(_asks(system, Desk), _asks(system, HookedDesk), int(slices))
        _expect(system, ASKS * (int(slices) + 1))
        return figures


def _listening(folder: Path, *, record: bool) -> AgentSystem:
    system = AgentSystem.open(folder / "desks.db", agents=[Desk, HookedDesk])
    system.hooks.on("message.before", nothing, agents=HookedDesk, name="nothing", record=record)
    return system


def _expect(system: AgentSystem, runs: int) -> None:
    """Refuse to give a figure for a hook that did not run."""
    if system.hooks.get("nothing").runs != runs:
        raise ValueError(f"the hook ran {system.hooks.get('nothing').runs} times, not {runs}")


def _asks(system: AgentSystem, desk: type[Desk]) -> Callable[[], float]:
    """Return what makes a slice of turns one by one; gives the microseconds of the middle one."""
    desks = [system.agent(desk, key(number)).proxy() for number in range(AGENTS)]

    def run() -> float:
        taken = latencies(lambda n: desks[n % AGENTS].assign(owner(n)).get(), ASKS, warm_up=0)
        return 1e3 * median(taken)

    return run


def _turns(system: AgentSystem, desk: type[Desk]) -> Callable[[], float]:
    """Return what makes a slice of turns, and gives the microseconds that one took."""
    desks = [system.agent(desk, key(number)).proxy() for number in range(AGENTS)]
    owners = [owner(number) for number in range(997)]

    def run() -> float:
        start = time.perf_counter()
        waiting = [desks[n % AGENTS].assign(owners[n % 997]) for n in range(SLICE)]
        for answer in waiting:
            answer.get()
        return (time.perf_counter() - start) / SLICE * 1e6

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
