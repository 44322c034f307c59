"""The flights store is lost: from a full backup and ten incremental ones to a random moment."""

import json
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from examples.flights import data
from examples.flights.worker import Beat, work
from perdure import Backups
from tests.backup.stores import contents
from tests.backup.test_recovery import exact

INCREMENTAL = 10


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("source", [lambda: data.JANUARY, data.year], ids=["january", "year"])
def test_a_lost_store_comes_back_to_a_random_moment(
    tmp_path: Path, source: Callable[[], Path]
) -> None:
    """Agent by agent, and row by row of mail, timers and all else, what a picture had of it."""
    store, random = tmp_path / "flights.db", Random(7)
    backups, pictures = Backups(tmp_path / "backups"), Backups(tmp_path / "pictures")

    def tell(_: Beat) -> None:
        made = len(backups.list()) if (tmp_path / "backups").is_dir() else 0
        if made and random.random() < 0.7:
            pictures.create(store)
        if made < INCREMENTAL:
            backups.create(store, incremental=True)

    work(store, source(), tell)
    while len(backups.list()) <= INCREMENTAL:
        backups.create(store, incremental=True)
    chosen = random.choice(pictures.list())
    pictures.restore(tmp_path / "expected.db", chosen.name)
    for file in tmp_path.glob("flights.db*"):
        file.unlink()
    found = backups.recover(tmp_path / "then.db", sequence=chosen.last)
    assert (found.last, found.unknown) == (chosen.last, ())
    there, expected = (exact(contents(tmp_path / name)) for name in ("then.db", "expected.db"))
    for rows in (there, expected):  # the order of names in a shape says nothing
        rows["agents"] = [(*row[:8], json.loads(row[8])) for row in rows["agents"]]
    assert there == expected
