"""Secrets in states, collections and messages: sealed at rest, opened by reveal() alone."""

import sqlite3
from pathlib import Path

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    Keys,
    Log,
    Map,
    MemoryStore,
    Secret,
    State,
    StaticKeys,
    VirtualClock,
    new_key,
)
from perdure.persistence.errors import KeyMissing, StateError

KEYS = StaticKeys({"k1": new_key()})
WORD = "correct-horse-battery-staple"


class Account(msgspec.Struct):
    name: str
    password: Secret[str]


class Box(State):
    token: Secret[str] | None = None
    pins: list[Secret[int]] = msgspec.field(default_factory=list)
    hooks: dict[str, Secret[dict[str, list[float]]]] = msgspec.field(default_factory=dict)
    account: Account | None = None
    items: Log[Secret[str]] = Log.field()
    named: Map[str, Account] = Map.field()
    other: int = 0


class Mailer(Agent[Box]):
    def login(self, token: Secret[str]) -> None:
        self.state.token = token

    def put(self, word: str) -> None:
        self.state.token = Secret(word)

    def put_all(self, word: str) -> None:
        self.state.token = Secret(word)
        self.state.pins = [Secret(41), Secret(42)]
        self.state.hooks["a"] = Secret({word: [1.5]})
        self.state.account = Account("mira", Secret(word))
        self.state.items.extend([Secret(word), Secret("second")])
        self.state.named["m"] = Account("mira", Secret(word))

    def read(self) -> str:
        assert self.state.token is not None
        return self.state.token.reveal()

    def read_all(self) -> object:
        state = self.state
        assert state.token is not None
        assert state.account is not None
        return (
            state.token.reveal(),
            [pin.reveal() for pin in state.pins],
            state.hooks["a"].reveal(),
            state.account.password.reveal(),
            [item.reveal() for item in state.items],
            state.named["m"].password.reveal(),
        )

    def count(self) -> int:
        self.state.other += 1
        return self.state.other

    def wrong(self) -> None:
        self.state.pins = [Secret(WORD)]  # type: ignore[arg-type]


class Poller(Agent[Box]):
    """Asks for the same timer at every start."""

    def on_start(self) -> None:
        self.every(10, self.poll, Secret(WORD))

    def poll(self, token: Secret[str]) -> None:
        self.state.items.append(token)

    def polled(self) -> list[str]:
        return [token.reveal() for token in self.state.items]

    def poll_with(self, word: str) -> None:
        self.every(10, self.poll, Secret(word))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give a path of a store."""
    return tmp_path / "m.db"


def everything(path: Path) -> bytes:
    """Return the bytes of the store's file and of what lies beside it."""
    return b"".join(each.read_bytes() for each in path.parent.glob(path.name + "*"))


def test_a_plain_field_end_to_end(path: Path) -> None:
    """A secret is ciphertext in the store and comes back by reveal() after a restart."""
    with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
        system.agent(Mailer, "1").proxy().put(WORD).get()
        system.agent(Mailer, "2").proxy().login.defer(Secret(WORD))
    assert everything(path).count(WORD.encode()) <= 1  # the argument of put() is no secret
    with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
        assert system.agent(Mailer, "1").proxy().read().get() == WORD
        assert system.agent(Mailer, "2").proxy().read().get() == WORD


def test_everywhere_in_a_state(path: Path) -> None:
    """Lists, dictionaries, records, logs and maps hold secrets as plain fields do."""
    expected = (WORD, [41, 42], {WORD: [1.5]}, WORD, [WORD, "second"], WORD)
    for _life in range(2):
        with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
            mailer = system.agent(Mailer, "1").proxy()
            if not _life:
                mailer.put_all(WORD).get()
            assert mailer.read_all().get() == expected


def test_an_untouched_secret_costs_no_write(path: Path) -> None:
    """A turn that leaves secrets as they are writes none of them again."""
    with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
        mailer = system.agent(Mailer, "1").proxy()
        mailer.put_all(WORD).get()
        mailer.read_all().get()
        mailer.count().get()
        assert list(msgspec.json.decode(system.journal.list()[-1].delta)["set"]) == ["other"]


def test_without_a_key_all_but_revealing_works(path: Path) -> None:
    """Without keys an agent loads, works and keeps its secrets; reveal() names field and key."""
    with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
        system.agent(Mailer, "1").proxy().put_all(WORD).get()
    with AgentSystem.open(path, agents=[Mailer]) as system:
        mailer = system.agent(Mailer, "1").proxy()
        assert mailer.count().get() == 1
        with pytest.raises(KeyMissing, match=r"Box.token is sealed with key 'k1'.*secrets="):
            mailer.read().get()
        with pytest.raises(KeyMissing, match=r"state.token cannot be sealed"):
            mailer.put("x").get()
        with pytest.raises(KeyMissing, match=r"Mailer.login"):
            mailer.login.defer(Secret("x"))
        assert mailer.count().get() == 2
    with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
        assert system.agent(Mailer, "1").proxy().read().get() == WORD


def test_a_value_of_another_type_is_refused_unseen(path: Path) -> None:
    """A secret of the wrong type is refused with its path, and no error shows its value."""
    with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
        with pytest.raises(StateError, match=r"state.pins\[0\]: .*stored exactly as int") as caught:
            system.agent(Mailer, "1").proxy().wrong().get()
        error: BaseException | None = caught.value
        while error is not None:
            assert WORD not in repr(error)
            error = error.__cause__ or error.__context__
    assert WORD.encode() not in everything(path)


def test_it_is_text_in_the_file(path: Path) -> None:
    """The file stays readable by other tools: a secret is a JSON string."""
    with AgentSystem.open(path, agents=[Mailer], keys=Keys(secrets=KEYS)) as system:
        system.agent(Mailer, "1").proxy().login(Secret(WORD)).get()
    with sqlite3.connect(path) as connection:
        (text,) = connection.execute("SELECT value FROM fields WHERE field = 'token'").fetchone()
    connection.close()
    assert text.startswith('"perdure:secret:2:k1:')


def test_a_timer_with_the_same_secret_goes_on_undisturbed() -> None:
    """A start that asks for the same timer does not begin it anew; one with another secret does."""
    store, clock = MemoryStore(), VirtualClock()
    polled: list[str] = []
    for _life in range(2):
        with AgentSystem.open(
            store, agents=[Poller], clock=clock, keys=Keys(secrets=KEYS)
        ) as system:
            poller = system.agent(Poller, "1")
            poller.call(Poller.polled).get()
            clock.advance(6)
            assert system.idle(10)
            polled = poller.call(Poller.polled).get()
    assert polled == [WORD]
    with AgentSystem.open(store, agents=[Poller], clock=clock, keys=Keys(secrets=KEYS)) as system:
        poller = system.agent(Poller, "1")
        poller.call(Poller.poll_with, "another").get()
        clock.advance(10)
        assert system.idle(10)
        assert poller.call(Poller.polled).get() == [WORD, "another"]
