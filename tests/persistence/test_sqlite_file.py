"""What the SQLite adapter does with the file: refusals, faults, query plans."""

from __future__ import annotations

import contextlib
import hashlib
import resource
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from perdure import Log, Map, State
from perdure.persistence.errors import (
    ConfigurationError,
    NotAStore,
    StoreError,
    StoreTooNew,
    StoreUnavailable,
)
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.checksums import of_record
from perdure.persistence.sqlite import history, pool
from perdure.persistence.sqlite import reader as sqlite_read
from perdure.persistence.sqlite import rows as sqlite_rows
from perdure.persistence.sqlite.insert import LARGEST
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.sqlite.transaction import snapshot, writing
from perdure.persistence.store.batch import Batch
from perdure.url import open_reader, open_store
from tests.persistence.keeper import HERE, Keeper, made


class Notes(State):
    """One field of each sort."""

    text: str = ""
    lines: Log[str] = Log.field()
    marks: Map[str, int] = Map.field()


def digest(directory: Path) -> dict[str, str]:
    """Return what lies in a directory, by name."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.iterdir()
        if path.is_file()
    }


def store_at(path: Path, statement: str = "") -> Path:
    """Make a store with one agent, and change it by hand."""
    store = SqliteStore(path)
    store.acquire(HERE)
    keeper = Keeper(store, Notes)
    keeper.state.text = "kept"
    keeper.commit()
    store.close()
    if statement:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(statement)
    return path


def foreign(path: Path) -> Path:
    """Make a database of another program, in WAL mode."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE theirs (a)")
        connection.execute("INSERT INTO theirs VALUES (1)")
    return path


def written(path: Path, content: bytes) -> Path:
    """Make a file."""
    path.write_bytes(content)
    return path


REFUSED: list[tuple[str, Callable[[Path], Path], type[StoreError], str]] = [
    ("text", lambda d: written(d / "f", b"dear diary\n" * 99), NotAStore, "not a SQLite file"),
    ("few bytes", lambda d: written(d / "f", b"x"), NotAStore, "not a SQLite file"),
    ("half a header", lambda d: written(d / "f", b"SQLite format 3\0\x10"), NotAStore, "not a SQ"),
    ("foreign", lambda d: foreign(d / "f"), NotAStore, "not a perdure store; choose another"),
    ("newer", lambda d: store_at(d / "f", "PRAGMA user_version = 99"), StoreTooNew, "upgrade"),
    (
        "cut off",
        lambda d: written(d / "f", store_at(d / "whole").read_bytes()[:5000]),
        StoreUnavailable,
        "the file is damaged",
    ),
    ("no directory", lambda d: d / "no" / "f", StoreUnavailable, "is not a directory; create it"),
    (
        "a file as directory",
        lambda d: written(d / "x", b"") / "f",
        StoreUnavailable,
        "is not a directory",
    ),
    ("a directory", lambda d: d, StoreUnavailable, "is a directory; name a file in it"),
]


