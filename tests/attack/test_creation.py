"""A store that is killed while it comes into being is a new store to the next who opens it."""

from pathlib import Path

import pytest

from perdure import AgentSystem
from tests.attack.agents import AGENTS, Tally
from tests.kit.children import finished

# The forks are made by a process without threads, one for each kill: no start-up to wait for.
PROGRAM = """
import os, random, signal, sys, time
import sqlite_utils  # else each fork would spend its life importing it
from perdure import AgentSystem
from tests.attack.agents import AGENTS

def begin(path):
    child = os.fork()
    if child == 0:
        AgentSystem.open(path, agents=AGENTS)
        os._exit(0)
    return child

def kill(child, seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])

folder, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
random.seed(seed)
began = time.perf_counter()
os.waitpid(begin(f"{folder}/whole.db"), 0)
whole = time.perf_counter() - began
print(sum(kill(begin(f"{folder}/{n}.db"), random.uniform(0, whole)) for n in range(kills)))
"""


def attack(folder: Path, kills: int, seed: int) -> None:
    """Kill openers of fresh paths at random microseconds, then open every one of them."""
    killed, _ = finished("-c", PROGRAM, folder, kills, seed)
    assert int(killed) > 0, "no opener was killed"
    for number in range(kills):
        with AgentSystem.open(folder / f"{number}.db", agents=AGENTS) as system:
            assert system.agent(Tally, "t").call(Tally.add, 1).get() == 1
            assert system.close()


def test_a_store_killed_while_it_is_made_can_be_opened(tmp_path: Path, seed: int) -> None:
    """After a kill at any microsecond of the first open, the next one succeeds."""
    attack(tmp_path, 30, seed)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(5))
def test_hundreds_of_stores_killed_while_they_are_made(tmp_path: Path, number: int) -> None:
    """The same, 1,000 kills."""
    attack(tmp_path, 200, number)
