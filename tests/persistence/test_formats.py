"""A file that an earlier release has written is read as it stands, and brought to today's format.

``format_1.sql`` is what such a release left behind: turns, a waiting message, timers, a dead
letter, a session, an artifact, a grant.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NoReturn

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    Event,
    Log,
    Map,
    MessageDetails,
    Scope,
    State,
    VirtualClock,
    migration,
    open_reader,
    transforms,
)
from perdure.hooks.history.history import History
from perdure.hooks.timeline.timeline import Timeline
from perdure.hooks.timeline.wanted import selection_of
from perdure.persistence.errors import CorruptState
from perdure.persistence.records.checksums import of_record
from perdure.persistence.records.records import NOT_KNOWN
from perdure.persistence.records.shared_tables import FORMATS, POSTINGS
from perdure.persistence.records.tables import Order
from perdure.persistence.sqlite import formats
from perdure.persistence.sqlite.reader import SqliteReader
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.lease import Owner
from perdure.persistence.store.store import StoreReader
from perdure.persistence.upkeep.doctor import examine
from tests.kit.deadline import DEADLINE

DUMP = Path(__file__).with_name("format_1.sql")
LAST = 16
"""The newest commit that the earlier release has made."""
BACK_TO_2 = """DROP TABLE postings; DROP TABLE backup_schedules;
DROP TABLE schemas; DROP TABLE attempts; DROP TABLE leftovers;
DROP TABLE audit_causes; DROP TABLE hook_runs;
CREATE TABLE hook_runs (sequence INTEGER NOT NULL, time REAL NOT NULL, runs TEXT NOT NULL,\
 crc INTEGER NOT NULL, PRIMARY KEY (sequence));
PRAGMA user_version = 2;
"""
"""Makes a file of format 2 of one of today."""
HISTORY = ("hook_runs", "hook_queue", "hook_segments", "hook_pins")


class DeskState(State):
    open: int = 0
    owners: Map[str, str] = Map.field()
    lines: Log[str] = Log.field()


class Desk(Agent[DeskState]):
    def assign(self, ticket: str, owner: str) -> int:
        self.state.open += 1
        self.state.owners[ticket] = owner
        self.state.lines.append(f"{ticket} -> {owner}")
        return self.state.open

    def pass_on(self, ticket: str, other: str) -> None:
        self.state.lines.append("pass on")
        self.system.agent(Desk, other).cast(Desk.assign, ticket, self.key)

    def tick(self) -> None:
        self.state.lines.append("tick")

    def read(self) -> tuple[int, set[str], int]:
        return self.state.open, {*self.state.owners}, len(self.state.lines)


@pytest.fixture(params=["with a history of hooks", "without"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Give a file as one of the two releases that wrote format 1 left it."""
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
        if request.param == "without":
            for table in HISTORY:
                connection.execute(f"DROP TABLE {table}")
    return path


def timeline(reader: StoreReader) -> list[Event]:
    """Return all events of a store."""
    return list(Timeline(reader, selection_of(reader)).each())


