"""Log and Map behave like list and dict, whatever is committed, undone, forgotten or reloaded."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from perdure import Log, Map, State
from perdure.persistence.errors import CorruptState, StateError
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.records import Commit
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.state import log as log_module
from perdure.persistence.state import map as map_module
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import Store
from tests.persistence.keeper import HERE, Keeper, made

WORDS = ["", "B", "a", "ab", "é", "\uffff", "\U0001f600", "z"]


class Book(State):
    """A log, a map of plain values, and one of values that can be changed in place."""

    lines: Log[str] = Log.field()
    marks: Map[str, int] = Map.field()
    lists: Map[int, list[int]] = Map.field()


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pages and memory so small that every border is crossed."""
    for module, page, kept in ((log_module, 3, 4), (map_module, 3, 2)):
        monkeypatch.setattr(module, "PAGE", page)
        monkeypatch.setattr(module, "KEPT", kept)


class Collections(RuleBasedStateMachine):
    """Do the same to a state on a store and to plain lists and dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.store: Store = MemoryStore()
        self.store.acquire(HERE)
        self.keeper = Keeper(self.store, Book)
        self.lines: list[str] = []
        self.marks: dict[str, int] = {}
        self.lists: dict[int, list[int]] = {}
        self.committed: tuple[Any, ...] = ([], {}, {})
        self.lag = 0
        self.queue: list[Commit] = []
        self.keeper.reader.settle = self.settle

    def settle(self) -> None:
        """Write every commit that is on its way."""
        while self.queue:
            self.store.commit(Batch([self.queue.pop(0)]))

    @initialize(lag=st.integers(0, 3), some=st.integers(0, 12))
    def begin(self, lag: int, some: int) -> None:
        """Let the store write commits some turns late, and begin with some content."""
        self.lag = lag
        for number in range(some):
            self.append(str(number))
            self.put(WORDS[number % len(WORDS)], number)
            self.put_list(number % 5)
        self.commit()

    @rule(item=st.text(max_size=3).filter(str.isascii))
    def append(self, item: str) -> None:
        """Append to the log."""
        self.keeper.state.lines.append(item)
        self.lines.append(item)

    @rule(items=st.lists(st.sampled_from("xyz"), max_size=5))
    def extend(self, items: list[str]) -> None:
        """Append several, or none at all when one is bad."""
        self.keeper.state.lines.extend(items)
        self.lines.extend(items)
        with pytest.raises(StateError):
            self.keeper.state.lines.extend([*items, "\ud800"])

    @rule()
    def extend_by_itself(self) -> None:
        """Append a log to itself."""
        if len(self.lines) < 40:
            self.keeper.state.lines.extend(self.keeper.state.lines)
            self.lines.extend(self.lines)

    @rule(key=st.sampled_from(WORDS), value=st.integers(0, 9))
    def put(self, key: str, value: int) -> None:
        """Set an entry."""
        self.keeper.state.marks[key] = value
        self.marks[key] = value

    @rule(key=st.sampled_from(WORDS))
    def delete(self, key: str) -> None:
        """Delete an entry, or fail to as a dictionary does."""
        if key in self.marks:
            del self.keeper.state.marks[key], self.marks[key]
        else:
            with pytest.raises(KeyError):
                del self.keeper.state.marks[key]

    @rule(key=st.integers(0, 4))
    def put_list(self, key: int) -> None:
        """Set an entry to a list."""
        self.keeper.state.lists[key] = [key]
        self.lists[key] = [key]

    @rule(key=st.integers(0, 4))
    def change_in_place(self, key: int) -> None:
        """Change a value that was read."""
        if key in self.lists:
            self.keeper.state.lists[key].append(7)
            self.lists[key].append(7)

    @rule(key=st.sampled_from(WORDS))
    def pop(self, key: str) -> None:
        """Use what comes with being a mapping."""
        assert self.keeper.state.marks.pop(key, -1) == self.marks.pop(key, -1)
        assert self.keeper.state.marks.setdefault(key, 5) == self.marks.setdefault(key, 5)

    @rule()
    def clear(self) -> None:
        """Delete every entry."""
        self.keeper.state.marks.clear()
        self.marks.clear()

    @rule(key=st.sampled_from(WORDS))
    def look(self, key: str) -> None:
        """Read one entry."""
        marks = self.keeper.state.marks
        assert (key in marks) == (key in self.marks)
        assert marks.get(key) == self.marks.get(key)

    @rule()
    def measure(self) -> None:
        """Ask for lengths, which changes what a map remembers."""
        state = self.keeper.state
        assert (len(state.lines), len(state.marks), len(state.lists)) == (
            len(self.lines), len(self.marks), len(self.lists),
        )  # fmt: skip

    @rule()
    def iterate(self) -> None:
        """Read everything, in order."""
        state = self.keeper.state
        assert list(state.lines) == self.lines
        assert list(reversed(state.lines)) == self.lines[::-1]
        assert list(state.marks.items()) == sorted(self.marks.items())
        assert dict(state.lists) == self.lists

    @rule(
        start=st.none() | st.integers(-15, 15),
        stop=st.none() | st.integers(-15, 15),
        step=st.none() | st.integers(-4, 4).filter(bool),
    )
    def cut(self, start: int | None, stop: int | None, step: int | None) -> None:
        """Read a slice, and one item."""
        assert self.keeper.state.lines[start:stop:step] == self.lines[start:stop:step]
        if start is not None:
            if -len(self.lines) <= start < len(self.lines):
                assert self.keeper.state.lines[start] == self.lines[start]
            else:
                with pytest.raises(IndexError):
                    self.keeper.state.lines[start]

    @rule()
    def commit(self) -> None:
        """End a turn; the store writes it now or some turns later."""
        keeper = self.keeper
        delta = keeper.tracker.collect()
        if delta is not None:
            keeper.version += 1
            self.queue.append(made(1, keeper.version, keeper.version, delta))
            while len(self.queue) > self.lag:
                self.store.commit(Batch([self.queue.pop(0)]))
            keeper.tracker.trim(keeper.version, keeper.version - len(self.queue))
        self.committed = (
            list(self.lines), dict(self.marks), {k: list(v) for k, v in self.lists.items()},
        )  # fmt: skip

    @rule()
    def roll_back(self) -> None:
        """Undo a turn."""
        self.keeper.tracker.rollback()
        lines, marks, lists = self.committed
        self.lines, self.marks = list(lines), dict(marks)
        self.lists = {k: list(v) for k, v in lists.items()}

    @rule()
    def reload(self) -> None:
        """Forget everything in memory."""
        self.roll_back()
        self.settle()
        self.keeper.load()
        self.keeper.reader.settle = self.settle


@pytest.mark.usefixtures("small")
class TestCollections(Collections.TestCase):  # type: ignore[misc,valid-type]
    """Run the machine on the memory store."""

    settings = settings(max_examples=120, stateful_step_count=40)


class Counted:
    """A 100,000-item log and map on a real file, freshly loaded."""

    def __init__(self, store: Store) -> None:
        self.keeper = Keeper(store, Book)
        for start in range(0, 100_000, 20_000):
            self.keeper.state.lines.extend(f"line {n}" for n in range(start, start + 20_000))
            self.keeper.commit()
        for n in range(2000):
            self.keeper.state.marks[f"{n:05}"] = n
        self.keeper.commit()
        self.keeper.load()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of a file with large collections."""
    path = tmp_path_factory.mktemp("large") / "store.db"
    store = SqliteStore(path, sync="process")
    store.acquire(HERE)
    Counted(store)
    store.close()
    return path


