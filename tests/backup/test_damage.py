"""A backup that is not as it was written is refused, with the reason, and nothing is changed."""

from pathlib import Path

import pytest

from perdure import Backups, StaticKeys, new_key
from perdure.persistence.errors import (
    BackupDamaged,
    BackupFailed,
    ConfigurationError,
    KeyMissing,
    UnknownBackup,
)
from tests.backup.stores import Ledger, contents, fill, opened

KEYS = StaticKeys({"k1": new_key()})


def made(folder: Path, keys: StaticKeys | None = None) -> tuple[Path, Backups]:
    """Make a store, a full backup of it and an incremental one."""
    path, backups = folder / "ledger.db", Backups(folder / "backups", keys=keys)
    fill(path, 3)
    backups.create(path)
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
    backups.create(path, incremental=True)
    return path, backups


def file_of(folder: Path, name: str) -> Path:
    """Return the file of a backup."""
    return folder / "backups" / f"{name}.backup"


def refused(backups: Backups, target: Path) -> str:
    """Return why the newest backup is neither verified nor restored, which leaves nothing."""
    beside = set(target.parent.iterdir())
    with pytest.raises(BackupDamaged) as first:
        backups.verify()
    with pytest.raises(BackupDamaged) as second:
        backups.restore(target)
    assert str(first.value) == str(second.value)
    assert set(target.parent.iterdir()) == beside
    return first.value.problem


def flip(folder: Path, which: int, keys: StaticKeys | None, places: int) -> None:
    """Flip bytes all over a backup, or over the one it builds on: each is noticed."""
    _, backups = made(folder, keys)
    file = file_of(folder, backups.list()[which].name)
    whole = file.read_bytes()
    step = max(1, len(whole) // places)
    for place in {*range(0, len(whole), step), *range(len(whole) - 72, len(whole), 5)}:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert refused(backups, folder / "again.db"), place
    file.write_bytes(whole)
    assert backups.verify(drill=[Ledger]).drilled


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["plain", "encrypted"])
def test_no_byte_may_change(tmp_path: Path, which: int, keys: StaticKeys | None) -> None:
    """A byte that is flipped in a backup, or in the one it builds on, is noticed."""
    flip(tmp_path, which, keys, 40)


@pytest.mark.slow
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("keys", [None, KEYS], ids=["plain", "encrypted"])
def test_not_one_byte_may_change(tmp_path: Path, which: int, keys: StaticKeys | None) -> None:
    """The same for every byte in turn."""
    flip(tmp_path, which, keys, 1 << 30)


