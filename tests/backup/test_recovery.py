"""Back to any commit: as it was then, whatever came later."""

import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from perdure import Backups, open_reader
from perdure.persistence.backup import replace
from perdure.persistence.backup.moments import newest_in
from perdure.persistence.errors import (
    BackupDamaged,
    BackupFailed,
    ConfigurationError,
    StoreOwned,
)
from perdure.persistence.sqlite.reader import SqliteReader
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.lease import Owner
from tests.backup.stores import Ledger, LedgerState, contents, fill, opened
from tests.backup.test_identity import STEPS, do
from tests.cli.commands import invoke

EXACT = (
    "agents", "fields", "log_items", "map_entries", "journal", "scoped", "owners", "grants",
    "boundaries", "isolated", "sessions", "artifacts", "artifact_names", "artifact_tags", "audit",
    "tombstones", "quarantine", "mailbox", "timers", "dead_letters", "postings",
)  # fmt: skip
"""The tables that are exact at any moment."""


def pictures(path: Path) -> tuple[int, dict[str, list[tuple[Any, ...]]]]:
    """Return the last commit of a store, and what is in it."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        last = newest_in(connection)
    return last, contents(path)


def exact(
    rows: dict[str, list[tuple[Any, ...]]], erased: frozenset[tuple[int, str]] = frozenset()
) -> dict[str, list[tuple[Any, ...]]]:
    """Return the tables that are exact, without what is left of agents that were erased since."""
    found = {name: rows[name] for name in EXACT}
    numbers, keys = {number for number, _ in erased}, {key for _, key in erased}
    for name in ("agents", "fields", "log_items", "map_entries"):
        found[name] = [row for row in found[name] if row[0] not in numbers]
    found["journal"] = [row for row in found["journal"] if row[1] not in numbers]
    for name, at in (("mailbox", 2), ("dead_letters", 2), ("timers", 1)):
        found[name] = [row for row in found[name] if row[at] not in keys]
    if erased:  # what they had there is gone since
        del found["postings"]
    return found


@settings(max_examples=10)
@given(steps=STEPS)
def test_a_store_at_a_commit_is_what_it_was_then(steps: list[tuple[str, int, Any]]) -> None:
    """After each step a picture; every one of them comes back, from backups and the journal."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.db"
        backups = Backups(Path(folder) / "backups")
        seen: dict[int, dict[str, list[tuple[Any, ...]]]] = {}
        with opened(path) as system:
            system.agent(Ledger, "9").call(Ledger.add, 1).get()
            backups.create(path)
            for step, number, value in steps:
                if step == "backup":
                    backups.create(path, incremental=value)
                else:
                    do(system, step, system.agent(Ledger, str(number)), value)
                assert system.idle(20)
                last, rows = pictures(path)
                seen[last] = rows
        end = seen[max(seen)]["tombstones"] if seen else []
        erased = frozenset((row[0], row[2]) for row in end if row[5])
        for number, (last, rows) in enumerate(seen.items()):
            target = Path(folder) / f"{number}.db"
            found = backups.recover(target, sequence=last, store=path)
            assert found.last == last
            there = contents(target)
            if found.erased:  # again: that is in the audit, and leaves a tombstone
                rows |= {name: there[name] for name in ("audit", "tombstones")}
            assert not found.unknown
            assert exact(there, erased) == exact(rows, erased)
            assert set(there["contents"]) >= set(rows["contents"])


def test_between_two_backups_without_the_store(tmp_path: Path) -> None:
    """The journal of the next backup does as well; what is behind the last one needs the store."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    backups.create(path)
    with opened(path) as system:
        ledger = system.agent(Ledger, "k0")
        for number in range(10):
            ledger.call(Ledger.add, number).get()
        then, rows = pictures(path)
        ledger.call(Ledger.add, 1).get()
        backups.create(path, incremental=True)
        ledger.call(Ledger.add, 1).get()
    found = backups.recover(tmp_path / "then.db", sequence=then)
    assert (found.last, found.unknown) == (then, ())
    assert contents(tmp_path / "then.db") == rows
    with pytest.raises(BackupFailed, match="give the store"):
        backups.recover(tmp_path / "now.db", sequence=then + 2)
    assert backups.recover(tmp_path / "now.db", sequence=then + 2, store=path).last == then + 2
    with pytest.raises(BackupFailed, match="is in no copy"):
        backups.recover(tmp_path / "later.db", sequence=then + 1000, store=path)
    with pytest.raises(BackupFailed, match="earliest"):
        backups.recover(tmp_path / "earlier.db", sequence=1)
    with pytest.raises(ConfigurationError, match="give one of"):
        backups.recover(tmp_path / "never.db")


def test_to_a_time(tmp_path: Path) -> None:
    """The last commit up to a time is found by the journal's times."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    backups.create(path)
    with opened(path) as system:
        for number in range(5):
            system.agent(Ledger, "k0").call(Ledger.add, number).get()
        entries = list(system.journal.each())
    wanted = entries[-3]
    found = backups.recover(tmp_path / "then.db", time=wanted.time, store=path)
    last = max(e.sequence for e in entries if e.time <= wanted.time)
    with closing(open_reader(tmp_path / "then.db")) as reader:
        assert reader.journal(newest=True, limit=1)[0].sequence == last
    assert last <= found.last < min(e.sequence for e in entries if e.time > wanted.time)


