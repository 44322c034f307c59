"""G1 to G4 under SIGKILL: a worker is killed at random points, again and again, on one store."""

import sys
from pathlib import Path
from random import Random

import pytest

from tests.attack.audit import Book, Picture, audit, opened, settled
from tests.attack.lives import draw, live, settle


def attack(store: Path, rounds: int, seed: int) -> Book:
    """Live and die `rounds` times, looking at the store each time, then let everything arrive."""
    random, book = Random(seed), Book()
    for life in range(rounds):
        end, sync = draw(random), random.choice(["power", "process"])
        sys.stdout.write(f"life {life}: {sync} {end}\n")
        live(store, sync, str(seed), life, end=end, book=book)
        with opened(store) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() != (0,):
                audit(Picture(connection), book)
    settle(store, "process", str(seed), rounds, book)
    with opened(store) as connection:
        picture = Picture(connection)
        audit(picture, book)
        settled(picture)
    return book


def test_nothing_is_lost_torn_or_doubled_by_kills(tmp_path: Path, seed: int) -> None:
    """After each of 20 kills the store keeps every promise, and in the end all has arrived."""
    book = attack(tmp_path / "store.db", 20, seed)
    assert book.acknowledged > 100


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_nothing_is_lost_torn_or_doubled_by_hundreds_of_kills(tmp_path: Path, number: int) -> None:
    """The same, 400 kills on ten stores."""
    book = attack(tmp_path / "store.db", 40, number)
    assert book.acknowledged > 100
