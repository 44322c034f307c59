"""The process that is killed: `python -m examples.flights.worker STORE SOURCE`.

It opens the store, starts the feed unless a former life has done so, and writes a `Beat` as a line
of JSON to stdout at short intervals. It exits with 0 when every flight has been consumed and all of
it is durable. Where a former life stopped does not matter to it: what was on its way when that life
ended is in the store, and goes on when the store opens.
"""

import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec
from pykka import Timeout

from perdure import AgentSystem, Future

from .agents import AGENTS, FEED, Feed, Progress

INTERVAL = 0.025
"""Seconds between two beats."""


class Beat(msgspec.Struct, frozen=True):
    """How far the work is."""

    turns: int
    """Turns of this life, durable or not yet, the questions behind the beats included."""
    progress: Progress | None = None
    """The feed's latest answer, None before the first. It is durable: no successor knows less."""
    done: bool = False
    """Whether everything is consumed and durable."""

    @property
    def flights(self) -> int | None:
        """Flights known to be counted by their airports of origin, None before that is known."""
        if self.progress is None:
            return None
        return self.progress.read if self.done else self.progress.counted


def work(store: Path, source: Path, tell: Callable[[Beat], None]) -> None:
    """Run the agents until there is nothing left to do, and tell how far they are.

    Raises:
        ValueError: when the store has flights from another file.
    """
    with AgentSystem.open(store, agents=AGENTS) as system:
        feed = system.agent(Feed, FEED)
        begun = feed.call(Feed.begin, str(source))
        # An answer is durable when it comes, hence later than the turn that gave it. Nobody waits
        # for one here, so that the beats keep time when the disk does not.
        asked: deque[Future[Progress]] = deque()
        known = None
        while not system.idle(timeout=INTERVAL):
            asked.append(feed.call(Feed.progress))
            known = _latest(asked, known)
            tell(Beat(system.statistics().turns, known))
        begun.get()
        tell(Beat(system.statistics().turns, feed.call(Feed.progress).get(), done=True))


def _latest(asked: deque[Future[Progress]], known: Progress | None) -> Progress | None:
    """Take the answers that are there, in the order of the questions, and return the last."""
    with suppress(Timeout):
        while asked:
            known = asked[0].get(timeout=0)
            asked.popleft()
    return known


def _write(beat: Beat) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(beat) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), _write)
