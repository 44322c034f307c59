"""Secrets in shared keys: sealed like those of agents."""

from pathlib import Path

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Detector,
    Keys,
    MemoryStore,
    Scope,
    Secret,
    State,
    StaticKeys,
    new_key,
)
from perdure.persistence.errors import KeyMissing, SecretFound, StateError

KEYS = StaticKeys({"k1": new_key()})
HERE = Scope.workflow("w1")
WORD = "correct-horse-battery"


class Nothing(State):
    pass


class Caller(Agent[Nothing]):
    def login(self, word: Secret[str]) -> None:
        self.scopes.set(self.scopes.own, "login", word)

    def word(self) -> str:
        secret = self.scopes.get(self.scopes.own, "login")
        assert isinstance(secret, Secret)
        revealed: str = secret.reveal()
        return revealed


def test_a_registered_key_holds_secrets(tmp_path: Path) -> None:
    """A shared key of a secret type is ciphertext at rest, and masked in the journal."""
    path = tmp_path / "s.db"
    for life in range(2):
        with AgentSystem.open(path, agents=[Caller], keys=Keys(secrets=KEYS)) as system:
            system.state.register("login*", Secret[str])
            caller = system.agent(Caller, "1")
            if not life:
                system.state.set(HERE, "login", Secret(WORD))
                caller.call(Caller.login, Secret(WORD)).get()
                assert all("perdure:secret:" not in each.delta for each in system.journal.list())
            secret = system.state.get(HERE, "login")
            assert isinstance(secret, Secret)
            assert secret.reveal() == WORD
            assert str(secret) == "***"
            assert caller.call(Caller.word).get() == WORD
            assert system.secrets.remaining() == {"k1": 4}
        held = b"".join(each.read_bytes() for each in tmp_path.iterdir())
        assert WORD.encode() not in held
    rotated = StaticKeys({"k2": new_key(), "k1": KEYS.key("k1")})
    with AgentSystem.open(path, agents=[Caller], keys=Keys(secrets=rotated)) as system:
        assert system.secrets.rotate(wait=True).done
        assert system.secrets.remaining() == {"k2": 4}
    with AgentSystem.open(path, agents=[Caller]) as system:
        system.state.register("login*", Secret[str])
        closed = system.state.get(HERE, "login")
        assert isinstance(closed, Secret)
        with pytest.raises(KeyMissing, match="'login"):
            closed.reveal()


def test_a_key_without_that_type_refuses_secrets() -> None:
    """A secret under a key that is not declared so is refused unseen, a plain one is detected."""
    detector = Detector("refuse")
    with AgentSystem.open(
        "memory://", agents=[], keys=Keys(secrets=KEYS), detector=detector
    ) as system:
        with pytest.raises(StateError, match="a Secret is stored only where") as caught:
            system.state.set(HERE, "x", Secret(WORD))
        assert WORD not in str(caught.value)
        with pytest.raises(SecretFound, match="workflow password"):
            system.state.set(HERE, "password", WORD)


def test_a_key_is_compared_by_what_its_secrets_hold() -> None:
    """An expected secret is the stored one if its value is, whenever and by which key sealed."""
    store, key = MemoryStore(), {"k1": KEYS.key("k1")}
    for keys, before, after in ((key, "a", "b"), ({"k2": new_key(), **key}, "b", "c")):
        with AgentSystem.open(store, agents=[], keys=Keys(secrets=StaticKeys(keys))) as system:
            state = system.state
            state.register("login", Secret[str])
            state.set_if_absent(HERE, "login", Secret("a"))
            assert not state.compare_and_set(HERE, "login", Secret("x"), Secret("y"))
            with state.transaction():
                assert state.compare_and_set(HERE, "login", Secret(before), Secret(after))
            assert state.get(HERE, "login") == Secret(after)
