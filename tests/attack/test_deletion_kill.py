"""A process that is killed while it deletes agents: each is there with all it had, or gone."""

import json
import time
from pathlib import Path
from random import Random
from typing import Any

import pytest

from perdure import open_reader
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Order
from perdure.persistence.upkeep.doctor import examine
from tests.kit.children import started


def live(store: Path, seed: int, life: int, seconds: float) -> list[list[str]]:
    """Run a mourner for so long and kill it; return what it said."""
    with started("-m", "tests.attack.mourner", store, seed, life) as process:
        assert process.stdout is not None
        said = [process.stdout.readline()]
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            said.append(process.stdout.readline())
        process.kill()
        said += process.stdout.read().splitlines()
    return [json.loads(line) for line in said if line.strip().endswith(b"]")]


def look(store: Path, last: dict[str, str]) -> None:
    """Check every promise on the store as it is now, given each agent's last event."""
    reader = open_reader(store)
    try:
        report = examine(reader)
        assert report.healthy
        assert not any(report.orphans.values())
        there = {head.key: head for head in reader.agents()}
        for key, event in last.items():
            if event in ("made", "gone"):  # else not acknowledged: either is right
                assert (key in there) == (event != "gone")
        for key, head in there.items():
            agent = reader.load("Mortal", key)
            assert agent is not None
            life = json.loads(agent.fields["life"][0])
            # What one life has left behind is of that life alone, and complete.
            lines = reader.log_items(head.agent, "lines", 0, agent.log_lengths["lines"])
            assert set(lines) == {f'"{life}"'}
            own = reader.row(SCOPED, ("agent", "Mortal", key, "life"))
            assert own is not None
            assert own[4] == f'"{life}"'
        named: dict[str, list[tuple[Any, ...]]] = {
            "mail": reader.mailed(("", ""), 99),
            "timers": [timer[:2] for timer in reader.timers_between(0, 1e12, 99)],
            "keys": [
                row[1:3] for row in reader.page(SCOPED, Order(("kind",), ("agent",)), None, 99)
            ],
        }
        for table, names in named.items():
            assert {key for _, key in names} <= there.keys(), table
    finally:
        reader.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_killed_while_it_deletes(tmp_path: Path, seed: int) -> None:
    """However a process is killed while it deletes, no agent is half gone, and none comes back."""
    chance, store = Random(seed), tmp_path / "m.db"
    last: dict[str, str] = {}
    for life in range(6):
        for event, *told in live(store, seed, life, chance.uniform(0.1, 0.6)):
            if told:
                last[told[0]] = event
        look(store, last)
        for key in [key for key, event in last.items() if event != "gone"]:
            del last[key]  # what was under way may have become durable, or not
