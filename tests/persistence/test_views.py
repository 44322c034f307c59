"""The views of a store's file: what people read by hand is what the readers give."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, JournalEntry, Log, Map, RestartPolicy, State
from tests.kit.deadline import DEADLINE


class Notes(State):
    """A field of every sort."""

    count: int = 0
    lines: Log[str] = Log.field()
    owners: Map[str, int] = Map.field()


class Desk(Agent[Notes]):
    """Leaves something of everything in the store."""

    restarts = RestartPolicy(attempts=1)

    def work(self, name: str) -> None:
        """Change the state, and set a timer."""
        self.state.count += 1
        self.state.lines.append(name)
        self.state.owners[name] = self.state.count
        self.every(3600.0, self.work, "tick", name=name)

    def fail(self) -> None:
        """Become a dead letter."""
        raise LookupError("no")


@pytest.fixture
def system(tmp_path: Path) -> Iterator[AgentSystem]:
    """Give a system with two agents, whose mail waits, and one that was deleted."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Desk]) as system:
        for key in ("a", "b"):
            desk = system.agent(Desk, key)
            desk.call(Desk.work, f"{key}1").get()
            desk.call(Desk.work, f"{key}2").get()
            desk.cast(Desk.fail)
            assert system.idle(DEADLINE)
            desk.pause()
            desk.cast(Desk.work, "waits")
        system.agent(Desk, "gone").call(Desk.work, "x").get()
        system.delete(Desk, "gone")
        assert system.flush(DEADLINE)
        yield system


def rows(system: AgentSystem, query: str) -> list[tuple[object, ...]]:
    """Ask the file as anybody may."""
    location = Path(system._store.location).absolute()
    with closing(sqlite3.connect(f"file:{location}?mode=ro", uri=True)) as file:
        return file.execute(query).fetchall()


def near(text: object, moment: float) -> bool:
    """Tell whether a readable time in UTC is a moment, to the second."""
    read = datetime.strptime(str(text), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return abs(read.timestamp() - moment) <= 1.0


def test_states_stand_in_views(system: AgentSystem) -> None:
    """Fields, items of logs and entries of maps have their agent's kind and key beside them."""
    assert rows(system, "SELECT kind, key, value FROM state WHERE field = 'count'") == [
        ("Desk", "a", "2"), ("Desk", "b", "2"),
    ]  # fmt: skip
    assert rows(system, "SELECT kind, key, field, position, value FROM logs") == [
        ("Desk", key, "lines", n, f'"{key}{n + 1}"') for key in "ab" for n in range(2)
    ]
    assert rows(system, "SELECT kind, key, field, entry, value FROM maps") == [
        ("Desk", key, "owners", f"{key}{n}", str(n)) for key in "ab" for n in (1, 2)
    ]


def test_what_waits_stands_in_views(system: AgentSystem) -> None:
    """Mail, timers and dead letters are those of the lists, with times that can be read."""
    assert [system.mail.count(), system.timers.count(), system.dead_letters.count()] == [2, 4, 2]
    for (*columns, at), mail in zip(
        rows(system, "SELECT id, kind, key, name, body, sent_at FROM mail ORDER BY id"),
        system.mail.list(),
        strict=True,
    ):
        assert columns == [mail.id, mail.kind, mail.key, mail.name, mail.body]
        assert near(at, mail.sent)
    for (*columns, at), timer in zip(
        rows(system, "SELECT kind, key, name, method, interval, due_at FROM schedule ORDER BY 3"),
        sorted(system.timers.list(), key=lambda timer: timer.name),
        strict=True,
    ):
        assert columns == [timer.kind, timer.key, timer.name, "work", 3600.0]
        assert near(at, timer.due)
    for (*columns, at), letter in zip(
        rows(system, "SELECT id, kind, key, name, attempts, reason, died_at FROM letters"),
        system.dead_letters.list(),
        strict=True,
    ):
        assert columns == [letter.id, letter.kind, letter.key, "fail", 1, letter.reason]
        assert near(at, letter.died)


def test_the_journal_stands_in_a_view(system: AgentSystem) -> None:
    """Each commit is there with its agent's name, also that of an agent which was deleted."""
    found = rows(
        system, "SELECT sequence, kind, key, version, name, delta, at FROM history ORDER BY 1"
    )
    entries: list[JournalEntry] = list(system.journal.each())
    for (*columns, at), entry in zip(found, entries, strict=True):
        assert columns == [
            entry.sequence, entry.kind, entry.key, entry.version, entry.name, entry.delta,
        ]  # fmt: skip
        assert near(at, entry.time)
    assert ("Desk", "gone") in {(entry.kind, entry.key) for entry in entries}
