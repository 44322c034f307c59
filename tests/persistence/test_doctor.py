"""The doctor finds every sort of damage, names it, and changes nothing."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from perdure import Log, Map, State
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.shared_tables import SHARED_TABLES
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.upkeep.doctor import Report, examine
from perdure.url import open_reader
from tests.persistence.keeper import GONE, HERE, Keeper


class Notes(State):
    """One field of each sort."""

    count: int = 0
    lines: Log[str] = Log.field()
    marks: Map[str, int] = Map.field()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a closed store with some of everything that has a checksum."""
    store = SqliteStore(tmp_path / "store.db")
    store.acquire(HERE)
    keeper = Keeper(store, Notes)
    for count in range(1, 6):
        keeper.state.count = count
        keeper.state.lines.append(f"line {count}")
        keeper.state.marks[f"m{count}"] = count
        keeper.commit()
    store.trim_journal(3, 99)
    store.close()
    return tmp_path / "store.db"


def examined(path: Path) -> Report:
    """Examine a store read-only."""
    with contextlib.closing(open_reader(path)) as reader:
        return examine(reader)


def change(path: Path, statement: str) -> None:
    """Change the file by hand; it must change something."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        assert connection.execute(statement).rowcount > 0


def test_sound_store_is_healthy(path: Path) -> None:
    """The report of a sound store has counts, sizes, journal extent, lease, and no damage."""
    report = examined(path)
    assert report.healthy
    assert (report.damage, report.bad, report.bad_rows) == ((), (), 0)
    assert report.counts == {
        "agents": 1, "fields": 1, "log_items": 5, "map_entries": 5, "base_fields": 1,
        "journal": 3, "mailbox": 0, "timers": 0, "dead_letters": 0, "quarantine": 0,
        **{table.name: 0 for table in SHARED_TABLES},
    }  # fmt: skip
    assert set(report.orphans.values()) == {0}
    assert (report.journal_first, report.journal_last) == (3, 5)
    assert report.file_bytes == path.stat().st_size
    assert report.wal_bytes == 0
    assert report.sqlite_version == sqlite3.sqlite_version
    assert report.wal_bug == (sqlite3.sqlite_version_info < (3, 51, 3))
    assert report.lease is not None
    assert (report.lease.released, report.lease.alive, report.lease.owner) == (True, False, HERE)


@pytest.mark.parametrize(
    ("statement", "table", "place"),
    [
        ("UPDATE fields SET value = '7'", "fields", "count"),
        ("UPDATE fields SET crc = crc + 1", "fields", "count"),
        ("UPDATE log_items SET value = '\"x\"' WHERE position = 3", "log_items", "lines[3]"),
        ("UPDATE map_entries SET value = '7' WHERE entry = 'm2'", "map_entries", "marks['m2']"),
        ("UPDATE map_entries SET value = CAST(X'ff31' AS TEXT) WHERE entry = 'm2'",
         "map_entries", "marks['m2']"),
        ("UPDATE map_entries SET value = X'32' WHERE entry = 'm2'", "map_entries", "marks['m2']"),
        ("UPDATE base_fields SET value = '7'", "base_fields", "count"),
        ("UPDATE journal SET delta = '{}' WHERE sequence = 4", "journal", "4"),
        ("UPDATE journal SET name = 'other' WHERE sequence = 4", "journal", "4"),
        ("UPDATE map_entries SET entry = 'm9' WHERE entry = 'm2'", "map_entries", "marks['m9']"),
        ("UPDATE agents SET version = 4", "agents", "(head)"),
        ("UPDATE agents SET shape = '{}'", "agents", "(shape)"),
        ("DELETE FROM fields", "fields", "count"),
        ("DELETE FROM log_items WHERE position = 4", "log_items", "lines[4]"),
    ],
)  # fmt: skip
def test_every_checksum_is_verified(path: Path, statement: str, table: str, place: str) -> None:
    """A row that was changed behind our back is named with its table, agent and place."""
    change(path, statement)
    report = examined(path)
    assert not report.healthy
    assert [(row.table, row.kind, row.key, row.place) for row in report.bad] == [
        (table, "K", "1", place)
    ]
    assert report.bad_rows == 1


def test_orphans_are_counted(path: Path) -> None:
    """Rows of an agent that is not there are counted by table."""
    change(path, "DELETE FROM agents")
    report = examined(path)
    assert report.orphans == {
        "fields": 1, "log_items": 5, "map_entries": 5, "base_fields": 1, "journal": 3,
    }  # fmt: skip


def test_damaged_file_is_reported(path: Path) -> None:
    """Damage that SQLite itself finds is in the report."""
    content = bytearray(path.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'quarantine'"
        ).fetchone()
    content[(page - 1) * 4096] = 0
    path.write_bytes(content)
    assert examined(path).damage


def test_running_owner_is_seen(path: Path) -> None:
    """While a process has the store open, the report says so; a dead owner is not alive."""
    store = SqliteStore(path)
    store.acquire(HERE)
    lease = examined(path).lease
    assert lease is not None
    assert (lease.alive, lease.released) == (True, False)
    store.acquire(GONE, takeover=True)
    lease = examined(path).lease
    assert lease is not None
    assert (lease.alive, lease.owner) == (False, GONE)
    store.close()


def test_progress_is_told(path: Path) -> None:
    """The callback hears of every table that has rows, up to its last row."""
    heard: list[tuple[str, int, int]] = []
    with contextlib.closing(open_reader(path)) as reader:
        examine(reader, lambda *step: heard.append(step))
    assert heard == [
        ("agents", 1, 1), ("fields", 1, 1), ("log_items", 5, 5), ("map_entries", 5, 5),
        ("base_fields", 1, 1), ("journal", 3, 3),
    ]  # fmt: skip


def test_every_page_is_examined(tmp_path: Path) -> None:
    """Rows beyond the first page are examined as well, and a bad one among thousands is found."""
    store = SqliteStore(tmp_path / "store.db", sync="process")
    store.acquire(HERE)
    keeper = Keeper(store, Notes)
    keeper.state.lines.extend(map(str, range(3500)))
    keeper.state.marks.update({f"{n:04}": n for n in range(1500)})
    keeper.commit()
    store.close()
    change(tmp_path / "store.db", "UPDATE log_items SET value = '\"x\"' WHERE position = 3499")
    change(tmp_path / "store.db", "UPDATE map_entries SET value = '0' WHERE entry = '1499'")
    places = [row.place for row in examined(tmp_path / "store.db").bad]
    assert places == ["lines[3499]", "marks['1499']"]


def test_examination_changes_nothing(path: Path) -> None:
    """Examining leaves the file as it was."""
    before = path.read_bytes()
    examined(path)
    assert path.read_bytes() == before


def test_only_files_are_examined() -> None:
    """A store in memory is refused with one sentence."""
    with pytest.raises(ConfigurationError, match="no SQLite file"):
        examine(MemoryStore())
