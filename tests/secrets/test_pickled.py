"""Pickled objects: signed when stored, and not a byte unpickled before the signature is checked."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Keys, Pickled, State, StaticKeys, new_key
from perdure.persistence.errors import (
    ConfigurationError,
    CorruptState,
    KeyMissing,
    SignatureInvalid,
    StateError,
)
from perdure.persistence.records.checksums import of_field
from perdure.persistence.secrets.codec import SecretCodec
from perdure.persistence.secrets.keys import key_text
from perdure.persistence.secrets.signer import PREFIX, Signer
from perdure.persistence.secrets.vault import Vault
from tests.cli.commands import records

KEYS = StaticKeys({"k1": new_key()})


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


class Line:
    """An object no schema describes."""

    def __init__(self, slope: float) -> None:
        self.slope = slope
        self.at: Callable[[float], float] = lambda x: slope * x


class Model(State):
    fit: Pickled[Line] | None = None
    anything: Pickled[object] | None = None


class Trainer(Agent[Model]):
    def train(self, slope: float) -> None:
        self.state.fit = Pickled(Line(slope))
        self.state.anything = Pickled({"k": 1})

    def give(self, fit: Pickled[Line]) -> None:
        self.state.fit = fit

    def wrong(self) -> None:
        self.state.fit = Pickled([1, 2])  # type: ignore[arg-type]

    def at(self, x: float) -> float:
        assert self.state.fit is not None
        return self.state.fit.load().at(x)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the path of a store that holds a trained model."""
    path = tmp_path / "p.db"
    with AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=KEYS)) as system:
        system.agent(Trainer, "1").call(Trainer.train, 2.0).get()
    return path


def stored(path: Path) -> str:
    """Return the text of the field."""
    with closing(sqlite3.connect(path)) as connection:
        text: str
        (text,) = connection.execute("SELECT value FROM fields WHERE field = 'fit'").fetchone()
    return text