def test_what_came_and_went_comes_back(tmp_path: Path) -> None:
    """Messages, a timer and a dead letter that were there then, and that no copy has any more."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    with opened(path) as system:
        backups.create(path)
        ledger = system.agent(Ledger, "k1")
        ledger.cast(Ledger.add, 5)  # it is paused
        assert system.idle(20)
        other = system.agent(Ledger, "k2")
        other.call(Ledger.send, "k1", 7).get()
        other.call(Ledger.wait, "late").get()
        other.cast(Ledger.refuse)
        assert system.idle(20)
        then, rows = pictures(path)
        assert (len(rows["mailbox"]), len(rows["dead_letters"])) == (3, 1)
        ledger.resume()
        other.call(Ledger.forget, "late").get()
        system.dead_letters.discard(system.dead_letters.list()[0].id)
        assert system.idle(20)
        for _ in range(5):  # also what came and went in one batch
            other.call(Ledger.send, "k3", 1).get()
        assert system.idle(20)
        later, later_rows = pictures(path)
        other.cast(Ledger.add, 1)
        system.agent(Ledger, "k1").delete()
        backups.create(path)
    for moment, expected in ((then, rows), (later, later_rows)):
        found = backups.recover(tmp_path / f"{moment}.db", sequence=moment)
        assert not found.unknown
        assert exact(contents(tmp_path / f"{moment}.db")) == exact(expected)
    with opened(tmp_path / f"{then}.db") as system:
        ledger = system.agent(Ledger, "k1")
        before = ledger.state_at(ledger.history()[-1].version)
        assert isinstance(before, LedgerState)
        ledger.resume()
        assert system.idle(20)
        assert ledger.call(Ledger.add, 0).get() == before.total + 5 + 5 + 7


def test_within_a_batch(tmp_path: Path) -> None:
    """At every commit of a burst: what is sent and not handled yet waits, nothing is lost."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    backups.create(path)
    with opened(path) as system:
        first = pictures(path)[0]
        for number in range(20):
            system.agent(Ledger, f"k{number % 5}").cast(Ledger.send, "k0", 1)
        assert system.idle(20)
        entries = list(system.journal.each())
    backups.create(path)
    start = sum(
        entry.name == "add" and entry.key == "k0" for entry in entries if entry.sequence <= first
    )
    done = 0
    for entry in entries[-30::7]:
        target = tmp_path / f"{entry.sequence}.db"
        found = backups.recover(target, sequence=entry.sequence)
        assert not found.unknown
        upto = [each for each in entries if first < each.sequence <= entry.sequence]
        sent = sum(each.name == "send" for each in upto)
        added = sum(each.name == "add" for each in upto)
        waiting = [row for row in contents(target)["mailbox"] if row[3] == "add"]
        done += 1
        assert sent == added + len([row for row in waiting if row[5] > first])
    assert (start >= 0, done) == (True, 5)


def test_a_gap_is_refused(tmp_path: Path) -> None:
    """A journal that was trimmed past the backup, and one of another store, are refused."""
    path, other = tmp_path / "ledger.db", tmp_path / "other.db"
    backups = Backups(tmp_path / "backups")
    fill(path)
    fill(other, 200)
    backups.create(path)
    with opened(path, keep=5) as system:
        for number in range(3_000):
            system.agent(Ledger, "k0").cast(Ledger.add, number)
        assert system.idle(60)
    last, _ = pictures(path)
    (base,) = backups.list()
    for moment in (
        {"sequence": last}, {"sequence": base.last + 1}, {"time": base.last_time + 1e-3},
    ):  # fmt: skip
        with pytest.raises(BackupFailed, match="does not reach back"):
            backups.recover(tmp_path / "then.db", **moment, store=path)
    with pytest.raises(BackupFailed, match="no continuation"):
        backups.recover(tmp_path / "then.db", sequence=300, store=other)
    assert not (tmp_path / "then.db").exists()


