"""Bad stored values are noticed, replaced by the journal's copy, or the agent goes back in time."""

from __future__ import annotations

import contextlib
import sqlite3
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Log, Map, State, migration, transforms
from perdure.lifecycle.signals import SIGNALS
from perdure.persistence.errors import AgentQuarantined, CorruptState
from perdure.persistence.records.records import Delta
from perdure.persistence.sqlite.store import SqliteStore
from tests.persistence.keeper import HERE, Keeper


class Notes(State):
    """One field of each sort."""

    count: int = 0
    name: str = "nobody"
    lines: Log[str] = Log.field()
    marks: Map[str, int] = Map.field()


class File:
    """A store file that is opened, closed, and damaged in between."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.keepers: list[Keeper[Notes]] = []

    @contextlib.contextmanager
    def opened(self, unreadable: str = "quarantine") -> Iterator[Keeper[Notes]]:
        """Open the store and load the state."""
        store = SqliteStore(self.path, sync="process")
        with contextlib.closing(store):
            store.acquire(HERE)
            yield Keeper(store, Notes, unreadable=unreadable)

    def damage(self, statement: str, *parameters: object) -> None:
        """Change the closed file with another connection; it must change something."""
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            assert connection.execute(statement, parameters).rowcount > 0, statement

    def damage_journal(self, version: int) -> None:
        """Flip a byte in the journal entry of a version."""
        self.damage("UPDATE journal SET delta = delta || ' ' WHERE version = ?", version)

    def turns(self, *counts: int) -> list[dict[str, object]]:
        """Take some turns that change everything; return the values after each."""
        values = []
        with self.opened() as keeper:
            for count in counts:
                keeper.state.count = count
                keeper.state.lines.append(f"line {count}")
                keeper.state.marks[f"m{count % 3}"] = count
                if count == 4 and "m2" in keeper.state.marks:
                    del keeper.state.marks["m2"]
                keeper.commit()
                values.append(keeper.values())
        return values


@pytest.fixture
def file(tmp_path: Path) -> File:
    """Return a store with five turns of one agent."""
    made = File(tmp_path / "store.db")
    made.history = made.turns(1, 2, 3, 4, 5)  # type: ignore[attr-defined]
    return made


def history(file: File) -> list[dict[str, object]]:
    """Return the values after each turn of the fixture."""
    return file.history  # type: ignore[attr-defined, no-any-return]


DAMAGE: dict[str, str] = {
    "flipped": "substr({0}, 1, length({0}) - 1) || char(unicode(substr({0}, -1)) + 1)",
    "torn": "substr({0}, 1, length({0}) - 1)",
    "emptied": "''",
    "no text any more": "CAST(X'ff' || CAST({0} AS BLOB) AS TEXT)",
    "of another type": "CAST({0} AS BLOB)",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_field_is_restored(file: File, how: str) -> None:
    """A damaged field is noticed; the journal's copy of the same version is used and healed."""
    value = DAMAGE[how].format("value")
    file.damage(f"UPDATE fields SET value = {value} WHERE field = 'count'")  # noqa: S608
    with file.opened() as keeper:
        assert keeper.values() == history(file)[-1]
        assert keeper.repaired is not None
        assert keeper.repaired.name == "(restore)"
        (row,) = keeper.repaired.quarantined
        assert (row.place, row.reason) == ("count", "its checksum does not match")
        assert keeper.store.journal(limit=1, newest=True)[0].name == "(restore)"
    with file.opened() as keeper:
        assert keeper.repaired is None
        assert keeper.values() == history(file)[-1]


def test_damaged_checksum_counts_as_damage(file: File) -> None:
    """A checksum that was hit is repaired as well: the journal proves the value."""
    file.damage("UPDATE fields SET crc = crc + 1 WHERE field = 'count'")
    with file.opened() as keeper:
        assert keeper.values() == history(file)[-1]


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_log_item_is_read_from_the_journal(file: File, how: str) -> None:
    """A damaged or missing log item is replaced by the journal's copy, and nothing else changes."""
    value = DAMAGE[how].format("value")
    file.damage(f"UPDATE log_items SET value = {value} WHERE position = 2")  # noqa: S608
    file.damage("DELETE FROM log_items WHERE position = 1")
    with file.opened() as keeper:
        assert keeper.values() == history(file)[-1]


