"""A timeline among many events: pages, a search, and what the indexes cost the commits."""

from __future__ import annotations

import random
import sqlite3
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    MessageDetails,
    Principal,
    RestartPolicy,
    Scope,
    State,
)
from perdure.persistence.errors import Denied
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


class Said(State):
    """The last thing that was said."""

    text: str = ""


class Speaker(Agent[Said]):
    """Says something, or fails to."""

    restarts = RestartPolicy(attempts=1, restarts=10**9, backoff=Backoff(first=0.0, longest=0.0))

    def say(self, text: str) -> None:
        """Say it."""
        self.state.text = text

    def fail(self, text: str) -> None:
        """Leave a dead letter."""
        raise ValueError(text)


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


def searches(folder: Path, *, events: float, what: str) -> dict[str, float]:
    """Time searches that find nothing among so many events of one kind, in processor time."""
    path = folder / "events.db"
    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        if what == "hook":
            system.hooks.on("message.before", _heard, name="heard")
        for number in range(int(events)):
            _EVENTS[what](system, number)
        system.idle()

    def search() -> None:
        if system.timeline(text="nobody said this", what=[what]).list():
            raise ValueError("something was found")

    with AgentSystem.open(path, agents=[Speaker], sync="process") as system:
        found = system.timeline(what=[what]).count()
        if found != events:
            raise ValueError(f"there are {found} of them")
        first = _processor_time(search)
        return {
            "first_s": first,
            "ms": 1e3 * statistics.median(_processor_time(search) for _ in range(5)),
        }


def _say(system: AgentSystem, number: int) -> None:
    system.agent(Speaker, str(number % AGENTS)).cast(Speaker.say, f"somebody {number % 997}")


def _fail(system: AgentSystem, number: int) -> None:
    system.agent(Speaker, str(number % AGENTS)).cast(Speaker.fail, f"somebody {number % 997}")


def _ask_in_vain(system: AgentSystem, number: int) -> None:
    stranger = system.state.acting_as(Principal.user(f"somebody {number % 997}"))
    with suppress(Denied):
        stranger.set(Scope.workflow(str(number)), "key", number)


def _heard(_details: MessageDetails) -> None:
    """Listen."""


_EVENTS: Final[dict[str, Callable[[AgentSystem, int], None]]] = {
    "hook": _say,
    "letter": _fail,
    "decision": _ask_in_vain,
}


def _processor_time(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


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
