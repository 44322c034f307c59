"""A token opens where it was sealed and nowhere else; what perdure itself moves goes on opening."""

import base64
import contextlib
import hashlib
import os
import re
import sqlite3
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Keys,
    Log,
    Map,
    MemoryStore,
    Scope,
    Secret,
    State,
    StaticKeys,
    new_key,
)
from perdure.persistence.errors import CorruptState, KeyMissing
from perdure.persistence.records.records import Commit
from perdure.persistence.records.texts import TEXT_TABLES, Replacement
from perdure.persistence.secrets.place import digest_of, in_mail, in_scope, in_state, texts_in
from perdure.persistence.secrets.sealer import Sealer
from perdure.persistence.secrets.tokens import PREFIX, TOKEN, read
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.lease import Owner
from perdure.persistence.upkeep.doctor import examine
from perdure.url import open_store
from tests.secrets.agents import Keeper, Vaulted

KEY = new_key()
KEYS = Keys(secrets=StaticKeys({"k1": KEY}))
FIRST, SECOND = Scope.workflow("w1"), Scope.workflow("w2")

PLACES = st.lists(st.text(st.characters(codec="utf-8"), max_size=3), max_size=4).map(tuple)


@given(PLACES, PLACES)
def test_places_are_told_apart(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    """A token opens at the very place it was sealed for, whatever parts places have."""
    sealer = Sealer(StaticKeys({"k1": KEY}))
    token = sealer.seal(lambda: '"v"', "x", one)
    assert sealer.open(token, "x", one) == '"v"'
    assert (digest_of(one) == digest_of(other)) == (one == other)
    if one != other:
        with pytest.raises(CorruptState, match="was not sealed for"):
            sealer.open(token, "x", other)
    with pytest.raises(CorruptState):
        sealer.open(token, "x", None)


def test_places_of_different_things_differ() -> None:
    """State, mail and scopes of the same names are different places."""
    names = ("a", "b", "c")
    places = {in_state(*names), in_mail(*names), in_scope(*names, "d"), in_scope("a", "b", "", "c")}
    assert len(places) == 4


def filled(store: Path | MemoryStore) -> None:
    """Make a store with secrets of two agents and of two scopes, in every table."""
    with AgentSystem.open(store, agents=[Keeper], keys=KEYS, takeover=True) as system:
        system.state.register("login*", Secret[str])
        for key in ("1", "2"):
            keeper = system.agent(Keeper, key)
            keeper.call(Keeper.keep, Secret(f"word-{key}")).get()
            keeper.call(Keeper.keep, Secret(f"word-{key}")).get()
            keeper.cast(Keeper.refuse, Secret(f"word-{key}"))
            assert system.idle(20)
            keeper.pause()
            keeper.cast(Keeper.keep, Secret(f"word-{key}"))
        for scope in (FIRST, SECOND):
            system.state.set(scope, "login", Secret(scope.id))
            system.state.set(scope, "login2", Secret(scope.id + "2"))
        assert system.flush(20)


def test_every_token_has_a_place_of_its_own() -> None:
    """No token that is stored for one field, agent, key or message opens for another."""
    store = MemoryStore()
    filled(store)
    held: dict[bytes, set[tuple[object, ...]]] = {}
    for stored in store.twin().texts(PREFIX):
        if stored.table in ("journal", "base_fields"):
            continue  # say the same as the others
        for found in TOKEN.finditer(stored.text):
            token = read(found[0])
            assert token is not None
            assert token.place is not None
            held.setdefault(token.place, set()).add((stored.table, *stored.key, *stored.about))
    assert len(held) > 20
    for rows in held.values():
        # One message for the same method, or the items of one list, at the most.
        agents = {row[-3:-1] if row[0] in ("mailbox", "dead_letters") else row[1:3] for row in rows}
        assert len(agents) == 1 or all(row[0] in ("mailbox", "timers") for row in rows)


class Texts:
    """The texts of a file, changed as somebody would who can write it and knows the checksums."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def get(self, table: str, column: str, where: str) -> str:
        """Return one text."""
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            query = f"SELECT {column} FROM {table} WHERE {where}"  # noqa: S608
            text: str
            (text,) = connection.execute(query).fetchone()
        return text

    def put(self, table: str, column: str, where: str, text: str) -> None:
        """Replace one text, with its checksum."""
        with contextlib.closing(sqlite3.connect(self._path)) as connection:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (text,))  # noqa: S608
            cursor = connection.execute(f"SELECT * FROM {table} WHERE {where}")  # noqa: S608
            checksum = TEXT_TABLES[table].checksum
            assert checksum is not None
            (row,) = cursor.fetchall()
            update = f"UPDATE {table} SET crc = ? WHERE {where}"  # noqa: S608
            connection.execute(update, (checksum(row[:-1]),))
            connection.commit()


MOVES = [
    ("fields", "value", "agent = 1 AND field = 'plain'", "agent = 2 AND field = 'plain'"),
    ("fields", "value", "agent = 1 AND field = 'named'", "agent = 2 AND field = 'named'"),
    ("log_items", "value", "agent = 1 AND position = 0", "agent = 1 AND position = 1"),
    ("log_items", "value", "agent = 1 AND position = 0", "agent = 2 AND position = 0"),
    ("map_entries", "value", "agent = 1 AND entry = 'm'", "agent = 2 AND entry = 'm'"),
]  # fmt: skip


@pytest.mark.parametrize("move", MOVES, ids=str)
def test_a_copied_token_does_not_open(tmp_path: Path, move: tuple[str, str, str, str]) -> None:
    """A token copied in the file, checksums and all, opens nowhere; the error names the place."""
    path = tmp_path / "p.db"
    filled(path)
    table, column, source, target = move
    texts = Texts(path)
    texts.put(table, column, target, texts.get(table, column, source))
    hurt = "2" if "agent = 2" in target else "1"
    with AgentSystem.open(path, agents=[Looker], keys=KEYS) as system:
        for key in ("1", "2"):
            looker = system.agent(Looker, key)
            looker.resume()
            if key != hurt:
                assert looker.call(Looker.words).get() == {f"word-{key}"}
                continue
            with pytest.raises(CorruptState, match=rf"not sealed for Keeper/{key}, state\.\w+"):
                looker.call(Looker.words).get()


class Looker(Agent[Vaulted]):
    """Looks at what Keeper keeps, and changes nothing."""

    kind = "Keeper"

    def words(self) -> set[str]:
        return Keeper.words(self)  # type: ignore[arg-type]

    def keep(self, word: Secret[str]) -> None:
        del word


def test_a_copied_message_does_not_open(tmp_path: Path) -> None:
    """A message of one agent put into another's mail does not open there."""
    path = tmp_path / "p.db"
    filled(path)
    texts = Texts(path)
    texts.put("mailbox", "body", "key = '2'", texts.get("mailbox", "body", "key = '1'"))
    with AgentSystem.open(path, agents=[Keeper], keys=KEYS) as system:
        for key in ("1", "2"):
            system.agent(Keeper, key).resume()
        assert system.idle(20)
        reasons = [letter.reason for letter in system.dead_letters.list() if letter.name == "keep"]
        assert len(reasons) == 1
        assert "not sealed for Keeper/2, a message to keep" in reasons[0]


def test_a_copied_shared_key_does_not_open(tmp_path: Path) -> None:
    """A token copied from one scope into another, or from key to key, does not open there."""
    path = tmp_path / "p.db"
    filled(path)
    texts = Texts(path)
    here = "kind = 'workflow' AND id = '{}' AND key = '{}'"
    text = texts.get("scoped", "value", here.format("w1", "login"))
    for place in (("w2", "login"), ("w1", "login2")):
        texts.put("scoped", "value", here.format(*place), text)
    with AgentSystem.open(path, agents=[Keeper], keys=KEYS) as system:
        system.state.register("login*", Secret[str])

        def reveal(scope: Scope, key: str) -> object:
            secret = system.state.get(scope, key)
            assert isinstance(secret, Secret)
            return secret.reveal()

        assert reveal(FIRST, "login") == "w1"
        assert reveal(SECOND, "login2") == "w22"
        for scope, key in ((SECOND, "login"), (FIRST, "login2")):
            with pytest.raises(
                CorruptState, match=rf"not sealed for workflow/{scope.id}, key '{key}'"
            ):
                reveal(scope, key)
            assert system.state.copy(scope, key, Scope.workflow("w3"), "login3")
            with pytest.raises(CorruptState, match="not sealed for"):
                reveal(Scope.workflow("w3"), "login3")


def aged(path: Path) -> set[str]:
    """Make the tokens of a store such as earlier releases have made; return those."""
    cipher, made = AESGCM(KEY), {}

    def old(found: re.Match[str]) -> str:
        token = read(found[0])
        assert token is not None
        if found[0] not in made:
            text = cipher.decrypt(token.data[:12], token.data[12:], token.about)
            nonce = os.urandom(12)
            sealed = cipher.encrypt(nonce, text, b"perdure/secret/1/k1")
            coded = base64.urlsafe_b64encode(nonce + sealed).rstrip(b"=").decode()
            made[found[0]] = f"{PREFIX}1:k1:{coded}"
        return made[found[0]]

    with contextlib.closing(open_store(str(path), sync="process")) as store:
        commit = Commit()
        commit.sequence = store.acquire(Owner.this_process()).sequence + 1
        commit.with_effects().replaced = [
            Replacement(*stored[:4], TOKEN.sub(old, stored.text)) for stored in store.texts(PREFIX)
        ]
        store.commit(Batch([commit]))
    return {*made.values()}


def test_tokens_of_earlier_releases_open_and_a_rotation_binds_them(tmp_path: Path) -> None:
    """What was bound to no place is read as it is, and after a rotation opens where it stands."""
    path = tmp_path / "p.db"
    filled(path)
    old = aged(path)
    with AgentSystem.open(path, agents=[Looker], keys=KEYS) as system:
        looker = system.agent(Looker, "1")
        looker.resume()
        assert looker.call(Looker.words).get() == {"word-1"}
        assert system.secrets.rotate(wait=True).done
        kept = list(system._store.texts(f"{PREFIX}1:"))
        assert not kept, kept
        assert {found for each in system._store.texts() for found in old if found in each.text} == (
            set()
        )
    with AgentSystem.open(path, agents=[Keeper], keys=KEYS) as system:
        system.state.register("login*", Secret[str])
        for scope in (FIRST, SECOND):
            secret = system.state.get(scope, "login")
            assert isinstance(secret, Secret)
            assert secret.reveal() == scope.id
        for letter in list(system.dead_letters.list("Keeper", "2")):
            system.dead_letters.requeue(letter.id)
        keeper = system.agent(Keeper, "2")
        keeper.resume()
        assert keeper.call(Keeper.words).get() == {"word-2"}
        assert system.idle(20)
        reasons = {letter.reason for letter in system.dead_letters.list()}
        assert reasons == {"ValueError: *** is not welcome"}
        system.dead_letters.list()
    with contextlib.closing(open_store(str(path), sync="process")) as store:
        assert examine(store).healthy
    texts = Texts(path)
    first = texts.get("fields", "value", "agent = 1 AND field = 'plain'")
    texts.put("fields", "value", "agent = 2 AND field = 'plain'", first)
    with (
        AgentSystem.open(path, agents=[Looker], keys=KEYS) as system,
        pytest.raises(CorruptState, match="not sealed for"),
    ):
        system.agent(Looker, "2").call(Looker.words).get()


class Before(State):
    words: list[Secret[str]] = msgspec.field(default_factory=list)
    named: dict[str, Secret[str]] = msgspec.field(default_factory=dict)
    numbered: dict[int, Secret[str]] = msgspec.field(default_factory=dict)


class After(State):
    words: Log[Secret[str]] = Log.field()
    named: Map[str, Secret[str]] = Map.field()
    numbered: Map[int, Secret[str]] = Map.field()


class Growing(Agent[Before]):
    kind = "Growing"

    def put(self, word: Secret[str]) -> None:
        self.state.words += [word, word]
        self.state.named["a"] = self.state.named["b"] = word
        self.state.numbered[7] = word


class Grown(Agent[After]):
    kind = "Growing"

    def words(self) -> list[str]:
        state = self.state
        found = [*state.words, *state.named.values(), *state.numbered.values()]
        return [word.reveal() for word in found]


def test_a_field_that_became_a_log_or_a_map_keeps_its_secrets(tmp_path: Path) -> None:
    """A list that is converted to a log, a dict to a map: their secrets are bound to the parts."""
    path = tmp_path / "p.db"
    with AgentSystem.open(path, agents=[Growing], keys=KEYS) as system:
        system.agent(Growing, "1").call(Growing.put, Secret("w")).get()
    with (
        AgentSystem.open(path, agents=[Grown]) as system,
        pytest.raises(KeyMissing, match=r"Growing/1, state\.words\[0\]"),
    ):
        system.agent(Grown, "1").call(Grown.words).get()
    for _life in range(2):
        with AgentSystem.open(path, agents=[Grown], keys=KEYS) as system:
            assert system.agent(Grown, "1").call(Grown.words).get() == ["w"] * 5


def test_what_perdure_copies_goes_on_opening(tmp_path: Path) -> None:
    """A key copied to another scope, a session imported under another id: both open as before."""
    path, file = tmp_path / "p.db", tmp_path / "s.perdure"
    with AgentSystem.open(path, agents=[], keys=KEYS) as system:
        state = system.state
        state.register("login*", dict[str, Secret[str]])
        session = system.sessions.create("s1")
        state.set(Scope.session("s1"), "login", {"a": Secret("w"), "b": Secret("v")})
        assert state.copy(Scope.session("s1"), "login", FIRST, "login2")
        assert state.move(FIRST, "login2", SECOND)
        system.sessions.export("s1", file, secrets=True)
        for key in ("s2", "s3"):
            system.sessions.import_(file, session_id=key)
        places = [(Scope.session(key), "login") for key in ("s1", "s2", "s3")]
        for scope, name in (*places, (SECOND, "login2")):
            found = state.get(scope, name, dict[str, Secret[str]])
            assert found is not None
            assert {key: secret.reveal() for key, secret in found.items()} == {"a": "w", "b": "v"}
        assert session.id == "s1"
    with (
        AgentSystem.open(tmp_path / "q.db", agents=[]) as system,
        pytest.raises(KeyMissing, match="session s9, 'login'"),
    ):
        system.sessions.import_(file, session_id="s9")
    with AgentSystem.open(tmp_path / "q.db", agents=[]) as system:
        system.sessions.import_(file)  # where it was: nothing need be opened


class Twice(State):
    first: list[Secret[str]] = msgspec.field(default_factory=list)
    second: dict[str, Secret[str]] = msgspec.field(default_factory=dict)
    count: int = 0


class Sharer(Agent[Twice]):
    def put(self, word: Secret[str]) -> None:
        self.state.first.append(word)
        self.state.second = {"a": word, "b": word}

    def swap(self) -> None:
        names = self.state.second
        names["a"], names["c"] = names.pop("b"), names["a"]

    def look(self) -> list[str]:
        return [each.reveal() for each in (*self.state.first, *self.state.second.values())]

    def touch(self) -> None:
        self.state.count += 1


@pytest.mark.parametrize("again", [False, True])
def test_one_object_in_several_places_is_stored_in_each(tmp_path: Path, *, again: bool) -> None:
    """A secret that stands in several places has a token for each, and reading commits nothing."""
    path = tmp_path / "p.db"
    system = AgentSystem.open(path, agents=[Sharer], keys=KEYS)
    system.agent(Sharer, "1").call(Sharer.put, Secret("w")).get()
    if again:
        system.close()
        system = AgentSystem.open(path, agents=[Sharer], keys=KEYS)
    with system:
        sharer = system.agent(Sharer, "1")
        before = len(list(system.journal.each()))
        for _look in range(3):
            assert sharer.call(Sharer.look).get() == ["w"] * 3
        assert len(list(system.journal.each())) == before
        sharer.call(Sharer.swap).get()
        assert sharer.call(Sharer.look).get() == ["w"] * 3


def test_without_keys_secrets_stay_where_they_are_and_go_nowhere(tmp_path: Path) -> None:
    """Without its key a secret is carried where it stands; what would lose it is refused."""
    path = tmp_path / "p.db"
    with AgentSystem.open(path, agents=[Sharer], keys=KEYS) as system:
        system.agent(Sharer, "1").call(Sharer.put, Secret("w")).get()
    with AgentSystem.open(path, agents=[Sharer]) as system:
        sharer = system.agent(Sharer, "1")
        sharer.call(Sharer.touch).get()
        with pytest.raises(KeyMissing, match=r"state\.second cannot be sealed"):
            sharer.call(Sharer.swap).get()
    with AgentSystem.open(path, agents=[Sharer], keys=KEYS) as system:
        assert system.agent(Sharer, "1").call(Sharer.look).get() == ["w"] * 3


JSON = st.recursive(
    st.text(max_size=3), lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner)
)


