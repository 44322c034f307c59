"""What every store promises of the rows of declared tables, for each adapter."""

from __future__ import annotations

import abc
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure.persistence.errors import CorruptState
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.records import Commit
from perdure.persistence.records.shared_tables import (
    ARTIFACT_USES,
    AUDIT,
    CHUNKS,
    CONTENT_PARTS,
    GRANTS,
    LINEAGE,
    SCOPED,
    SESSIONS,
    SHARED_TABLES,
)
from perdure.persistence.records.tables import Change, Key, Order, Row, Table
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import Store
from perdure.persistence.upkeep.doctor import examine
from tests.persistence.keeper import HERE, made

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
numbers = st.integers(-(2**63), 2**63 - 1)
reals = st.floats(allow_nan=False, allow_infinity=False, width=64)
SOME: dict[str, st.SearchStrategy[Any]] = {
    "text": st.sampled_from(["", "a", "ab", "b", "\0", "é", "\uffff", "\U0001f600"]),
    "json": st.sampled_from(["1", '{"a":[1.5,null]}', '"\\u0000"', "[]"]),
    "integer": st.sampled_from([0, 1, 7, -5, 2**63 - 1]),
    "real": st.sampled_from([0.5, 1.0, -2.25, 1e300]),
    "blob": st.sampled_from([b"", b"\0\xff", b"x" * 3000]),
}


def rows_of(table: Table) -> st.SearchStrategy[Row]:
    """Rows that a table can hold, their sequence not given yet; many of them collide."""
    columns = [
        st.none() | SOME[column.type] if column.null else SOME[column.type]
        for column in table.columns
    ]
    return st.tuples(*columns).map(lambda row: table.stamped(row, 0))


def commit(sequence: int, *changes: Change) -> Commit:
    """Return a commit that belongs to no agent."""
    made_by_nobody = Commit(time=1.5, name="(shared)")
    made_by_nobody.sequence = sequence
    made_by_nobody.with_effects().rows = list(changes)
    return made_by_nobody


def put(table: Table, row: Row) -> Change:
    """Return the change that writes a row."""
    return Change(table, table.place(row), row)


def orders(table: Table) -> list[Order]:
    """Return every way to read a table's rows in order."""
    found = []
    for by in [table.key_names, *(index.columns for index in table.indexes)]:
        found += [Order(by), Order(by, descending=True)]
    return found


def ordered(model: dict[Key, Row], table: Table, order: Order) -> list[Row]:
    """Sort a dictionary's rows as an order does, by hand."""
    names = [*order.by, *(name for name in table.key_names if name not in order.by)]
    places = [table.names.index(name) for name in names]
    partial = any(i.where and i.columns == order.by for i in table.indexes)
    by = places[: len(order.by)]
    rows = [
        row for row in model.values()
        if not (partial and any(row[at] is None for at in by))
        and tuple(row[at] for at in by[: len(order.equal)]) == order.equal
    ]  # fmt: skip
    key: Any = lambda row: [(row[at] is not None, row[at]) for at in places]  # noqa: E731
    return sorted(rows, key=key, reverse=order.descending)


SCOPED_ROW: Row = ("workflow", "w", "", "k", '{"a":1}', 1, 0, None)