@pytest.mark.parametrize("which", [0, 1])
def test_no_byte_may_be_missing(tmp_path: Path, which: int) -> None:
    """A backup that is cut off anywhere, or longer than it was, is refused."""
    _, backups = made(tmp_path)
    file = file_of(tmp_path, backups.list()[which].name)
    whole = file.read_bytes()
    for length in {*range(0, len(whole), max(1, len(whole) // 30)), len(whole) - 1}:
        file.write_bytes(whole[:length])
        assert refused(backups, tmp_path / "again.db")
    file.write_bytes(whole + b"\0")
    assert refused(backups, tmp_path / "again.db")


def test_a_damaged_backup_keeps_nobody_from_an_older_one(tmp_path: Path) -> None:
    """Where the newest is cut off or garbled, those before it are brought back as ever."""
    _, backups = made(tmp_path)
    first, second = backups.list()
    file = file_of(tmp_path, second.name)
    whole = file.read_bytes()
    for number, data in enumerate((whole[:-1], b"", whole[:100] + b"x" + whole[101:])):
        file.write_bytes(data)
        assert backups.restore(tmp_path / f"a{number}.db", first.name).last == first.last
        assert backups.recover(tmp_path / f"b{number}.db", sequence=first.last).last == first.last


def test_a_backup_needs_its_parent(tmp_path: Path) -> None:
    """A parent that is gone, or another one under its name, is named."""
    path, backups = made(tmp_path)
    first, second = backups.list()
    file = file_of(tmp_path, first.name)
    whole = file.read_bytes()
    file.unlink()
    assert first.name in refused(backups, tmp_path / "again.db")
    (listed,) = backups.list()
    assert listed.name == second.name
    assert "is gone" in listed.problem
    with pytest.raises(BackupDamaged, match="is gone"):
        backups.create(path, incremental=True)
    file.write_bytes(whole)
    assert [each.problem for each in backups.list()] == ["", ""]


def test_a_backup_keeps_its_name(tmp_path: Path) -> None:
    """A backup under the name of another is taken for neither."""
    _, backups = made(tmp_path)
    first, second = backups.list()
    file_of(tmp_path, first.name).replace(file_of(tmp_path, second.name))
    assert "rename it back" in refused(backups, tmp_path / "again.db")


def test_without_its_key_a_backup_stays_shut(tmp_path: Path) -> None:
    """No keys, another key, and other bytes under the same id: each refused in its own words."""
    _, backups = made(tmp_path, KEYS)
    target = tmp_path / "again.db"
    assert backups.list()[0].key == "k1"
    for keys, error, words in (
        (None, KeyMissing, "no keys were given"),
        (StaticKeys({"k2": new_key()}), KeyMissing, "k1"),
        (StaticKeys({"k1": new_key()}), BackupDamaged, "is not the one it was made with"),
    ):
        with pytest.raises(error, match=words):
            Backups(tmp_path / "backups", keys=keys).restore(target)
        assert not target.exists()
    backups.restore(target)


@pytest.mark.parametrize("keys", [None, KEYS], ids=["plain", "encrypted"])
def test_compression_is_a_choice(tmp_path: Path, keys: StaticKeys | None) -> None:
    """At any level, and without, the same comes back, each built on the others; it is smaller."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups", keys=keys)
    fill(path, 3)
    made = [backups.create(path, level=level) for level in (0, 1, 5, 19)]
    assert made[0].bytes > made[0].size > 5 * made[1].bytes > 5 * made[3].bytes
    for number, each in enumerate(made):
        with opened(path) as system:
            system.agent(Ledger, "k0").call(Ledger.add, number).get()
        backups.create(path, incremental=True, level=number % 2)
        backups.restore(tmp_path / f"{number}.db", each.name)
        assert (tmp_path / f"{number}.db").read_bytes() == (tmp_path / "0.db").read_bytes()
    backups.restore(tmp_path / "again.db")
    assert contents(tmp_path / "again.db") == contents(path)
    for wrong in (-1, 20, True, 1.0, None):
        with pytest.raises(ConfigurationError, match="to 19"):
            backups.create(path, level=wrong)  # type: ignore[arg-type]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file at the target, or the log of one that was there, is left alone."""
    path, backups = made(tmp_path)
    before = contents(path)
    with pytest.raises(ConfigurationError, match="nothing is overwritten"):
        backups.restore(path)
    assert contents(path) == before
    (tmp_path / "again.db-wal").write_bytes(b"of another file")
    with pytest.raises(ConfigurationError, match="nothing is overwritten"):
        backups.restore(tmp_path / "again.db")
    with pytest.raises(ConfigurationError, match="not a directory"):
        backups.restore(tmp_path / "nowhere" / "again.db")


def test_a_damaged_store_makes_no_good_backup(tmp_path: Path) -> None:
    """A backup of a store whose row fails its checksum is not called verified by a drill."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path, 3)
    data = path.read_bytes()
    assert data.count(b"line 1") > 0
    path.write_bytes(data.replace(b"line 1", b"lime 1"))
    backups.create(path)
    assert not backups.verify().drilled
    with pytest.raises(BackupDamaged, match="damaged when it was made"):
        backups.verify(drill=[Ledger])


def test_what_is_no_backup_is_not_found(tmp_path: Path) -> None:
    """Names that no backup has, and folders that are none, are told apart."""
    _, backups = made(tmp_path)
    for name in ("20260101T000000000Z-000000000001-00000000", "../ledger", "x"):
        with pytest.raises(UnknownBackup):
            backups.get(name)
    with pytest.raises(BackupFailed, match="cannot be read"):
        Backups(tmp_path / "nowhere").list()
