"""Rotation: every stored secret takes the current key, whatever is interrupted or missing."""

import contextlib
import random
import select
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    FileKeys,
    Keys,
    MemoryStore,
    Secret,
    State,
    StaticKeys,
    new_key,
)
from perdure.persistence.errors import Denied, KeyMissing
from perdure.persistence.records.records import Commit, QuarantineRow
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Change
from perdure.persistence.records.texts import Replacement
from perdure.persistence.secrets.detector import NAMED
from perdure.persistence.secrets.keys import key_text
from perdure.persistence.secrets.place import in_state
from perdure.persistence.secrets.sealer import Sealer
from perdure.persistence.secrets.tokens import PREFIX
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.lease import Owner
from perdure.persistence.store.store import Store
from perdure.persistence.upkeep.doctor import examine
from perdure.shared.secrets.rotation import Rotator, remaining, sealed, unfinished
from perdure.url import open_store
from tests.cli.commands import invoke, records
from tests.kit.children import started
from tests.secrets.agents import Keeper
from tests.secrets.corpus import made
from tests.secrets.test_detector import Desk

PIECE = 16
HERE = in_state("Keeper", "1", "plain")
OLD, NEW = new_key(), new_key()
BEFORE = StaticKeys({"k1": OLD})
PAUSED = "paused"
"""An agent with mail that waits."""
AFTER = StaticKeys({"k2": NEW, "k1": OLD})


def filled(store: Path | MemoryStore, agents: int = 3) -> None:
    """Make a store with secrets in every table of agents."""
    with AgentSystem.open(store, agents=[Keeper], keys=Keys(secrets=BEFORE)) as system:
        for key in range(agents):
            keeper = system.agent(Keeper, str(key))
            keeper.call(Keeper.keep, Secret(f"word-{key}")).get()
            keeper.cast(Keeper.refuse, Secret("dead"))
        assert system.idle(20)
        keeper = system.agent(Keeper, PAUSED)
        keeper.call(Keeper.keep, Secret(f"word-{PAUSED}")).get()
        keeper.pause()
        keeper.cast(Keeper.keep, Secret(f"word-{PAUSED}"))
        assert system.flush(20)


def tables(store: Store, key_id: str) -> set[str]:
    """Return the tables with secrets of a key."""
    return {stored.table for stored in store.texts(f"{PREFIX}2:{key_id}:")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a store with secrets everywhere."""
    path = tmp_path / "r.db"
    filled(path)
    return path


def test_everything_stored_takes_the_new_key(path: Path) -> None:
    """After a rotation no text has the old key, all checksums hold, each value is as it was."""
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        old = tables(store, "k1")
    assert old >= {
        "fields", "log_items", "map_entries", "mailbox", "timers", "dead_letters", "journal",
    }  # fmt: skip
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=AFTER)) as system:
        assert set(system.secrets.remaining()) == {"k1"}
        rotation = system.secrets.rotate(wait=True)
        assert (rotation.key_id, rotation.done, rotation.error) == ("k2", True, "")
        assert rotation.texts > 20
        assert set(system.secrets.remaining()) == {"k2"}
        assert system.secrets.rotation() == rotation
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        assert tables(store, "k2") == old
        assert examine(store).healthy
    with AgentSystem.open(
        path, agents=[Keeper], keys=Keys(secrets=StaticKeys({"k2": NEW}))
    ) as system:
        system.agent(Keeper, PAUSED).resume()
        assert system.idle(20)
        for key in ("0", "1", "2", PAUSED):
            words = system.agent(Keeper, key).call(Keeper.words).get()
            assert words == {f"word-{key}"}
        for letter in system.dead_letters.list():
            system.dead_letters.requeue(letter.id)
        assert system.idle(20)


def test_nothing_of_the_old_key_is_left_in_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a rotation the file has no ciphertext of the old key, however SQLite was built."""
    connect = sqlite3.connect

    def built_without(*args: Any, **kwargs: Any) -> sqlite3.Connection:  # noqa: ANN401
        connection: sqlite3.Connection = connect(*args, **kwargs)
        connection.execute("PRAGMA secure_delete = OFF")
        return connection

    monkeypatch.setattr(sqlite3, "connect", built_without)
    path = tmp_path / "r.db"
    filled(path, agents=100)
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=AFTER)) as system:
        old = {token.encode() for token in sealed(system._store)}
        assert system.secrets.rotate(wait=True).done
        new = {token.encode() for token in sealed(system._store)}
    content = path.read_bytes()
    assert all(token in content for token in new)
    # Pages are moved about: a piece of one would be enough.
    assert not [token for token in old if token[-PIECE:] in content]


