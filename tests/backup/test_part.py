"""A part of a store comes back: it is as it was, and the rest is as it is."""

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Backups, Scope, open_reader
from perdure.persistence.backup.part import copied
from perdure.persistence.errors import AgentExists, BackupFailed, ConfigurationError, StoreOwned
from perdure.persistence.sqlite.reader import SqliteReader
from tests.backup.stores import Ledger, LedgerState, contents, fill, opened
from tests.backup.test_identity import STEPS, do
from tests.backup.test_recovery import pictures

START = {"total": "0"}
"""What plain fields begin with; which of these are stored says nothing."""


def state_of(path: Path, key: str) -> tuple[Any, ...] | None:
    """Return what an agent of a store has: its state, its status, its timers, its own keys."""
    with closing(SqliteReader(path)) as reader:
        stored = reader.load("Ledger", key)
        if stored is None:
            return None
        copy = copied(reader, stored)
        with reader.reading() as connection:
            query = "SELECT key, value, expires FROM scoped WHERE kind='agent' AND part=?"
            keys = sorted(connection.execute(query, (key,)).fetchall())
        logs = {name: log for name, log in copy.logs.items() if log}
        maps = {name: entries for name, entries in copy.maps.items() if entries}
        return START | copy.fields, logs, maps, stored.head[5:], stored.timers, keys


@settings(max_examples=8)
@given(steps=STEPS, data=st.data())
def test_an_agent_comes_back_and_the_others_stay(
    steps: list[tuple[str, int, Any]], data: st.DataObject
) -> None:
    """State at a moment equals what is brought back to it, alone and with its whole kind."""
    with tempfile.TemporaryDirectory() as folder:
        path, backups = Path(folder) / "ledger.db", Backups(Path(folder) / "backups")
        moments = []
        with opened(path) as system:
            system.agent(Ledger, "9").call(Ledger.add, 1).get()
            backups.create(path)
            for step, number, value in steps:
                if step == "backup":
                    backups.create(path, incremental=value)
                else:
                    do(system, step, system.agent(Ledger, str(number)), value)
                assert system.idle(20)
                moments.append(pictures(path)[0])
        moment = data.draw(st.sampled_from(moments)) if moments else pictures(path)[0]
        then = Path(folder) / "then.db"
        backups.recover(then, sequence=moment, store=path)
        with closing(open_reader(then)) as reader:
            keys = {head.key for head in reader.agents()}
        key = data.draw(st.sampled_from(sorted(keys)))
        others = {other: state_of(path, other) for other in "0123456789" if other != key}
        backups.bring_back(path, agents=[("Ledger", key)], sequence=moment)
        assert state_of(path, key) == state_of(then, key)
        assert others == {other: state_of(path, other) for other in others}
        backups.take_out(Path(folder) / "new.db", kinds=["Ledger"], sequence=moment, store=path)
        backups.bring_back(path, kinds=["Ledger"], sequence=moment)
        for other in "0123456789":
            assert state_of(path, other) == state_of(then, other)
            assert state_of(Path(folder) / "new.db", other) == state_of(then, other)
        with opened(path) as system:
            assert system.agent(Ledger, key).history()


