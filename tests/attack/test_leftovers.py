"""Agents with many rows are deleted in slices: nobody sees what is left, and no kill leaves any."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AgentSystem, Backups, Scope, open_reader
from perdure.actors.cell import deletion as cells
from perdure.persistence.records.records import Commit, Deletion, Message
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Order
from perdure.persistence.sqlite import deletion, store
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.lease import Owner
from perdure.persistence.upkeep.doctor import examine
from perdure.url import open_store
from tests.attack.hoarder import Hoarder, small_slices
from tests.cli.commands import invoke, records
from tests.kit.children import started
from tests.kit.deadline import DEADLINE


@pytest.fixture(scope="module")
def hoard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder with a store that was closed, with an agent of many rows."""
    path = tmp_path_factory.mktemp("hoard") / "h.db"
    assert run(path, "fill", -1) == b"done\n"
    return path.parent


@pytest.fixture
def filled(hoard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of that store, whose agent is deleted in many slices."""
    monkeypatch.setattr(deletion, "ROWS", deletion.ROWS)  # put back at the end
    monkeypatch.setattr(deletion, "FEW", deletion.FEW)
    monkeypatch.setattr(cells, "MOST_KEYS", cells.MOST_KEYS)
    small_slices()
    return Path(shutil.copytree(hoard, tmp_path / "store")) / "h.db"


OWN = Scope.agent("Hoarder", "one")


def run(path: Path, task: str, slices: int) -> bytes:
    """Run a process to its end, or until it kills itself; return what it said."""
    with started("-m", "tests.attack.hoarder", path, task, slices) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        process.wait()
    return said


def holding(path: Path) -> list[str]:
    """Return the files beside a store, and itself, in which a word of the agent's is found."""
    return [each.name for each in path.parent.iterdir() if b"CANARY" in each.read_bytes()]


def rows_of(path: Path) -> int:
    """Return how many rows there are of the agent: state, mail, keys, whoever may see them."""
    with closing(sqlite3.connect(path)) as connection:
        counts = "SELECT count(*) FROM {}".format
        tables = "log_items", "map_entries", "mailbox", "scoped"
        found = (connection.execute(counts(table)) for table in tables)
        return sum(int(each.fetchone()[0]) for each in found)


def look(path: Path, *, erased: bool) -> None:
    """See that nothing of the deleted agent is to be seen, however much of it is left."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT * FROM mail").fetchall() == []
    with closing(open_reader(path)) as reader:
        assert reader.load("Hoarder", "one") is None
        assert [head.key for head in reader.agents()] == []
        assert (reader.mailbox(), reader.counted("mailbox"), reader.mailed(("", ""), 9)) == (
            [], 0, [],
        )  # fmt: skip
        assert reader.keys(SCOPED, None, 9) == reader.page(SCOPED, Order(("expires",)), None, 9)
        assert reader.count(SCOPED, Order(("kind", "id", "part"), OWN.columns)) == 0
        assert reader.row(SCOPED, (*OWN.columns, "more1")) is None
        told = [e.delta for e in reader.journal("Hoarder", "one", limit=10_000)]
        told += [e.delta for e in reader.journal(limit=10_000)]
        assert told
        assert any("CANARY" in delta for delta in told) is not erased
        report = examine(reader)
        assert report.healthy
        assert not any(report.orphans.values())
    with closing(sqlite3.connect(path)) as connection:
        for view in ("logs", "maps"):
            assert connection.execute(f"SELECT count(*) FROM {view}").fetchone() == (0,)  # noqa: S608


@pytest.mark.parametrize("erase", [False, True])
@pytest.mark.parametrize("slices", [0, 1, 5, 9])
def test_a_kill_between_slices(filled: Path, slices: int, *, erase: bool) -> None:
    """What a killed owner has left is seen by nobody, and the next owner removes it."""
    assert run(filled, "erase" if erase else "delete", slices) == b""
    left = rows_of(filled)
    with closing(open_reader(filled)) as reader:
        assert reader.disk().deleted == 1
        assert (reader.disk().copies is not None) is erase
    look(filled, erased=erase)
    with AgentSystem.open(filled, agents=[Hoarder]) as system:
        one = system.agent(Hoarder, "one")
        assert one.call(Hoarder.count).get() == 0  # a new life, of another number
        assert system.idle(DEADLINE)
        assert system._store.disk().deleted == 0
        assert one.call(Hoarder.count).get() == 0
        assert system.state.list(OWN) == []
        one.delete(erase=erase)
    assert rows_of(filled) == 0 < left
    look(filled, erased=erase)
    if erase:
        assert holding(filled) == []


def test_a_slice_leaves_room_for_others(filled: Path) -> None:
    """No transaction of a deletion takes more rows than a slice has."""
    with closing(open_store(filled, sync="process")) as opened:
        taken: list[int] = []
        remove = opened.remove_deleted

        def counted() -> bool:
            before = rows_of(filled)
            more = remove()
            taken.append(before - rows_of(filled))
            return more

        opened.remove_deleted = counted  # type: ignore[method-assign]
        with AgentSystem.open(opened, agents=[Hoarder]) as system:
            before = rows_of(filled)
            assert system.agent(Hoarder, "one").delete() is True
            assert system.idle(DEADLINE)
    assert sum(taken) >= before - 4 * deletion.ROWS  # the others go with the commit
    assert max(taken) <= 4 * deletion.ROWS  # of items, entries, mail and keys


def names(path: Path) -> list[str]:
    """Return who has mail, as the file has it."""
    with closing(sqlite3.connect(path)) as connection:
        return [key for (key,) in connection.execute("SELECT key FROM mailbox ORDER BY id")]


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "delete", "slice", "kill"]),
        st.sampled_from("ab"),
        st.integers(1, 4),
    ),
    max_size=40,
)


@settings(max_examples=40, deadline=None)
@given(steps=STEPS, data=st.data())
def test_mail_is_of_the_life_that_it_was_sent_to(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    """In whichever order messages got their ids and were stored, before and behind deletions."""
    path = tmp_path_factory.mktemp("mail") / "s.db"
    living: dict[str, list[int]] = {"a": [], "b": []}
    free, sequence, agent = data.draw(st.permutations(range(1, 161))), 0, 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deletion, "ROWS", 3)
        opened = open_store(path, sync="process")
        opened.acquire(Owner.this_process())
        for step, key, count in steps:
            sequence += 1
            if step == "send":
                sent, free = free[:count], free[count:]
                sends = [Message(i, "K", key, "", f"{i}", 0, i, 1.0) for i in sent]
                opened.commit(Batch([effects_of(sequence, sends=sends)]))
                living[key] += sent
            elif step == "delete":
                agent += 1
                gone = Deletion(agent, "K", key, erase=False)
                opened.commit(Batch([effects_of(sequence, deleted=gone)]))
                living[key] = []
            elif step == "slice":
                opened.remove_deleted()
            else:
                opened.close()
                opened = open_store(path, sync="process")
                opened.acquire(Owner.this_process(), takeover=True)
            for name, expected in living.items():
                assert [m.id for m in opened.inbox("K", name).messages] == sorted(expected)
                assert opened.counted("mailbox", "K", name) == len(expected)
            there = sorted(i for ids in living.values() for i in ids)
            assert [m.id for m in opened.mailbox(limit=200)] == there
            assert opened.mailed(("", ""), 9) == [("K", n) for n, ids in living.items() if ids]
        while opened.remove_deleted():
            pass
        opened.close()
    assert sorted(names(path)) == sorted(n for n, ids in living.items() for _ in ids)


@pytest.mark.parametrize("way", ["restore", "recover"])
def test_a_backup_between_slices_brings_no_mail_back(filled: Path, way: str) -> None:
    """Made while mail of a deleted agent is left, it gives the later life its own mail alone."""
    backups = Backups(filled.parent / "backups")
    again = filled.parent / "again.db"
    opened = open_store(filled, sync="process")
    opened.remove_deleted = lambda: False  # type: ignore[method-assign]
    with closing(opened), AgentSystem.open(opened, agents=[Hoarder]) as system:
        one = system.agent(Hoarder, "one")
        one.delete()
        system.flush()
        backups.create(filled)
        assert len(names(filled)) > deletion.ROWS
        one.call(Hoarder.count).get()
        one.pause()
        one.cast(Hoarder.hear, "new")
        system.flush()
        last = backups.create(filled, incremental=True).last
    if way == "restore":
        backups.restore(again)
    else:
        backups.recover(again, sequence=last)
    with closing(open_reader(again)) as reader:
        assert [m.body for m in reader.mailbox()] == ['[["new"],{}]']
    with AgentSystem.open(again, agents=[Hoarder]) as system:
        assert system.idle(DEADLINE)
        assert names(again) == ["one"]
        system.agent(Hoarder, "one").resume()
        assert system.agent(Hoarder, "one").call(Hoarder.count).get() == 1


def effects_of(sequence: int, **effects: Any) -> Commit:  # noqa: ANN401 - whatever they are
    """Return a commit of no agent."""
    commit = Commit(name="test", time=1.0)
    commit.sequence = sequence
    for name, value in effects.items():
        setattr(commit.with_effects(), name, value)
    return commit


def test_an_erasure_is_acknowledged_when_all_of_it_is_gone(filled: Path) -> None:
    """The caller is told when no file holds a word any more that SQLite knows of."""
    with AgentSystem.open(filled, agents=[Hoarder]) as system:
        assert system.agent(Hoarder, "one").delete(erase=True) is True
        assert rows_of(filled) == 0
        assert system._store.disk().deleted == 0
        assert not any("CANARY" in e.delta for e in system.journal.each())
    assert holding(filled) == []
    with closing(open_reader(filled)) as reader:
        assert reader.disk().copies is None


def test_copies_are_written_over_by_the_next_owner(filled: Path) -> None:
    """A kill behind an erasure leaves the mark, and the next close writes the file anew."""
    assert run(filled, "erase", 0) == b""
    with AgentSystem.open(filled, agents=[Hoarder]):
        pass
    assert holding(filled) == []
    with closing(open_reader(filled)) as reader:
        assert (reader.disk().copies, reader.disk().deleted) == (None, 0)


def test_a_large_file_is_rewritten_only_when_told(
    filled: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not rewritten at a close; the log, `growth` and the next opening say what to do."""
    monkeypatch.setattr(store, "MOST_REWRITTEN", 1000)
    with AgentSystem.open(filled, agents=[Hoarder]) as system:
        system.agent(Hoarder, "one").delete(erase=True)
    assert "perdure rewrite" in caplog.text
    caplog.clear()
    with AgentSystem.open(filled, agents=[Hoarder]):
        assert "perdure rewrite" in caplog.text
    (report,) = records("growth", "--store", filled)
    assert report["disk"]["copies"] > 0
    assert "perdure rewrite" in invoke("growth", "--store", filled).stdout
    (done,) = records("rewrite", "--store", filled)
    assert done["done"] is True
    assert holding(filled) == []
    (report,) = records("growth", "--store", filled)
    assert (report["disk"]["copies"], report["disk"]["deleted"]) == (None, 0)


def test_who_reads_in_the_log_keeps_the_mark(
    filled: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """While somebody reads, the log cannot be emptied: the mark stays for the next close."""
    with AgentSystem.open(filled, agents=[Hoarder]) as system:
        with closing(sqlite3.connect(filled, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM journal").fetchone()
            system.agent(Hoarder, "one").delete(erase=True)
            assert system.close()
        assert "somebody reads" in caplog.text
    with closing(open_reader(filled)) as reader:
        assert reader.disk().copies is not None
    with closing(open_store(filled, sync="process")) as opened:
        opened.acquire(Owner.this_process())
    assert holding(filled) == []