def rotated(store: Store, keys: StaticKeys, most: int | None = None) -> Rotator:
    """Rotate a store that no system has open, and stop after ``most`` commits."""
    sequence = store.acquire(Owner.this_process(), takeover=True).sequence
    written = 0

    def write(commit: Commit) -> None:
        nonlocal sequence, written
        written += 1
        if most is not None and written > most:
            raise Killed
        sequence += 1
        commit.sequence = sequence
        store.commit(Batch([commit]))

    rotator = Rotator(store, Sealer(keys), None, write)
    with contextlib.suppress(Killed):
        rotator.run()
    return rotator


class Killed(BaseException):
    """Ends a rotation as a signal would."""


def test_in_memory_as_well() -> None:
    """The memory store rotates like a file."""
    store = MemoryStore()
    filled(store)
    twin = store.twin()
    rotated(twin, AFTER)
    assert not tables(twin, "k1")
    assert tables(twin, "k2") >= {"fields", "log_items", "map_entries", "mailbox", "journal"}
    keys = StaticKeys({"k2": NEW})
    with AgentSystem.open(twin, agents=[Keeper], keys=Keys(secrets=keys), takeover=True) as system:
        assert system.agent(Keeper, "1").call(Keeper.words).get() == {"word-1"}


def test_the_journal_names_a_rotation(path: Path) -> None:
    """Commits of a rotation have their time and a name, whoever began it."""
    begun = time.time()
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=AFTER)) as system:
        system.secrets.rotate(wait=True)
        entries = [entry for entry in system.journal.list(limit=1000) if not entry.kind]
        assert all(entry.name for entry in entries)
        ours = [entry for entry in entries if entry.name == "(rotation)"]
        assert ours
        assert all(begun <= entry.time <= time.time() for entry in ours)


def test_only_what_is_still_there_is_replaced(path: Path) -> None:
    """A text that changed since it was read, or fails its checksum, is left alone."""
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        sequence = store.acquire(Owner.this_process()).sequence
        stored = next(each for each in store.texts(PREFIX) if each.table == "fields")
        commit = Commit()
        commit.sequence = sequence + 1
        commit.with_effects().replaced = [
            Replacement(*stored[:3], old="another text", new='"lost"'),
            Replacement("fields", (999, "plain"), "value", old=stored.text, new='"lost"'),
        ]
        store.commit(Batch([commit]))
        assert list(store.texts('"lost"')) == []
        assert examine(store).healthy
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE fields SET crc = crc + 1 WHERE agent = 1 AND field = 'plain'")
        connection.commit()
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        rotated(store, AFTER)
        (left,) = store.texts(f"{PREFIX}2:k1:")
        assert left.key == (1, "plain")


def test_a_missing_key_leaves_its_secrets_as_they_are(path: Path) -> None:
    """Secrets whose key is gone stay, are counted, and rotate once it is back."""
    with AgentSystem.open(
        path, agents=[Keeper], keys=Keys(secrets=StaticKeys({"k2": NEW}))
    ) as system:
        before = system.secrets.remaining()
        rotation = system.secrets.rotate(wait=True)
        assert (rotation.done, rotation.texts) == (True, 0)
        assert system.secrets.remaining() == before
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=AFTER)) as system:
        system.secrets.rotate(wait=True)
        assert set(system.secrets.remaining()) == {"k2"}
    with AgentSystem.open(path, agents=[Keeper]) as system:
        with pytest.raises(KeyMissing, match="no key"):
            system.secrets.rotate()
        assert system.secrets.rotation() is None


def test_an_interrupted_rotation_goes_on_when_the_store_is_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ended between any two commits, it is finished by the next process that has the keys."""
    monkeypatch.setattr("perdure.shared.secrets.rotation.SLICE", 3)
    old = {"k1": OLD}
    for commits in range(1, 6):
        old = {f"n{commits}": new_key(), **old}
        with contextlib.closing(open_store(str(path), sync="process")) as store:
            rotated(store, StaticKeys(old), most=commits)
            assert unfinished(store)
    keys = StaticKeys({"z": NEW, **old})
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=keys)) as system:
        begun = system.secrets.rotation()
        assert begun is not None
        assert begun.key_id == "z"
        assert system.secrets.rotate(wait=True).done
        assert set(system.secrets.remaining()) == {"z"}
        assert not unfinished(system._store)
        assert system.agent(Keeper, "2").call(Keeper.words).get() == {"word-2"}


def test_closing_ends_it_between_two_slices(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that closes does not wait for a rotation; what was written is kept."""
    monkeypatch.setattr("perdure.shared.secrets.rotation.SLICE", 1)
    system = AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=AFTER))
    system.secrets.rotate()
    system.close()
    ended = system.secrets.rotation()
    assert ended is not None
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        assert ended.done != unfinished(store)
        assert examine(store).healthy