@pytest.fixture
def store(tmp_path: Path) -> tuple[Path, Backups, int]:
    """Make a store that went on behind a backup; the moment is that of the backup."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    with opened(path) as system:
        system.state.set(Scope.GLOBAL, "rate", 1)
        system.state.set(Scope.user("mira"), "rate", 1)
        system.flush()
    backups.create(path)
    moment = pictures(path)[0]
    with opened(path) as system:
        system.state.set(Scope.GLOBAL, "rate", 2)
        system.state.set(Scope.GLOBAL, "later", 2)
        system.state.set(Scope.user("mira"), "rate", 2)
        system.agent(Ledger, "k1").resume()
        system.agent(Ledger, "k2").call(Ledger.add, 100).get()
        system.agent(Ledger, "k3").delete()
        system.agent(Ledger, "new").call(Ledger.add, 100).get()
        assert system.idle(20)
    return path, backups, moment


def test_a_kind_comes_back(store: tuple[Path, Backups, int]) -> None:
    """Later agents go, deleted ones return, each is counted; what was is in a pinned backup."""
    path, backups, moment = store
    before = contents(path)
    done = backups.bring_back(path, kinds=["Ledger"], sequence=moment)
    counts = done.counts
    assert (counts.changed, counts.same, counts.returned, counts.removed) == (2, 2, 1, 1)
    assert (counts.messages, counts.left) == (0, 1)
    backups.restore(path.with_name("before.db"), done.safety)
    assert contents(path.with_name("before.db")) == before
    assert [each.name for each in backups.list() if each.pinned] == [done.safety]
    with opened(path) as system:
        assert {row.key for row in system.agents.each()} == {f"k{n}" for n in range(5)}
        assert system.agent(Ledger, "k2").history()[-1].name == "(bring back)"
        assert any(entry.operation == "backup.bring_back" for entry in system.audit.each())
        assert system.state.get(Scope.GLOBAL, "rate") == 2


def test_mail_comes_back_where_it_is_asked_for(store: tuple[Path, Backups, int]) -> None:
    """A message that waited then is handled again by an agent that is as it was then."""
    path, backups, moment = store
    done = backups.bring_back(path, agents=[("Ledger", "k1")], sequence=moment, mail=True)
    assert (done.counts.messages, done.counts.left) == (1, 0)
    with opened(path) as system:
        ledger = system.agent(Ledger, "k1")
        then = ledger.state_at(ledger.history()[-1].version)
        assert isinstance(then, LedgerState)
        ledger.resume()
        assert system.idle(20)
        assert ledger.call(Ledger.add, 0).get() == then.total + 5


def test_scopes_come_back(store: tuple[Path, Backups, int]) -> None:
    """Keys of the scopes are as they were, later ones go; other scopes and agents stay."""
    path, backups, moment = store
    done = backups.bring_back(path, scopes=[Scope.GLOBAL], sequence=moment)
    assert done.counts.keys == 2
    with opened(path) as system:
        assert system.state.get(Scope.GLOBAL, "rate") == 1
        assert not system.state.exists(Scope.GLOBAL, "later")
        assert system.state.get(Scope.user("mira"), "rate") == 2
        assert system.agent(Ledger, "new").call(Ledger.add, 0).get() == 100


def test_an_agent_is_forked_out_of_a_backup(store: tuple[Path, Backups, int]) -> None:
    """A new agent begins with what the other was; that one, and a taken key, are left alone."""
    path, backups, _ = store
    was = state_of(path, "k2")
    (backup,) = backups.list()
    backups.fork(path, ("Ledger", "k2"), "k2-before", name=backup.name)
    assert state_of(path, "k2") == was
    with opened(path) as system:
        assert system.agent(Ledger, "k2-before").call(Ledger.add, 0).get() == 2 + 7 + 12 + 17
    rows = contents(path)
    with pytest.raises(AgentExists):
        backups.fork(path, ("Ledger", "k2"), "k4", name=backup.name)
    assert contents(path) == rows


def test_nothing_changes_where_it_is_refused(store: tuple[Path, Backups, int]) -> None:
    """Nothing to bring back, nobody of that name, an owner, another store, damage: as before."""
    path, backups, moment = store
    rows = contents(path)
    with pytest.raises(ConfigurationError, match="nothing is to be"):
        backups.bring_back(path, sequence=moment)
    with pytest.raises(ConfigurationError, match="no agent Ledger/new"):
        backups.bring_back(path, agents=[("Ledger", "new")], sequence=moment)
    with pytest.raises(ConfigurationError, match="of kind Desk"):
        backups.bring_back(path, kinds=["Desk"], sequence=moment)
    with pytest.raises(ConfigurationError, match="give one of"):
        backups.bring_back(path, kinds=["Ledger"])
    with opened(path), pytest.raises(StoreOwned):
        backups.bring_back(path, kinds=["Ledger"], sequence=moment)
    assert contents(path) == rows
    for file in path.with_name("backups").glob("*.backup"):
        file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BackupFailed, match="no good backup"):
        backups.bring_back(path, kinds=["Ledger"], sequence=moment)
    assert contents(path) == rows


def test_a_damaged_agent_comes_back(store: tuple[Path, Backups, int]) -> None:
    """What it has now is not needed for that; mail that waits goes on waiting."""
    path, backups, moment = store
    with opened(path) as system:
        system.agent(Ledger, "k2").pause()
        system.agent(Ledger, "k2").cast(Ledger.add, 1000)
        system.flush()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        agent = "SELECT agent FROM agents WHERE key = 'k2'"
        connection.execute(f"UPDATE fields SET value = '7' WHERE agent = ({agent})")  # noqa: S608
    backups.bring_back(path, agents=[("Ledger", "k2")], sequence=moment)
    with opened(path) as system:
        assert system.idle(20)
        assert system.agent(Ledger, "k2").call(Ledger.add, 0).get() == 2 + 7 + 12 + 17 + 1000
