"""The process that is killed: `python -m examples.flights.worker STORE SOURCE`.

It opens the store, starts the feed unless a former life has done so, and writes a `Beat` as a line
of JSON to stdout at short intervals. It exits with 0 when every flight has been consumed and all of
it is durable. Where a former life stopped does not matter to it: what was on its way when that life
ended is in the store, and goes on when the store opens.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from perdure import AgentSystem

from .agents import AGENTS, FEED, Feed

INTERVAL = 0.02
"""Seconds between two beats."""


class Beat(msgspec.Struct, frozen=True):
    """How far the work is."""

    read: int
    """Flights read from the file."""
    counted: int
    """Flights known to be counted by their airports of origin."""
    turns: int
    """Turns of this life, the questions behind the beats included."""
    done: bool = False
    """Whether everything is consumed and durable."""


def work(store: Path, source: Path, tell: Callable[[Beat], None]) -> None:
    """Run the agents until there is nothing left to do, and tell how far they are."""
    with AgentSystem.open(store, agents=AGENTS) as system:
        feed = system.agent(Feed, FEED).proxy()
        feed.begin(str(source)).get()
        done = False
        while not done:
            done = system.idle(timeout=INTERVAL)
            progress = feed.progress().get()
            counted = progress.read if done else progress.counted
            tell(Beat(progress.read, counted, system.statistics().turns, done))


def _write(beat: Beat) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(beat) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), _write)
