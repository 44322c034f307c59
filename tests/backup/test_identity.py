"""A backup brought back is the store as it was when the backup was made."""

import hashlib
import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from perdure import AgentRef, AgentSystem, Backups, Scope, StaticKeys, new_key
from perdure.persistence.backup import create, pages
from perdure.persistence.backup.directory import Directory
from perdure.persistence.backup.folder import Folder
from perdure.persistence.backup.pages import digests_of, likeness
from perdure.persistence.backup.restore import compose
from perdure.persistence.errors import BackupFailed, InvalidTransition
from tests.backup import others
from tests.backup.stores import Ledger, contents, fill, opened

KEYS = StaticKeys({"k1": new_key()})
_AGENTS = st.integers(0, 3)
_NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), _AGENTS, st.integers(-5, 5)),
        st.tuples(st.just("note"), _AGENTS, st.text(max_size=5)),
        st.tuples(st.just("own"), _AGENTS, _NAMES),
        st.tuples(st.just("disown"), _AGENTS, _NAMES),
        st.tuples(st.just("wait"), _AGENTS, _NAMES),
        st.tuples(st.just("tell"), _AGENTS, st.integers(0, 3)),
        st.tuples(st.just("pause"), _AGENTS, st.none()),
        st.tuples(st.just("resume"), _AGENTS, st.none()),
        st.tuples(st.just("share"), _AGENTS, st.integers(0, 2)),
        st.tuples(st.just("save"), _AGENTS, st.binary(max_size=9)),
        st.tuples(st.just("delete"), _AGENTS, st.booleans()),
        st.tuples(st.just("backup"), _AGENTS, st.booleans()),
    ),
    max_size=20,
)


STEPS_OF: dict[str, Callable[[Ledger, Any], object]] = {
    "add": Ledger.add,
    "note": Ledger.note,
    "disown": Ledger.disown,
    "wait": Ledger.wait,
}
SCOPE = Scope.user("mira")


def do(system: AgentSystem, step: str, ledger: AgentRef[Ledger], value: object) -> None:
    """Do one thing of a history."""
    if step in STEPS_OF:
        ledger.cast(STEPS_OF[step], value)
    elif step == "own":
        ledger.cast(Ledger.own, str(value), 1)
    elif step == "tell":
        ledger.cast(Ledger.refuse)
    elif step == "delete":
        ledger.delete(erase=bool(value))
    elif step in {"pause", "resume"}:
        with suppress(InvalidTransition):
            getattr(ledger, step)()
    elif step == "share" and value:
        system.state.set(SCOPE, f"key{ledger.key}", value)
    elif step == "share":
        system.state.delete(SCOPE, f"key{ledger.key}")
    else:
        assert isinstance(value, bytes)
        system.artifacts.save("file", value, scope=SCOPE)


@settings(max_examples=10)
@example(steps=[("pause", 0, None), ("backup", 0, False), ("delete", 0, True)], keys=None)
@given(steps=STEPS, keys=st.sampled_from([None, KEYS]))
def test_each_backup_of_a_history_comes_back_as_it_was(
    steps: list[tuple[str, int, Any]], keys: StaticKeys | None
) -> None:
    """Whatever was done before, between and after: full or incremental, every row comes back."""
    with tempfile.TemporaryDirectory() as folder:
        path, expected = Path(folder) / "ledger.db", {}
        backups = Backups(Path(folder) / "backups", keys=keys)
        with opened(path, keep=5) as system:
            for step, number, value in [*steps, ("backup", 0, True)]:
                if step == "backup":
                    assert system.idle(20)
                    rows, name = None, ""
                    while rows != contents(path):  # no sweep has gone on meanwhile
                        rows = contents(path)
                        name = backups.create(path, incremental=value).name
                    expected[name] = rows
                else:
                    do(system, step, system.agent(Ledger, str(number)), value)
                if step == "delete" and value:
                    expected.clear()  # from older ones it is taken away again
        for number, (name, rows) in enumerate(expected.items()):
            target = Path(folder) / f"{number}.db"
            backups.restore(target, name)
            assert contents(target) == rows


def pages_behind_the_header(path: Path) -> bytes:
    """Return the bytes of a file of SQLite without its header, which counts the writes to it."""
    return path.read_bytes()[100:]


