"""What every store promises, for each adapter."""

from __future__ import annotations

import abc
from dataclasses import replace
from pathlib import Path

import pytest

from perdure import Log, Map, State
from perdure.persistence.errors import Fenced, StoreOwned
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.checksums import of_entry, of_item
from perdure.persistence.records.records import (
    Commit,
    DeadLetter,
    Deletion,
    Delta,
    EntryRow,
    ItemRow,
    Message,
    QuarantineRow,
    Timer,
)
from perdure.persistence.records.shared_tables import (
    AUDIT,
    HOOK_QUEUE,
    HOOK_RUNS,
    HOOK_SEGMENTS,
    NUMBERED,
    POSTINGS,
    REPLAY_RESULTS,
    SCHEMAS,
    TOMBSTONES,
    TRACES,
)
from perdure.persistence.records.tables import Change
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import Store
from tests.persistence.keeper import GONE, HERE, Keeper, made


class Notes(State):
    """One field of each sort."""

    count: int = 0
    name: str = ""
    lines: Log[str] = Log.field()
    marks: Map[str, int] = Map.field()
    seats: Map[int, str] = Map.field()


LATER = (
    (HOOK_RUNS, (1, 11, 1.0, 1.0, 1, 1, 0, b"", b"")),
    (HOOK_QUEUE, (0, 0, 1.0, "hook", "message.after", "{}")),
    (HOOK_SEGMENTS, (1, 13, 1.0, 1.0, 1, 1, 0, b"", b"")),
    (TRACES, (7, "00-" + "a" * 32 + "-" + "b" * 16 + "-01", 1.0, 0)),
    (REPLAY_RESULTS, (0, "nightly", "{}")),
    (SCHEMAS, (1, "K", "state", "S", "1.0.0", "f", "{}", 0, 1.0, 0)),
    (POSTINGS, (0, 0, b"[]")),
)
"""Rows of commits that leave no entry in the journal; the blocks are those of commits 11 and 13."""


def message(number: int, key: str = "1") -> Message:
    """Return a message to an agent of kind K."""
    return Message(number, "K", key, "go", "[[],{}]", 0, number, 1.5)


def timer(key: str, due: float) -> Timer:
    """Return a timer of an agent of kind K."""
    return Timer("K", key, "tick", "go", "[[],{}]", due, None, "one")


def letter(number: int) -> DeadLetter:
    """Return a dead letter."""
    return DeadLetter(number, "K", "1", "go", "[[],{}]", 0, number, 1.5, 3, "it raised", 2.5)


def effects(sequence: int) -> Commit:
    """Return a commit that belongs to no agent."""
    commit = Commit()
    commit.sequence = sequence
    return commit


def life(agent: int, key: str, first: int) -> list[Commit]:
    """Return two commits after which an agent has something of everything, and one of its mail."""
    begin, go_on = made(agent, 1, first), made(agent, 2, first + 1)
    delta = Delta(agent)
    delta.fields["count"] = "1"
    delta.items = [ItemRow(agent, "lines", 0, '"x"', of_item(agent, "lines", 0, '"x"'))]
    delta.entries[agent, "marks", "m"] = EntryRow(
        agent, "marks", "m", "1", of_entry(agent, "marks", "m", "1")
    )
    delta.shape = '{"count":null,"lines":1,"marks":-1}'
    begin.delta = delta
    go_on.previous = first
    for commit in (begin, go_on):
        commit.key = key
    sent = go_on.with_effects()
    sent.sends = [message(first, key)]
    sent.timers = [timer(key, float(first))]
    sent.dead = [letter(1000 + first)._replace(key=key)]
    sent.quarantined = [QuarantineRow(agent, "count", "?", "why", 1.0 * first)]
    return [begin, go_on]


def ended(agent: int, key: str, sequence: int, *, erase: bool = False) -> Commit:
    """Return the commit that deletes an agent of two versions."""
    commit = made(agent, 3, sequence, name="(delete)")
    commit.key, commit.previous = key, 2
    tombstone = (agent, "K", key, 3, 1.0, int(erase), 0)
    sent = commit.with_effects()
    sent.deleted = Deletion(agent, "K", key, erase)
    sent.rows = [Change(TOMBSTONES, (agent,), tombstone)]
    return commit