def test_what_is_brought_back_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although it was backed up while it was owned, and has the number of that file by chance."""
    monkeypatch.setattr(SqliteReader, "identity", lambda _store: "1:1")
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    with opened(path) as system:
        for amount in (1, 2):
            backups.create(path)
            system.agent(Ledger, "k0").call(Ledger.add, amount).get()
        moment = pictures(path)[0] - 1
        backups.create(path)
    witness = tmp_path / "then.db-witness"  # of a file that is gone
    witness.write_bytes(path.with_name("ledger.db-witness").read_bytes())
    backups.restore(tmp_path / "then.db", backups.list()[0].name)
    assert not witness.exists()
    backups.recover(tmp_path / "between.db", sequence=moment)
    for name in ("then.db", "between.db"):
        opened(tmp_path / name).close()


@pytest.mark.parametrize("meanwhile", [False, True])
def test_an_erasure_is_known_however_much_is_trimmed(tmp_path: Path, *, meanwhile: bool) -> None:
    """Also where no backup was made before its entries were gone; and no file says the name."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    backups = Backups(folder)
    fill(path)
    first = backups.create(path)
    with opened(path) as system:
        for key in ("k2", "k4"):
            system.agent(Ledger, key).call(Ledger.note, f"of {key}").get()
            system.agent(Ledger, key).delete(erase=True)
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
    if meanwhile:
        backups.create(path, incremental=True)
    trimmed(path)
    with opened(path) as system:
        system.agent(Ledger, "k4").call(Ledger.add, 1).get()  # a later life
    names = ("Ledger/k2", "Ledger/k4")
    then = backups.recover(tmp_path / "then.db", sequence=first.last, store=path)
    assert then.erased == names
    for number in range(2):
        backups.create(path, incremental=True)
        listed = (folder / "erased").read_bytes()
        assert listed.count(b'"sequence"') == (4 if meanwhile else 2)
        assert b"k2" not in listed
        restored = tmp_path / f"{number}.db"
        assert backups.restore(restored, first.name).erased == names
        with opened(restored) as system:
            assert not {"k2", "k4"} & {row.key for row in system.agents.each()}
    assert backups.restore(tmp_path / "end.db").erased == ()
    assert {each.before for each in backups.rewrite()} >= {first.name}


def trimmed(path: Path) -> None:
    """Have the journal keep nothing of before; the names of who was erased are gone then."""
    with closing(SqliteStore(path)) as store:
        store.acquire(Owner.this_process())
        store.trim_journal(store.journal_extent()[1], 10_000)
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT kind, key, erased FROM tombstones").fetchall()
    assert [(kind, erased, "k2" in key) for kind, key, erased in kept] == [("", 2, False)] * 2


def test_an_erased_agent_does_not_come_back(tmp_path: Path) -> None:
    """Older backups, and moments before its erasure, come back without it; later lives stay."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    backups = Backups(folder)
    fill(path)
    first = backups.create(path)
    with opened(path) as system:
        ledger = system.agent(Ledger, "k2")
        ledger.call(Ledger.note, "of a private kind").get()
        then = system.journal.list(newest=True)[0].sequence
        ledger.delete(erase=True)
        system.agent(Ledger, "k3").call(Ledger.add, 1).get()
    names = backups.recover(tmp_path / "a.db", sequence=then, store=path).erased
    backups.create(path, incremental=True)
    with opened(path) as system:
        system.agent(Ledger, "k2").call(Ledger.add, 1).get()
    backups.create(path, incremental=True)
    assert b"k2" not in (folder / "erased").read_bytes()
    assert backups.restore(tmp_path / "b.db", first.name).erased == names == ("Ledger/k2",)
    assert backups.recover(tmp_path / "c.db", sequence=then).erased == names
    assert backups.restore(tmp_path / "d.db").erased == ()
    for file, there in (("a.db", False), ("b.db", False), ("c.db", False), ("d.db", True)):
        with opened(tmp_path / file) as system:
            assert any(row.key == "k2" for row in system.agents.each()) is there, file
        data = (tmp_path / file).read_bytes()
        assert b"of a private kind" not in data
    (folder / "erased").write_bytes(b"{")
    with pytest.raises(BackupDamaged, match="erased agents is damaged"):
        backups.restore(tmp_path / "e.db", first.name)


def test_a_store_goes_back_in_its_place(tmp_path: Path) -> None:
    """It is as it was then, and what it was is a pinned backup; a refusal changes nothing."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    backups = Backups(folder)
    fill(path)
    backups.create(path)
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        system.flush()
        then, rows = pictures(path)
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
        with pytest.raises(StoreOwned):
            backups.go_back(path, sequence=then)
    before = contents(path)
    with pytest.raises(BackupFailed):
        backups.go_back(path, sequence=then + 1000)
    assert contents(path) == before
    (tmp_path / "ledger.db-shm").unlink(missing_ok=True)
    (tmp_path / "ledger.db-wal").unlink(missing_ok=True)
    result = invoke(
        "backup", "restore", folder, "--in-place", "--at", then, "--store", path, "--json"
    )
    assert result.exit_code == 0, result.output
    assert exact(contents(path)) == exact(rows)
    pinned = [each for each in backups.list() if each.pinned]
    backups.restore(tmp_path / "before.db", pinned[-1].name)
    assert exact(contents(tmp_path / "before.db")) == exact(before)
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()


