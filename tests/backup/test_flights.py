"""The flights store is lost: from a full backup and some incremental ones to a random moment."""

import json
from pathlib import Path
from random import Random

import pytest

from examples.flights import data
from examples.flights.worker import Beat, work
from perdure import Backups
from tests.backup.stores import contents
from tests.backup.test_recovery import exact

INCREMENTAL = {"january": 10, "year": 20}
"""Between two the journal must tell all: it keeps 100,000 commits, of 1,350,000 in a year."""
PICTURES = 8
FLIGHTS = {"january": 27_004, "year": 336_776}


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("period", ["january", "year"])
def test_a_lost_store_comes_back_to_a_random_moment(tmp_path: Path, period: str) -> None:
    """Agent by agent, and row by row of mail, timers and all else, what a picture had of it."""
    store, random, total = tmp_path / "flights.db", Random(7), FLIGHTS[period]
    backups, pictures = Backups(tmp_path / "backups"), Backups(tmp_path / "pictures")
    count = INCREMENTAL[period]
    due = [total * number / (count + 1) for number in range(count + 1)]
    moments = sorted(random.uniform(0, due[-1]) for _ in range(PICTURES))

    def tell(beat: Beat) -> None:
        if due and (beat.flights or 0) >= due[0]:
            due.pop(0)
            backups.create(store, incremental=True)
        elif moments and (beat.flights or 0) >= moments[0]:
            moments.pop(0)
            pictures.create(store)

    work(store, data.JANUARY if period == "january" else data.year(), tell)
    while len(backups.list()) <= count:
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