@pytest.mark.parametrize("how", DAMAGE)
def test_damaged_map_entry_is_read_from_the_journal(file: File, how: str) -> None:
    """A damaged map entry is replaced by the journal's latest copy, alone and in a page."""
    value = DAMAGE[how].format("value")
    file.damage(f"UPDATE map_entries SET value = {value} WHERE entry = 'm1'")  # noqa: S608
    with file.opened() as keeper:
        assert keeper.state.marks["m1"] == 4
        assert dict(keeper.state.marks) == history(file)[-1]["marks"]


def test_item_without_a_copy_is_a_clear_error(file: File) -> None:
    """Where the journal has no copy, reading raises CorruptState with the place; the rest reads."""
    file.damage("UPDATE log_items SET value = '7' WHERE position = 1")
    file.damage("UPDATE map_entries SET value = '7' WHERE entry = 'm1'")
    file.damage("DELETE FROM journal WHERE version < 5")
    with file.opened() as keeper:
        assert keeper.state.lines[4] == "line 5"
        with pytest.raises(CorruptState, match=r"state\.lines\[1\]: its checksum does not match"):
            keeper.state.lines[1]
        with pytest.raises(CorruptState, match=r"state\.marks\['m1'\]: its checksum does not"):
            keeper.state.marks["m1"]


def test_stale_copies_are_never_taken_for_the_latest(file: File) -> None:
    """If the entry that set a value last is lost, an older copy of it is not passed off as it."""
    file.damage("UPDATE map_entries SET value = '7' WHERE entry = 'm1'")
    file.damage_journal(4)
    with file.opened() as keeper, pytest.raises(CorruptState, match="m1"):
        keeper.state.marks["m1"]


def test_cut_off_items_are_never_taken_for_later_ones(file: File) -> None:
    """If the entries that cut a log and wrote on are lost, the item cut off is not passed off."""
    with file.opened() as keeper:
        cut = Delta(1)
        cut.truncated["lines"] = 3
        cut.shape = '{"count":null,"lines":3}'
        keeper.put(cut)
        keeper.load()
        keeper.state.lines.append("another line 4")
        keeper.commit()
    file.damage("UPDATE log_items SET value = '7' WHERE position = 3")
    with file.opened() as keeper:
        assert keeper.state.lines[3] == "another line 4"
    file.damage_journal(6)
    file.damage_journal(7)
    with file.opened() as keeper, pytest.raises(CorruptState, match=r"state\.lines\[3\]"):
        keeper.state.lines[3]


def test_intact_checksum_proves_an_older_copy(file: File) -> None:
    """A copy that matches the stored checksum is right even where other entries are lost."""
    file.damage("UPDATE map_entries SET value = '7' WHERE entry = 'm0'")
    file.damage("UPDATE log_items SET value = '7' WHERE position = 1")
    file.damage_journal(5)
    with file.opened() as keeper:
        assert keeper.state.marks["m0"] == 3
        assert keeper.state.lines[1] == "line 2"


def test_damaged_journal_entry_is_named(file: File) -> None:
    """Reading the journal stops at a damaged entry with its sequence and agent."""
    file.damage_journal(3)
    with file.opened() as keeper:
        with pytest.raises(CorruptState, match="journal entry 3 of K/1: its checksum"):
            keeper.store.journal()
        assert [entry.version for entry in keeper.store.journal(after=3)] == [4, 5]
        assert [v for v, text in keeper.store.history(1, 99) if text is None] == [3]


# Going back in time.


def test_agent_goes_back_to_its_last_good_version(file: File) -> None:
    """Without a good copy of a field, fields, logs and maps are those of the version before."""
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    file.damage_journal(5)
    with file.opened() as keeper:
        assert keeper.repaired is not None
        assert (keeper.repaired.name, keeper.repaired.version) == ("(rewind)", 4)
        assert [row.value for row in keeper.repaired.quarantined] == ["77"]
        assert keeper.values() == history(file)[3]
        keeper.state.lines.append("after")
        keeper.state.count += 1
        keeper.commit()
        expected = keeper.values()
    with file.opened() as keeper:
        assert keeper.repaired is None
        assert keeper.values() == expected
        assert keeper.version == 7


def test_it_goes_back_further_where_more_is_lost(file: File) -> None:
    """Entries lost in a row take the agent back to the version before them."""
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    for version in (3, 4, 5):
        file.damage_journal(version)
    with file.opened() as keeper:
        assert keeper.repaired is not None
        assert keeper.repaired.version == 2
        assert keeper.values() == history(file)[1]


