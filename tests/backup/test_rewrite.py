"""Backups without what was erased, and the list that says who was."""

from pathlib import Path

import pytest

from perdure import Backups
from perdure.persistence.backup.restore import compose
from perdure.persistence.errors import BackupDamaged
from tests.backup.stores import Ledger, contents, fill, opened
from tests.backup.test_recovery import exact, pictures
from tests.cli.commands import records

PRIVATE = "of a private kind"


@pytest.fixture
def backups(tmp_path: Path) -> Backups:
    """Make backups of a store from which an agent is erased between two of them."""
    path, made = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    with opened(path) as system:
        ledger = system.agent(Ledger, "k2")
        ledger.call(Ledger.note, PRIVATE).get()
        made.create(path, note="first")
        ledger.cast(Ledger.note, PRIVATE)
        system.agent(Ledger, "k3").call(Ledger.add, 1).get()
        made.create(path, incremental=True)
        made.pin(made.list()[-1].name, "law")
        ledger.call(Ledger.note, PRIVATE).get()
        ledger.delete(erase=True)
        system.agent(Ledger, "k3").call(Ledger.add, 1).get()
        made.create(path)
    return made


def raw(backups: Backups, name: str, path: Path) -> bytes:
    """Return the file that a backup holds, as it is."""
    compose(backups._folder.chain(name), path, keys=None)
    return path.read_bytes()


def test_what_was_erased_is_in_no_backup(backups: Backups, tmp_path: Path) -> None:
    """Each older one is written anew without it; all else, and moments between, are as before."""
    before = backups.list()
    assert PRIVATE.encode() in raw(backups, before[0].name, tmp_path / "raw.db")
    middle = before[1].last
    backups.recover(tmp_path / "expected.db", sequence=middle + 1)
    done = backups.rewrite()
    after = backups.list()
    assert [each.before for each in done] == [each.name for each in before[:2]]
    assert [each.name for each in after[:2]] == [each.name for each in done]
    assert after[2] == before[2]
    assert [(each.last, each.note, each.pinned) for each in after[:2]] == [
        (each.last, each.note, each.pinned) for each in before[:2]
    ]
    for number, each in enumerate(after):
        backups.verify(each.name, drill=[Ledger])
        data = raw(backups, each.name, tmp_path / f"raw{number}.db")
        assert PRIVATE.encode() not in data
    backups.recover(tmp_path / "then.db", sequence=middle + 1)
    found, expected = contents(tmp_path / "then.db"), contents(tmp_path / "expected.db")
    for name in ("agents", "fields", "log_items", "map_entries", "mailbox", "timers"):
        assert found[name] == expected[name]
    assert backups.rewrite() == []


def test_a_list_that_is_lost_is_noticed(backups: Backups, tmp_path: Path) -> None:
    """A list that is gone, or an older one, brings nothing back; the right one does."""
    file = tmp_path / "backups" / "erased"
    whole = file.read_bytes()
    for wrong in (None, b'{"salt":"00","erased":[]}'):
        file.unlink()
        if wrong is not None:
            file.write_bytes(wrong)
        with pytest.raises(BackupDamaged, match="put its copy back"):
            backups.restore(tmp_path / "a.db", backups.list()[0].name)
        file.write_bytes(whole)
    assert backups.restore(tmp_path / "a.db", backups.list()[0].name).erased == ("Ledger/k2",)


def test_one_that_cannot_be_read_leaves_all_as_they_were(backups: Backups, tmp_path: Path) -> None:
    """Nothing is made twice where a later backup is damaged, however often that is tried."""
    before = backups.list()
    file = tmp_path / "backups" / f"{before[2].name}.backup"
    whole = file.read_bytes()
    file.write_bytes(whole[:500] + bytes([whole[500] ^ 1]) + whole[501:])
    for _ in range(2):
        with pytest.raises(BackupDamaged, match=before[2].name):
            backups.rewrite()
        assert backups.list() == before
    file.write_bytes(whole)
    assert len(backups.rewrite()) == 2


def test_by_hand(backups: Backups, tmp_path: Path) -> None:
    """The command line does the same."""
    names = [each.name for each in backups.list()]
    done = records("backup", "rewrite", tmp_path / "backups")
    assert [each["before"] for each in done] == names[:2]
    assert pictures(tmp_path / "ledger.db")[0] >= backups.list()[-1].last
    assert exact(contents(tmp_path / "ledger.db"))
