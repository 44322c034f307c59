"""Ctrl-C at any moment: what is committed counts once, what is sent arrives, all go on."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Durability, Map, Resources, State
from tests.kit.deadline import DEADLINE
from tests.kit.strikes import Striker

FEW = 7
"""In the short version every so many places are tried, from another one for each kind of agent."""
MOST = 3000
"""Places that a round cannot have: the tests end when a round is over before it is struck."""


class Seen(State):
    times: Map[int, int] = Map.field()
    total: int = 0


class Counter(Agent[Seen]):
    """Count what comes, and tell another of it."""

    def take(self, number: int) -> int:
        self.state.times[number] = self.state.times.get(number, 0) + 1
        self.state.total += 1
        self.system.agent(Listener, "one").cast(Listener.take, number)
        return number

    def seen(self) -> tuple[dict[int, int], int]:
        return dict(self.state.times), self.state.total


class SnapshotCounter(Counter):
    durability = Durability.SNAPSHOT


class VolatileCounter(Counter):
    durability = Durability.VOLATILE


class Listener(Agent[Seen]):
    """Count what is heard."""

    def take(self, number: int) -> None:
        self.state.times[number] = self.state.times.get(number, 0) + 1
        self.state.total += 1

    def seen(self) -> tuple[dict[int, int], int]:
        return dict(self.state.times), self.state.total


KINDS = [Counter, SnapshotCounter, VolatileCounter]


@contextlib.contextmanager
def traced(striker: Striker) -> Iterator[None]:
    """Have this thread struck during the block, and give its tracer back."""
    before = sys.gettrace()
    # Python 3.12 traces single instructions only if a frame asked for it before this call.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(striker)
    try:
        yield
    finally:
        sys.settrace(before)


class Rounds:
    """Rounds of a cast and an ask of the main thread, each struck at another place."""

    def __init__(self, url: str | Path, kind: type[Counter]) -> None:
        # A thread that is traced is slow: with a short interval a worker would often take its turn.
        self.system = AgentSystem.open(
            url,
            agents=[*KINDS, Listener],
            sync="process",
            resources=Resources(workers=1, switch_interval=0),
        )
        self.counter = self.system.agent(kind, "one")
        self.listener = self.system.agent(Listener, "one")
        self.sent: set[int] = set()
        self.acknowledged: set[int] = set()

    def strike(self, at: int, inside: tuple[str, ...]) -> bool:
        """Do one round; False if it was over before the place was reached."""
        told, asked = 2 * at, 2 * at + 1
        self.sent |= {told, asked}
        striker = Striker(KeyboardInterrupt, at, inside=inside)
        with contextlib.suppress(KeyboardInterrupt), traced(striker):
            self.counter.cast(Counter.take, told)
            self.acknowledged.add(told)
            self.counter.call(Counter.take, asked).get()
            self.acknowledged.add(asked)
        assert self.system.idle(DEADLINE), striker.struck
        return bool(striker.struck)

    def check(self) -> None:
        """Nothing was handled twice, and nothing that was taken is missing."""
        seen, total = self.counter.call(Counter.seen).get(timeout=DEADLINE)
        heard, heard_total = self.listener.call(Listener.seen).get(timeout=DEADLINE)
        assert set(seen.values()) <= {1}
        assert set(heard.values()) <= {1}
        assert (total, heard_total) == (len(seen), len(heard))
        assert self.acknowledged <= set(seen) == set(heard) <= self.sent


def strike_everywhere(url: str | Path, kind: type[Counter], places: range, *inside: str) -> int:
    """Strike at each of some places; return how many rounds were struck."""
    rounds = Rounds(url, kind)
    with rounds.system:
        rounds.check()
        struck = 0
        for at in places:
            if not rounds.strike(at, ("perdure", *inside)):
                break
            struck += 1
            if struck % 50 == 0:
                rounds.check()
        rounds.check()
    return struck


@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_at_many_places(tmp_path: Path, kind: type[Counter], where: str) -> None:
    """An interrupt at every so many places of a cast and an ask loses and doubles nothing."""
    url = "memory://" if where == "memory" else tmp_path / "store.db"
    first = 1 + 2 * KINDS.index(kind) + (where == "file")
    assert strike_everywhere(url, kind, range(first, MOST, FEW)) > 20


@pytest.mark.slow
@pytest.mark.parametrize("where", ["memory", "file"])
@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_at_every_place(tmp_path: Path, kind: type[Counter], where: str) -> None:
    """An interrupt at any place, in the standard library's parts too, loses and doubles nothing."""
    url = "memory://" if where == "memory" else tmp_path / "store.db"
    assert strike_everywhere(url, kind, range(1, MOST), "contextlib", "threading") > 20 * FEW


def test_what_counts_survives_the_process(tmp_path: Path) -> None:
    """What was acknowledged in spite of interrupts is there, once, in the next process."""
    path = tmp_path / "store.db"
    rounds = Rounds(path, Counter)
    with rounds.system:
        for at in range(3, MOST, 11 * FEW):
            if not rounds.strike(at, ("perdure",)):
                break
    again = Rounds(os.fspath(path), Counter)
    with again.system:
        again.acknowledged, again.sent = rounds.acknowledged, rounds.sent
        again.check()
