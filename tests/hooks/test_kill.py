"""Killed between a hook and its commit, again and again: history, state and calls agree."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Scope, State
from perdure.hooks.details import Details
from perdure.hooks.history.history import History
from perdure.hooks.history.queue import calls_in
from perdure.url import open_reader
from tests.kit.children import ROOT, environment

CHILD = """
import sys
from tests.hooks.test_kill import child
child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
"""
COUNT = Scope.custom("count", "late")
POINTS = ["message.before", "message.after", "state.before", "state.after", "save.after"]
LATE = ["message.after", "state.after", "save.after"]
"""Where hooks are deferred."""
WHERE = [*POINTS, "handler", "late", "pack"]


class Total(State):
    total: int = 0


class Adder(Agent[Total]):
    def add(self) -> int:
        strike("handler")
        self.state.total += 1
        return self.state.total


class Striker:
    """Kills this process the so-manieth time that it comes by a place."""

    where = ""
    left = 0


def strike(where: str) -> None:
    """Come by a place."""
    if Striker.where == where:
        Striker.left -= 1
        if Striker.left == 0:
            signal.raise_signal(signal.SIGKILL)


def listen(system: AgentSystem) -> None:
    """Register a hook at each point, and a deferred one."""
    for point in POINTS:

        def pass_by(details: Details, point: str = point) -> None:
            strike(point)

        system.hooks.on(point, pass_by, agents=Adder, name=point)

    for point in LATE:

        def late(details: Details, name: str = f"late {point}") -> None:
            system.state.increment(COUNT, f"{name} {details.key}")
            strike("late")

        system.hooks.on(point, late, agents=Adder, deferred=True, name=f"late {point}")


def child(path: str, where: str, left: int) -> None:
    """Have turns until the process is killed; say so of each that was answered."""
    Striker.where, Striker.left = where, left
    with AgentSystem.open(path, agents=[Adder], sync="process") as system:
        listen(system)
        for number in range(400):
            system.agent(Adder, "ab"[number % 2]).call(Adder.add).get()
            sys.stdout.write(".")
            sys.stdout.flush()
            if number % 10 == 9:
                system.hooks.history.pack()
                strike("pack")


def answered(path: Path, where: str, left: int) -> int:
    """Run a child to its end; return how many turns it had answered."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, path, where, str(left)],
        cwd=ROOT, env=environment(), check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr
    return done.stdout.count(".")


def waiting(path: Path) -> Counter[str]:
    """Return how many calls of each deferred hook are stored."""
    with closing(open_reader(path)) as reader:
        return Counter(call.hook for call in calls_in(reader, lambda _row: ""))


def check(path: Path) -> int:
    """Compare the history with the journal; return how many turns there are.

    Each turn has its hooks' runs, and a deferred call that was made or waits.
    """
    with closing(open_reader(path)) as reader:
        turns = {entry.sequence for entry in reader.journal("Adder", limit=100_000)}
        runs = list(History(reader).each())
    for point in ("message.before", "message.after", "state.before"):
        assert Counter(run.sequence for run in runs if run.hook == point) == Counter(turns)
    ids = [run.id for run in runs]
    assert len(ids) == len(set(ids))
    left = waiting(path)
    for name in (f"late {point}" for point in LATE):
        late = [run for run in runs if run.hook == name]
        assert {run.outcome for run in late} <= {"continue"}
        assert len(late) + left[name] == len(turns)
    return len(turns)


def rounds(path: Path, count: int, seed: int) -> None:
    """Kill so many processes on one store, then see that nothing is lost or doubled."""
    chance, told = random.Random(seed), 0
    for number in range(count):
        where = WHERE[number % len(WHERE)]
        told += answered(path, where, chance.randint(1, 6 if where == "pack" else 40))
        assert told <= check(path)
    turns = check(path)
    while waiting(path):  # how much is drained within its time is up to the machine
        with AgentSystem.open(path, agents=[Adder]) as system:
            listen(system)
            assert system.idle(60)
    assert check(path) == turns
    with AgentSystem.open(path, agents=[Adder]) as system:
        states = [system.agent(Adder, key).proxy().state.get().total for key in "ab"]
        assert sum(states) == turns
        for name in (f"late {point}" for point in LATE):
            assert sum(int(str(system.state.get(COUNT, f"{name} {k}"))) for k in "ab") == turns
            assert system.hooks.history.count(hook=name) == turns


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kills", [len(WHERE), pytest.param(100, marks=pytest.mark.slow)])
def test_history_and_state_agree_after_kills(tmp_path: Path, kills: int) -> None:
    """A kill at each place leaves a turn with all of its hooks' runs, or nothing of it."""
    rounds(tmp_path / "s.db", kills, seed=kills)
