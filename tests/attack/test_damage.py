"""G8 and G9 on damaged files: flipped bytes and missing ends, anywhere, never crash or go unseen.

Every row carries a checksum: what is read must come back right, or with an error, or with the bad
value in quarantine. A row that the damaged page or index no longer leads to is missed where an
agent's head tells of it (plain fields, logs), and found by the doctor elsewhere.
"""

import logging
import re
import sqlite3
import struct
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, TypeAlias

import pytest
from msgspec import field

from perdure import Agent, AgentSystem, Backoff, Breaker, Log, Map, Saving, Scope, State
from perdure.hooks.breaker import BreakerState
from perdure.persistence.errors import (
    AgentQuarantined,
    CorruptState,
    PerdureError,
    StoreError,
    StoreOwned,
    StoreUnavailable,
)
from perdure.persistence.records.checksums import of_record
from perdure.persistence.records.records import AgentRow, Inbox, StoredAgent
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.upkeep import doctor
from perdure.url import open_reader
from tests.attack.agents import AGENTS, Relay, Tally
from tests.attack.audit import Book, Picture, audit, opened
from tests.attack.children import Child

PATIENCE = 20.0
SECTOR = 512
PAGE_BYTES = 4096
TURNS = 15
KEYS = [f"v{number}" for number in range(6)]
PAUSED = "v5"
"""A vault that was not found: an index has to lead to an agent."""

Report: TypeAlias = list[Any]
Sound: TypeAlias = tuple[bytes, dict[str, Report]]
Damage: TypeAlias = Callable[[Random, bytes], bytes]


class VaultState(State):
    """Something of each kind."""

    total: int = 0
    name: str = ""
    recent: list[str] = field(default_factory=list)
    notes: Log[str] = Log.field()
    parts: Map[str, str] = Map.field()


class Vault(Agent[VaultState]):
    """Keeps texts that are found again in the bytes of the file."""

    def put(self, number: int) -> None:
        """Change every field."""
        text = f"{self.key} {number}"
        self.state.total += number
        self.state.name = f"name {text}"
        self.state.recent = [*self.state.recent, f"recent {text}"][-3:]
        self.state.notes.append(f"note {text}")
        self.state.parts[str(number % 4)] = f"part {text}"

    def arm(self) -> None:
        """Set a timer that is not due for long."""
        self.after(1e6, Vault.put, 5, name="far")

    def report(self) -> Report:
        """Return everything."""
        state = self.state
        plain = [state.total, state.name, list(state.recent)]
        return [*plain, list(state.notes), dict(state.parts)]


def system_on(path: Path) -> AgentSystem:
    """Open a system that soon gives up saving."""
    return AgentSystem.open(
        path,
        agents=[Vault],
        saving=Saving(
            backoff=Backoff(first=0.001, longest=0.001),
            breaker=Breaker(failures=2, reset_after=60.0),
        ),
    )


@contextmanager
def closing_soon(path: Path) -> Iterator[AgentSystem]:
    """Open a system that does not try for long to save what it cannot."""
    system = system_on(path)
    try:
        yield system
    finally:
        system.close(timeout=0.2)


def reports(path: Path) -> tuple[dict[str, Report], bool]:
    """Return what every vault reports that can, and whether anything was said to be wrong."""
    found: dict[str, Report] = {}
    loud = False
    asked = list(KEYS)
    with closing_soon(path) as system:
        try:
            system.agent(Vault, PAUSED).resume(timeout=PATIENCE)
        except PerdureError:
            loud = True
            asked.remove(PAUSED)  # it is paused still, maybe: an ask would wait
        for key in asked:
            try:
                found[key] = system.agent(Vault, key).call(Vault.report).get(timeout=PATIENCE)
            except PerdureError:
                loud = True
        store = system._store
        try:
            loud = loud or bool(store.quarantined() or store.dead_letters())
        except PerdureError:
            loud = True
    return found, loud


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Return the bytes of a sound store, and what its vaults report."""
    path = tmp_path_factory.mktemp("sound") / "store.db"
    with system_on(path) as system:
        system.agent(Vault, PAUSED).pause()
        for key in KEYS:
            vault = system.agent(Vault, key)
            for number in range(TURNS):
                vault.cast(Vault.put, 1000 + number)
            if key != PAUSED:
                vault.call(Vault.arm).get()
        assert system.idle(PATIENCE)
    content = path.read_bytes()
    expected, loud = reports(path)
    assert not loud
    assert set(expected) == set(KEYS)
    return content, expected


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Keep what is logged about hundreds of damaged stores out of the way."""
    logger = logging.getLogger("perdure")
    logger.setLevel(logging.CRITICAL + 1)
    yield
    logger.setLevel(logging.NOTSET)


