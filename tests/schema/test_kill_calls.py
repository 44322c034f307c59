"""A process that is killed while it rewrites what waits: each message is old or new, once."""

from __future__ import annotations

import subprocess
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from perdure import AgentSystem, open_reader
from perdure.actors.agent.blueprint import Catalogue
from perdure.persistence.schema.evolution import Evolution
from perdure.persistence.schema.registry import Registry
from perdure.persistence.upkeep.doctor import examine
from tests.cli.commands import command
from tests.kit.children import ROOT, Aim, environment
from tests.schema.test_calls import SECOND, Desk

COUNT = 3_000
SHOPS = 20
"""Timers, which are rewritten agent by agent."""


def fill(store: Path) -> None:
    """Have messages wait for one agent, and a timer for each of some others."""
    with AgentSystem.open(store, agents=[Desk], sync="process") as system:
        for number in range(SHOPS):
            system.agent(Desk, f"shop {number}").call(Desk.later, f"ada {number}").get()
            system.agent(Desk, f"shop {number}").pause()
        desk = system.agent(Desk, "d")
        desk.pause()
        for number in range(COUNT):
            desk.cast(Desk.assign, f"mira {number}")
        system.flush()


def look(store: Path) -> int:
    """Check that the class of today would be given all of it rightly; return how much is new."""
    with closing(open_reader(store)) as reader:
        assert examine(reader).healthy
        catalogue = Catalogue(SECOND, largest=2**20)
        evolution = Evolution(Registry.only_read(reader), catalogue.stored())
        letters = reader.mailbox(limit=COUNT + 1)
        bodies = [evolution.message(letter).body for letter in letters]
        assert bodies == [f'[["mira","{number}"],{{}}]' for number in range(COUNT)]
        timers = reader.timers(limit=2 * SHOPS + 1)
        assert len(timers) == 2 * SHOPS
        for timer in timers:
            number = timer.key.removeprefix("shop ")
            rest = ",2" if timer.name == "once" else ""
            assert evolution.timer(timer).body == f'[["ada","{number}"{rest}],{{}}]'
        return sum(letter.name == "give" for letter in letters)


def attack(store: Path, rounds: int, seed: int) -> set[int]:
    """Kill the command there and back, at any time of its life; return how far it was."""
    fill(store)
    words = command("migrate", "--code", "tests.schema.test_calls:SECOND", "--store", store)
    back = ("--kind", "Desk", "--messages-to", "1.0.0")
    aim, seen = Aim(Random(seed)), set[int]()
    for number in range(rounds):
        with subprocess.Popen(
            [*words, *(back if number % 4 == 3 else ())], cwd=ROOT, env=environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            aim.kill(process)
        seen.add(look(store))
    subprocess.run(words, cwd=ROOT, env=environment(), check=True, capture_output=True)
    assert look(store) == COUNT
    return seen


def test_killed_while_it_rewrites_what_waits(tmp_path: Path) -> None:
    """What is old is taken for old, what is new for new, and the next run goes on."""
    attack(tmp_path / "s.db", 2, seed=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_there_and_back(tmp_path: Path, seed: int) -> None:
    """A hundred times each; some of them in the middle of it."""
    seen = attack(tmp_path / "s.db", 100, seed)
    assert seen - {0, COUNT}
