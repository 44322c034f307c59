"""A store's file comes from elsewhere, with triggers and other things that act on our tables."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from perdure import AgentSystem, Backoff, Breaker, Saving
from perdure.persistence.errors import CorruptState, StoreUnavailable
from perdure.persistence.sqlite import schema
from perdure.url import open_reader
from tests.attack.agents import AGENTS, Tally

REFUSED = {
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON agents BEGIN SELECT 1; END",
    "a trigger on a shared table": "CREATE TRIGGER t AFTER DELETE ON grants BEGIN SELECT 1; END",
    "a trigger in other letters": 'CREATE TRIGGER t BEFORE UPDATE OF reason ON "AGENTS"'
    " BEGIN SELECT 1; END",
    "a unique index": "CREATE UNIQUE INDEX i ON agents (kind)",
    "an index of expressions": "CREATE INDEX i ON journal (abs(sequence))",
    "a partial index": "CREATE INDEX i ON mailbox (name) WHERE abs(cause) > 1",
    "a generated column": "ALTER TABLE scoped ADD COLUMN g AS (abs(version))",
    "one more column": "ALTER TABLE agents ADD COLUMN g DEFAULT 1",
    "a view in place of a table": "DROP TABLE dead_letters;"
    "CREATE VIEW dead_letters AS SELECT * FROM mailbox",
    "no table": "DROP TABLE grants",
    "a table without its key": "DROP TABLE quarantine;"
    "CREATE TABLE quarantine (agent, place, value, reason, time)",
    "a trigger that its row denies": "CREATE TABLE theirs (a);"
    "CREATE TRIGGER t AFTER INSERT ON agents BEGIN SELECT 1; END;"
    "PRAGMA writable_schema = ON;"
    "UPDATE sqlite_schema SET tbl_name = 'theirs' WHERE name = 't'",
    "a trigger behind a comment": "CREATE TABLE theirs (a);"
    "CREATE TRIGGER t /* ON theirs */ AFTER INSERT ON -- theirs\n agents BEGIN SELECT 1; END;"
    "PRAGMA writable_schema = ON;"
    "UPDATE sqlite_schema SET tbl_name = 'theirs' WHERE name = 't'",
}
REASON = r"not (perdure's|as perdure makes it): the |malformed database schema \(t\)"
"""The second is SQLite's own, where it sees through a row that lies."""
ALLOWED = (
    "CREATE TABLE theirs (a UNIQUE, b AS (a + 1), c REFERENCES agents ON DELETE CASCADE)",
    "CREATE INDEX i ON theirs (abs(a)) WHERE a > 1",
    "CREATE TRIGGER t AFTER INSERT ON theirs BEGIN UPDATE theirs SET a = 1; END",
    "CREATE VIEW names AS SELECT kind, key FROM agents",
    "CREATE INDEX by_time ON journal (time)",
    'CREATE INDEX "by name" ON "journal" ([name] COLLATE NOCASE DESC, agent)',
    "ANALYZE",
)


def opened(store: Path) -> AgentSystem:
    """Open a store for a system that soon tries again."""
    return AgentSystem.open(
        store,
        agents=AGENTS,
        saving=Saving(
            backoff=Backoff(first=0.01, longest=0.02), breaker=Breaker(failures=2, reset_after=0.05)
        ),
    )


def add(system: AgentSystem) -> int:
    """Ask a tally to add 1; return how many times it has."""
    return system.agent(Tally, "t").call(Tally.add, 1).get()


def alter(store: Path, script: str) -> None:
    """Change the file with another connection."""
    with closing(sqlite3.connect(store)) as connection:
        connection.executescript(script)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Return a store with one agent."""
    path = tmp_path / "store.db"
    with opened(path) as system:
        assert add(system) == 1
    return path


@pytest.mark.parametrize("planted", REFUSED)
def test_what_acts_on_our_tables_is_refused(store: Path, planted: str) -> None:
    """A file with a trigger, index, view or column of somebody else on our tables is not opened."""
    alter(store, REFUSED[planted])
    before = store.read_bytes()
    for opening in (opened, open_reader):
        with pytest.raises((CorruptState, StoreUnavailable), match=REASON):
            opening(store)
    assert store.read_bytes() == before


def test_what_stands_beside_our_tables_is_allowed(store: Path) -> None:
    """Tables of others may have what they like, and plain indexes may help to find our rows."""
    for statement in ALLOWED:
        alter(store, statement)
    with opened(store) as system:
        assert add(system) == 2
    with closing(open_reader(store)) as reader:
        assert [row.version for row in reader.agents()] == [2]


def test_a_schema_of_bytes_is_read_as_sqlite_reads_it(store: Path) -> None:
    """What the schema holds as bytes, as after a flipped bit, hides no trigger and stops nobody."""
    with closing(sqlite3.connect(store)) as connection:
        connection.executescript(
            "PRAGMA writable_schema = ON;"
            "UPDATE sqlite_schema SET type = CAST(type AS BLOB), sql = CAST(sql AS BLOB)"
            " WHERE sql IS NOT NULL;"
        )
    with opened(store) as system:
        assert system.agents.count() > 0
    with closing(sqlite3.connect(store)) as connection:
        connection.executescript(
            "CREATE TRIGGER t AFTER INSERT ON agents BEGIN SELECT 1; END;"
            "PRAGMA writable_schema = ON;"
            "UPDATE sqlite_schema SET sql = CAST(sql AS BLOB) WHERE name = 't';"
        )
    with pytest.raises(CorruptState, match=REASON):
        opened(store)


def test_what_is_planted_in_an_open_store_does_not_run(store: Path) -> None:
    """A trigger that another program makes meanwhile stops all saves, aloud, until it is gone."""
    with opened(store) as system:
        assert add(system) == 2
        alter(store, "CREATE TABLE theirs (a)")
        assert add(system) == 3
        planted = "AFTER INSERT ON journal BEGIN INSERT INTO theirs VALUES (NEW.delta); END"
        alter(store, f"CREATE TRIGGER t {planted}")
        with pytest.raises(StoreUnavailable, match="not perdure's: the trigger t on the table j"):
            add(system)
        alter(store, "DROP TRIGGER t")
        assert system.idle(20.0)
        assert add(system) == 5
    with closing(sqlite3.connect(store)) as connection:
        assert connection.execute("SELECT * FROM theirs").fetchall() == []


def test_the_look_at_the_schema_costs_little(store: Path) -> None:
    """It takes less than a millisecond, so opening a store takes no longer than before."""
    with closing(sqlite3.connect(store)) as connection:
        assert schema.check(connection, "store")
        best = 1.0
        for _ in range(50):
            started = time.perf_counter()
            schema.check(connection, "store")
            best = min(best, time.perf_counter() - started)
    assert best < 0.001