def made(path: Path) -> set[tuple[str, ...]]:
    """Return what stands in a file's schema, whatever stands between the words."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE sql NOT NULL")
        return {(kind, name, "".join(sql.replace('"', "").split())) for kind, name, sql in rows}


def test_who_only_reads_sees_all_and_changes_nothing(file: Path) -> None:
    """Journal, timers and a timeline that says of each commit that its cause is not known."""
    before = file.read_bytes()
    reader = open_reader(str(file))
    try:
        events = timeline(reader)
        assert [each.sequence for each in events if each.is_turn] == [
            entry.sequence for entry in reader.journal()
        ]
        assert not any(each.cause_known for each in events if each.is_turn)
        assert [each.record()["cause"] for each in events if each.name == "refuse"] == [None]
        assert [timer.name for timer in reader.timers()] == ["tick", "late"]
        stored = reader.load("Desk", "emea")
        assert stored is not None
        assert (len(stored.timers), stored.damaged) == (2, ())
        assert examine(reader).healthy
    finally:
        reader.close()
    assert file.read_bytes() == before


def test_who_owns_it_goes_on_with_all_of_it(file: Path, tmp_path: Path) -> None:
    """State, mail, timers, letters, shared keys are there; what comes now knows its cause."""
    with AgentSystem.open(file, agents=[Desk], clock=VirtualClock(1_800_000_000.0)) as system:
        emea, apac = system.agent(Desk, "emea"), system.agent(Desk, "apac")
        apac.resume()
        assert system.idle(DEADLINE)
        assert apac.call(Desk.read).get() == (3, {"T-2", "T-3", "T-5"}, 3)
        assert emea.call(Desk.read).get()[1] == {"T-1", "T-4", "T-late"}
        emea.call(Desk.pass_on, "T-6", "apac").get()
        assert system.idle(DEADLINE)
        assert [letter.name for letter in system.dead_letters.each()] == ["refuse"]
        assert [each.id for each in system.sessions.each(status="active")] == ["chat"]
        assert system.state.get(Scope.agent("Desk", "emea"), "last") == "T-2"
        assert system.artifacts.open(system.artifacts.get("raw")).read() == b"bytes"
    reader = open_reader(str(file))
    try:
        events = [each for each in timeline(reader) if each.is_turn]
        assert examine(reader).healthy
    finally:
        reader.close()
    assert not any(each.cause_known for each in events if each.sequence <= LAST)
    later = {each.detail.partition("lines")[2]: each for each in events if each.sequence > LAST}
    causes = {detail[7:12]: each.cause for detail, each in later.items()}
    sender = later[next(detail for detail in later if "pass on" in detail)]
    assert {name: causes[name] for name in ('tick"', "T-lat", "T-5 -", "T-6 -", "pass ")} == {
        'tick"': NOT_KNOWN, "T-lat": NOT_KNOWN, "T-5 -": 12, "T-6 -": sender.sequence, "pass ": 0,
    }  # fmt: skip
    fresh = tmp_path / "fresh.db"
    AgentSystem.open(fresh, agents=[]).close()
    assert made(file) == made(fresh)


@pytest.mark.parametrize("owned", [False, True])
@pytest.mark.parametrize("version", [1, 2])
def test_what_hooks_did_is_found_again(tmp_path: Path, version: int, *, owned: bool) -> None:
    """Each commit's executions have their places, whoever reads; a bad row has none."""
    path = tmp_path / "old.db"
    run = ["look", "1", "message.before", "Desk", "emea", "assign", 3, 1.0, 0.1, "continue", "{}",
           "", "", 0, 0, 0, 5, None]  # fmt: skip
    rows = [(sequence, 1.0, json.dumps([run] * sequence)) for sequence in (1, 2, 3)]
    if version > 1:
        AgentSystem.open(path, agents=[Desk]).close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text() if version == 1 else BACK_TO_2)
        for row in rows:
            crc = of_record(("hook_runs", *row)) + (row[0] == 2)
            connection.execute("INSERT INTO hook_runs VALUES (?, ?, ?, ?)", (*row, crc))
        connection.commit()
    if owned:
        with AgentSystem.open(path, agents=[Desk], clock=VirtualClock(1_700_000_000.0)) as system:
            assert [each.id for each in system.hooks.history.each()] == ["1.0", "3.0", "3.1", "3.2"]
            assert system.hooks.history.pack() == 4
    reader = open_reader(str(path))
    try:
        found = list(History(reader).each(hook="look"))
        assert [each.id for each in found] == ["1.0", "3.0", "3.1", "3.2"]
        assert {each.message for each in found} == {5}
    finally:
        reader.close()


