"""A hundred times more agents than memory may hold: what lives is bounded, and nothing is lost."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from perdure.url import open_reader
from tests.attack.population import BURST
from tests.kit.children import finished

MEGABYTE = 1_000_000


def run(store: Path, agents: int, limit: int, task: str) -> dict[str, int]:
    """Run a task in a process of its own."""
    said, _ = finished("-m", "tests.attack.population", store, agents, limit, task)
    return json.loads(said)  # type: ignore[no-any-return]


def attack(store: Path, agents: int, limit: int, megabytes: int) -> None:
    """Make the agents in one process and visit them in another."""
    for task in ("make", "visit"):
        found = run(store, agents, limit, task)
        # A burst may stand above the limit until those who have done their turn are put to rest.
        assert found["live"] <= limit + BURST, task
        assert found["grown"] <= megabytes * MEGABYTE, task
    with closing(open_reader(store)) as reader:
        assert sum(1 for _ in reader.agents()) == agents


def test_live_agents_are_bounded(tmp_path: Path) -> None:
    """With 3,000 agents and a limit of 300 no more than that and a burst are ever live."""
    attack(tmp_path / "store.db", 3_000, 300, 100)


@pytest.mark.slow
def test_a_hundred_thousand_agents(tmp_path: Path) -> None:
    """100,000 agents are made and visited in memory that holds a few thousand."""
    attack(tmp_path / "store.db", 100_000, 1_000, 150)
