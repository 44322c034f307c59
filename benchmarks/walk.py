"""How far one scoped ``set`` walks through the library: ``python -m benchmarks.walk [--trace]``.

Counts, by `sys.setprofile` on every thread that takes part, on the warm path: calls of functions of
the library, the files these stand in, and the calls that lead to another floor (top folder) or
another room (folder) than their caller's. Of `ROUNDS` rounds the shortest counts: in others threads
met by chance, or a worker ran the turn instead of the caller that waits for it. A generator that
goes on counts as a call, as the interpreter sees it; so do comprehensions before Python 3.12.
"""

from __future__ import annotations

import argparse
import functools
import platform
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Final, Self
from unittest.mock import patch

from perdure import Agent, AgentSystem, Boundary, Resources, Scope, State
from perdure.actors.pool import offers

ROOT: Final = Path(__file__).resolve().parents[1]
FLOORS: Final = ("perdure", "llm", "actors", "shared", "lifecycle", "hooks", "persistence")
WORK: Final = Scope.workflow("w1")
WARM_UP: Final = 50
ROUNDS: Final = 101


class Owned(State):
    """A field for the turn that shares nothing."""

    number: int = 0


class Sharer(Agent[Owned]):
    """Writes in turns: a key that is shared, or a field of its own."""

    boundary = Boundary.SHARED

    def share(self, number: int) -> int:
        """Set a shared key."""
        return self.scopes.set(WORK, "n", number)

    def keep(self, number: int) -> None:
        """Set a field of its own."""
        self.state.number = number


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a function of the library."""

    thread: str
    depth: int
    """How many functions of the library are below it."""
    file: str
    """Where it is defined, from the root of the checkout."""
    function: str
    caller: str
    """The file of the nearest function of the library below it; empty for the first."""

    def crosses(self, border: Callable[[str], str]) -> bool:
        """Tell whether it leads over a border, with `floor` or `room` as the parts between."""
        return bool(self.caller) and border(self.caller) != border(self.file)


@dataclass(frozen=True, slots=True)
class Count:
    """What one walk amounts to."""

    calls: int
    files: int
    floors: int
    """Calls that lead to another floor."""
    rooms: int
    """Calls that lead to another room."""


class Recorder:
    """Write down the calls on this thread, and on the threads started during the block."""

    def __init__(self) -> None:
        self._calls: list[Call] | None = None

    def __enter__(self) -> Self:
        self._before = (sys.getprofile(), threading.getprofile())
        threading.setprofile(self._profile)
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(self._before[0])
        threading.setprofile(self._before[1])

    @contextmanager
    def recording(self) -> Iterator[list[Call]]:
        """Fill the list with the calls of the block, in their order."""
        calls: list[Call] = []
        self._calls = calls
        try:
            yield calls
        finally:
            self._calls = None

    def _profile(self, frame: FrameType, event: str, _: object) -> None:
        calls = self._calls  # read once: another thread may end the recording meanwhile
        if calls is None or event != "call":
            return
        file = inside(frame.f_code.co_filename)
        if file:
            below = [caller for caller in map(inside, _files_below(frame)) if caller]
            thread = threading.current_thread().name
            function = frame.f_code.co_qualname
            calls.append(Call(thread, len(below), file, function, below[0] if below else ""))


def _files_below(frame: FrameType) -> Iterator[str]:
    below = frame.f_back
    while below is not None:
        yield below.f_code.co_filename
        below = below.f_back


@functools.cache
def inside(filename: str) -> str:
    """Return a file of the library from the root of the checkout, and nothing for other files."""
    path = Path(filename).resolve()
    file = path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else ""
    return file if floor(file) in FLOORS else ""


def floor(file: str) -> str:
    """Return the top folder."""
    return file.partition("/")[0]


def room(file: str) -> str:
    """Return the folder."""
    return file.rpartition("/")[0]


def count(calls: Sequence[Call]) -> Count:
    """Add a walk up."""
    return Count(
        calls=len(calls),
        files=len({call.file for call in calls}),
        floors=sum(call.crosses(floor) for call in calls),
        rooms=sum(call.crosses(room) for call in calls),
    )


def walks(rounds: int = ROUNDS) -> dict[str, list[Call]]:
    """Return for each piece of work the walk with the fewest calls."""
    # As on a fast machine, however much the recording slows threads down: none is preempted in the
    # middle, and a worker that lingers goes on to do so over a round.
    with (
        TemporaryDirectory() as folder,
        Recorder() as recorder,
        patch.object(offers, "LINGER", 1.0),
        AgentSystem.open(
            Path(folder) / "walk.db", agents=[Sharer], resources=Resources(switch_interval=1.0)
        ) as system,
    ):
        agent = system.agent(Sharer, "a")
        works: dict[str, Callable[[int], object]] = {
            "set outside": lambda number: system.state.set(WORK, "n", number),
            "set in a turn": lambda number: agent.call(Sharer.share, number).get(),
            "a turn that shares nothing": lambda number: agent.call(Sharer.keep, number).get(),
        }
        return {name: _walk(system, recorder, work, rounds) for name, work in works.items()}


def _walk(
    system: AgentSystem, recorder: Recorder, work: Callable[[int], object], rounds: int
) -> list[Call]:
    for number in range(WARM_UP):
        work(number)
    taken = []
    for number in range(rounds):
        system.idle()  # what the round before left to other threads belongs to that one
        with recorder.recording() as calls:
            work(number)
        taken.append(calls)
    return min(taken, key=len)


def trace(calls: Sequence[Call]) -> Iterator[str]:
    """Yield the walk line by line: indented by depth, thread by thread, marked where it crosses."""
    for thread, part in groupby(calls, key=lambda call: call.thread):
        yield f"  on {thread}"
        for call in part:
            mark = ">>" if call.crosses(floor) else " >" if call.crosses(room) else "  "
            yield f"  {mark} {'. ' * call.depth}{call.function}  {call.file}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Show the figures, and with ``--trace`` the walks."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.walk", description="Count what one scoped set calls."
    )
    parser.add_argument(
        "--trace",
        action="store_true",
        help="show every call: >> leads to another floor, > to another room",
    )
    options = parser.parse_args(arguments)
    found = walks()
    print(f"Python {platform.python_version()}, a SQLite file, warm; calls to another ...")
    print(f"{'':28}{'calls':>7}{'files':>7}{'floor':>7}{'room':>7}")
    for name, calls in found.items():
        sums = count(calls)
        print(f"{name:28}{sums.calls:7}{sums.files:7}{sums.floors:7}{sums.rooms:7}")
    for name, calls in found.items() if options.trace else ():
        print(f"\n{name}")
        print(*trace(calls), sep="\n")


if __name__ == "__main__":
    main()
