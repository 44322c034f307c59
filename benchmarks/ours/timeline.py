"""A timeline among many events: pages, a search, and what the indexes cost the commits."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from perdure import AgentSystem
from perdure.persistence.records.records import Commit, Delta
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.lease import Owner

from .agents import Desk

AGENTS = 1_000
CHAINS = 200
"""Chains of messages under way at a time, of ten commits each."""
BATCH = 2_048
FIRST_LETTER = 2**40
INDEXES = ("idx_journal_correlation", "journal_leads")


def pages(folder: Path, *, events: float, samples: float) -> dict[str, float]:
    """Time pages of 100 among so many events."""
    path = folder / "events.db"
    store = SqliteStore(path, sync="process")
    store.acquire(Owner.this_process())
    chains = [commit.correlation for commit in _write(store, int(events))]
    store.close()
    randomness = random.Random(2)
    with AgentSystem.open(path, agents=[Desk], sync="process") as system:
        timeline = system.timeline

        def time_of(work: Callable[[], object]) -> float:
            work()
            taken = []
            for _ in range(int(samples)):
                start = time.perf_counter()
                work()
                taken.append((time.perf_counter() - start) * 1e3)
            return statistics.median(taken)

        start = time.perf_counter()
        timeline(text="somebody 77").list()
        first = time.perf_counter() - start
        return {
            "chain_ms": time_of(lambda: timeline(correlation=randomness.choice(chains)).list()),
            "newest_ms": time_of(lambda: timeline().list(newest=True)),
            "agent_ms": time_of(
                lambda: timeline(agent=("Desk", str(randomness.randrange(AGENTS)))).list(
                    newest=True
                )
            ),
            "search_ms": time_of(lambda: timeline(text="somebody 77").list()),
            "first_search_s": first,
        }


def commits(folder: Path, *, events: float, indexed: bool) -> dict[str, float]:
    """Count the journal rows a second of processor time writes, with the indexes or without."""
    path = folder / "events.db"
    store = SqliteStore(path, sync="process")
    store.acquire(Owner.this_process())
    if not indexed:
        with sqlite3.connect(path) as connection:
            for index in INDEXES:
                connection.execute(f"DROP INDEX {index}")
        connection.close()
    start = time.process_time()
    for _ in _write(store, int(events)):
        pass
    seconds = time.process_time() - start
    store.close()
    return {"per_second": events / seconds}


def _write(store: SqliteStore, events: int) -> Iterator[Commit]:
    """Commit turns of chains that are interleaved; give the first of each batch."""
    randomness = random.Random(1)
    latest: dict[int, tuple[int, int]] = {}
    under_way = [FIRST_LETTER + number for number in range(CHAINS)]
    sequence = 0
    while sequence < events:
        batch = []
        for _ in range(min(BATCH, events - sequence)):
            sequence += 1
            batch.append(_turn(sequence, randomness, latest, under_way))
        store.commit(Batch(batch))
        yield batch[0]


def _turn(
    sequence: int,
    randomness: random.Random,
    latest: dict[int, tuple[int, int]],
    under_way: list[int],
) -> Commit:
    agent, place = randomness.randrange(AGENTS) + 1, randomness.randrange(CHAINS)
    letter, begins = FIRST_LETTER + CHAINS + sequence, randomness.random() < 0.1
    if begins:
        under_way[place] = letter
    version, previous = latest.get(agent, (0, 0))
    latest[agent] = (version + 1, sequence)
    commit = Commit(
        "Desk", str(agent - 1), time=1e9 + sequence / 1000, name="assign", message=letter,
        cause=0 if begins else max(1, sequence - randomness.randrange(1, 400)),
        correlation=under_way[place], agent=agent, version=version + 1,
    )  # fmt: skip
    commit.sequence, commit.previous = sequence, previous
    commit.delta = Delta(agent)
    commit.delta.fields["open"] = str(sequence)
    commit.delta.fields["who"] = f'"somebody {sequence % 997}"'
    return commit
