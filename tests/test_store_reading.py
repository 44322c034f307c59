"""What readers tell about maps and about the disk, for every store."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from perdure import AgentSystem, Scope
from perdure.persistence.errors import NotAStore, UnknownDeadLetter
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.checksums import of_entry
from perdure.persistence.records.records import Commit, Delta, EntryRow
from perdure.persistence.sqlite.reader import SqliteReader
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.lease import Owner
from perdure.persistence.store.store import Store

MAKERS: list[Callable[[Path], Store]] = [
    lambda _: MemoryStore(),
    lambda folder: SqliteStore(folder / "a.db"),
]


@pytest.fixture(params=MAKERS, ids=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an open store that is owned by this process."""
    made: Store = request.param(tmp_path)
    made.acquire(Owner.this_process())
    yield made
    made.close()


def put(store: Store, sequence: int, agent: int, *places: tuple[str, str | int]) -> None:
    """Commit one entry for each place, and take it away again where its field begins with -."""
    delta = Delta(agent)
    for name, entry in places:
        field = name.removeprefix("-")
        row = EntryRow(agent, field, entry, "1", of_entry(agent, field, entry, "1"))
        delta.entries[agent, field, entry] = None if name.startswith("-") else row
    commit = Commit(agent=agent, kind="K", key=str(agent), version=sequence, delta=delta)
    commit.sequence = sequence
    store.commit(Batch([commit]))


def test_map_fields_are_those_with_entries(store: Store) -> None:
    """Only maps of that agent that have entries are named, in order."""
    assert store.map_fields(1) == []
    put(store, 1, 1, ("owners", "a"), ("owners", "b"), ("by_number", 3), ("gone", "x"))
    put(store, 2, 2, ("another", "a"))
    put(store, 3, 1, ("-gone", "x"))
    assert store.map_fields(1) == ["by_number", "owners"]
    assert store.map_fields(2) == ["another"]


def test_disk_counts_the_files(tmp_path: Path) -> None:
    """The sizes are those of the main file and the log beside it; free pages are among all."""
    store = SqliteStore(tmp_path / "a.db")
    store.acquire(Owner.this_process())
    put(store, 1, 1, *[("owners", number) for number in range(2000)])
    put(store, 2, 1, *[("-owners", number) for number in range(2000)])
    disk = store.disk()
    assert disk.file == (tmp_path / "a.db").stat().st_size
    assert disk.log == (tmp_path / "a.db-wal").stat().st_size > 0
    assert 0 < disk.free_pages < disk.pages
    store.close()
    reader = SqliteStore(tmp_path / "a.db")
    after = reader.disk()
    reader.close()
    assert after.pages * after.page == after.file


def test_a_store_without_files_takes_no_disk() -> None:
    """The memory store reports zeros."""
    disk = MemoryStore().disk()
    assert (disk.file, disk.log, disk.pages, disk.free_pages) == (0, 0, 0, 0)


@pytest.mark.parametrize("content", [b"", b"nothing like a database " * 100])
def test_a_reader_that_refuses_a_file_lets_go_of_it(tmp_path: Path, content: bytes) -> None:
    """No connection stays behind when the file is no store (the fixture for leaks looks)."""
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(NotAStore):
        SqliteReader(path)


def test_nothing_is_found_under_what_no_store_can_hold(store: Store) -> None:
    """Numbers beyond 64 bits and text that is no UTF-8 are found nowhere, and are no errors."""
    with AgentSystem.open(store, agents=[], takeover=True) as system:
        system.state.set(Scope.GLOBAL, "k", 1)
        system.artifacts.save("a", b"1")
        for number in (2**70, -(2**70)):
            with pytest.raises(UnknownDeadLetter):
                system.dead_letters.get(number)
            assert not system.artifacts.used_in(number)
        huge = 2**70
        assert not system.dead_letters.list(after=huge)
        assert not system.journal.list(after=huge)
        assert not system.artifacts.list(after=huge)
        assert len(system.journal.list(after=-huge, limit=huge)) == len(system.journal.list())
        assert not system.artifacts.list(session="\ud800")
        assert not system.artifacts.list(content="\ud800")
        assert not list(system.agents.each("\ud800"))
        assert not system.journal.list("\ud800")
        assert len(system.artifacts.list(limit=huge)) == 1
