"""One agent's entries, found from one to the one before, or by looking at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from perdure.lifecycle.writer import Writer
from perdure.persistence.records.records import Commit, Delta
from perdure.persistence.sqlite import history
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.lease import Owner

AGENTS = 3
TURNS = 450  # of each agent: more than two pages


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a store with the interleaved turns of some agents."""
    store = SqliteStore(tmp_path / "store.db")
    store.acquire(Owner.this_process())
    commits: list[Commit] = []
    sequences = count(1)

    class Intake:
        def append(self, commit: Commit) -> int:
            commit.sequence = next(sequences)
            assert commit.writer is not None
            commit.writer.sequence, commit.writer.version = commit.sequence, commit.version
            commits.append(commit)
            return commit.sequence

    writers = [Writer(Intake(), agent, 0, 0) for agent in range(1, AGENTS + 1)]
    for turn in range(1, TURNS + 1):
        for writer in writers:
            delta = Delta(writer.agent)
            delta.fields["n"] = str(turn)
            writer.submit(Commit(kind="K", key=str(writer.agent), delta=delta))
    store.commit(Batch(commits))
    store.close()
    return tmp_path / "store.db"


@pytest.fixture
def no_scan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a look at every entry fail."""

    def refuse(*_: object) -> Iterator[object]:
        raise AssertionError("every entry was looked at")

    monkeypatch.setattr(history, "_scan", refuse)


def versions(path: Path, agent: int = 2) -> list[int]:
    """Return the versions of an agent's history, newest first."""
    store = SqliteStore(path)
    try:
        return [version for version, _ in store.history(agent, TURNS + 1)]
    finally:
        store.close()


def damage(path: Path, statement: str) -> None:
    """Change the file behind the store's back."""
    with sqlite3.connect(path) as connection:
        assert connection.execute(statement).rowcount > 0
    connection.close()


@pytest.mark.usefixtures("no_scan")
def test_a_whole_chain_is_followed(path: Path) -> None:
    """Every entry of the agent, and of no other, is found without looking at all of them."""
    assert versions(path) == list(range(TURNS, 0, -1))


@pytest.mark.usefixtures("no_scan")
def test_a_trimmed_chain_ends_where_the_journal_begins(path: Path) -> None:
    """What was trimmed away is no break."""
    store = SqliteStore(path)
    store.acquire(Owner.this_process())
    store.trim_journal(3 * 100, 10**6)
    store.close()
    assert versions(path) == list(range(TURNS, 100, -1))


@pytest.mark.usefixtures("no_scan")
def test_the_entries_of_one_agent_are_paged(path: Path) -> None:
    """``after`` and ``limit`` cut the same piece as they would cut of the whole list."""
    store = SqliteStore(path)
    whole = store.journal("K", "2", limit=10**6)
    assert [entry.version for entry in whole] == list(range(1, TURNS + 1))
    after = whole[300].sequence
    assert store.journal("K", "2", after=after, limit=7) == whole[301:308]
    assert store.journal("K", "2", limit=5, newest=True) == whole[:-6:-1]
    assert store.journal("K", "2", after=whole[-1].sequence) == []
    assert store.journal("K", "nobody") == []
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE journal SET previous = previous - 3 WHERE agent = 2 AND version = 300",
        "UPDATE journal SET previous = 0 WHERE agent = 2 AND version = 300",
        "UPDATE journal SET previous = sequence WHERE agent = 2 AND version = 300",
        "UPDATE journal SET delta = '{}' WHERE agent = 2 AND version = 300",
        "UPDATE agents SET sequence = 7 WHERE agent = 2",
        "UPDATE agents SET sequence = 0 WHERE agent = 2",
    ],
)
def test_a_broken_chain_is_mended_by_looking_at_all(path: Path, statement: str) -> None:
    """A damaged entry hides none of those behind it; a damaged head none at all."""
    damage(path, statement)
    assert versions(path) == list(range(TURNS, 0, -1))


def test_a_lost_entry_is_the_only_one_missing(path: Path) -> None:
    """An entry that is gone takes none of the others with it."""
    damage(path, "DELETE FROM journal WHERE agent = 2 AND version = 300")
    assert versions(path) == [v for v in range(TURNS, 0, -1) if v != 300]