@pytest.mark.parametrize(
    ("make", "error", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
@pytest.mark.parametrize("writing", [True, False])
def test_what_is_no_store_is_refused_untouched(
    tmp_path: Path,
    writing: bool,  # noqa: FBT001
    make: Callable[[Path], Path],
    error: type[StoreError],
    reason: str,
) -> None:
    """A path that cannot be a store gets one clear sentence, and no byte on the disk changes."""
    path = make(tmp_path)
    before = digest(tmp_path)
    with pytest.raises(error) as refused:
        (open_store(path, sync="power") if writing else open_reader(path)).close()
    if writing:
        assert reason in str(refused.value)
    assert "\n" not in str(refused.value)
    after = digest(tmp_path)
    assert {name: after[name] for name in before} == before
    if writing:
        assert set(after) <= {*before, "f-shm", "f-wal"}


def test_unsaved_work_of_another_program_stays_in_its_wal(tmp_path: Path) -> None:
    """A foreign database whose program was killed keeps its WAL: we do not checkpoint it."""
    with contextlib.closing(sqlite3.connect(tmp_path / "a", isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE theirs (a)")
        for suffix in ("", "-wal"):
            content = (tmp_path / f"a{suffix}").read_bytes()
            written(tmp_path / f"b{suffix}", content)
    before = digest(tmp_path)
    with pytest.raises(NotAStore):
        SqliteStore(tmp_path / "b")
    after = digest(tmp_path)
    assert [after["b"], after["b-wal"]] == [before["b"], before["b-wal"]]


@pytest.mark.parametrize("leftover", ["nothing", "empty file", "empty file and WAL", "empty WAL"])
def test_creation_that_was_cut_short_begins_again(tmp_path: Path, leftover: str) -> None:
    """What a process killed while it made a store leaves behind is taken for a new store."""
    path = tmp_path / "store.db"
    if leftover != "nothing":
        path.touch()
    if leftover == "empty file and WAL":
        foreign(tmp_path / "other")
        written(tmp_path / "store.db-wal", (tmp_path / "other").read_bytes())
    if leftover == "empty WAL":
        written(tmp_path / "store.db-wal", b"")
    assert store_at(path).exists()
    with contextlib.closing(open_reader(path)) as reader:
        assert reader.load("K", "1") is not None


def test_new_file_is_private(tmp_path: Path) -> None:
    """A new store can be read by its owner only."""
    assert store_at(tmp_path / "store.db").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://x", "names no known store"),
        ("sqlite:///", "has no path"),
        ("", "has no path"),
        (":memory:", "or memory://"),
        ("memory:", "or memory://"),
        ("sqlite:///:memory:", "or memory://"),
        ("sqlite:x.db", "sqlite:///PATH"),
        ("file:x.db", r"\./file:x\.db for a file of that very name"),
        (Path("file:x.db"), "use a path"),
        ("a\0b", "zero character"),
        (None, "is a NoneType, which names no store; use a path"),
        (3, "is a int"),
        (b"x.db", "is a bytes"),
    ],
)
def test_odd_urls_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: object, reason: str
) -> None:
    """What names no known store is refused with what does, before anything is touched."""
    monkeypatch.chdir(tmp_path)
    openings: list[Callable[[Any], object]] = [partial(open_store, sync="power"), open_reader]
    for opening in openings:
        with pytest.raises(ConfigurationError, match=reason):
            opening(url)
    assert list(tmp_path.iterdir()) == []


class Stubborn(sqlite3.Connection):
    """A connection that cannot undo its transaction for once."""

    failing = True

    def execute(self, sql: str, parameters: Any = ()) -> sqlite3.Cursor:  # noqa: ANN401
        """Execute a statement, or fail."""
        if sql == "ROLLBACK" and self.failing:
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, parameters)


def insert_and_fail(
    connection: sqlite3.Connection, block: contextlib.AbstractContextManager[None]
) -> None:
    """Begin to change something, and fail."""
    with block:
        connection.execute("INSERT INTO things VALUES (1)")
        connection.execute("INSERT INTO missing VALUES (1)")


@pytest.mark.parametrize("block", [writing, snapshot])
def test_a_rollback_that_fails_hides_no_error(
    block: Callable[[sqlite3.Connection], contextlib.AbstractContextManager[None]],
) -> None:
    """The first error is the one that is raised, and the next transaction undoes what was left."""
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=Stubborn)
    with contextlib.closing(connection):
        connection.execute("CREATE TABLE things (value)")
        with pytest.raises(sqlite3.OperationalError, match="no such table: missing"):
            insert_and_fail(connection, block(connection))
        assert connection.in_transaction
        Stubborn.failing = False
        with writing(connection):
            connection.execute("INSERT INTO things VALUES (2)")
        Stubborn.failing = True
        assert connection.execute("SELECT * FROM things").fetchall() == [(2,)]


def test_a_reader_left_in_a_transaction_is_not_lent_again(tmp_path: Path) -> None:
    """A connection that still shows an older state of the store is closed when it comes back."""
    path = store_at(tmp_path / "store.db")
    with contextlib.closing(SqliteStore(path)) as store:
        store.acquire(HERE)
        with store.reading() as connection:
            connection.execute("BEGIN")
            assert store.journal_extent() == (1, 1)
        store.commit(Batch([made(2, 1, 2)]))
        assert store.journal_extent() == (1, 2)
        assert [row.agent for row in store.agents()] == [1, 2]