def test_the_command_line_rotates(path: Path, tmp_path: Path) -> None:
    """`secrets rotate` seals a store anew, and `status` tells which keys it needs."""
    keyfile = tmp_path / "keys.txt"
    keyfile.write_text(f"k2 {key_text(NEW)}\nk1 {key_text(OLD)}\n")
    keyfile.chmod(0o600)
    (status,) = records("secrets", "--store", path, "--keys", keyfile)
    assert set(status["keys"]) == {"k1"}
    assert (status["current"], status["missing"], status["rotating"]) == ("k2", [], False)
    assert invoke("secrets", "rotate", "--store", path).exit_code == 2
    (done,) = records("secrets", "rotate", "--store", path, "--keys", keyfile)
    assert (done["key"], done["remaining"]) == ("k2", {})
    keyfile.write_text(f"k3 {key_text(new_key())}\n")
    (status,) = records("secrets", "--store", path, "--keys", keyfile, code=1)
    assert status["missing"] == ["k2"]
    result = invoke("secrets", "rotate", "--store", path, "--keys", keyfile)
    assert result.exit_code == 1
    assert "which is missing or wrong" in result.stderr
    assert "missing" in invoke("secrets", "--store", path, "--keys", keyfile).stdout


def test_a_key_with_other_bytes_is_told_of(path: Path, tmp_path: Path) -> None:
    """A key that has the right id and opens nothing is bad news, not the current one."""
    keyfile = tmp_path / "keys.txt"
    keyfile.touch(mode=0o600)
    keyfile.write_text(f"k1 {key_text(OLD)}\n")
    (status,) = records("secrets", "--store", path, "--keys", keyfile)
    assert status["wrong"] == []
    keyfile.write_text(f"k1 {key_text(NEW)}\n")
    (status,) = records("secrets", "--store", path, "--keys", keyfile, code=1)
    assert (status["missing"], status["wrong"]) == ([], ["k1"])
    result = invoke("secrets", "--store", path, "--keys", keyfile)
    assert result.exit_code == 1
    assert "does not open" in result.stdout
    assert "current" not in result.stdout
    for nothing in ("", "env:"):
        result = invoke("secrets", "--store", path, "--keys", nothing)
        assert result.exit_code == 2
        assert "is empty" in result.stderr


def test_scan_names_places_and_no_values(tmp_path: Path) -> None:
    """`secrets scan` finds plain secrets in stored values and shows where, not what."""
    path, word = tmp_path / "s.db", made("ghp_{A:36}").text.strip('"')
    with AgentSystem.open(path, agents=[Desk], detector=None) as system:
        desk = system.agent(Desk, "1").proxy()
        desk.write(word).get()
        desk.fill("hunter-two").get()
    found = records("secrets", "scan", "--store", path, code=1)
    assert {(each["place"], each["rule"]) for each in found} == {
        ("Desk.text", "GitHub token"), ("Desk.password", NAMED), ("Desk.options", NAMED),
        ("Desk.headers", NAMED),
    }  # fmt: skip
    shown = invoke("secrets", "scan", "--store", path)
    assert shown.exit_code == 1
    assert word not in shown.output
    assert "hunter" not in shown.output


def kill_one(path: Path, keyfile: Path, moment: random.Random) -> None:
    """Run agents and rotations in a child, and kill it at a random point of its output."""
    keyfile.write_text(f"n{moment.random()} {key_text(new_key())}\n" + keyfile.read_text())
    with started("-m", "tests.secrets.rotating", path, keyfile) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        # Not a sleep: gives up waiting for a whole rotation at a random point within it.
        select.select([child.stdout], [], [], moment.uniform(0, 0.4))