@pytest.mark.parametrize("page_size", [512, 4_096, 65_536])
@pytest.mark.parametrize("level", [0, 3])
def test_every_page_comes_back_to_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page_size: int, level: int
) -> None:
    """Pages of any size, in more parts and pieces than one: full, changed and grown."""
    monkeypatch.setattr(create, "SORTED_BYTES", 4 * 65_536)
    for module in (create, pages):
        monkeypatch.setattr(module, "PART_BYTES", 65_536)
    path, place = tmp_path / "ledger.db", Directory(tmp_path / "backups")
    backups, made = Backups(place), []
    fill(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        connection.execute(f"PRAGMA page_size = {page_size}")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("VACUUM")
        connection.execute("CREATE TABLE ours (data)")
        for rows in (500, 0, 30, 300):
            data = [(random.Random(rows + at).randbytes(at * 7),) for at in range(rows)]
            connection.executemany("INSERT INTO ours VALUES (?)", data)
            connection.execute("UPDATE ours SET data = zeroblob(9) WHERE rowid % 50 = ?", [rows])
            name = backups.create(path, incremental=True, level=level).name
            made.append((name, pages_behind_the_header(path)))
    for name, expected in made:
        compose(Folder(place).chain(name), tmp_path / f"{name}.db", keys=None)
        assert pages_behind_the_header(tmp_path / f"{name}.db") == expected


@pytest.mark.parametrize("page_size", [1 << power for power in range(9, 17)])
def test_a_page_is_known_by_its_hash(page_size: int) -> None:
    """The digest of a page is 128 bits of its SHA-256, in however many pieces it is made."""
    data = random.Random(page_size).randbytes(3 * page_size)
    expected = [
        hashlib.sha256(data[start : start + page_size]).digest()[:16]
        for start in range(0, len(data), page_size)
    ]
    assert list(digests_of(data, page_size)) == expected


def test_a_store_that_was_brought_back_goes_on(tmp_path: Path) -> None:
    """A system opens a restored store, has its state, and goes on from there."""
    fill(tmp_path / "ledger.db")
    backups = Backups(tmp_path / "backups")
    backups.create(tmp_path / "ledger.db")
    backups.restore(tmp_path / "again.db")
    with opened(tmp_path / "again.db") as system:
        assert system.agent(Ledger, "k0").call(Ledger.add, 1).get() == 31


def test_an_incremental_backup_has_what_has_changed(tmp_path: Path) -> None:
    """The bytes of an incremental backup follow the change, not the size of the store."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path, 500)
    full = backups.create(path)
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 1).get()
    little = backups.create(path, incremental=True)
    assert little.parent == full.name
    assert little.bytes < full.bytes / 5


def test_a_system_backs_up_itself(tmp_path: Path) -> None:
    """What is acknowledged before the call is in it, encrypted with the system's keys for that."""
    path, folder = tmp_path / "ledger.db", tmp_path / "backups"
    with opened(path) as system:
        system.agent(Ledger, "k0").call(Ledger.add, 7).get()
        made = system.backup.create(folder)
        assert made.note == ""
    Backups(folder).restore(tmp_path / "again.db")
    with opened(tmp_path / "again.db") as system:
        assert system.agent(Ledger, "k0").call(Ledger.add, 0).get() == 7


def test_a_drill_tries_the_code(tmp_path: Path) -> None:
    """A whole backup that a program cannot go on from is not called verified by its drill."""
    path, backups = tmp_path / "ledger.db", Backups(tmp_path / "backups")
    fill(path)
    backups.create(path)
    assert backups.verify(drill=[Ledger]).tried == 6
    with pytest.raises(BackupFailed, match="is whole, but the code given cannot go on"):
        backups.verify(drill=[others.Ledger])
    with pytest.raises(BackupFailed, match="no class of kind Ledger"):
        backups.verify(drill=[])


@pytest.mark.parametrize("kind", [2, 5, 10, 13])
@pytest.mark.parametrize("left", [0x00, 0x7F, 0x80, 0xD0, 0xFF])
def test_a_page_without_rows_is_like_others_of_its_kind(kind: int, left: int) -> None:
    """Empty and freed ones keep bytes of before, texts in any alphabet: they lead anywhere."""
    for size in (512, 4096, 65536):
        assert likeness(bytes([kind]) + bytes([left]) * (size - 1)) >> 8 == kind