def test_urls_and_paths_name_the_same(tmp_path: Path) -> None:
    """A path, its text and its URL open the same file; memory:// makes a store of its own."""
    path = store_at(tmp_path / "store.db")
    for name in (path, str(path), f"sqlite:///{path}"):
        with contextlib.closing(open_store(name, sync="process")) as store:
            assert store.load("K", "1") is not None
    assert isinstance(open_store("memory://", sync="power"), MemoryStore)
    with pytest.raises(ConfigurationError, match="inside its process"):
        open_reader("memory://")
    with pytest.raises(StoreUnavailable, match="does not exist"):
        open_reader(tmp_path / "nothing.db")


def test_sync_levels_differ_in_the_pragma(tmp_path: Path) -> None:
    """sync="power" syncs each commit (FULL), sync="process" leaves that to the kernel (NORMAL)."""
    for sync, level in (("power", 2), ("process", 1)):
        with contextlib.closing(SqliteStore(tmp_path / sync, sync=sync)) as store:
            assert store._writer.execute("PRAGMA synchronous").fetchone() == (level,)


# Faults while it runs.


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Return an acquired store."""
    made_store = SqliteStore(tmp_path / "store.db")
    made_store.acquire(HERE)
    yield made_store
    made_store.close()


def big(keeper: Keeper[Notes]) -> Batch:
    """Return a batch of a megabyte."""
    keeper.state.text = "x" * 1_000_000
    keeper.state.lines.append("y" * 1000)
    return Batch([made(1, 2, 2, keeper.tracker.collect())])


def after_fault(store: SqliteStore, keeper: Keeper[Notes], batch: Batch) -> None:
    """Check that nothing of a failed batch is there, and that it can be written later."""
    stored = store.load("K", "1")
    assert stored is not None
    assert stored.head.version == 1
    assert stored.log_lengths == {}
    assert store.journal_extent() == (1, 1)
    yield_to = keeper.values()
    store.commit(batch)
    keeper.load()
    assert keeper.values() == yield_to


def started(store: SqliteStore) -> Keeper[Notes]:
    """Commit one small turn."""
    keeper = Keeper(store, Notes)
    keeper.state.text = "before"
    keeper.commit()
    return keeper


def test_full_disk_changes_nothing(store: SqliteStore) -> None:
    """A commit for which there is no room fails whole, says so, and works once there is."""
    keeper = started(store)
    batch = big(keeper)
    pages = store._writer.execute("PRAGMA page_count").fetchone()[0]
    store._writer.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(StoreUnavailable, match="free some disk space") as full:
        store.commit(batch)
    assert full.value.full
    store._writer.execute("PRAGMA max_page_count = 1000000")
    after_fault(store, keeper, batch)


def test_failing_writes_change_nothing(store: SqliteStore) -> None:
    """A write that the operating system refuses fails the commit whole; later it works."""
    keeper = started(store)
    batch = big(keeper)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = Path(f"{store.location}-wal").stat().st_size
    # A file may not grow beyond this: the kernel answers EFBIG, as a failing disk answers EIO.
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 50_000, before[1]))
    try:
        with pytest.raises(StoreUnavailable, match=r"saving failed: .*; check the disk"):
            store.commit(batch)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    after_fault(store, keeper, batch)


def test_locked_database_is_unavailable(store: SqliteStore, tmp_path: Path) -> None:
    """A lock that another program holds for too long fails the commit whole; later it works."""
    keeper = started(store)
    batch = big(keeper)
    store._writer.execute("PRAGMA busy_timeout = 0")
    with contextlib.closing(sqlite3.connect(store.location, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="another process holds the database lock"):
            store.commit(batch)
        other.execute("ROLLBACK")
    after_fault(store, keeper, batch)


def test_an_agent_that_began_anew_stops_nobody(store: SqliteStore) -> None:
    """Where an index had lost a head and another agent has its name, the old one is set aside."""
    old = (50, "K", "1", 1, 1, "active", "")
    store._writer.execute(
        "INSERT INTO agents VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)", (*old, of_record(old))
    )
    store.commit(Batch([made(1, 1, 1), made(2, 1, 2)]))
    assert [(row.agent, row.key) for row in store.agents()] == [(1, "1"), (2, "2")]
    (bad,) = store.quarantined()
    assert (bad.place, bad.value.startswith("(50, 'K', '1', ")) == ("K/1", True)


def test_closed_store_is_unavailable(tmp_path: Path) -> None:
    """Committing to a closed store is a clear error."""
    store = SqliteStore(tmp_path / "store.db")
    store.acquire(HERE)
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.commit(Batch([made(1, 1, 1)]))


def test_more_rows_than_a_statement_takes(store: SqliteStore) -> None:
    """A batch of more rows than fit in one statement is written whole."""
    keeper = Keeper(store, Notes)
    count = LARGEST * 2 + 3
    keeper.state.lines.extend(map(str, range(count)))
    keeper.state.marks.update({f"{n:05}": n for n in range(count)})
    keeper.commit()
    for n in range(LARGEST + 5):
        del keeper.state.marks[f"{n:05}"]
    keeper.commit()
    keeper.load()
    assert list(keeper.state.lines) == list(map(str, range(count)))
    assert len(keeper.state.marks) == count - LARGEST - 5


def test_commit_takes_few_statements(store: SqliteStore) -> None:
    """However many agents and rows a batch has, it takes a handful of statements."""
    batch = Batch([made(agent, 1, agent) for agent in range(1, 1001)])
    statements: list[str] = []
    store._writer.set_trace_callback(statements.append)
    store.commit(batch)
    store._writer.set_trace_callback(None)
    assert len(statements) <= 20


@pytest.mark.parametrize("key", ["1", "nobody"])
def test_a_load_is_one_statement(store: SqliteStore, key: str) -> None:
    """An agent is read by one statement, whether it is there or not."""
    started(store)
    statements: list[str] = []
    with store.reading() as connection:
        connection.set_trace_callback(statements.append)
    assert (store.load("K", key) is None) == (key == "nobody")
    with store.reading() as connection:
        connection.set_trace_callback(None)
    assert len(statements) == 1


# Query plans.


def plans(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> str:
    """Return the query plans of what a call reads."""
    found: list[str] = []
    fetch = pool.fetch

    def planned(connection: sqlite3.Connection, query: str, parameters: object = ()) -> object:
        rows = connection.execute(f"EXPLAIN QUERY PLAN {query}", parameters)  # type: ignore[arg-type]
        found.extend(row[3] for row in rows)
        return fetch(connection, query, parameters)  # type: ignore[arg-type]

    for module in (sqlite_read, history, sqlite_rows):
        monkeypatch.setattr(module, "fetch", planned)
    call()
    assert found
    return "\n".join(found)


READS: dict[str, Callable[[SqliteStore], object]] = {
    "load": lambda s: s.load("K", "1"),
    "log items": lambda s: s.log_items(1, "lines", 0, 1),
    "map entry": lambda s: s.map_entry(1, "marks", "x"),
    "map page": lambda s: s.map_page(1, "marks", "a", 10),
    "map count": lambda s: s.map_count(1, "marks"),
    "mail": lambda s: s.mail("K", "1"),
    "timers": lambda s: s.timers_between(0.0, 1.0, 10),
    "agents": lambda s: list(s.agents()),
    "agents of a kind": lambda s: list(s.agents("K")),
    "journal": lambda s: s.journal("K", "1"),
    "journal tail": lambda s: s.journal("K", "1", limit=5, newest=True),
    "history": lambda s: list(s.history(1, 9)),
    "base": lambda s: s.base_fields(1),
    "dead letters": lambda s: s.dead_letters(),
    "extent": lambda s: s.journal_extent(),
}


@pytest.mark.parametrize("read", READS)
def test_reads_use_an_index(store: SqliteStore, monkeypatch: pytest.MonkeyPatch, read: str) -> None:
    """Nothing a running system reads scans a table or sorts."""
    keeper = started(store)
    keeper.state.lines.append("a")
    keeper.state.marks["x"] = 1
    keeper.commit()
    plan = plans(store, monkeypatch, lambda: READS[read](store))
    for line in plan.splitlines():
        # The recursions over log names and over an agent's entries.
        harmless = line in ("SCAN names", "SCAN chain") or "CONSTANT ROW" in line
        assert harmless or not line.startswith("SCAN"), plan
        assert "TEMP B-TREE" not in line, plan


def test_opening_scans_nothing(store: SqliteStore, tmp_path: Path) -> None:
    """Opening and acquiring a store steps through no table, however many agents it has."""
    store.commit(Batch([made(agent, 1, agent) for agent in range(1, 3001)]))
    store.close()
    again = SqliteStore(tmp_path / "store.db")
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    again._writer.set_progress_handler(count, 100)
    again.acquire(HERE)
    again._writer.set_progress_handler(None, 0)
    assert steps <= 3
    again.close()