@pytest.mark.parametrize("rounds", [4, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.timeout(600)
def test_killed_at_any_moment(path: Path, tmp_path: Path, rounds: int) -> None:
    """Killed again and again beside writing agents, it ends with one key and all values."""
    keyfile = tmp_path / "keys.txt"
    keyfile.write_text(f"k1 {key_text(OLD)}\n")
    keyfile.chmod(0o600)
    moment = random.Random(rounds)
    for _round in range(rounds):
        kill_one(path, keyfile, moment)
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=FileKeys(keyfile))) as system:
        rotation = system.secrets.rotate(wait=True)
        assert rotation.done, rotation
        assert set(system.secrets.remaining()) == {rotation.key_id}
        system.agent(Keeper, PAUSED).resume()
        for row in list(system.agents.each("Keeper")):
            words = system.agent(Keeper, row.key).call(Keeper.words).get()
            assert words == {f"word-{row.key}"}
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        assert examine(store).healthy


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """Give an empty store of each kind."""
    memory = request.param == "memory"
    made = MemoryStore() if memory else open_store(str(tmp_path / "x.db"), sync="process")
    yield made
    made.close()


def test_shared_and_quarantined_values_rotate_too(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tokens in shared keys and in quarantine are sealed again, page by page."""
    monkeypatch.setattr("perdure.persistence.sqlite.store.texts.PAGE", 2)
    sealer = Sealer(BEFORE)
    sequence = store.acquire(Owner.this_process()).sequence
    commit = Commit()
    commit.sequence = sequence + 1
    effects = commit.with_effects()
    tokens = [
        f'["{sealer.seal(lambda: "1", "x", HERE)}", "{sealer.seal(lambda: "2", "x", HERE)}"]'
        for _ in range(5)
    ]
    effects.quarantined = [
        QuarantineRow(1, f"state.{at}", text, "bad", 0.0) for at, text in enumerate(tokens)
    ]
    effects.rows = [
        Change(SCOPED, key := ("global", "", "", f"k{at}"), (*key, text, 1, 0, None))
        for at, text in enumerate(tokens)
    ]
    store.commit(Batch([commit]))
    assert remaining(store)["k1"] >= 20
    rotated(store, AFTER)
    assert tables(store, "k1") == set()
    assert {"quarantine", "scoped"} <= tables(store, "k2")
    row = store.row(SCOPED, ("global", "", "", "k3"))
    assert row is not None
    (token, _) = msgspec.json.decode(str(row[4]))
    assert Sealer(AFTER).open(token, "x", HERE) == "1"


class Nosy(Agent[State]):
    """Looks where it may not."""

    def ask(self, what: str) -> object:
        system: Any = self.system
        call: Callable[[], object] = getattr(system.secrets, what)
        return call()


@pytest.mark.parametrize("what", ["rotate", "remaining", "signed"])
def test_agents_do_not_see_to_keys(what: str) -> None:
    """A handler neither rotates keys nor learns what is sealed with which."""
    with AgentSystem.open("memory://", agents=[Nosy], keys=Keys(secrets=BEFORE)) as system:
        with pytest.raises(Denied, match="may not see to keys"):
            system.agent(Nosy, "1").call(Nosy.ask, what).get()
        assert system.secrets.rotation() is None


def test_what_stops_a_rotation_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that fails ends the rotation with its reason; the next call goes on."""
    monkeypatch.setattr("perdure.shared.secrets.office.PATIENCE", 0)
    with AgentSystem.open("memory://", agents=[Keeper], keys=Keys(secrets=BEFORE)) as system:
        system.agent(Keeper, "1").call(Keeper.keep, Secret("w")).get()
        rotation = system.secrets.rotate(wait=True)
        assert not rotation.done
        assert "not durable yet" in rotation.error
        monkeypatch.undo()
        assert system.secrets.rotate(wait=True).done
    assert "the rotation to key k1 stopped" in caplog.text


def test_a_system_opens_although_its_rotation_cannot_go_on(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a current key a rotation under way waits; the system opens and says so."""
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        rotated(store, AFTER, most=1)
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=StaticKeys({}))) as system:
        assert system.agent(Keeper, "1").call(Keeper.touch).get() == 1
    assert "cannot go on" in caplog.text
    assert "begun" in invoke("secrets", "--store", path).stderr


def test_keys_of_the_environment_on_the_command_line(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--keys env:NAME` takes a variable; a missing one is wrong usage."""
    monkeypatch.setenv("OUR_KEYS", f"k2:{key_text(NEW)},k1:{key_text(OLD)}")
    result = invoke("secrets", "rotate", "--store", path, "--keys", "env:OUR_KEYS")
    assert result.exit_code == 0
    assert "with key k2" in result.stdout
    assert invoke("secrets", "--store", path, "--keys", "env:NONE").exit_code == 2
