"""A pipeline under SIGKILL: no item is lost and none doubled, counted by what is in them."""

import json
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.kit.children import PATIENCE, started
from tests.sharing.plant import ITEMS


class Life:
    """One process of the plant."""

    def __init__(self, store: Path, number: int) -> None:
        self.acknowledged: list[int] = []
        self.end: list[Any] = []
        self.killed = False
        self._store, self._number = store, number

    def run(self, events: int | None) -> None:
        """Let it work for so many events and kill it; with None to its end."""
        with started("-m", "tests.sharing.plant", self._store, self._number) as process:
            assert process.stdout is not None
            for count, said in enumerate(process.stdout):
                self._hear(said)
                if events is not None and count >= events:
                    process.kill()
                    break
            for said in process.stdout:  # what it had said before it died
                self._hear(said)
            process.wait(PATIENCE)
        self.killed = process.returncode == -9

    def _hear(self, said: bytes) -> None:
        if said.endswith(b"\n"):
            match json.loads(said):
                case ["acknowledged", number]:
                    self.acknowledged.append(number)
                case ["done", *end]:
                    self.end = end


def attack(store: Path, kills: int, seed: int) -> None:
    """Kill the plant again and again, let it end, and count what has arrived."""
    random = Random(seed)
    acknowledged: list[int] = []
    killed = 0
    for number in range(kills):
        life = Life(store, number)
        life.run(random.randint(0, 40))
        acknowledged += life.acknowledged
        killed += life.killed
    assert killed >= 5, "it was done before it could be killed"
    last = Life(store, kills)
    last.run(None)
    acknowledged += last.acknowledged
    arrived, passed = last.end
    counts = Counter(arrived)
    assert [n for n, times in counts.items() if times > 1] == [], "doubled"
    assert {*range(ITEMS), *acknowledged} - counts.keys() == set(), "lost"
    assert passed == len(arrived)
    made = {1000 * (life + 1) + n for life in range(kills + 1) for n in range(20)}
    assert counts.keys() <= {*range(ITEMS), *made}
    assert len(last.acknowledged) == 20


def test_no_item_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    """After 5 kills amid a run each item arrives once, those acknowledged outside among them."""
    attack(tmp_path / "store.db", 5, seed=3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_no_item_is_lost_or_doubled_by_many_kills(tmp_path: Path, seed: int) -> None:
    """The same, 20 kills on each of five stores."""
    attack(tmp_path / "store.db", 20, seed)