@given(JSON, st.integers(0, 3))
def test_each_text_has_one_place(value: object, levels: int) -> None:
    """Every text in a value has a place that begins with the value's, and none is left out."""
    found = [text for place, text in texts_in(value, ("x",), levels) if place[:1] == ("x",)]

    def texts(part: object) -> list[str]:
        if isinstance(part, str):
            return [part]
        parts = part.values() if isinstance(part, dict) else part
        return [text for each in parts for text in texts(each)]  # type: ignore[attr-defined]

    assert sorted(found) == sorted(texts(value))


def test_a_token_that_stands_twice_in_one_value_opens_nowhere(tmp_path: Path) -> None:
    """A token copied within one value opens in neither place, and is not lost."""
    path = tmp_path / "p.db"
    with AgentSystem.open(path, agents=[Sharer], keys=KEYS) as system:
        system.agent(Sharer, "1").call(Sharer.put, Secret("w")).get()
    texts = Texts(path)
    where = "agent = 1 AND field = 'second'"
    named = msgspec.json.decode(texts.get("fields", "value", where))
    copied = msgspec.json.encode({"a": named["a"], "b": named["a"]}).decode()
    texts.put("fields", "value", where, copied)
    with AgentSystem.open(path, agents=[Sharer], keys=KEYS) as system:
        sharer = system.agent(Sharer, "1")
        with pytest.raises(CorruptState, match="not sealed for one place of several"):
            sharer.call(Sharer.look).get()
        sharer.call(Sharer.touch).get()
    assert texts.get("fields", "value", where) == copied


