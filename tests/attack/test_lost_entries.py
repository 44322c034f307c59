"""An index that has lost an entry: SQLite believes it, so its owner compares before it does."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, State, open_reader
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import StoreUnavailable
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.upkeep.doctor import examine
from tests.kit.deadline import DEADLINE


class Count(State):
    count: int = 0


class Counter(Agent[Count]):
    """Counts."""

    def add(self) -> int:
        self.state.count += 1
        return self.state.count

    def add_soon(self) -> None:
        self.after(30.0, Counter.add)


KEYS = ("a", "b", "c")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a store of three agents, each with a message and a timer that are to come."""
    path = tmp_path / "s.db"
    with AgentSystem.open(path, agents=[Counter]) as system:
        for key in KEYS:
            counter = system.agent(Counter, key)
            counter.call(Counter.add).get()
            counter.pause()
            counter.cast(Counter.add)
        assert system.flush(DEADLINE)
    return path


def lose(path: Path, table: str, where: str) -> None:
    """Have the index by which rows of a table are found lose one of them."""
    unique = ", UNIQUE (kind, key)"
    index = f"type = 'index' AND tbl_name = '{table}'"
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute(f"SELECT * FROM {table} WHERE {where}").fetchall()  # noqa: S608
        assert len(rows) == 1
        connection.execute(f"DELETE FROM {table} WHERE {where}")  # noqa: S608
        connection.commit()
        connection.execute("PRAGMA writable_schema = ON")
        kept = connection.execute(f"SELECT * FROM sqlite_schema WHERE {index}").fetchall()  # noqa: S608
        connection.execute(f"DELETE FROM sqlite_schema WHERE {index}")  # noqa: S608
        (made,) = connection.execute(
            "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?", (table,)
        ).fetchone()
        change = "UPDATE sqlite_schema SET sql = ? WHERE type = 'table' AND name = ?"
        connection.execute(change, (made.replace(unique, ""), table))
        connection.commit()
    with closing(sqlite3.connect(path)) as connection:  # which knows nothing of the index
        marks = ", ".join("?" * len(rows[0]))
        connection.execute(f"INSERT INTO {table} VALUES ({marks})", rows[0])  # noqa: S608
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(change, (made, table))
        connection.executemany("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", kept)
        connection.commit()


def test_an_agent_is_found_that_its_index_has_lost(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Before an agent begins anew its owner sees whether it was lost, and mends the index."""
    lose(path, "agents", "key = 'b'")
    with closing(open_reader(path)) as reader:
        assert reader.load("Counter", "b") is None  # nobody would notice
        assert not examine(reader).healthy
    with AgentSystem.open(path, agents=[Counter]) as system:
        assert system.agent(Counter, "new").call(Counter.add).get(timeout=DEADLINE) == 1
        for key in KEYS:
            system.agent(Counter, key).resume(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        for key in KEYS:
            assert system.agent(Counter, key).call(Counter.add).get(timeout=DEADLINE) == 3
        assert system.agents.count() == 4
    assert "is damaged and is mended" in caplog.text
    with closing(open_reader(path)) as reader:
        assert examine(reader).healthy


def test_mail_is_delivered_that_its_index_has_lost(path: Path) -> None:
    """The owner looks before it takes the mail of the one before for all there is."""
    lose(path, "mailbox", "key = 'c'")
    with AgentSystem.open(path, agents=[Counter]) as system:
        system.agent(Counter, "c").resume(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert system.agent(Counter, "c").call(Counter.add).get(timeout=DEADLINE) == 3


def test_a_timer_comes_that_its_index_has_lost(tmp_path: Path) -> None:
    """The owner looks before it takes the timers that are due for all there are."""
    path, clock = tmp_path / "t.db", VirtualClock()
    with AgentSystem.open(path, agents=[Counter], clock=clock) as system:
        system.agent(Counter, "t").call(Counter.add_soon).get(timeout=DEADLINE)
    lose(path, "timers", "key = 't'")
    clock = VirtualClock(clock.now() + 60)
    with AgentSystem.open(path, agents=[Counter], clock=clock) as system:
        while system.timers.count():
            system.idle(DEADLINE)
        assert system.agent(Counter, "t").call(Counter.add).get(timeout=DEADLINE) == 2


def test_what_cannot_be_mended_begins_no_agent(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the index is not mended a name that is not found is refused, not given away."""
    lose(path, "agents", "key = 'b'")
    monkeypatch.setattr(SqliteStore, "_mend", lambda *_: False)
    logging.getLogger("perdure").setLevel(logging.CRITICAL)
    try:
        with AgentSystem.open(path, agents=[Counter]) as system:
            for key in ("b", "new"):
                with pytest.raises(StoreUnavailable, match="damaged"):
                    system.agent(Counter, key).call(Counter.add).get(timeout=DEADLINE)
    finally:
        logging.getLogger("perdure").setLevel(logging.NOTSET)