class RowContract(abc.ABC):
    """Subclass it with an adapter."""

    @abc.abstractmethod
    def opener(self) -> Store:
        """Return one more opener of the same content, not acquired yet."""

    @pytest.fixture
    def store(self) -> object:
        """Give an empty store whose lease is held."""
        store = self.opener()
        store.acquire(HERE)
        yield store
        store.close()

    def test_rows_come_back(self, store: Store) -> None:
        """A row is found by its key, with the sequence of its commit; others are None."""
        store.commit(Batch([commit(7, put(SCOPED, SCOPED_ROW))]))
        assert store.row(SCOPED, SCOPED_ROW[:4]) == (*SCOPED_ROW[:6], 7, None)
        assert store.row(SCOPED, ("workflow", "w", "", "K")) is None
        assert store.row(SESSIONS, ("w",)) is None
        assert store.page(SESSIONS, Order(("id",)), None, 5) == []
        assert store.count(SESSIONS, Order(("id",))) == 0

    def test_many_rows_are_what_each_of_them_is(self, store: Store) -> None:
        """Rows of any keys, read together, are those read one by one; also none at all."""
        there = [("workflow", w, "", f"k{n}", "1", 1, 0, None) for w in "vw" for n in range(700)]
        parts: list[Row] = [("hash", n, f"chunk {n}") for n in range(5)]
        changes = [put(SCOPED, row) for row in there] + [put(CONTENT_PARTS, row) for row in parts]
        store.commit(Batch([commit(1, *changes)]))
        keys: list[Key] = [("workflow", w, "", f"k{n}") for w in "uvw" for n in range(300, 900)]
        assert store.rows(SCOPED, keys) == {key: store.row(SCOPED, key) for key in keys}
        assert store.rows(CONTENT_PARTS, [("hash", 4), ("hash", 5)]) == {
            ("hash", 4): parts[4], ("hash", 5): None,
        }  # fmt: skip
        assert store.rows(SESSIONS, [("none",)]) == {("none",): None}
        assert store.rows(SCOPED, []) == {}

    def test_the_last_change_counts(self, store: Store) -> None:
        """Of several changes in one batch the last one is what is stored, deleted or not."""
        key = SCOPED_ROW[:4]
        other = (*key, '"other"', 2, 0, 5.0)
        store.commit(
            Batch([
                commit(1, put(SCOPED, SCOPED_ROW)), commit(2, put(SCOPED, other)),
                commit(3, Change(SCOPED, key, None), put(SCOPED, SCOPED_ROW)),
            ])
        )  # fmt: skip
        assert store.row(SCOPED, key) == (*SCOPED_ROW[:6], 3, None)
        store.commit(Batch([commit(4, put(SCOPED, other), Change(SCOPED, key, None))]))
        assert store.row(SCOPED, key) is None

    def test_fixed_rows_stay(self, store: Store) -> None:
        """A row of a fixed table is not replaced; deleted, it can be written anew."""
        row, other = ((1, 1, 0.5, *[word] * 10, 1, 0, word) for word in ("first", "other"))
        store.commit(Batch([commit(1, put(AUDIT, row))]))
        store.commit(Batch([commit(2, put(AUDIT, other))]))
        assert store.row(AUDIT, (1,)) == row
        store.commit(Batch([commit(3, Change(AUDIT, (1,), None))]))
        store.commit(Batch([commit(4, put(AUDIT, other))]))
        assert store.row(AUDIT, (1,)) == (1, 4, *other[2:])

    def test_a_batch_may_come_twice(self, store: Store) -> None:
        """A batch that was written but not known to be leaves no trace of the second time."""
        batch = Batch([
            commit(1, put(SCOPED, SCOPED_ROW), put(CHUNKS, ("h", 1, 0, b"x"))),
            commit(2, put(ARTIFACT_USES, (0, 5)), Change(LINEAGE, (1, 2), None)),
        ])  # fmt: skip
        store.commit(batch)
        store.commit(batch)
        assert len(store.journal()) == 2
        assert store.count(SCOPED, Order(("kind",))) == 1
        assert store.page(ARTIFACT_USES, Order(("artifact",), (5,)), None, 9) == [(2, 5)]

    def test_the_journal_tells_of_rows(self, store: Store) -> None:
        """A commit's journaled rows and deletions stand in its entry, beside an agent's delta."""
        mine = made(1, 1, 2)
        mine.with_effects().rows = [Change(SCOPED, SCOPED_ROW[:4], None)]
        store.commit(
            Batch([commit(1, put(SCOPED, SCOPED_ROW), put(CHUNKS, ("h", 1, 0, b"x"))), mine])
        )
        first, second = store.journal()
        assert (first.kind, first.key, first.version, first.name) == ("", "", 0, "(shared)")
        row = ["workflow", "w", "", "k", {"a": 1}, 1, 1, None]
        assert json.loads(first.delta) == {"rows": {"scoped": [row]}}
        assert json.loads(second.delta)["gone"] == {"scoped": [["workflow", "w", "", "k"]]}
        assert second.key == "1"

    def test_what_is_not_journaled_makes_no_entry(self, store: Store) -> None:
        """A commit of rows that the journal does not keep leaves none."""
        store.commit(Batch([commit(1, put(CHUNKS, ("h", 1, 0, b"x")))]))
        assert store.journal() == []

    @settings(
        max_examples=60,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture, HealthCheck.too_slow,
            HealthCheck.differing_executors,  # one for each adapter
        ],
    )  # fmt: skip
    @given(st.data())
    def test_every_order_is_that_of_a_dictionary(self, data: st.DataObject) -> None:
        """By key and by each index, both ways, page by page: as a dictionary sorted by hand."""
        table = data.draw(st.sampled_from([SCOPED, GRANTS, LINEAGE, CHUNKS, *self.plain()]))
        steps = data.draw(st.lists(st.tuples(rows_of(table), st.booleans()), max_size=12))
        model: dict[Key, Row] = {}
        store = self.fresh()
        try:
            for sequence, (row, gone) in enumerate(steps, 1):
                key = table.place(table.stamped(row, sequence))
                if gone:
                    store.commit(Batch([commit(sequence, Change(table, key, None))]))
                    model.pop(key, None)
                else:
                    store.commit(Batch([commit(sequence, put(table, row))]))
                    if not (table.fixed and key in model):
                        model[key] = table.stamped(row, sequence)
            for order in orders(table):
                width = data.draw(st.integers(0, len(order.by)))
                if model and width:
                    some = data.draw(st.sampled_from(sorted(model.values(), key=repr)))
                    equal = tuple(some[table.names.index(name)] for name in order.by[:width])
                    if None not in equal:
                        order = order._replace(equal=equal)  # noqa: PLW2901
                wanted = ordered(model, table, order)
                assert store.count(table, order) == len(wanted)
                size = data.draw(st.integers(1, 4))
                assert list(self.paged(store, table, order, size)) == wanted
            assert store.keys(table, None, 99) == sorted(model)
        finally:
            store.close()

    def plain(self) -> list[Table]:
        """Return the tables without a unique index: their rows may collide as they like."""
        return [t for t in SHARED_TABLES if not any(index.unique for index in t.indexes)]

    def paged(self, store: Store, table: Table, order: Order, size: int) -> Any:  # noqa: ANN401
        """Read an order in pages."""
        names = [*order.by, *(name for name in table.key_names if name not in order.by)]
        free = [table.names.index(name) for name in names[len(order.equal) :]]
        after: Row | None = None
        while page := store.page(table, order, after, size):
            yield from page
            after = tuple(page[-1][at] for at in free)
            if len(page) < size:
                return

    @abc.abstractmethod
    def fresh(self) -> Store:
        """Return an empty store of its own, whose lease is held."""

    def test_growth_counts_rows(self, store: Store) -> None:
        """The report has a line for each scope of keys and each other table, and their journal."""
        other: Row = (*SCOPED_ROW[:3], "q", '"é"', 1, 0, None)
        store.commit(
            Batch([
                commit(1, put(SCOPED, SCOPED_ROW), put(SCOPED, other)),
                commit(2, put(SCOPED, ("global", "", "", "k", "1", 1, 0, None))),
                commit(3, put(CHUNKS, ("hash", 3, 0, b"abcdef")), put(LINEAGE, (1, 2))),
            ])
        )  # fmt: skip
        rows = {(row.key, row.table): (row.kind, row.rows, row.size) for row in store.growth()}
        assert rows["workflow:w", "scoped"] == ("(shared)", 2, 7 + 4)
        assert rows["global", "scoped"] == ("(shared)", 1, 1)
        assert rows["", "chunks"] == ("(shared)", 1, 10)
        assert rows["", "lineage"] == ("(shared)", 1, 0)
        assert rows["", "journal"][:2] == ("(shared)", 3)
        assert not any(row.table == "grants" for row in store.growth())

    def test_an_order_without_an_index_is_refused(self, store: Store) -> None:
        """Reading by columns that no index has is a ValueError, not a slow answer."""
        with pytest.raises(ValueError, match="no index"):
            store.page(SCOPED, Order(("value",)), None, 5)
        with pytest.raises(ValueError, match="no index"):
            store.count(SCOPED, Order(("key",)))

    def test_many_rows_in_one_batch(self, store: Store) -> None:
        """Thousands of wide rows are written and deleted at once."""
        changes = [
            put(SCOPED, ("user", f"u{n % 7}", "", f"k{n:05}", str(n), 1, 0, float(n)))
            for n in range(5_000)
        ]
        store.commit(Batch([commit(1, *changes)]))
        order = Order(("kind", "id", "part"), ("user", "u3", ""))
        assert store.count(SCOPED, order) == len(range(3, 5_000, 7))
        gone = [Change(SCOPED, change.key, None) for change in changes[::2]]
        store.commit(Batch([commit(2, *gone)]))
        assert store.count(SCOPED, Order(("kind",))) == 2_500
        due = store.page(SCOPED, Order(("expires",)), None, 3)
        assert [row[7] for row in due] == [1.0, 3.0, 5.0]