def test_it_goes_back_into_trimmed_history(file: File) -> None:
    """Where the journal was trimmed, the base gives the fields that no kept entry set."""
    with file.opened() as keeper:
        keeper.state.name = "early"
        keeper.commit()
    file.turns(6, 7)
    with file.opened() as keeper:
        keeper.store.trim_journal(7, 99)
    file.damage("DELETE FROM map_entries")
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    file.damage_journal(8)
    with file.opened() as keeper:
        assert keeper.repaired is not None
        assert keeper.repaired.version == 7
        assert (keeper.state.count, keeper.state.name) == (6, "early")
        assert list(keeper.state.lines)[-1] == "line 6"


def test_unset_fields_go_back_to_their_defaults(tmp_path: Path) -> None:
    """A field first set in a lost entry has its default again."""
    file = File(tmp_path / "store.db")
    file.turns(1, 2)
    with file.opened() as keeper:
        keeper.state.name = "late"
        keeper.commit()
    file.damage("UPDATE fields SET value = '\"x\"' WHERE field = 'name'")
    file.damage_journal(3)
    with file.opened() as keeper:
        assert keeper.state.name == "nobody"
        assert keeper.state.count == 2


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda f: [f.damage_journal(n) for n in range(1, 6)], "no version at which every field"),
        (lambda f: f.damage("DELETE FROM journal WHERE version < 5"), "cannot be rewound"),
        (lambda f: f.damage("UPDATE journal SET delta = '{}' WHERE version < 5"), "no version at"),
    ],
)
def test_hopeless_damage_changes_nothing(
    file: File, prepare: Callable[[File], object], reason: str
) -> None:
    """When the journal does not know enough, CorruptState says so and the file stays as it is."""
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    file.damage_journal(5)
    prepare(file)
    before = _dumped(file.path)
    with pytest.raises(CorruptState, match=reason) as corrupt, file.opened():
        pass
    assert corrupt.value.where == "K/1"
    assert _dumped(file.path) == before


def test_unknown_map_entries_are_not_guessed(file: File) -> None:
    """If a lost entry may have changed a map that the kept history does not explain, it is said."""
    with file.opened() as keeper:
        keeper.state.marks["old"] = 1
        keeper.commit()
    file.turns(6, 7, 8)
    with file.opened() as keeper:
        keeper.store.trim_journal(7, 99)
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    file.damage_journal(9)
    unknown = r"marks\['(old|m2)'\] at version 8 is not known"
    with pytest.raises(CorruptState, match=unknown), file.opened():
        pass


def test_unreadable_trimmed_entry_leaves_a_mark(file: File) -> None:
    """Trimming an entry that cannot be read makes the base incomplete instead of silently old."""
    file.damage_journal(2)
    with file.opened() as keeper:
        keeper.store.trim_journal(4, 99)
        base = keeper.store.base_fields(1)
        assert not base.complete
        assert base.fields == {"count": "3"}
        keeper.store.trim_journal(5, 99)
        assert keeper.store.base_fields(1).fields == {"count": "4"}


def test_a_second_rewind_crosses_the_first(file: File) -> None:
    """An agent that went back once can go back again, to before its first return."""
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    file.damage_journal(5)
    with file.opened() as keeper:
        assert keeper.version == 6
        keeper.state.count = 9
        keeper.state.lines.append("line 9")
        keeper.commit()
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    file.damage_journal(7)
    with file.opened() as keeper:
        assert keeper.repaired is not None
        assert keeper.repaired.version == 6
        assert keeper.values() == history(file)[3]