@pytest.fixture
def counted(large: Path) -> Iterator[Keeper[Book]]:
    """Return a freshly loaded state of 100,000 lines and 2,000 marks."""
    store = SqliteStore(large, sync="process")
    store.acquire(HERE)
    yield Keeper(store, Book)
    store.close()


def test_append_reads_nothing(counted: Keeper[Book]) -> None:
    """Appending to a log of 100,000 items, its length and the commit read none of them."""
    length = len(counted.state.lines)
    counted.state.lines.append("one more")
    delta = counted.commit()
    assert len(counted.state.lines) == length + 1 > 100_000
    assert delta is not None
    assert len(delta.items) == 1
    assert counted.reader.calls == []


def test_reading_costs_what_is_read(counted: Keeper[Book]) -> None:
    """An index, a slice and the newest items read only themselves."""
    lines = counted.state.lines
    assert lines[50_000] == "line 50000"
    assert lines[10:13] == ["line 10", "line 11", "line 12"]
    assert next(reversed(lines)) in ("line 99999", "one more")
    assert counted.reader.rows <= 1 + 3 + log_module.PAGE


def test_map_costs_what_is_touched(counted: Keeper[Book]) -> None:
    """Setting an entry reads nothing; one look-up reads one row; an absent key is asked once."""
    marks = counted.state.marks
    marks["00005"] = 77
    assert counted.reader.calls == []
    assert marks["00006"] == 6
    assert "nobody" not in marks
    assert "nobody" not in marks
    assert counted.reader.calls == ["entry", "entry"]
    delta = counted.commit()
    assert delta is not None
    assert list(delta.entries) == [(1, "marks", "00005")]