def flip(random: Random, content: bytes, places: list[int] | None = None) -> bytes:
    """Return the content with one bit changed."""
    place = random.choice(places) if places else random.randrange(len(content))
    changed = bytearray(content)
    changed[place] ^= 1 << random.randrange(8)
    return bytes(changed)


def flip_used(random: Random, content: bytes) -> bytes:
    """Return the content with one bit changed where there is something."""
    return flip(random, content, [place for place, byte in enumerate(content) if byte])


def flip_value(random: Random, content: bytes) -> bytes:
    """Return the content with one bit of a value changed that has a checksum."""
    found = re.finditer(rb"(?:name|recent|note|part) v\d \d+", content)
    return flip(random, content, [place for match in found for place in range(*match.span())])


def cut(random: Random, content: bytes) -> bytes:
    """Return the content without its end."""
    return content[: random.randrange(1, len(content))]


def examine(path: Path) -> bool:
    """Have the doctor look; tell whether it finds the store healthy."""
    try:
        with closing(open_reader(path)) as reader:
            return doctor.examine(reader).healthy
    except PerdureError:
        return False


def damage(path: Path, content: bytes) -> None:
    """Put the damaged content in the place of the last one; nobody knows of that one any more."""
    for suffix in ("-wal", "-shm", "-journal", "-witness"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(content)


def attack(
    path: Path, sound: Sound, how: Damage, rounds: int, random: Random, *, strict: bool
) -> None:
    """Damage, examine and open a store again and again."""
    content, expected = sound
    for number in range(rounds):
        damage(path, how(random, content))
        healthy = examine(path)
        try:
            found, loud = reports(path)
        except PerdureError:
            continue
        if strict and not loud and found != expected:
            # What is read is right or refused. What an index or a page no longer leads to is not
            # read (an agent may begin anew, a map entry be missing): of that the doctor knows.
            assert how is flip_used, f"round {number}"
            assert not healthy, f"round {number}"


@pytest.mark.parametrize(("how", "strict"), [(flip_used, True), (cut, False)])
def test_damage_anywhere(
    tmp_path: Path, sound: Sound, how: Damage, seed: int, *, strict: bool
) -> None:
    """A damaged file raises the documented errors and no others, and is not read wrong unseen."""
    attack(tmp_path / "store.db", sound, how, 40, Random(seed), strict=strict)


def test_damaged_values(tmp_path: Path, sound: Sound, seed: int) -> None:
    """A value whose bytes were changed is never taken for true."""
    attack(tmp_path / "store.db", sound, flip_value, 40, Random(seed), strict=True)


def zero(random: Random, content: bytes) -> bytes:
    """Return the content with a sector of zeroes."""
    place = random.randrange(len(content) // SECTOR) * SECTOR
    return content[:place] + bytes(SECTOR) + content[place + SECTOR :]


def decides_who_opens(content: bytes, damaged: bytes, lease: int) -> bool:
    """Tell whether the first page was hit, one that says what the tables are, or the lease."""
    place = next(at for at in range(len(content)) if content[at] != damaged[at])
    start = place - place % PAGE_BYTES
    return start in {0, lease} or b"CREATE " in content[start : start + PAGE_BYTES]


def harm(path: Path, content: bytes, damaged: bytes) -> None:
    """Damage a store; whom it hits may fail, but a new agent saves, and so do most of the others.

    A page of the schema is another matter: such a file is refused.
    """
    damage(path, content)
    lease = root_of(path, "lease")
    damage(path, damaged)
    try:
        system = system_on(path)
    except PerdureError:
        assert decides_who_opens(content, damaged, lease)
        return
    failed: list[str] = []
    try:
        for key in ["new", *KEYS]:
            try:
                vault = system.agent(Vault, key)
                if key == PAUSED:
                    vault.resume(timeout=PATIENCE)
                vault.call(Vault.put, 1).get(timeout=PATIENCE)
            except PerdureError:
                failed.append(key)
        assert len(failed) <= 1, failed
        assert system.idle(PATIENCE)
    finally:
        assert system.close()


@pytest.mark.parametrize("how", [flip_used, zero])
def test_damage_harms_at_most_whom_it_hits(
    tmp_path: Path, sound: Sound, how: Damage, seed: int
) -> None:
    """After one flipped bit or one lost sector everybody but one agent at the most goes on."""
    content, random = sound[0], Random(seed)
    for number in range(30):
        damaged = how(random, content)
        if damaged != content:
            harm(tmp_path / f"{number}.db", content, damaged)


@pytest.mark.slow
@pytest.mark.parametrize("how", [flip_used, zero])
def test_damage_harms_at_length(tmp_path: Path, sound: Sound, how: Damage, seed: int) -> None:
    """The same, 500 times each."""
    content, random = sound[0], Random(seed)
    for number in range(500):
        damaged = how(random, content)
        if damaged != content:
            harm(tmp_path / f"{number}.db", content, damaged)


def root_of(path: Path, name: str) -> int:
    """Return where in the file the first page of a table or index begins."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = ?"
        (root,) = connection.execute(query, (name,)).fetchone()
    return int(root - 1) * PAGE_BYTES


LOST_TABLES: Final = (
    "fields", "log_items", "map_entries", "agents", "sqlite_autoindex_agents_1", "journal",
    "timers", "idx_timers_due", "mailbox", "idx_mailbox_kind_key", "dead_letters", "base_fields",
    "quarantine", "lease", "scoped", "audit",
)  # fmt: skip


@pytest.mark.parametrize("table", LOST_TABLES)
def test_a_table_that_cannot_be_read_is_built_again(
    tmp_path: Path, sound: Sound, table: str
) -> None:
    """Where the first page of a table is lost, states come back whole from what else there is."""
    content, expected = sound
    path = tmp_path / "store.db"
    damage(path, content)
    root = root_of(path, table)
    damage(path, content[:root] + bytes(SECTOR) + content[root + SECTOR :])
    assert not examine(path)
    if table == "lease":  # whether it has an owner cannot be said
        with pytest.raises(StoreUnavailable, match="restore a backup"):
            system_on(path)
        return
    with system_on(path) as system:
        system.agent(Vault, PAUSED).resume()
        for key in KEYS:
            found = system.agent(Vault, key).call(Vault.report).get()
            # Mail that was waiting when its page was lost is lost, and the quarantine says so.
            assert found == expected[key] or (table == "mailbox" and key == PAUSED)
            system.agent(Vault, key).call(Vault.put, 1).get()
        store = system._store
        assert not store.mail("Vault", "v1")
        assert not store.dead_letters()
        assert system.state.get(Scope.GLOBAL, "k") is None
        assert store.base_fields(1).fields == {}
        places = " ".join(row.place for row in store.quarantined())
        system.agent(Vault, "new").call(Vault.put, 1).get()
    assert examine(path)
    if not table.startswith(("sqlite_", "idx_")) and table != "quarantine":
        assert table in places


def test_a_lease_that_cannot_be_right_is_refused(tmp_path: Path) -> None:
    """With zeroes in the row of the lease, opening gives an owner, StoreOwned or damage."""
    path = tmp_path / "store.db"
    with system_on(path):
        pass
    content, page = path.read_bytes(), root_of(path, "lease")
    end, row = page + PAGE_BYTES, page + int.from_bytes(content[page + 8 : page + 10])
    spans = [(at, at + 1) for at in range(row, end, 3)] + [(row + 3, end), (end - SECTOR, end)]
    refused = 0
    for first, last in spans:
        damage(path, content[:first] + bytes(last - first) + content[last:])
        try:
            system_on(path).close()
        except StoreOwned:  # by what is left of the row its owner may be alive
            continue
        except StoreUnavailable as error:
            refused += 1
            assert "restore a backup" in str(error)  # noqa: PT017 - several outcomes are right
            assert not examine(path)
    assert refused > 2


def test_numbering_does_not_go_on_from_a_damaged_row(tmp_path: Path) -> None:
    """Where the newest entry has lost its number, no commit is taken for one that is there."""
    path = tmp_path / "store.db"
    with AgentSystem.open(path, agents=[Vault]) as system:
        for number in range(4):
            system.agent(Vault, "a").call(Vault.put, number).get()
    content, root = path.read_bytes(), root_of(path, "journal")
    cells = int.from_bytes(content[root + 3 : root + 5])
    last = root + 8 + 2 * (cells - 1)
    cell = root + int.from_bytes(content[last : last + 2])
    number = cell + 1 + (content[cell] > 127)  # behind the length of the row
    assert content[number] == 4
    with path.open("r+b") as file:  # beside what the last owner has witnessed
        file.seek(number)
        file.write(b"\x02")
    with system_on(path) as system:
        system.agent(Vault, "a").call(Vault.put, 7).get()
    with system_on(path) as system:
        assert system.agent(Vault, "a").call(Vault.report).get()[0] == sum(range(4)) + 7
        assert system._store.journal_extent()[1] >= 4
    assert examine(path)


def test_one_bit_of_a_timer_stops_nobody(tmp_path: Path) -> None:
    """An index that disagrees with its table is built again by the first save that meets it."""
    path = tmp_path / "store.db"
    with AgentSystem.open(path, agents=[Vault]) as system:
        system.agent(Vault, "a").call(Vault.arm).get()
        system.agent(Vault, "b").call(Vault.put, 1).get()
    with closing(sqlite3.connect(path)) as connection:
        (due,) = connection.execute("SELECT due FROM timers").fetchone()
    content = path.read_bytes()
    at = content.index(struct.pack(">d", due), root_of(path, "timers")) + 7
    damage(path, content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with system_on(path) as system:
        for key in ("a", "b"):
            system.agent(Vault, key).call(Vault.put, 2).get()
        assert [row.place for row in system._store.quarantined()] == ["timer far"]
        assert system.statistics().saves.breaker is BreakerState.CLOSED
    assert examine(path)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "strict"), [(flip_used, True), (cut, False), (flip_value, True)])
def test_damage_at_length(
    tmp_path: Path, sound: Sound, how: Damage, seed: int, *, strict: bool
) -> None:
    """The same, 1,000 times each."""
    attack(tmp_path / "store.db", sound, how, 1000, Random(seed), strict=strict)


def test_a_damaged_log_of_writes_gives_a_consistent_cut(tmp_path: Path, seed: int) -> None:
    """Whatever happens to the bytes of the WAL, what is read is an earlier state, no mixture."""
    random, store, torn = Random(seed), tmp_path / "store.db", tmp_path / "torn.db"
    with Child(store) as child:
        for _ in range(5):
            child.ask("push", 20)
        child.freeze()
        content, log = store.read_bytes(), Path(f"{store}-wal").read_bytes()
    pushed: set[int] = set()
    for number in range(40):
        damage(torn, content)
        Path(f"{torn}-wal").write_bytes((flip_used if number % 2 else cut)(random, log))
        with opened(torn) as connection:
            if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
                continue
            picture = Picture(connection)
            audit(picture, Book())
            pushed.add(picture.value("Relay", "0", "last"))
        with AgentSystem.open(torn, agents=AGENTS) as system:
            assert system.agent(Relay, "0").call(Relay.push).get() >= 1
    assert len(pushed) > 1


def test_a_table_that_was_altered_is_refused(tmp_path: Path) -> None:
    """A store whose tables have not the columns of its format is not used; others may be beside."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=AGENTS) as system:
        system.agent(Tally, "t").call(Tally.add, 1).get()
    for statement, fine in (
        ("CREATE TABLE theirs (value)", True),
        ("ALTER TABLE base_fields RENAME COLUMN crc TO crd", False),
    ):
        with closing(sqlite3.connect(store)) as connection:
            connection.execute(statement)
            connection.commit()
        if fine:
            with AgentSystem.open(store, agents=AGENTS) as system:
                assert system.agent(Tally, "t").call(Tally.add, 1).get() == 2
        else:
            with pytest.raises(CorruptState, match="base_fields"):
                AgentSystem.open(store, agents=AGENTS)


def test_askers_behind_mail_that_cannot_be_delivered_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an agent cannot be read its mail waits, but nobody who asks waits with it."""
    with AgentSystem.open(tmp_path / "store.db", agents=AGENTS) as system:
        store, tally = system._store, system.agent(Tally, "t")
        broken = True
        load = store.load

        def fail(kind: str, key: str) -> StoredAgent | None:
            if broken:
                raise StoreUnavailable("the disk does not answer")
            return load(kind, key)

        monkeypatch.setattr(store, "load", fail)
        tally.cast(Tally.add, 1)
        for future in (tally.call(Tally.add, 10), tally.stop(block=False)):
            with pytest.raises(StoreUnavailable):
                future.get(timeout=PATIENCE)
        with pytest.raises(StoreUnavailable):
            tally.pause(timeout=PATIENCE)
        broken = False
        assert system.idle(PATIENCE)
        assert tally.call(Tally.add, 1).get() == 2


@pytest.mark.parametrize("error", [StoreUnavailable("not now"), CorruptState("mail", "torn")])
def test_old_mail_that_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: StoreError
) -> None:
    """Old mail that cannot be read now comes later; corrupt mail gives the agent up, loudly."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=AGENTS) as system:
        system.agent(Tally, "t").pause()
        system.agent(Tally, "t").cast(Tally.add, 1)
        system.flush()
    with closing(sqlite3.connect(store)) as connection:
        row = connection.execute("SELECT * FROM agents").fetchone()
        head = AgentRow(*row[:7])._replace(status="active")
        connection.execute("UPDATE agents SET status = ?, crc = ?", (head.status, of_record(head)))
        connection.commit()
    broken, inbox = True, SqliteStore.inbox

    def fail(self: SqliteStore, kind: str, key: str) -> Inbox:
        if broken:
            raise error
        return inbox(self, kind, key)

    monkeypatch.setattr(SqliteStore, "inbox", fail)
    with AgentSystem.open(store, agents=AGENTS) as system:
        tally = system.agent(Tally, "t")
        with pytest.raises((StoreError, AgentQuarantined)):
            tally.call(Tally.add, 10).get(timeout=PATIENCE)
        broken = False
        if isinstance(error, CorruptState):
            with pytest.raises(AgentQuarantined):
                tally.call(Tally.add, 10).get(timeout=PATIENCE)
            tally.restart()
        assert system.idle(PATIENCE)
        assert tally.call(Tally.add, 1).get() == 2


def test_the_doctor_sees_an_index_that_disagrees_with_its_table(tmp_path: Path) -> None:
    """Mail that its index no longer leads to would never be delivered: the doctor says so."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=AGENTS) as system:
        system.agent(Tally, "t").pause()
        system.agent(Tally, "t").cast(Tally.add, 1)
        system.flush()
    assert examine(store)
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        index = "type = 'index' AND tbl_name = 'mailbox'"
        (row,) = connection.execute(f"SELECT * FROM sqlite_schema WHERE {index}")  # noqa: S608
        connection.execute(f"DELETE FROM sqlite_schema WHERE {index}")  # noqa: S608
        connection.commit()
    with closing(sqlite3.connect(store)) as connection:  # which knows nothing of the index
        connection.execute("UPDATE mailbox SET key = 'u'")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
        connection.commit()
    assert not examine(store)


def test_a_spoilt_message_and_timer_do_not_block_the_agent(tmp_path: Path) -> None:
    """Bad rows of mail and timers go to quarantine, loudly; the agent's other mail is delivered."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=[Vault]) as system:
        vault = system.agent(Vault, "v")
        vault.call(Vault.arm).get()
        vault.pause()
        for number in (1, 2, 3):
            vault.cast(Vault.put, number)
        system.flush()
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(
            "UPDATE mailbox SET body = replace(body, '2', '7') WHERE body LIKE '%2%'"
        )
        connection.execute("UPDATE timers SET due = due + 1")
        connection.commit()
    assert not examine(store)
    for first in (True, False):
        with AgentSystem.open(store, agents=[Vault]) as system:
            vault = system.agent(Vault, "v")
            if first:
                vault.resume()
            assert system.idle(PATIENCE)
            assert vault.call(Vault.report).get()[0] == 4
            bad = [row.place.split()[0] for row in system._store.quarantined()]
            assert sorted(bad) == ["message", "timer"]
    assert examine(store)


@pytest.mark.parametrize(
    "change", ["version = version + 1", "status = 'stopped'", "status = '?'", "sequence = 0"]
)
def test_a_damaged_head_is_mended(tmp_path: Path, change: str) -> None:
    """What the journal or the checksum prove of a head is put right, with the old row kept."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=[Vault]) as system:
        system.agent(Vault, "v").call(Vault.put, 1).get()
    with closing(sqlite3.connect(store)) as connection:
        connection.execute(f"UPDATE agents SET {change}")  # noqa: S608
        connection.commit()
    assert not examine(store)
    with AgentSystem.open(store, agents=[Vault]) as system:
        assert system.agent(Vault, "v").call(Vault.put, 2).get() is None
        assert system.agent(Vault, "v").call(Vault.report).get()[0] == 3
        assert [row.place for row in system._store.quarantined()] == ["(head)"]
    assert examine(store)


@pytest.mark.parametrize("value", ["sound", "bad"])
def test_who_was_given_up_stays_so_until_somebody_restarts_it(tmp_path: Path, value: str) -> None:
    """What makes an agent readable again lets nobody wait for it: it is quarantined, or works.

    Also where that takes a repair: a bad value is there in the journal.
    """
    path = tmp_path / "store.db"
    with AgentSystem.open(path, agents=[Vault]) as system:
        vault = system.agent(Vault, "v")
        vault.call(Vault.put, 1).get()
        vault.pause()
        vault.cast(Vault.put, 2)
        system.flush()
    with closing(sqlite3.connect(path)) as beside:
        head = beside.execute("SELECT version, sequence, status, reason FROM agents").fetchone()
        change = "UPDATE agents SET version = ?, sequence = ?, status = ?, reason = ?"
        beside.execute(change, (77, 99, "odd", "x"))
        beside.commit()
        system = AgentSystem.open(path, agents=[Vault])
        vault = system.agent(Vault, "v")
        with pytest.raises(CorruptState):
            vault.resume(timeout=PATIENCE)
        beside.execute(change, head)
        if value == "bad":
            beside.execute("UPDATE fields SET value = '7' WHERE field = 'total'")
        beside.commit()
        with pytest.raises(PerdureError, match="quarantined"):
            vault.pause(timeout=PATIENCE)  # it is read for that
        with pytest.raises(AgentQuarantined):
            vault.call(Vault.report).get(timeout=PATIENCE)
        vault.restart(timeout=PATIENCE)
        assert vault.call(Vault.report).get(timeout=PATIENCE)[0] == 3
    assert system.close()


@pytest.mark.parametrize("statement", ["DELETE FROM fields", "UPDATE fields SET agent = agent + 7"])
def test_a_missing_field_is_not_a_default(tmp_path: Path, statement: str) -> None:
    """A field whose row is gone comes back from the journal; without it the agent is given up."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=[Vault]) as system:
        for number in (1, 2):
            system.agent(Vault, "v").call(Vault.put, number).get()
    content = store.read_bytes()
    for lost, expected in ((0, [3, "name v 2"]), (2, None)):
        damage(store, content)
        with closing(sqlite3.connect(store)) as connection:
            connection.execute(statement)
            connection.execute("UPDATE journal SET delta = '{}' WHERE version <= ?", (lost,))
            connection.commit()
        with AgentSystem.open(store, agents=[Vault]) as system:
            future = system.agent(Vault, "v").call(Vault.report)
            if expected is not None:
                assert future.get()[:2] == expected
            else:
                with pytest.raises(CorruptState, match="Vault/v"):
                    future.get()


def test_a_missing_end_of_a_log_is_not_a_shorter_log(tmp_path: Path) -> None:
    """The items cut off a log are read from the journal, or reading them is an error."""
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=[Vault]) as system:
        for number in (1, 2, 3):
            system.agent(Vault, "v").call(Vault.put, number).get()
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("DELETE FROM log_items WHERE position > 0")
        connection.commit()
    with AgentSystem.open(store, agents=[Vault]) as system:
        notes = ["note v 1", "note v 2", "note v 3"]
        assert system.agent(Vault, "v").call(Vault.report).get()[3] == notes
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("DELETE FROM journal WHERE version < 3")
        connection.commit()
    with (
        AgentSystem.open(store, agents=[Vault]) as system,
        pytest.raises(CorruptState, match=r"state\.notes\[1\]"),
    ):
        system.agent(Vault, "v").call(Vault.report).get()