class TestMemory(RowContract):
    """The memory adapter."""

    @pytest.fixture(autouse=True)
    def content(self) -> None:
        """Make the content that all openers share."""
        self.first = MemoryStore()

    def opener(self) -> Store:
        """Return a twin."""
        return self.first.twin()

    def fresh(self) -> Store:
        """Return another one."""
        store = MemoryStore()
        store.acquire(HERE)
        return store


class TestSqlite(RowContract):
    """The SQLite adapter."""

    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path) -> None:
        """Have a file."""
        self.folder, self.made = tmp_path, 0
        self.path = tmp_path / "store.db"

    def opener(self) -> Store:
        """Open the file once more."""
        return SqliteStore(self.path)

    def fresh(self) -> Store:
        """Return a store in a file of its own."""
        self.made += 1
        store = SqliteStore(self.folder / f"{self.made}.db", sync="process")
        store.acquire(HERE)
        return store

    def spoil(self, sql: str) -> None:
        """Change the file as no store does."""
        connection = sqlite3.connect(self.path)
        connection.execute(sql)
        connection.commit()
        connection.close()

    @pytest.mark.parametrize(
        "damage",
        [
            "value = '2'", "version = 9", "sequence = 9", "expires = 1.0", "key = 'q'",
            "id = 'other'", "value = CAST(x'ff' AS TEXT)", "crc = crc + 1",
        ],
    )  # fmt: skip
    def test_a_changed_row_is_named(self, store: Store, damage: str) -> None:
        """A row that is not as it was written is CorruptState by key, left out of pages, found."""
        rows = [("user", "u", "", key, "1", 1, 0, None) for key in "abc"]
        store.commit(Batch([commit(1, *(put(SCOPED, row) for row in rows))]))
        store.close()
        self.spoil(f"UPDATE scoped SET {damage} WHERE key = 'b'")  # noqa: S608 - as listed above
        reader = self.opener()
        try:
            key = "q" if "key" in damage else "b"
            where = ("user", "other" if "id" in damage else "u", "", key)
            with pytest.raises(CorruptState, match=f"scoped.*{key}"):
                reader.row(SCOPED, where)
            others = [("user", "u", "", "a"), ("user", "u", "", "none"), ("user", "v", "", "a")]
            found = reader.rows(SCOPED, [*others, where])
            assert where not in found
            assert all(found[key] == reader.row(SCOPED, key) for key in found)
            page = reader.page(SCOPED, Order(("kind",)), None, 2)
            assert [row[3] for row in page] == ["a", "c"]
            assert [bad.table for bad in examine(reader).bad] == ["scoped"]
        finally:
            reader.close()

    def test_rows_do_not_move_between_tables(self, store: Store) -> None:
        """A row's checksum is for its own table: the same values elsewhere are not intact."""
        store.commit(Batch([commit(1, put(LINEAGE, (3, 4)))]))
        store.close()
        self.spoil("INSERT INTO artifact_uses SELECT artifact, source, crc FROM lineage")
        reader = self.opener()
        try:
            with pytest.raises(CorruptState):
                reader.row(ARTIFACT_USES, (3, 4))
        finally:
            reader.close()
