"""G9: a name in the store leads to a method of the agent's class, and to nothing else."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, State, VirtualClock
from perdure.persistence.records import checksums
from perdure.persistence.records.records import Message, Timer
from tests.kit.signals import Told

HACKED = "name_from_the_store"


class Count(State):
    """One number."""

    n: int = 0


class Counter(Agent[Count]):
    """Count."""

    def add(self) -> int:
        """Count one more."""
        self.state.n += 1
        return self.state.n

    def _own(self) -> None:
        """Be called by a timer."""
        self.state.n += 10

    def remind(self) -> None:
        """Have a method called that is nobody else's business."""
        self.after(0, self._own)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("__setattr__", '["key", "evil"]'),
        ("__init__", "[]"),
        ("add.__globals__.setdefault", f'["{HACKED}"]'),
        ("add.__call__", "[]"),
        ("_stop", "[]"),
    ],
)
def test_stored_names_lead_to_methods_only(tmp_path: Path, name: str, arguments: str) -> None:
    """Mail and timers that name the inside of Python or of an actor end as dead letters, unrun."""
    store = tmp_path / "names.db"
    with AgentSystem.open(store, agents=[Counter]) as system:
        system.agent(Counter, "a").call(Counter.add).get()
    body = f"[{arguments},{{}}]"
    with contextlib.closing(sqlite3.connect(store, isolation_level=None)) as connection:
        mail = Message(1, "Counter", "a", name, body, 0, 0, 0.0)
        timer = Timer("Counter", "a", "t", name, body, 1.0, None, "one")
        for table, record in (("mailbox", mail), ("timers", timer)):
            row = (*record, checksums.of_record(record))
            marks = ", ".join("?" * len(row))
            connection.execute(f"INSERT INTO {table} VALUES ({marks})", row)  # noqa: S608
    with Told("message_dead") as told, AgentSystem.open(store, agents=[Counter]) as system:
        told.wait("message_dead", 2)  # a timer that is due is no work before it is delivered
        assert system.idle(timeout=10)
        counter = system.agent(Counter, "a")
        assert counter.proxy().key.get() == "a"
        assert counter.call(Counter.add).get() == 2
        dead = system._store.dead_letters()
    assert [letter.name for letter in dead] == [name, name]
    assert HACKED not in globals()


def test_a_timer_may_call_a_private_method() -> None:
    """A private method of the agent's own class can be the target of its timers."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Counter], clock=clock) as system:
        system.agent(Counter, "a").call(Counter.remind).get()
        clock.advance(0)
        assert system.idle(timeout=10)
        assert system.agent(Counter, "a").call(Counter.add).get() == 11