class Named(msgspec.Struct):
    name: str


class Owned(msgspec.Struct):
    name: str
    token: Secret[str] | None = None


class Newer(State):
    all: list[Owned] = msgspec.field(default_factory=list)
    one: Owned | None = None


class Older(State):
    all: list[Named] = msgspec.field(default_factory=list)
    one: Named | None = None


class NewerKeeper(Agent[Newer]):
    kind = "Keeper2"

    def put(self, word: Secret[str]) -> None:
        self.state.all = [Owned(name, word) for name in "abc"]
        self.state.one = Owned("a", word)

    def look(self) -> list[str]:
        state = self.state
        assert state.one is not None
        return [each.token.reveal() for each in (*state.all, state.one) if each.token is not None]


class OlderKeeper(Agent[Older]):
    kind = "Keeper2"

    def change(self) -> None:
        assert self.state.one is not None
        self.state.one.name = "z"
        self.state.all.pop(0)


def test_secrets_that_an_older_class_keeps_go_on_opening(tmp_path: Path) -> None:
    """An older class that moves records it knows in part takes their secrets along, unopened."""
    path = tmp_path / "p.db"
    with AgentSystem.open(path, agents=[NewerKeeper], keys=KEYS) as system:
        system.agent(NewerKeeper, "1").call(NewerKeeper.put, Secret("w")).get()
    with AgentSystem.open(path, agents=[OlderKeeper]) as system:
        system.agent(OlderKeeper, "1").call(OlderKeeper.change).get()
    with AgentSystem.open(path, agents=[NewerKeeper], keys=KEYS) as system:
        assert system.agent(NewerKeeper, "1").call(NewerKeeper.look).get() == ["w"] * 3


def test_a_session_file_brings_no_secret_of_elsewhere(tmp_path: Path) -> None:
    """A token of another place that somebody puts into the file of a session does not open."""
    path, file = tmp_path / "p.db", tmp_path / "s.perdure"
    sealer = Sealer(StaticKeys({"k1": KEY}))
    stolen = sealer.seal(lambda: '"theirs"', "x", in_state("Keeper", "1", "plain"))
    with AgentSystem.open(path, agents=[], keys=KEYS) as system:
        system.sessions.create("s1")
        system.state.set(Scope.session("s1"), "login", "here")
        system.sessions.export("s1", file)
        lines = (
            file.read_bytes().replace(b'"here"', f'"{stolen}"'.encode()).splitlines(keepends=True)
        )
        end = msgspec.json.decode(lines[-1])
        end["sha256"] = hashlib.sha256(b"".join(lines[:-1])).hexdigest()
        file.write_bytes(b"".join(lines[:-1]) + msgspec.json.encode(end) + b"\n")
        system.sessions.import_(file, session_id="s2")
        found = system.state.get(Scope.session("s2"), "login", Secret[str])
        assert found is not None
        with pytest.raises(CorruptState, match="not sealed for session/s2, key 'login'"):
            found.reveal()