def test_a_store_behind_a_link_goes_back_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new file is made, renamed and flushed where the link leads: that may be another disk."""
    real, link = tmp_path / "disk" / "ledger.db", tmp_path / "ledger.db"
    real.parent.mkdir()
    fill(real)
    link.symlink_to(real)
    backups = Backups(tmp_path / "backups")
    made = backups.create(link)
    with opened(link) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
    moved: list[Path] = []
    rename = Path.replace

    def replaced(source: Path, target: Path) -> Path:
        moved.extend((source, target))
        return rename(source, target)

    flushed: list[Path] = []
    monkeypatch.setattr(Path, "replace", replaced)
    monkeypatch.setattr(replace, "sync", flushed.append)
    assert backups.go_back(link, sequence=made.last).last == made.last
    assert moved[0].parents[1] == real.parent
    assert (moved[1], flushed) == (real, [real.parent])
    assert link.is_symlink()


def totals(path: Path, amounts: Sequence[int] = ()) -> list[str]:
    """Have an agent note some amounts; return all that it has noted."""
    with opened(path) as system:
        ledger = system.agent(Ledger, "1")
        for amount in amounts:
            ledger.call(Ledger.note, str(amount)).get()
        state = ledger.state_at(ledger.describe().version)
        assert isinstance(state, LedgerState)
        return [*state.lines]


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_a_store_has_left_is_not_its_history(tmp_path: Path, *, by_hand: bool) -> None:
    """It went back and on, past the number where it was: moments are those of what it is now."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    totals(path, [1, 2])
    first = backups.create(path)
    totals(path, [3, 4, 5])
    good = first.last + 1
    if by_hand:
        left = backups.create(path)
        backups.recover(tmp_path / "fresh.db", sequence=good, store=path)
        for file in tmp_path.glob("ledger.db*"):
            file.unlink()
        (tmp_path / "fresh.db").rename(path)
    else:
        backups.go_back(path, sequence=good)
        left = backups.list()[-1]
    assert totals(path, [6]) == ["1", "2", "3", "6"]
    backups.recover(tmp_path / "a.db", sequence=good + 1, store=path)
    assert totals(tmp_path / "a.db") == ["1", "2", "3", "6"]
    backups.recover(tmp_path / "b.db", sequence=left.last, store=path)  # which it does not reach
    assert totals(tmp_path / "b.db") == ["1", "2", "3", "4", "5"]
    assert backups.create(path).follows == first.name
    backups.recover(tmp_path / "c.db", time=2.0**32)
    assert totals(tmp_path / "c.db") == ["1", "2", "3", "6"]
    totals(path, [7, 8, 9])
    assert backups.create(path, incremental=True).follows is None
    backups.recover(tmp_path / "d.db", sequence=left.last)
    assert totals(tmp_path / "d.db") == ["1", "2", "3", "6", "7"]
    backups.go_back(path, sequence=good + 1)
    assert totals(path) == ["1", "2", "3", "6"]


def test_a_search_finds_what_a_store_has_that_went_back(tmp_path: Path) -> None:
    """The index beside it knew other commits, of which the last one looks like that of now."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path, 1)
    then = backups.create(path).last
    for word in ("kaffee", "orange"):
        backups.go_back(path, sequence=then)
        with opened(path) as system:
            for line in (word, "the same"):
                system.agent(Ledger, "new").call(Ledger.note, line).get()
            assert len(list(system.timeline(text=word).each())) == 1
