"""Artifacts under SIGKILL: saves, deletions and sweeps are cut off anywhere, again and again."""

import json
from pathlib import Path
from random import Random

import pytest

from perdure import AgentSystem
from tests.artifacts.looks import content_by_hand, dangling, orphans, rows
from tests.attack.artifact_worker import Maker, content
from tests.kit.children import PATIENCE, kill_after, started


class Book:
    """What was acknowledged, over all lives."""

    def __init__(self) -> None:
        self.saved: dict[int, int] = {}
        """Seeds by number."""
        self.doubtful: set[int] = set()
        """Those whose deletion was asked for and not acknowledged."""
        self.deleted: set[int] = set()
        self.sweeps = 0

    def enter(self, line: bytes) -> None:
        """Note an event."""
        what, *values = json.loads(line)
        if what == "saved":
            self.saved[values[0]] = values[1]
        elif what == "deletes":
            self.doubtful.add(values[0])
        elif what == "deleted":
            self.deleted.add(values[0])
        elif what == "swept":
            self.sweeps += 1

    def standing(self) -> dict[int, int]:
        """Return the seeds of those that must be there."""
        return {n: seed for n, seed in self.saved.items() if n not in self.doubtful | self.deleted}


def live(store: Path, seed: str, random: Random, book: Book) -> None:
    """Run a worker, and kill it some events after it has begun."""
    with started("-m", "tests.attack.artifact_worker", store, seed) as process:
        assert process.stdout is not None
        left = random.randint(1, 60)
        for line in process.stdout:
            if line.endswith(b"\n"):
                book.enter(line)
            left -= 1
            if left == 0:
                kill_after(process, random.uniform(0, 0.01))
        assert process.wait(PATIENCE) == -9


def look(store: Path, book: Book) -> None:
    """Hold the store against what was acknowledged, by its rows alone."""
    assert dangling(store) == []
    there = dict(rows(store, "SELECT number, content FROM artifacts"))
    standing = book.standing()
    assert standing.keys() - there.keys() == set()
    assert book.deleted & there.keys() == set()
    seeds = {there[number]: seed for number, seed in standing.items()}
    for name, seed in seeds.items():
        assert content_by_hand(store, name) == content(seed)


def attack(store: Path, lives: int, seed: int) -> Book:
    """Live and die; then sweep, and look again."""
    random, book = Random(seed), Book()
    for number in range(lives):
        live(store, f"{seed}-{number}", random, book)
        look(store, book)
    with AgentSystem.open(store, agents=[Maker]) as system:
        system.artifacts.sweep()
        assert orphans(store) == dangling(store) == []
        for artifact in system.artifacts.list(limit=100_000):
            assert system.artifacts.read(artifact) == content(artifact.meta["seed"])
        look(store, book)
        for artifact in system.artifacts.list(limit=100_000):
            system.artifacts.delete(artifact)
        system.artifacts.sweep()
    assert rows(store, "SELECT count(*) FROM chunks") == [(0,)]
    return book


def test_every_acknowledged_artifact_survives_kills(tmp_path: Path, seed: int) -> None:
    """After each of 8 kills every acknowledged artifact is whole; a sweep leaves no orphan."""
    book = attack(tmp_path / "a.db", 8, seed)
    assert len(book.saved) > 20


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(5))
def test_every_acknowledged_artifact_survives_hundreds_of_kills(
    tmp_path: Path, number: int
) -> None:
    """The same, 200 kills on five stores."""
    book = attack(tmp_path / "a.db", 40, number)
    assert book.sweeps > 0