def store(path: Path, text: str) -> None:
    """Replace the text of the field, with the checksum that belongs to it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "UPDATE fields SET value = ?, crc = ? WHERE field = 'fit'",
            (text, of_field(1, "fit", text)),
        )
        connection.commit()


def test_it_comes_back(path: Path) -> None:
    """An object of any class is stored, sent and loaded again after a restart."""
    with AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=KEYS)) as system:
        trainer = system.agent(Trainer, "1")
        assert trainer.call(Trainer.at, 3.0).get() == 6.0
        trainer.cast(Trainer.give, Pickled(Line(5.0)))
        assert trainer.call(Trainer.at, 3.0).get() == 15.0
        delta = system.journal.list()[0].delta
        assert PREFIX in delta


def test_a_class_with_such_a_field_needs_a_key(path: Path) -> None:
    """A system without `Keys(pickles=...)` refuses the class, and says what to do."""
    with pytest.raises(ConfigurationError, match=r"Model.fit is a Pickled: .*pickles="):
        AgentSystem.open(path, agents=[Trainer])


@pytest.mark.parametrize("part", ["key", "name", "signature", "payload", "cut", "longer"])
def test_nothing_changed_is_ever_unpickled(tmp_path: Path, part: str) -> None:
    """Whatever part of the stored form is changed, the payload is refused unread."""
    touched = tmp_path / "touched"
    keys = StaticKeys({"k1": new_key(), "k2": new_key()})
    signer = Signer(keys)
    payload = cloudpickle.dumps(Trap(touched))
    fields = signer.sign("a.Trap", payload, "x").split(":")
    if part == "key":
        fields[3] = "k2"
    elif part == "name":
        fields[4] = "a.Line"
    elif part == "signature":
        fields[5] = ("0" if fields[5][0] != "0" else "1") + fields[5][1:]
    elif part == "payload":
        fields[6] = signer.sign("a.Trap", cloudpickle.dumps([1]), "x").split(":")[6]
    elif part == "cut":
        fields[6] = fields[6][:-4]
    else:
        fields[6] = "AAAA" + fields[6]
    with pytest.raises(SignatureInvalid, match="not unpickled"):
        signer.check(":".join(fields), "state.fit")
    assert not touched.exists()


def test_a_forged_payload_in_the_file_never_runs(path: Path, tmp_path: Path) -> None:
    """Somebody who can write the file, but has no key, cannot run code by it."""
    touched = tmp_path / "touched"
    forged = Signer(StaticKeys({"k1": new_key()}))
    store(path, f'"{forged.sign("m.Line", cloudpickle.dumps(Trap(touched)), "x")}"')
    with (
        AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=KEYS)) as system,
        pytest.raises(SignatureInvalid, match=r"Model\.fit was changed, or key 'k1' is not"),
    ):
        system.agent(Trainer, "1").call(Trainer.at, 1.0).get()
    assert not touched.exists()
    genuine = Signer(KEYS).sign("m.Trap", cloudpickle.dumps(Trap(touched)), "x")
    store(path, f'"{genuine}"')
    with (
        AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=KEYS)) as system,
        pytest.raises(CorruptState, match="holds a NoneType, not a Line"),
    ):
        system.agent(Trainer, "1").call(Trainer.at, 1.0).get()
    assert touched.exists()  # the trap works: above it was the signature that held


def test_another_text_is_refused_at_load(path: Path) -> None:
    """What is no signed payload at all does not load, and is named."""
    store(path, '"gASVBQ=="')
    with (
        AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=KEYS)) as system,
        pytest.raises(CorruptState, match=r"state\.fit.*not a signed payload"),
    ):
        system.agent(Trainer, "1").call(Trainer.at, 1.0).get()


def test_a_missing_key_hurts_only_who_loads(path: Path) -> None:
    """With another key the agent loads and works; load() names field and key."""
    others = StaticKeys({"k9": new_key()})
    with AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=others)) as system:
        trainer = system.agent(Trainer, "1")
        with pytest.raises(KeyMissing, match=r"Model\.fit is signed with key 'k1'"):
            trainer.call(Trainer.at, 1.0).get()
        trainer.call(Trainer.train, 7.0).get()
        assert trainer.call(Trainer.at, 1.0).get() == 7.0


def test_the_declared_type_is_checked(path: Path) -> None:
    """An object of another class than declared is refused when it is loaded."""
    with AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=KEYS)) as system:
        trainer = system.agent(Trainer, "1")
        with pytest.raises(StateError, match=r"state\.fit.*builtins\.list.*Line"):
            trainer.call(Trainer.wrong).get()


def test_what_cannot_be_pickled_is_refused_on_its_line() -> None:
    """An object that cannot be pickled is refused where it is wrapped."""
    with pytest.raises(StateError, match="cannot be pickled"):
        Pickled(iter_forever())


def iter_forever() -> Iterator[int]:
    """Return a generator: no pickle holds one."""
    yield 1


@given(st.data())
def test_any_changed_character_is_found(data: st.DataObject) -> None:
    """Each change of a signed text is refused, whichever character it is."""
    signer = Signer(KEYS)
    text = signer.sign("a.B", b"payload", "x")
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda c: c != text[place]))
    with pytest.raises((SignatureInvalid, KeyMissing)):
        signer.check(text[:place] + other + text[place + 1 :], "x")


def test_signatures_are_rotated_and_the_old_key_can_go(path: Path, tmp_path: Path) -> None:
    """Before a rotation the retired key is missed by name; after it everything loads without it."""
    new = new_key()
    both = StaticKeys({"k2": new, "k1": KEYS.key("k1")})
    only = Keys(pickles=StaticKeys({"k2": new}))
    with AgentSystem.open(path, agents=[Trainer], keys=only) as system:
        assert system.secrets.signed() == {"k1": 4}
        with pytest.raises(KeyMissing, match=r"Model\.fit is signed with key 'k1'.*no key 'k1'"):
            system.agent(Trainer, "1").call(Trainer.at, 1.0).get()
        rotation = system.secrets.rotate(wait=True)
        assert (rotation.done, rotation.texts) == (True, 0)
        assert system.secrets.signed() == {"k1": 4}
    keyfile = tmp_path / "keys.txt"
    keyfile.touch(mode=0o600)
    keyfile.write_text(f"k2 {key_text(new)}\nk1 {key_text(KEYS.key('k1'))}\n")
    with AgentSystem.open(path, agents=[Trainer], keys=Keys(pickles=both)) as system:
        trainer = system.agent(Trainer, "1")
        trainer.pause()
        trainer.cast(Trainer.give, Pickled(Line(5.0)))
        assert system.flush(20)
        assert system.secrets.signed() == {"k1": 4, "k2": 1}
    (status,) = records("secrets", "--store", path)
    assert status["signed"] == {"k1": 4, "k2": 1}
    (done,) = records("secrets", "rotate", "--store", path, "--pickles", keyfile)
    assert (done["signing_key"], done["texts"], done["signed"]) == ("k2", 3, {})
    with AgentSystem.open(path, agents=[Trainer], keys=only) as system:
        assert system.secrets.signed() == {"k2": 5}
        trainer = system.agent(Trainer, "1")
        trainer.resume()
        assert trainer.call(Trainer.at, 3.0).get() == 15.0
        assert trainer.call(Trainer.at, 1.0).get() == 5.0


def test_a_rotation_signs_nothing_that_it_cannot_prove(path: Path, tmp_path: Path) -> None:
    """A forged payload gets no good signature by a rotation, and nothing of it is unpickled."""
    touched = tmp_path / "touched"
    forged = Signer(StaticKeys({"k1": new_key()}))
    store(path, f'"{forged.sign("m.Line", cloudpickle.dumps(Trap(touched)), "x")}"')
    both = Keys(pickles=StaticKeys({"k2": new_key(), "k1": KEYS.key("k1")}))
    with AgentSystem.open(path, agents=[Trainer], keys=both) as system:
        assert system.secrets.rotate(wait=True).done
        assert system.secrets.signed() == {"k1": 1, "k2": 3}
        with pytest.raises(SignatureInvalid, match="not unpickled"):
            system.agent(Trainer, "1").call(Trainer.at, 1.0).get()
    assert not touched.exists()


def test_the_next_encoding_signs_with_the_current_key() -> None:
    """What is written again takes the current key; without the old one it stays as it is."""
    new = new_key()

    def codec(keys: dict[str, bytes]) -> SecretCodec[Any]:
        return SecretCodec(Pickled[Line], Vault(Keys(pickles=StaticKeys(keys))), "x")

    old, both = codec({"k1": KEYS.key("k1")}), codec({"k2": new, "k1": KEYS.key("k1")})
    text = old.encode(Pickled(Line(2.0)), "x")
    again = both.encode(both.decode(text), "x")
    assert again.startswith(f'"{PREFIX}k2:')
    alone = codec({"k2": new})
    assert alone.decode(again).load().at(3.0) == 6.0
    assert alone.encode(alone.decode(text), "x") == text
