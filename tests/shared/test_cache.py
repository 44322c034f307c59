"""The cache: bounded by bytes, never ahead of the store, and fast."""

import threading
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import AgentSystem
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Key, Row, Table
from perdure.shared.ledger.cache import RowCache
from tests.kit.deadline import DEADLINE
from tests.shared.agents import WORK


def row(key: str, value: str) -> Row:
    """Return a stored key."""
    return ("workflow", "w", "", key, value, 1, 1, None)


def key_of(name: str) -> Key:
    """Return its primary key."""
    return ("workflow", "w", "", name)


class Disk:
    """Rows to load, and how often that was done."""

    def __init__(self) -> None:
        self.rows: dict[Key, Row] = {}
        self.loads = 0

    def load(self, _table: Table, key: Key) -> Row | None:
        self.loads += 1
        return self.rows.get(key)


@given(st.lists(st.tuples(st.sampled_from(["get", "put", "gone"]), st.integers(0, 9))))
def test_it_answers_as_the_disk_does(steps: list[tuple[str, int]]) -> None:
    """Whatever is read, committed and driven out, the cache gives what the disk holds."""
    disk = Disk()
    cache = RowCache(disk.load, 4_000)
    for number, (what, which) in enumerate(steps):
        key = key_of(str(which))
        if what == "put":
            disk.rows[key] = row(str(which), str(number))
            cache.took(SCOPED, {key: disk.rows[key]})
        elif what == "gone":
            disk.rows.pop(key, None)
            cache.took(SCOPED, {key: None})
        assert cache.get(SCOPED, key) == disk.rows.get(key)


def test_what_was_read_is_not_loaded_again() -> None:
    """A row, and that there is none, is loaded once while there is room."""
    disk = Disk()
    disk.rows[key_of("a")] = row("a", "1")
    cache = RowCache(disk.load, 1_000_000)
    for _ in range(3):
        assert cache.get(SCOPED, key_of("a")) == row("a", "1")
        assert cache.get(SCOPED, key_of("none")) is None
    assert disk.loads == 2
    cache.forget()
    cache.get(SCOPED, key_of("a"))
    assert disk.loads == 3


def test_a_key_that_is_written_often_counts_once() -> None:
    """Thousands of writes of one key drive nothing else out."""
    disk = Disk()
    cache = RowCache(disk.load, 100_000)
    cache.took(SCOPED, {key_of("other"): row("other", "1")})
    for number in range(5_000):
        cache.took(SCOPED, {key_of("hot"): row("hot", str(number))})
    assert cache.get(SCOPED, key_of("other")) is not None
    assert disk.loads == 0


def test_a_huge_row_drives_nothing_out() -> None:
    """A row larger than half of the cache is not remembered, and what was there before it goes."""
    disk = Disk()
    cache = RowCache(disk.load, 100_000)
    cache.took(SCOPED, {key_of("small"): row("small", "1"), key_of("k"): row("k", "1")})
    disk.rows[key_of("k")] = row("k", "x" * 200_000)
    cache.took(SCOPED, {key_of("k"): disk.rows[key_of("k")]})
    assert cache.get(SCOPED, key_of("k")) == disk.rows[key_of("k")]
    assert cache.get(SCOPED, key_of("small")) is not None


def test_memory_stays_at_the_limit() -> None:
    """However many keys go through it, a cache of 4 MiB takes about 4 MiB, and not a tenth."""
    limit = 4 * 2**20
    # As rows come from SQLite: each text an object of its own.
    fresh = [bytes(part, "ascii") for part in ("workflow", "w", "value")]

    def load(_table: Table, key: Key) -> Row | None:
        kind, scope, value = (part.decode() for part in fresh)
        return (kind, scope, "", str(key[3]), value * 10, 1_000_000, 1_000_000, None)

    cache = RowCache(load, limit)
    tracemalloc.start()
    try:
        for number in range(40_000):
            cache.get(SCOPED, (fresh[0].decode(), fresh[1].decode(), "", f"key {number:08}"))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert limit / 10 < taken < limit * 1.25


def test_a_load_that_fails_leaves_nothing() -> None:
    """After an error of the store the next reader loads again."""
    calls: list[int] = []

    def load(_table: Table, _key: Key) -> Row | None:
        calls.append(1)
        if len(calls) == 1:
            raise OSError
        return None

    cache = RowCache(load, 10_000)
    with pytest.raises(OSError):  # noqa: PT011 - ours
        cache.get(SCOPED, key_of("k"))
    assert cache._leases == {}
    assert cache.get(SCOPED, key_of("k")) is None


def test_an_overtaken_load_is_not_remembered() -> None:
    """A row that is committed during a load is what is remembered, not what was loaded."""
    loading, go_on = threading.Event(), threading.Event()
    old, new = row("k", '"old"'), row("k", '"new"')

    def load(_table: Table, _key: Key) -> Row | None:
        loading.set()
        assert go_on.wait(DEADLINE)
        return old

    cache = RowCache(load, 100_000)
    seen: list[Row | None] = []
    reader = threading.Thread(target=lambda: seen.append(cache.get(SCOPED, key_of("k"))))
    reader.start()
    assert loading.wait(DEADLINE)
    cache.took(SCOPED, {key_of("k"): new})
    go_on.set()
    reader.join()
    assert seen == [old]
    assert cache.get(SCOPED, key_of("k")) == new


def test_the_overlay_is_empty_when_all_is_durable() -> None:
    """What was appended and is durable now is nowhere kept twice."""
    with AgentSystem.open("memory://", agents=[]) as system:
        for number in range(100):
            system.state.set(WORK, f"k{number}", number)
        system.state.clear(WORK)
        assert system._runtime.ledger._overlay == {}
