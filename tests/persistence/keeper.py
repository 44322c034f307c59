"""A state on a store without actors around it: the whole way down and up again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Generic, TypeVar

from perdure.persistence.records.records import AgentRow, Commit, Delta, StoredAgent
from perdure.persistence.state.state import State, layout_of
from perdure.persistence.state.tracker import StateTracker, dump
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.lease import Owner
from perdure.persistence.store.store import Store, StoreReader
from perdure.persistence.upkeep.repair import Repair, examine

S = TypeVar("S", bound=State)

HERE = Owner.this_process()
GONE = replace(HERE, pid=2**22 + 1, incarnation="1")
"""An owner in this realm whose process does not exist: above the largest process id of Linux."""


class CountingReader:
    """Give the readers of one agent's collections, and count what is read."""

    def __init__(self, store: StoreReader, agent: int) -> None:
        self.store = store
        self.agent = agent
        self.calls: list[str] = []
        self.rows = 0
        self.settle: Callable[[], None] = lambda: None
        """Called before entries are counted: writes what the store lacks."""

    def log(self, field: str) -> _Log:
        """Return the reader of a log field."""
        return _Log(self, field)

    def map(self, field: str) -> _Map:
        """Return the reader of a map field."""
        return _Map(self, field)

    def count(self, call: str, rows: int) -> None:
        """Take note of one call and the rows it read."""
        self.calls.append(call)
        self.rows += rows


class _Log:
    def __init__(self, counting: CountingReader, field: str) -> None:
        self.counting = counting
        self.field = field

    def items(self, start: int, stop: int) -> list[str]:
        counting = self.counting
        counting.count("items", stop - start)
        return counting.store.log_items(counting.agent, self.field, start, stop)


class _Map:
    def __init__(self, counting: CountingReader, field: str) -> None:
        self.counting = counting
        self.field = field

    def entry(self, key: str | int) -> str | None:
        counting = self.counting
        counting.count("entry", 1)
        return counting.store.map_entry(counting.agent, self.field, key)

    def page(self, after: str | int | None, limit: int) -> list[tuple[str | int, str]]:
        counting = self.counting
        page = counting.store.map_page(counting.agent, self.field, after, limit)
        counting.count("page", len(page))
        return page

    def count(self) -> int:
        counting = self.counting
        counting.count("count", 0)
        counting.settle()
        return counting.store.map_count(counting.agent, self.field)


class Keeper(Generic[S]):
    """Keep one state on an acquired store; each ``commit`` is a batch of its own."""

    def __init__(
        self,
        store: Store,
        state_class: type[S],
        *,
        agent: int = 1,
        largest: int = 2**24,
        unreadable: str = "quarantine",
    ) -> None:
        self.store = store
        self.layout = layout_of(state_class)
        self.agent = agent
        self.largest = largest
        self.unreadable = unreadable
        self.repaired: Repair | None = None
        self.load()

    @property
    def state(self) -> S:
        """The live state."""
        state: Any = self.tracker.state
        return state  # type: ignore[no-any-return]

    def load(self) -> None:
        """Forget what is in memory and read the state from the store, repairing what is bad."""
        stored = self.store.load("K", str(self.agent))
        if stored is None:
            head = AgentRow(self.agent, "K", str(self.agent), 0, 0, "active", "")
            stored = StoredAgent(head, {}, {}, [])
        self.version = stored.head.version
        fields = examine(self.store, stored, self.layout, self.unreadable)
        if isinstance(fields, Repair):
            self.repaired = fields
            self.put(fields.delta, fields.name)
            return self.load()
        self.reader = CountingReader(self.store, self.agent)
        self.tracker = StateTracker(
            self.layout, self.agent, fields, stored.shape, self.reader,
            owner=("K", str(self.agent)), largest=self.largest,
        )  # fmt: skip
        return None

    def commit(self, name: str = "turn") -> Delta | None:
        """End a turn; the delta that was committed, or None if nothing changed."""
        delta = self.tracker.collect()
        if delta is not None:
            sequence = self.put(delta, name)
            self.tracker.trim(sequence, sequence)
        return delta

    def put(self, delta: Delta | None, name: str = "turn") -> int:
        """Commit a delta as the next version and return its sequence."""
        self.version += 1
        commit = made(self.agent, self.version, self.store.journal_extent()[1] + 1, delta, name)
        self.store.commit(Batch([commit]))
        return commit.sequence

    def values(self) -> dict[str, object]:
        """Return the live state as plain values."""
        return copy.deepcopy(dump(self.tracker.state))


def made(
    agent: int, version: int, sequence: int, delta: Delta | None = None, name: str = "turn"
) -> Commit:
    """Return a numbered commit of an agent."""
    commit = Commit(
        agent=agent, kind="K", key=str(agent), version=version, time=1.0 * sequence, name=name,
        delta=delta,
    )  # fmt: skip
    commit.sequence = sequence
    return commit