def test_map_counts_once(counted: Keeper[Book]) -> None:
    """The first len() counts in the store without reading values; later ones count along."""
    marks = counted.state.marks
    assert len(marks) == 2000
    marks["new"] = 1
    del marks["00001"], marks["00002"]
    assert len(marks) == 1999
    assert counted.reader.calls.count("count") == 1
    assert "page" not in counted.reader.calls


def test_iterating_a_map_reads_page_by_page(counted: Keeper[Book]) -> None:
    """The first keys of a map come from one page, and their values with them."""
    keys = itertools.islice(counted.state.marks, 10)
    assert [counted.state.marks[key] for key in keys if key != "00005"]
    assert counted.reader.calls.count("page") == 1
    assert counted.reader.rows <= map_module.PAGE + 1


def test_reading_turns_do_not_pile_up_memory(counted: Keeper[Book]) -> None:
    """Entries that were only read are forgotten at turn boundaries."""
    marks = counted.state.marks
    for start in range(0, 20_000, 1000):
        for n in range(start, start + 1000):
            marks.get(f"absent {n}")
        assert counted.commit() is None
        counted.tracker.trim(0, 10**9)
    assert len(marks._kept) + len(marks._older) <= 2 * (map_module.KEPT + 1000)


def test_length_counts_what_was_never_saved() -> None:
    """A map whose changes are kept back (a snapshot or volatile agent) still counts them."""
    store = MemoryStore()
    store.acquire(HERE)
    keeper = Keeper(store, Book)
    keeper.state.marks.update({"a": 1, "b": 2})
    keeper.commit()
    keeper.load()
    keeper.state.marks.update({"c": 3, "d": 4})
    del keeper.state.marks["a"]
    assert keeper.tracker.collect() is not None  # taken, but not sent to the store
    assert len(keeper.state.marks) == 3
    assert sorted(keeper.state.marks) == ["b", "c", "d"]


def test_unbound_collections_are_ordinary_ones() -> None:
    """A Log and a Map without a system hold their items in memory."""
    log = Log(["a", "b"])
    marks: Map[str, int] = Map({"x": 1})
    assert log == ["a", "b"]
    assert log != ["a"]
    assert log != 5
    assert (log[-1], log.index("b"), log.count("a"), "b" in log) == ("b", 1, 1, True)
    assert dict(marks) == {"x": 1}
    assert len(marks) == 1
    assert repr(log) == "Log(<2 items>)"
    assert repr(marks) == "Map(<1 entries>)"
    with pytest.raises(IndexError, match="has 2 items"):
        log[2]
    with pytest.raises(TypeError):
        hash(log)


@pytest.mark.parametrize(
    ("key", "problem"),
    [(5, "type str"), (True, "type str"), ("\ud800", "lone surrogate"), (None, "type str")],
)
def test_odd_keys_are_refused(key: object, problem: str) -> None:
    """A key of another type or with a lone surrogate is refused on its line, with its field."""
    store = MemoryStore()
    store.acquire(HERE)
    keeper = Keeper(store, Book)
    with pytest.raises(StateError, match=rf"state\.marks: .*{problem}"):
        keeper.state.marks[key] = 1  # type: ignore[index]
    assert key not in keeper.state.marks
    with pytest.raises(StateError, match=r"state\.lists: .*beyond 64 bits"):
        keeper.state.lists[2**63] = []


def test_changed_item_type_is_a_clear_error(tmp_path: Path) -> None:
    """Items and entries that no longer decode name their place when they are read."""

    class Later(State):
        """The same fields, declared otherwise."""

        lines: Log[int] = Log.field()
        marks: Map[str, list[int]] = Map.field()

    store = SqliteStore(tmp_path / "store.db")
    store.acquire(HERE)
    before = Keeper(store, Book)
    before.state.lines.append("x")
    before.state.marks["m"] = 1
    before.commit()
    after = Keeper(store, Later)
    with pytest.raises(CorruptState, match=r"state\.lines\[0\]: it does not decode as int"):
        after.state.lines[0]
    with pytest.raises(CorruptState, match=r"state\.marks\['m'\]: it does not decode as list"):
        after.state.marks["m"]
    store.close()