class StoreContract(abc.ABC):
    """Subclass it with an adapter."""

    @abc.abstractmethod
    def opener(self) -> Store:
        """Return one more opener of the same content, not acquired yet."""

    @pytest.fixture
    def store(self) -> Store:
        """Return a store whose lease is held."""
        store = self.opener()
        store.acquire(HERE)
        return store

    # The lease.

    def test_second_opener_is_refused_with_the_owner(self, store: Store) -> None:
        """A second owner is refused, and the error names host, pid and start of the first."""
        with pytest.raises(StoreOwned) as refused:
            self.opener().acquire(HERE)
        assert (refused.value.host, refused.value.pid) == (HERE.host, HERE.pid)
        for part in (HERE.host, str(HERE.pid), HERE.started):
            assert part in str(refused.value)

    def test_refused_opener_disturbs_nobody(self, store: Store) -> None:
        """The owner goes on committing after another was refused."""
        with pytest.raises(StoreOwned):
            self.opener().acquire(HERE)
        store.renew()
        store.commit(Batch([made(1, 1, 1)]))
        assert store.load("K", "1") is not None

    def test_dead_owner_is_succeeded(self) -> None:
        """The lease of a process that is gone is taken over with a higher token."""
        first, second = self.opener(), self.opener()
        first.acquire(GONE)
        second.acquire(HERE)
        assert second.lease.token > first.lease.token

    def test_owner_elsewhere_lives_as_long_as_it_renews(self) -> None:
        """Of an owner in another realm only the renewals count: a fresh one is refused."""
        self.opener().acquire(replace(GONE, realm="another machine"))
        with pytest.raises(StoreOwned):
            self.opener().acquire(HERE)

    def test_released_lease_is_free(self) -> None:
        """After close() anybody may open, with a higher token."""
        first = self.opener()
        first.acquire(HERE)
        token = first.lease.token
        first.close()
        second = self.opener()
        second.acquire(HERE)
        assert second.lease.token > token

    def test_takeover_fences_the_old_owner(self, store: Store) -> None:
        """Once taken over, the old owner's commit raises Fenced and writes nothing."""
        other = self.opener()
        other.acquire(HERE, takeover=True)
        with pytest.raises(Fenced) as fenced:
            store.commit(Batch([made(1, 1, 1)]))
        assert (fenced.value.token, fenced.value.current) == (
            store.lease.token,
            other.lease.token,
        )
        assert other.load("K", "1") is None
        assert other.journal() == []
        for attempt in (store.renew, lambda: store.trim_journal(10, 10)):
            with pytest.raises(Fenced):
                attempt()

    def test_who_was_long_alone_is_fenced_as_well(self, store: Store) -> None:
        """An owner whose last commits met nobody else's loses its right with the next takeover."""
        for number in (1, 2):
            store.commit(Batch([made(number, 1, number)]))
        other = self.opener()
        other.acquire(HERE, takeover=True)
        for _ in range(2):
            with pytest.raises(Fenced):
                store.commit(Batch([made(3, 1, 3)]))
        other.commit(Batch([made(4, 1, 3)]))
        assert [entry.sequence for entry in other.journal()] == [1, 2, 3]

    def test_who_has_given_its_lease_back_commits_nothing(self, store: Store) -> None:
        """Also if nobody else has it, and its last commit met nobody else's."""
        store.commit(Batch([made(1, 1, 1)]))
        store.release()
        with pytest.raises(Fenced):
            store.commit(Batch([made(2, 1, 2)]))

    def test_fenced_owner_releases_nothing(self, store: Store) -> None:
        """Closing a fenced store leaves the new owner's lease alone."""
        other = self.opener()
        other.acquire(HERE, takeover=True)
        store.close()
        other.renew()
        with pytest.raises(StoreOwned):
            self.opener().acquire(HERE)

    def test_nothing_is_written_without_a_lease(self) -> None:
        """A store that was not acquired refuses to commit, and may be closed."""
        store = self.opener()
        with pytest.raises(Fenced):
            store.commit(Batch([made(1, 1, 1)]))
        store.close()
        store.close()

    def test_numbering_goes_on(self, store: Store) -> None:
        """A new owner learns the last sequence of the journal and the last agent number."""
        store.commit(Batch([made(1, 1, 7), made(5, 1, 9)]))
        other = self.opener()
        counters = other.acquire(HERE, takeover=True)
        assert (counters.sequence, counters.agent) == (9, 5)

    def test_numbering_goes_on_behind_what_the_journal_does_not_have(self, store: Store) -> None:
        """No sequence is given again that a row has, also where its commit left no entry."""
        for number, (table, row) in enumerate(LATER, 11):
            commit = Commit()
            commit.sequence = number
            commit.with_effects().rows = [Change(table, row[: table.key], row)]
            store.commit(Batch([commit]))
            other = self.opener()
            assert other.acquire(HERE, takeover=True).sequence == number
            store.acquire(HERE, takeover=True)
        assert {table for table, _ in LATER} | {AUDIT} == set(NUMBERED)

    # State.

    def test_state_comes_back(self, store: Store) -> None:
        """Fields, log items and map entries are read back as they were committed."""
        keeper = Keeper(store, Notes)
        keeper.state.count = 3
        keeper.state.name = "zoë \0 \U0001f600"
        keeper.state.lines.extend(["a", "b"])
        keeper.state.marks["x"] = 1
        keeper.state.seats[-5] = "aisle"
        keeper.commit()
        expected = keeper.values()
        keeper.load()
        assert keeper.values() == expected
        assert expected["lines"] == ["a", "b"]

    def test_unknown_agent_is_none(self, store: Store) -> None:
        """An agent that was never committed is not there."""
        assert store.load("K", "nobody") is None
        assert store.map_entry(77, "marks", "x") is None
        assert store.log_items(77, "lines", 0, 0) == []
        assert store.map_page(77, "marks", None, 10) == []
        assert store.map_count(77, "marks") == 0

    def test_known_are_those_that_were_committed(self, store: Store) -> None:
        """Of any number of keys those are known whose agents of that kind were committed."""
        store.commit(Batch([made(number, 1, number) for number in range(1, 4)]))
        keys = [str(number) for number in range(5000)]
        assert store.known("K", keys) == {"1", "2", "3"}
        assert store.known("K", ["\ud800", "2"]) == {"2"}
        assert store.known("L", keys) == store.known("K", []) == set()

    def test_head_follows_the_latest_commit(self, store: Store) -> None:
        """The head holds version, sequence, status and reason of the agent's latest commit."""
        later = made(1, 2, 4)
        later.status, later.reason = "quarantined", "it raised"
        store.commit(Batch([made(1, 1, 3), later]))
        stored = store.load("K", "1")
        assert stored is not None
        head = stored.head
        assert (head.version, head.sequence, head.status, head.reason) == (
            2, 4, "quarantined", "it raised",
        )  # fmt: skip

    def test_deleted_entries_are_gone(self, store: Store) -> None:
        """A deleted map entry is neither read, listed nor counted; another field's is untouched."""
        keeper = Keeper(store, Notes)
        keeper.state.marks.update({"a": 1, "b": 2})
        keeper.state.seats[1] = "x"
        keeper.commit()
        del keeper.state.marks["a"]
        keeper.commit()
        assert store.map_entry(1, "marks", "a") is None
        assert store.map_page(1, "marks", None, 10) == [("b", "2")]
        assert (store.map_count(1, "marks"), store.map_count(1, "seats")) == (1, 1)

    def test_map_pages_are_in_key_order(self, store: Store) -> None:
        """Pages go on after a key, in the order of code points or of numbers."""
        keeper = Keeper(store, Notes)
        words = ["", "B", "a", "ab", "é", "\uffff", "\U0001f600", "z\0a", "z"]
        keeper.state.marks.update(dict.fromkeys(words, 1))
        keeper.state.seats.update(dict.fromkeys([3, -(2**63), 10, 2**63 - 1, -1], "s"))
        keeper.commit()
        assert [key for key, _ in store.map_page(1, "marks", None, 99)] == sorted(words)
        assert [key for key, _ in store.map_page(1, "marks", "a", 2)] == ["ab", "z"]
        assert [key for key, _ in store.map_page(1, "seats", -1, 2)] == [3, 10]

    def test_truncated_log_goes_on_from_its_cut(self, store: Store) -> None:
        """A delta that cuts a log deletes the items beyond, before its own are appended."""
        keeper = Keeper(store, Notes)
        keeper.state.lines.extend("abcde")
        keeper.commit()
        keeper.state.lines.append("X")
        delta = keeper.tracker.collect()
        assert delta is not None
        delta.truncated["lines"] = 2
        crc = of_item(1, "lines", 2, '"X"')
        delta.items = [row._replace(position=2, crc=crc) for row in delta.items]
        delta.shape = '{"lines":3}'
        keeper.put(delta)
        keeper.load()
        assert list(keeper.state.lines) == ["a", "b", "X"]

    def test_agents_are_listed_in_order(self, store: Store) -> None:
        """Heads come in (kind, key) order, all of them or those of one kind."""
        commits = []
        for number, (kind, key) in enumerate([("B", "2"), ("A", "9"), ("B", "10"), ("C", "")], 1):
            commit = made(number, 1, number)
            commit.kind, commit.key = kind, key
            commits.append(commit)
        store.commit(Batch(commits))
        names = [("A", "9"), ("B", "10"), ("B", "2"), ("C", "")]
        assert [(head.kind, head.key) for head in store.agents()] == names
        assert [head.key for head in store.agents("B")] == ["10", "2"]
        assert list(store.agents("b")) == []

    def test_listing_agents_goes_beyond_a_page(self, store: Store) -> None:
        """More agents than one page holds are all listed, once each."""
        store.commit(Batch([made(number, 1, number) for number in range(1, 2502)]))
        keys = [head.key for head in store.agents()]
        assert keys == sorted(map(str, range(1, 2502)))

    # Mail, timers, dead letters.

    def test_mail_comes_in_the_order_of_sending(self, store: Store) -> None:
        """Pending messages are read by receiver, oldest first, until they are consumed."""
        sent = effects(1)
        sent.with_effects().sends = [message(3), message(1), message(2, "2")]
        store.commit(Batch([sent]))
        assert [m.id for m in store.mail("K", "1")] == [1, 3]
        assert store.mailed(("", ""), 10) == [("K", "1"), ("K", "2")]
        assert store.mailed(("K", "1"), 10) == [("K", "2")]
        assert store.mailed(("", ""), 1) == [("K", "1")]
        taken = effects(2)
        taken.with_effects().consumed = [1]
        store.commit(Batch([taken]))
        assert store.mail("K", "1") == [message(3)]

    def test_timers_are_found_by_their_time(self, store: Store) -> None:
        """Timers due in a span come earliest first; setting one again moves it."""
        commit = effects(1)
        commit.with_effects().timers = [timer("1", 30.0), timer("2", 10.0), timer("3", 20.0)]
        store.commit(Batch([commit]))
        assert [t.key for t in store.timers_between(0.0, 20.0, 9)] == ["2", "3"]
        assert [t.key for t in store.timers_between(10.0, 99.0, 1)] == ["3"]
        moved = effects(2)
        also = moved.with_effects()
        also.timers, also.cancelled = [timer("2", 40.0)], [("K", "3", "tick")]
        store.commit(Batch([moved]))
        assert [t.key for t in store.timers_between(0.0, 99.0, 9)] == ["1", "2"]

    def test_dead_letters_are_kept_until_revived(self, store: Store) -> None:
        """Dead letters are listed by id until they are put back."""
        commit = effects(1)
        commit.with_effects().dead = [letter(2), letter(1)]
        store.commit(Batch([commit]))
        assert store.dead_letters() == [letter(1), letter(2)]
        assert store.dead_letters(after=1) == [letter(2)]
        assert store.dead_letters(limit=1) == [letter(1)]
        back = effects(2)
        back.with_effects().revived = [1]
        store.commit(Batch([back]))
        assert store.dead_letters() == [letter(2)]

    def test_quarantined_values_are_kept(self, store: Store) -> None:
        """A value set aside as bad can be read later."""
        row = QuarantineRow(1, "count", "7", "its checksum does not match", 3.5)
        commit = effects(1)
        commit.with_effects().quarantined = [row]
        store.commit(Batch([commit]))
        assert store.quarantined() == [row]

    # The journal.

    def test_journal_is_read_forwards_and_backwards(self, store: Store) -> None:
        """Entries come oldest first from a sequence on, or the newest ones, of all or of one."""
        store.commit(Batch([made(1 + n % 2, 1 + n // 2, n + 1) for n in range(6)]))
        assert [e.sequence for e in store.journal()] == [1, 2, 3, 4, 5, 6]
        assert [e.sequence for e in store.journal(after=2, limit=2)] == [3, 4]
        assert [e.sequence for e in store.journal("K", "2")] == [2, 4, 6]
        assert [e.sequence for e in store.journal("K")] == [1, 2, 3, 4, 5, 6]
        assert store.journal("K", "nobody") == []
        assert [e.sequence for e in store.journal(limit=2, newest=True)] == [6, 5]
        assert [e.sequence for e in store.journal("K", "1", limit=2, newest=True)] == [5, 3]
        assert store.journal(limit=0, newest=True) == []
        assert store.journal_extent() == (1, 6)

    def test_history_goes_back_in_versions(self, store: Store) -> None:
        """An agent's deltas come newest first, below a version."""
        keeper = Keeper(store, Notes)
        for count in range(1, 500):
            keeper.state.count = count
            keeper.commit()
        versions = [version for version, _ in store.history(1, 400)]
        assert versions == list(range(399, 0, -1))
        assert next(store.history(1, 3)) == (2, '{"set":{"count":2}}')

    def test_trimmed_entries_live_on_as_base(self, store: Store) -> None:
        """Trimming folds the plain fields of the oldest entries into the base, up to a limit."""
        keeper = Keeper(store, Notes)
        for count in range(1, 11):
            keeper.state.count = count
            if count == 2:
                keeper.state.name = "two"
            keeper.commit()
        assert store.trim_journal(8, 5) == 5
        assert store.journal_extent() == (6, 10)
        base = store.base_fields(1)
        assert base.complete
        assert base.fields == {"count": "5", "name": '"two"'}
        assert store.trim_journal(8, 5) == 2
        assert store.trim_journal(8, 5) == 0
        assert store.journal_extent() == (8, 10)
        assert store.base_fields(1).fields["count"] == "7"

    def test_empty_journal_has_no_extent(self, store: Store) -> None:
        """The extent of an empty journal is (0, 0)."""
        assert store.journal_extent() == (0, 0)

    # Deletion.

    @pytest.mark.parametrize("at_once", [True, False])
    @pytest.mark.parametrize("erase", [True, False])
    def test_a_deletion_takes_what_is_before_it(
        self,
        store: Store,
        at_once: bool,  # noqa: FBT001 - pytest gives it
        erase: bool,  # noqa: FBT001 - same
    ) -> None:
        """A deletion takes all of an agent up to its place, in its own batch or an earlier one."""
        commits = [*life(1, "1", 1), *life(2, "2", 5), ended(1, "1", 9, erase=erase)]
        commits += life(3, "1", 10)
        for batch in [commits] if at_once else [[commit] for commit in commits]:
            store.commit(Batch(batch))
        assert [(row.agent, row.key, row.version) for row in store.agents()] == [
            (3, "1", 2), (2, "2", 2),
        ]  # fmt: skip
        assert [sent.id for sent in store.mail("K", "1")] == [10]
        assert [(due.key, due.due) for due in store.timers_between(0, 99, 9)] == [
            ("2", 5.0), ("1", 10.0),
        ]  # fmt: skip
        assert [dead.id for dead in store.dead_letters()] == [1005, 1010]
        of_agents = ("fields", "log_items", "map_entries", "base_fields")
        kept = {text.key[0] for text in store.texts() if text.table in of_agents}
        assert kept == {2, 3}
        assert [row.agent for row in store.quarantined()] == [2, 3]
        entries = store.journal("K", "1")
        assert [entry.version for entry in entries] == [1, 2, 3, 1, 2]
        assert (entries[0].delta == "{}") == erase
        assert [e.sequence for e in store.journal("K", "1", limit=2, newest=True)] == [11, 10]
        old, new = (store.row(TOMBSTONES, (number,)) for number in (1, 3))
        assert old is not None
        assert old[:4] == (1, "K", "1", 3)
        assert new is None

    def test_a_trimmed_tombstone_leaves_nothing(self, store: Store) -> None:
        """Trimming folds nothing of a deleted agent into the base, and takes its tombstone last."""
        for commit in [*life(1, "1", 1), ended(1, "1", 5), *life(2, "2", 6)]:
            store.commit(Batch([commit]))
        assert store.trim_journal(5, 100) == 2
        assert store.base_fields(1).fields == {}
        assert store.row(TOMBSTONES, (1,)) is not None
        assert store.trim_journal(6, 100) == 1
        assert store.row(TOMBSTONES, (1,)) is None
        assert store.journal("K", "1") == []

    def test_numbers_of_deleted_agents_are_not_given_again(self, store: Store) -> None:
        """While the journal knows a deleted agent, its number is counted by the next owner."""
        for commit in [*life(7, "1", 1), ended(7, "1", 5)]:
            store.commit(Batch([commit]))
        store.release()
        assert self.opener().acquire(HERE).agent == 7

    # Repetition, growth.

    def test_batch_may_come_twice(self, store: Store) -> None:
        """A batch that was written but not known to be is written again without a trace."""
        keeper = Keeper(store, Notes)
        keeper.state.lines.extend("ab")
        keeper.state.marks["x"] = 1
        commit = made(1, 1, 1, keeper.tracker.collect())
        commit.with_effects().sends = [message(9)]
        batch = Batch([commit])
        store.commit(batch)
        store.commit(batch)
        keeper.load()
        assert list(keeper.state.lines) == ["a", "b"]
        assert len(store.journal()) == 1
        assert [m.id for m in store.mail("K", "1")] == [9]

    def test_growth_says_what_uses_the_space(self, store: Store) -> None:
        """Growth sums rows and bytes by agent, field and table, largest first."""
        keeper = Keeper(store, Notes)
        keeper.state.name = "ü" * 100
        keeper.state.lines.extend(["ab", "cd"])
        keeper.commit()
        rows = {(row.field, row.table): (row.rows, row.size) for row in store.growth()}
        assert rows["name", "fields"] == (1, 202)
        assert rows["lines", "log_items"] == (2, 8)
        assert rows["(journal)", "journal"][0] == 1
        sizes = [row.size for row in store.growth()]
        assert sizes == sorted(sizes, reverse=True)


class TestMemory(StoreContract):
    """The memory adapter."""

    @pytest.fixture(autouse=True)
    def content(self) -> None:
        """Make the content that all openers share."""
        self.first = MemoryStore()

    def opener(self) -> Store:
        """Return a twin."""
        return self.first.twin()


class TestSqlite(StoreContract):
    """The SQLite adapter."""

    @pytest.fixture(autouse=True)
    def file(self, tmp_path: Path) -> object:
        """Close every opener of the file at the end."""
        self.path = tmp_path / "store.db"
        self.opened: list[Store] = []
        yield
        for store in self.opened:
            store.close()

    def opener(self) -> Store:
        """Open the file once more."""
        store = SqliteStore(self.path)
        self.opened.append(store)
        return store
