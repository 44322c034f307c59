"""The store's file is taken away, replaced, refused or not a store at all."""

import base64
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from perdure import AgentSystem, Backoff, Breaker, FileKeys, Saving, new_key
from perdure.persistence.errors import PerdureError, StoreOwned, StoreUnavailable
from perdure.persistence.sqlite import place, schema
from perdure.persistence.sqlite.place import BESIDE
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.lease import Owner
from perdure.url import open_reader
from tests.attack.agents import AGENTS, Tally
from tests.attack.test_disk_full import PATIENCE, breaker_events

NOBODY = 65534


@pytest.fixture(autouse=True)
def look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look after the file with every commit, instead of once a second."""
    monkeypatch.setattr(place, "LOOK_SECONDS", 0.0)


def opened(store: Path) -> AgentSystem:
    """Open a store for a system that soon gives up saving."""
    return AgentSystem.open(
        store,
        agents=AGENTS,
        saving=Saving(
            backoff=Backoff(first=0.01, longest=0.02), breaker=Breaker(failures=2, reset_after=0.05)
        ),
    )


def add(system: AgentSystem, number: int = 1) -> int:
    """Ask a tally to add a number; return how many it has added."""
    return system.agent(Tally, "t").call(Tally.add, number).get()


def files(store: Path) -> tuple[Path, ...]:
    """Return the file of a store and those SQLite keeps beside it."""
    return tuple(Path(f"{store}{suffix}") for suffix in ("", "-wal", "-shm"))


def test_a_deleted_store_is_noticed(tmp_path: Path) -> None:
    """After its file was deleted nothing is acknowledged any more, and the error says why."""
    store = tmp_path / "store.db"
    with opened(store) as system:
        assert add(system) == 1
        for file in files(store):
            file.unlink()
        with pytest.raises(StoreUnavailable, match="deleted, moved or replaced"):
            add(system)
        assert not system.close(timeout=0.2)


def test_a_store_that_was_moved_away_and_back_goes_on(tmp_path: Path) -> None:
    """While its file is elsewhere the system waits; when it is back nothing is missing."""
    store, elsewhere = tmp_path / "store.db", tmp_path / "elsewhere"
    with opened(store) as system, breaker_events(system) as events:
        assert add(system) == 1
        store.rename(elsewhere)
        with pytest.raises(StoreUnavailable, match="deleted, moved or replaced"):
            add(system)
        assert events["opened"].wait(PATIENCE)
        elsewhere.rename(store)
        assert events["closed"].wait(PATIENCE)
        assert add(system) == 3
    with opened(store) as system:
        assert add(system) == 4


def test_a_replaced_store_is_left_alone(tmp_path: Path) -> None:
    """A system whose file was replaced by another store writes into neither, and reads neither."""
    store, other = tmp_path / "store.db", tmp_path / "other.db"
    with opened(other) as system:
        system.agent(Tally, "other").call(Tally.add, 1).get()
    before = other.read_bytes()
    with opened(store) as system:
        assert add(system) == 1
        other.rename(store)
        with pytest.raises(StoreUnavailable, match="deleted, moved or replaced"):
            add(system)
        with pytest.raises(StoreUnavailable):
            system.agent(Tally, "other").call(Tally.add, 1).get()
        assert not system.close(timeout=0.2)
    assert store.read_bytes() == before


def test_a_reader_notices_that_the_file_was_replaced(tmp_path: Path) -> None:
    """A new reading connection is not made to a file that has taken the place of the store's."""
    store, other = tmp_path / "store.db", tmp_path / "other.db"
    for path in (store, other):
        with opened(path) as system:
            system.agent(Tally, path.stem).call(Tally.add, 1).get()
    with opened(store) as system:
        assert [row.key for row in system.agents.each()] == ["store"]
        other.rename(store)
        readers = system._store._readers  # type: ignore[attr-defined]
        while readers._free:  # as many as threads have read at once
            readers._free.pop().close()
        with pytest.raises(StoreUnavailable):
            list(system.agents.each())
        system.close(timeout=0.2)


