"""Ctrl-C at any moment: what is committed counts once, what is sent arrives, all go on."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure.testing.faults.strikes import ENOUGH, Striker
from tests.actors.counting import KINDS, Counter, Rounds
from tests.kit.deadline import DEADLINE

FEW = 7
"""In the short version every so many places are tried, from another one for each kind of agent."""
MOST = 3000
"""Places that a round cannot have: the tests end when rounds are over before they are struck."""


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


class Interrupted(Rounds):
    """Rounds of a cast and an ask of the main thread, each struck at another place."""

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


def strike_everywhere(url: str | Path, kind: type[Counter], places: range, *inside: str) -> int:
    """Strike at each of some places; return how many rounds were struck."""
    rounds = Interrupted(url, kind)
    with rounds.system:
        rounds.check()
        struck = early = 0
        for at in places:
            # A round is short where another thread was faster; the end is where several are.
            early = 0 if rounds.strike(at, ("perdure", *inside)) else early + 1
            if early == ENOUGH:
                break
            struck += not early
            if struck % 50 == 49:
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
    rounds = Interrupted(path, Counter)
    with rounds.system:
        for at in range(3, MOST, 11 * FEW):
            if not rounds.strike(at, ("perdure",)):
                break
    again = Interrupted(os.fspath(path), Counter)
    with again.system:
        again.acknowledged, again.sent = rounds.acknowledged, rounds.sent
        again.check()