@settings(max_examples=25)
@given(
    turns=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.lists(st.sampled_from("ab"), max_size=2),
            st.dictionaries(st.sampled_from("xyz"), st.none() | st.integers(0, 3), max_size=2),
        ),
        min_size=2,
        max_size=8,
    ),
    lost=st.integers(0, 7),
)
def test_rewound_state_is_the_state_it_was(
    tmp_path_factory: pytest.TempPathFactory,
    turns: list[tuple[int, list[str], dict[str, int | None]]],
    lost: int,
) -> None:
    """Whatever the turns and wherever the loss, the agent is exactly what it was back then."""
    file = File(tmp_path_factory.mktemp("rewind") / "store.db")
    states: list[dict[str, object]] = []
    with file.opened() as keeper:
        for number, (count, lines, marks) in enumerate(turns):
            keeper.state.count = count
            keeper.state.name = f"turn {number}"
            keeper.state.lines.extend(lines)
            for key, value in marks.items():
                if value is None:
                    keeper.state.marks.pop(key, None)
                else:
                    keeper.state.marks[key] = value
            keeper.commit()
            states.append(keeper.values())
    file.damage("UPDATE fields SET value = '\"bad\"' WHERE field = 'name'")
    first = max(1, len(turns) - lost)
    for version in range(first + 1, len(turns) + 1):
        file.damage_journal(version)
    if first == len(turns):
        with file.opened() as keeper:
            assert keeper.values() == states[-1]
        return
    with file.opened() as keeper:
        assert keeper.repaired is not None
        assert keeper.repaired.version == first
        assert keeper.values() == states[first - 1]


def test_truncation_is_in_the_journal() -> None:
    """A delta that cuts a log says so in its journal text, before what it appends."""
    delta = Delta(1)
    delta.truncated["lines"] = 3
    assert delta
    assert delta.text() == '{"truncate":{"lines": 3}}'


# Classes that changed.


class Renamed(State):
    """Declares the same fields otherwise."""

    count: str = ""
    name: str = "nobody"


