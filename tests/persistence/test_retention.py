"""The journal is bounded, what it loses lives on as the base, and numbering goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import Log, State
from perdure.persistence.errors import ConfigurationError, StoreUnavailable
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.erasures import HASHED
from perdure.persistence.records.records import Delta
from perdure.persistence.records.shared_tables import TOMBSTONES
from perdure.persistence.records.tables import Key, Row
from perdure.persistence.sqlite import tables
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import Store
from perdure.persistence.upkeep import retention as module
from perdure.persistence.upkeep.retention import Janitor, Retention
from tests.persistence.keeper import HERE, Keeper, made


class Notes(State):
    """Two fields and a log."""

    count: int = 0
    name: str = ""
    lines: Log[int] = Log.field()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Return an acquired store of each sort."""
    made = MemoryStore() if request.param == "memory" else SqliteStore(tmp_path / "store.db")
    made.acquire(HERE)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trim ten entries at a time."""
    monkeypatch.setattr(module, "SLICE", 10)


def turns(keeper: Keeper[Notes], count: int, janitor: Janitor | None = None) -> None:
    """Commit some turns, with a janitor after each."""
    for _ in range(count):
        keeper.state.count += 1
        keeper.state.lines.append(keeper.state.count)
        keeper.commit()
        if janitor is not None:
            janitor.after_commit(1)


@pytest.mark.parametrize("erased", [0, 3_000])
def test_a_slice_does_not_look_past_who_was_erased(tmp_path: Path, erased: int) -> None:
    """What it takes SQLite is the same however many hashes there are; new ones are still made."""
    store = SqliteStore(tmp_path / "store.db")
    store.acquire(HERE)
    for sequence in range(1, 31):
        store.commit(Batch([made(1, sequence, sequence, Delta(1))]))
    with store._transaction("filling") as connection:
        rows: dict[Key, Row | None] = {
            (n,): (n, "K", f"{n}", 1, 1.0, 1, 2) for n in range(10, 10 + erased)
        }
        rows[9,] = (9, "K", "9", 1, 1.0, 1, 25)
        tables.write(connection, TOMBSTONES, rows)
    assert store.trim_journal(31, 10) == 10
    steps = [0]

    def step() -> None:
        steps[0] += 1

    store._writer.set_progress_handler(step, 1)
    assert store.trim_journal(31, 10) == 10
    store._writer.set_progress_handler(None, 0)
    assert 0 < steps[0] < 3_000
    assert store.trim_journal(31, 10) == 10
    marks = [store.row(TOMBSTONES, (number,)) for number in (9, *range(10, 10 + erased, 500))]
    assert {row[5] for row in marks if row is not None} == {HASHED}
    store.close()


@pytest.mark.parametrize(
    ("begin", "once"),
    [(1_795_752_922.216827, True), (2.0**40 + 1 / 4096, True), (0.1, False), (-7.3, False)],
)
def test_trimmed_entries_leave_what_they_set(tmp_path: Path, begin: float, *, once: bool) -> None:
    """The base is what trimmed entries set, of any time; those of our days are read in one step."""
    store = SqliteStore(tmp_path / "store.db")
    store.acquire(HERE)
    for sequence in range(1, 21):
        delta = Delta(sequence % 3 + 1)
        delta.fields = {f"field{sequence % 2}": f'"\\u0001{sequence}"'}
        commit = made(delta.agent, sequence, sequence, delta)
        commit.time = begin + sequence / 3
        store.commit(Batch([commit]))
    read: list[object] = []

    def counted(_: object, row: object) -> object:
        read.append(row)
        return row

    store._writer.row_factory = counted
    assert store.trim_journal(12, 12) == 11
    assert (len(read) < 11) == once
    for agent in (1, 2, 3):
        set_ = [n for n in range(1, 12) if n % 3 + 1 == agent]
        assert store.base_fields(agent).fields == {f"field{n % 2}": f'"\\u0001{n}"' for n in set_}
    assert store.journal_extent() == (12, 20)
    store.close()


def test_journal_stays_within_its_bound(store: Store) -> None:
    """The journal never holds more than the limit and two slices, and always its newest entries."""
    janitor = Janitor(store, Retention(commits=50))
    keeper = Keeper(store, Notes)
    keeper.state.name = "early"
    for _ in range(30):
        turns(keeper, 10, janitor)
        first, last = store.journal_extent()
        assert last - first + 1 <= 70
        assert last == keeper.version
    assert len(store.journal(limit=999)) >= 50


def test_state_does_not_suffer(store: Store) -> None:
    """Trimming history leaves current state as it was, also logs."""
    keeper = Keeper(store, Notes)
    keeper.state.name = "early"
    turns(keeper, 200, Janitor(store, Retention(commits=1)))
    expected = keeper.values()
    keeper.load()
    assert keeper.values() == expected
    base = store.base_fields(1)
    assert base.complete
    assert base.fields["name"] == '"early"'
    first, _ = store.journal_extent()
    assert base.fields["count"] == str(first - 1)


def test_numbering_goes_on_after_trimming(tmp_path: Path) -> None:
    """A store whose journal was trimmed goes on with the next sequence when it is reopened."""
    store = SqliteStore(tmp_path / "store.db")
    store.acquire(HERE)
    turns(Keeper(store, Notes), 40, Janitor(store, Retention(commits=1)))
    store.close()
    store = SqliteStore(tmp_path / "store.db")
    assert store.acquire(HERE).sequence == 40
    store.close()


def test_each_commit_trims_a_bounded_part(store: Store) -> None:
    """After a limit was lowered the surplus goes bit by bit: no commit waits for all of it."""
    keeper = Keeper(store, Notes)
    turns(keeper, 300)
    janitor = Janitor(store, Retention(commits=20))
    sizes: list[int] = []
    while len(sizes) < 40:
        before = len(store.journal(limit=999))
        turns(keeper, 1, janitor)
        sizes.append(before + 1 - len(store.journal(limit=999)))
    assert max(sizes) == 10
    assert len(store.journal(limit=999)) <= 40


def test_trimming_keeps_up_with_large_batches(store: Store) -> None:
    """A batch of many commits may trim more than a slice, so that the bound holds under load."""
    keeper = Keeper(store, Notes)
    janitor = Janitor(store, Retention(commits=20))
    for _ in range(10):
        turns(keeper, 100)
        janitor.after_commit(100)
    assert len(store.journal(limit=9999)) <= 140


def test_everything_can_be_kept(store: Store) -> None:
    """Retention(commits=None) trims nothing."""
    turns(Keeper(store, Notes), 50, Janitor(store, Retention(commits=None)))
    assert len(store.journal(limit=999)) == 50


def test_keeping_nothing_is_refused() -> None:
    """A retention of no commit at all is refused: numbering goes on from the newest."""
    with pytest.raises(ConfigurationError, match=r"Retention\(commits=0\).*1 or more"):
        Retention(commits=0)


def test_failed_trimming_is_tried_later(caplog: pytest.LogCaptureFixture) -> None:
    """A trim that fails is logged, disturbs no commit, and is made up for."""

    class Refusing(MemoryStore):
        refuses = True

        def trim_journal(self, below: int, limit: int) -> int:
            """Fail while told to."""
            if self.refuses:
                message = "no"
                raise StoreUnavailable(message)
            return super().trim_journal(below, limit)

    store = Refusing()
    store.acquire(HERE)
    keeper = Keeper(store, Notes)
    janitor = Janitor(store, Retention(commits=10))
    turns(keeper, 60, janitor)
    assert "trimming the journal failed" in caplog.text
    assert len(store.journal(limit=999)) == 60
    store.refuses = False
    turns(keeper, 10, janitor)
    assert len(store.journal(limit=999)) <= 30


def test_default_is_bounded() -> None:
    """The retention in force when none is given has a limit."""
    assert Retention().commits is not None