@pytest.mark.parametrize("suffix", BESIDE)
def test_a_lost_log_takes_nothing_with_it(
    tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    """When the log of an open store is deleted, what was saved is brought into the file, aloud."""
    store = tmp_path / "store.db"
    with opened(store) as system:
        assert [add(system) for _ in range(3)] == [1, 2, 3]
        Path(f"{store}{suffix}").unlink()
        assert add(system) == 4
        assert "was deleted, moved or replaced" in caplog.text
        assert all(file.exists() for file in files(store))
        # As after kill -9: what another process finds, without a goodbye of this one.
        with closing(open_reader(store)) as reader:
            assert [row.version for row in reader.agents()] == [4]
    with opened(store) as system:
        assert add(system) == 5


def test_a_log_that_cannot_be_begun_yet_is_begun_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a lost log cannot be replaced saves fail; then they go on, with nothing missing."""
    store = tmp_path / "store.db"
    with opened(store) as system, breaker_events(system) as events:
        assert add(system) == 1
        with monkeypatch.context() as patch:
            patch.setattr(place.StoreFile, "remember_the_log", fail_to_open)
            Path(f"{store}-wal").unlink()
            with pytest.raises(StoreUnavailable):
                add(system)
            assert events["opened"].wait(PATIENCE)
        assert events["closed"].wait(PATIENCE)
        assert add(system) == 3
    with opened(store) as system:
        assert add(system) == 4


def fail_to_open(_: object) -> None:
    """Fail as SQLite does when there are too many open files."""
    raise sqlite3.OperationalError("unable to open database file")


def test_a_relative_path_stays_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store, a reader and a key file go on when the program changes its directory."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    keys = tmp_path / "keys"
    keys.touch(mode=0o600)
    keys.write_text(f"k1 {base64.b64encode(new_key()).decode()}\n")
    with opened(Path("store.db")) as system, closing(open_reader("store.db")) as reader:
        provider = FileKeys("keys")
        assert add(system) == 1
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert [add(system) for _ in range(3)] == [2, 3, 4]
        assert [row.version for row in reader.agents()] == [4]
        assert reader.disk().file
        assert provider.current() == "k1"
        assert system.close()
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == []


def test_a_second_name_of_a_store_is_refused(tmp_path: Path) -> None:
    """A hard link is refused in a sentence, for reading and writing, and leaves no files behind."""
    store, link = tmp_path / "store.db", tmp_path / "link.db"
    with opened(store) as system:
        assert add(system) == 1
        os.link(store, link)
        before = sorted(tmp_path.iterdir())
        for opening in (opened, open_reader):
            with pytest.raises(StoreUnavailable, match="another name"):
                opening(link)
        assert sorted(tmp_path.iterdir()) == before
        assert add(system) == 2
        link.unlink()
    with opened(store) as system:
        assert add(system) == 3


FROZEN = """
import sys
from pathlib import Path
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.lease import Owner
store = SqliteStore(Path(sys.argv[1]))
store.acquire(Owner.this_process())
store._writer.execute("BEGIN IMMEDIATE")
print("saving", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("takeover", [False, True])
def test_an_owner_frozen_in_a_save_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, takeover: bool
) -> None:
    """Who stands still in a save keeps the file's lock: the error names it and says what to do."""
    store = tmp_path / "store.db"
    monkeypatch.setattr(schema, "BUSY_SECONDS", 0.01)
    command = [sys.executable, "-c", FROZEN, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"saving\n"
        with pytest.raises(StoreOwned, match="in the middle of a save") as refused:
            AgentSystem.open(store, agents=AGENTS, takeover=takeover)
        assert refused.value.pid == owner.pid
        owner.kill()
    with opened(store) as system:
        assert add(system) == 1


def test_too_few_descriptors_are_a_failure_of_the_store(tmp_path: Path) -> None:
    """However few files may be opened, a store opens or says StoreUnavailable; later it opens."""
    store = tmp_path / "store.db"
    with opened(store) as system:
        assert add(system) == 1
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = len(list(Path("/proc/self/fd").iterdir()))
    refused = 0
    for spare in range(-1, 12):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, limit[1]))
            with closing(SqliteStore(store)) as made:
                made.acquire(Owner.this_process())
        except StoreUnavailable:
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limit)
        with closing(SqliteStore(store)) as made:
            made.acquire(Owner.this_process())
    assert 0 < refused < 12


@contextmanager
def without_rights() -> Iterator[Path]:
    """Return a folder, and act as somebody whom its permissions bind."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        root = os.geteuid() == 0
        if root:
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield folder
        finally:
            folder.chmod(0o700)
            if root:
                os.seteuid(0)


def test_a_new_store_in_a_directory_that_is_read_only() -> None:
    """Opening fails with StoreUnavailable, and nothing is left behind."""
    with without_rights() as folder:
        folder.chmod(0o500)
        with pytest.raises(StoreUnavailable, match="writable"):
            opened(folder / "store.db")
        assert list(folder.iterdir()) == []


def test_an_old_store_in_a_directory_that_is_read_only() -> None:
    """Opening fails with StoreUnavailable and leaves the file as it was; later it can be opened."""
    with without_rights() as folder:
        store = folder / "store.db"
        with opened(store) as system:
            assert add(system) == 1
        before = store.read_bytes()
        folder.chmod(0o500)
        with pytest.raises(StoreUnavailable, match="writable"):
            opened(store)
        assert store.read_bytes() == before
        folder.chmod(0o700)
        with opened(store) as system:
            assert add(system) == 2


def test_a_file_without_write_permission() -> None:
    """A store whose file may not be written is refused, and left as it was."""
    with without_rights() as folder:
        store = folder / "store.db"
        with opened(store) as system:
            assert add(system) == 1
        before = store.read_bytes()
        store.chmod(0o400)
        with pytest.raises(StoreUnavailable, match="writable"):
            opened(store)
        assert store.read_bytes() == before


def test_another_programs_database_is_left_as_it_is(tmp_path: Path) -> None:
    """A SQLite file of somebody else is refused, also while its owner is at work, byte for byte."""
    path = tmp_path / "other.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE theirs (value)")
        connection.execute("INSERT INTO theirs VALUES (1)")
        connection.commit()
        held = {file: file.read_bytes() for file in (path, Path(f"{path}-wal"))}
        with pytest.raises(PerdureError, match="not a perdure store"):
            opened(path)
        assert {file: file.read_bytes() for file in held} == held


def test_what_is_no_database_is_left_as_it_is(tmp_path: Path) -> None:
    """Text, a truncated header and a directory are refused with a sentence, and not changed."""
    store = tmp_path / "store.db"
    with opened(store) as system:
        add(system)
    for name, content in {"text": b"Dear all,\n" * 500, "short": store.read_bytes()[:60]}.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(PerdureError):
            opened(path)
        assert path.read_bytes() == content
    with pytest.raises(PerdureError, match="directory"):
        opened(tmp_path)
    with pytest.raises(PerdureError, match="directory"):
        opened(tmp_path / "nowhere" / "store.db")
    shutil.rmtree(tmp_path)
    with pytest.raises(PerdureError, match="directory"):
        opened(store)