def _dumped(path: Path) -> list[str]:
    """Return what the file holds, but for the lease."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [line for line in connection.iterdump() if 'INTO "lease"' not in line]


def test_unreadable_value_is_left_alone(file: File) -> None:
    """An intact value that does not decode is CorruptState, with what a rewind costs; no change."""
    before = _dumped(file.path)
    with contextlib.closing(SqliteStore(file.path)) as store:
        store.acquire(HERE)
        with pytest.raises(
            CorruptState, match=r"K/1, state\.count: it does not decode.*rewind.*lose the turns"
        ):
            Keeper(store, Renamed)
    assert _dumped(file.path) == before


def test_unreadable_value_can_be_rewound(tmp_path: Path) -> None:
    """With unreadable="rewind" the last version that decodes is used."""

    class Loose(State):
        """Takes both."""

        count: int | str = 0

    with contextlib.closing(SqliteStore(tmp_path / "store.db")) as store:
        store.acquire(HERE)
        loose = Keeper(store, Loose)
        for value in ("a", "b", 3):
            loose.state.count = value
            loose.commit()
        strict = Keeper(store, Renamed, unreadable="rewind")
        assert strict.state.count == "b"
        assert strict.repaired is not None
        assert strict.repaired.quarantined[0].value == "3"


# The same from above.


class Counter(Agent[Notes]):
    """Counts and logs."""

    unreadable: ClassVar[str] = "quarantine"

    def count(self) -> int:
        """Count one more."""
        self.state.count += 1
        self.state.lines.append(f"line {self.state.count}")
        self.state.marks["last"] = self.state.count
        return self.state.count

    def look(self) -> tuple[int, list[str], dict[str, int]]:
        """Return the state."""
        return self.state.count, list(self.state.lines), dict(self.state.marks)


class Odd(State):
    """Declares a field of Notes otherwise."""

    count: list[int] = msgspec.field(default_factory=list)
    name: str = ""
    lines: Log[str] = Log.field()
    marks: Map[str, int] = Map.field()


@pytest.fixture
def told() -> Iterator[list[str]]:
    """Return the reasons of the quarantine signals that are fired meanwhile."""
    reasons: list[str] = []

    def hear(_sender: object, event: object) -> None:
        reasons.append(event.reason)  # type: ignore[attr-defined]

    signals = [SIGNALS["snapshot_quarantined"], SIGNALS["agent_quarantined"]]
    for signal in signals:
        signal.connect(hear)
    yield reasons
    for signal in signals:
        signal.disconnect(hear)


def agent_class(name: str, state: type[State], **body: object) -> Any:  # noqa: ANN401
    """Return an agent class, as a later release of a program would declare it."""
    return types.new_class(name, (Agent[state],), exec_body=lambda space: space.update(body))  # type: ignore[valid-type]


def counted(path: Path, turns: int) -> None:
    """Let one agent count."""
    with AgentSystem.open(path, agents=[Counter]) as system:
        for _ in range(turns):
            system.agent(Counter, "c").proxy().count().get()


def test_system_rewinds_an_agent_loudly(
    tmp_path: Path, told: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """A system uses the last good version, tells signal and log, and journals the "(rewind)"."""
    file = File(tmp_path / "store.db")
    counted(file.path, 5)
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    file.damage_journal(5)
    with AgentSystem.open(file.path, agents=[Counter]) as system:
        counter = system.agent(Counter, "c").proxy()
        assert counter.look().get() == (4, [f"line {n}" for n in range(1, 5)], {"last": 4})
        assert counter.count().get() == 5
        assert "(rewind)" in [entry.name for entry in system.journal.list(after=5)]
    assert len(told) == 1
    assert "went back to version 4 of 5" in told[0]
    assert "went back to version 4 of 5" in caplog.text
    with AgentSystem.open(file.path, agents=[Counter]) as system:
        assert system.agent(Counter, "c").proxy().look().get()[0] == 5
        bad = system._store.quarantined()
    assert [(row.place, row.value) for row in bad] == [("count", "77")]
    assert len(told) == 1


def test_system_restores_without_loss(tmp_path: Path, told: list[str]) -> None:
    """A damaged field with a good copy costs nothing, is told once, and is healed."""
    file = File(tmp_path / "store.db")
    counted(file.path, 3)
    file.damage("UPDATE fields SET value = '77' WHERE field = 'count'")
    counted(file.path, 1)
    counted(file.path, 1)
    with AgentSystem.open(file.path, agents=[Counter]) as system:
        assert system.agent(Counter, "c").proxy().look().get()[0] == 5
    assert len(told) == 1
    assert "the journal's copy is used" in told[0]


def test_system_quarantines_what_a_new_class_cannot_read(tmp_path: Path, told: list[str]) -> None:
    """An agent whose migration makes what does not decode is quarantined; the old class goes on."""
    file = File(tmp_path / "store.db")
    counted(file.path, 3)
    before = _dumped(file.path)
    meta: Any = type(State)
    newer = meta("Newer", (Odd,), {"schema_version": "2.0.0"})
    migration(newer, "1.0.0", "2.0.0", transforms.add("name", ""))
    changed = agent_class("Counter", newer, look=lambda self: self.state.count)
    with AgentSystem.open(file.path, agents=[changed]) as system:
        reference = system.agent(changed, "c")
        with pytest.raises(CorruptState, match=r"Counter/c, state\.count: it does not decode"):
            reference.proxy().look().get()
        reference.proxy().look.defer()
        with pytest.raises((AgentQuarantined, CorruptState), match="does not decode"):
            reference.proxy().look().get()
        system.flush()
        assert [m.body for m in system._store.mail("Counter", "c")] == ["[[],{}]"]
    assert told
    file.damage("DELETE FROM mailbox")
    file.damage("DELETE FROM schemas WHERE family = 'messages' AND sequence > 3")  # of that message
    file.damage("DELETE FROM postings WHERE sequence > 3")
    assert _dumped(file.path) == before
    counted(file.path, 1)
    with AgentSystem.open(file.path, agents=[Counter]) as system:
        assert system.agent(Counter, "c").proxy().look().get()[0] == 4


def test_system_rewinds_for_a_new_class_that_asks_for_it(tmp_path: Path) -> None:
    """With unreadable = "rewind" the last version the class can read is used instead."""

    class Before(State):
        """Takes numbers and lists."""

        count: int | list[int] = msgspec.field(default_factory=list)
        lines: Log[str] = Log.field()

    def put(self: Agent[Before], value: object) -> None:
        self.state.count = value  # type: ignore[assignment]
        self.state.lines.append(str(value))

    def look(self: Agent[Odd]) -> object:
        return self.state.count, list(self.state.lines)

    path = tmp_path / "store.db"
    old = agent_class("Box", Before, put=put)
    new = agent_class("Box", Odd, look=look, unreadable="rewind")
    with AgentSystem.open(path, agents=[old]) as system:
        box = system.agent(old, "b").proxy()
        for value in ([1], [2], 3):
            box.put(value).get()
    with AgentSystem.open(path, agents=[new]) as system:
        assert system.agent(new, "b").proxy().look().get() == ([2], ["[1]", "[2]"])


def test_defaults_survive_as_json() -> None:
    """The defaults that a rewind writes are those a new agent has."""
    assert msgspec.to_builtins(Renamed()) == {"count": "", "name": "nobody"}