def test_an_upgrade_happens_whole_or_not_at_all(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it fails half way, the file is as it was, and the next to open it brings it over."""
    before = made(file)
    with monkeypatch.context() as patch:
        patch.setattr(formats, "_mark", failing)
        with pytest.raises(OSError, match="full"):
            AgentSystem.open(file, agents=[Desk])
    assert made(file) == before
    with AgentSystem.open(file, agents=[Desk], clock=VirtualClock(1_700_000_000.0)) as system:
        assert system.agent(Desk, "emea").call(Desk.read).get()[0] == 2


def failing(*_: object) -> NoReturn:
    """Fail as a disk does."""
    raise OSError("the disk is full")


@pytest.mark.parametrize("owned", [False, True])
def test_a_timer_that_was_damaged_stays_so(file: Path, *, owned: bool) -> None:
    """Its checksum is not made good on the way: it is found bad, and the other one is kept."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("UPDATE timers SET due = due + 1 WHERE name = 'late'")
        connection.commit()
    store = SqliteStore(file) if owned else SqliteReader(file)
    try:
        if isinstance(store, SqliteStore):
            store.acquire(Owner.this_process())
        stored = store.load("Desk", "emea")
        assert stored is not None
        assert [timer.name for timer in stored.timers] == ["tick"]
        assert [name for name, _ in stored.bad_timers] == ["late"]
    finally:
        store.close()


def test_a_table_that_is_missing_is_no_earlier_format(file: Path) -> None:
    """A file of any format that lacks one of its tables is refused, and that table named."""
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE grants")
    with pytest.raises(CorruptState, match=r"the table grants \(format 1\)"):
        open_reader(str(file))


def test_who_reads_for_long_notices_that_the_owner_has_brought_it_to_today(file: Path) -> None:
    """From then on it sees what a new reader sees: timers with their causes, hooks, no old mark."""
    with closing(open_reader(str(file))) as reader:
        assert isinstance(reader, SqliteReader)
        assert not any(each.cause_known for each in timeline(reader) if each.is_turn)
        with AgentSystem.open(file, agents=[Desk], sync="process") as system:
            system.hooks.on("message.before", _looks, name="looks")
            desk = system.agent(Desk, "emea")
            desk.call(Desk.assign, "T-9", "noor").get(timeout=DEADLINE)
            assert system.idle(DEADLINE)
        with closing(open_reader(str(file))) as fresh:
            assert timeline(reader) == timeline(fresh)
            assert list(reader.timers()) == list(fresh.timers())
            assert reader.keys(FORMATS, None, 9) == fresh.keys(FORMATS, None, 9) != []
        assert any(each.cause_known for each in timeline(reader) if each.is_turn)
        assert any(each.what == "hook" for each in timeline(reader))


def _looks(details: MessageDetails) -> None:
    """Look."""


class NewState(State):
    schema_version = "2.0.0"
    count: int = 0
    owners: dict[str, str] = msgspec.field(default_factory=dict)
    lines: Log[str] = Log.field()


migration(
    NewState, "1.0.0", "2.0.0",
    transforms.rename("open", "count"), transforms.convert("owners", dict),
)  # fmt: skip


class NewDesk(Agent[NewState]):
    kind = "Desk"

    def assign(self, ticket: str, owner: str) -> None:
        self.state.owners[ticket] = owner

    def tick(self) -> None:
        self.state.lines.append("tick")

    def read(self) -> tuple[int, dict[str, str], int]:
        return self.state.count, self.state.owners, len(self.state.lines)


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """Give a file as the last release of format 2 left it, which kept no schemas."""
    path = tmp_path / "second.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.with_name("format_2.sql").read_text())
    return path


def test_a_file_of_format_2_is_read_and_brought_over(second: Path, tmp_path: Path) -> None:
    """Who only reads changes nothing; its owner goes on, and a turn says which schema it wrote."""
    before = second.read_bytes()
    with closing(open_reader(str(second))) as reader:
        assert reader.written_with("Desk") == {0: 2}
        assert examine(reader).healthy
    assert second.read_bytes() == before
    with AgentSystem.open(second, agents=[Desk], clock=VirtualClock(1_700_000_001.0)) as system:
        assert system.agent(Desk, "emea").call(Desk.assign, "T-9", "mira").get() == 3
        assert system.state.get(Scope.workflow("w"), "k") == 1
        assert system._store.written_with("Desk") == {0: 1, 1: 1}
    fresh = tmp_path / "fresh.db"
    AgentSystem.open(fresh, agents=[]).close()
    assert made(second) == made(fresh)


def test_what_earlier_releases_wrote_is_migrated_from_the_first_version(second: Path) -> None:
    """They knew no versions: their classes count as 1.0.0, and no value is lost."""
    with AgentSystem.open(second, agents=[NewDesk], clock=VirtualClock(1_700_000_001.0)) as system:
        assert system.migrate().complete
        emea = system.agent(NewDesk, "emea").call(NewDesk.read).get()
        assert emea == (2, {"T-1": "mira", "T-2": "noor"}, 2)
        system.agent(NewDesk, "apac").resume()
        assert system.idle(DEADLINE)
        apac = system.agent(NewDesk, "apac").call(NewDesk.read).get()
    assert apac == (1, {"T-3": "zoe", "T-4": "zoe"}, 1)
    with closing(open_reader(str(second))) as reader:
        assert examine(reader).healthy


def test_a_file_of_format_3_is_read_and_brought_over(tmp_path: Path) -> None:
    """Who only reads changes nothing; from then on what comes and goes leaves a trace."""
    path = tmp_path / "third.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.with_name("format_3.sql").read_text())
    before = path.read_bytes()
    with closing(open_reader(str(path))) as reader:
        assert [message.id for message in reader.mailbox("Desk")]
        assert examine(reader).healthy
        assert reader.page(POSTINGS, Order(("sequence",)), None, 9) == []
    assert path.read_bytes() == before
    with AgentSystem.open(path, agents=[Desk], clock=VirtualClock(1_700_000_002.0)) as system:
        system.agent(Desk, "noor").resume()
        assert system.idle(DEADLINE)
        assert system.agent(Desk, "noor").call(Desk.read).get()[0] == 2
    fresh = tmp_path / "fresh.db"
    AgentSystem.open(fresh, agents=[]).close()
    assert made(path) == made(fresh)
    with closing(open_reader(str(path))) as reader:
        assert reader.page(POSTINGS, Order(("sequence",)), None, 9)
        assert examine(reader).healthy


def test_a_file_of_format_4_is_read_and_brought_over(tmp_path: Path) -> None:
    """Contents of one chunk that have a list are read as those without; the number rises."""
    path = tmp_path / "fourth.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.with_name("format_4.sql").read_text())
    before, scope = path.read_bytes(), Scope.workflow("w")
    with closing(open_reader(str(path))) as reader:
        assert [message.id for message in reader.mailbox("Desk")]
        assert examine(reader).healthy
    assert path.read_bytes() == before
    with AgentSystem.open(path, agents=[Desk], clock=VirtualClock(1_700_000_002.0)) as system:
        note = system.artifacts.get("note", scope=scope)
        assert system.artifacts.read(note) == b"a content of one chunk"
        system.artifacts.save("note", b"another one", scope=scope)
        assert system.agent(Desk, "emea").call(Desk.read).get()[0] == 1
    fresh = tmp_path / "fresh.db"
    AgentSystem.open(fresh, agents=[]).close()
    assert made(path) == made(fresh)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (formats.FORMAT,)
    with closing(open_reader(str(path))) as reader:
        assert examine(reader).healthy
