"""A secret set everywhere is found nowhere: file, WAL, logs, errors, views, the command line."""

import copy
import logging
import pickle
import re
import secrets
import subprocess
import traceback
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Keys, Secret, State, StaticKeys, new_key
from perdure.persistence.errors import CorruptState, KeyMissing, StateError
from perdure.persistence.secrets.codec import SecretCodec
from perdure.persistence.secrets.vault import Vault
from perdure.persistence.state.tracker import dump
from tests.cli.commands import invoke
from tests.secrets.agents import Keeper, Vaulted

KEYS = StaticKeys({"k1": new_key()})

COMMANDS = (
    ("agents",),
    ("show", "Keeper", "1"),
    ("show", "Keeper", "1", "--items", "100"),
    ("show", "Keeper", "1", "--log", "items"),
    ("journal",),
    ("dead-letters",),
    ("growth",),
    ("doctor",),
    ("secrets", "status"),
    ("secrets", "scan"),
)


@pytest.fixture
def canary() -> str:
    """Give a word that stands nowhere by chance, also not as part of base64."""
    return f"canary-{secrets.token_hex(12)}-{secrets.token_hex(4)}"


@pytest.fixture
def store(tmp_path: Path, canary: str, caplog: pytest.LogCaptureFixture) -> tuple[Path, list[str]]:
    """Fill a store with the canary; give it with everything that was said meanwhile."""
    caplog.set_level(logging.DEBUG)
    path, said = tmp_path / "canary.db", []
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=KEYS)) as system:
        keeper = system.agent(Keeper, "1")
        said.append(keeper.call(Keeper.keep, Secret(canary)).get())
        keeper.cast(Keeper.keep, Secret(canary))
        keeper.cast(Keeper.refuse, Secret(canary))
        assert system.idle(20)
        for method in (Keeper.refuse, Keeper.misplace):
            with pytest.raises(ValueError, match=r"\*\*\*|Secret") as caught:
                keeper.call(method, Secret(canary)).get()
            said.append("".join(traceback.format_exception(caught.value)))
        keeper.pause()
        keeper.cast(Keeper.keep, Secret(canary))
        assert system.flush(20)
        said += [repr(entry) for entry in system.journal.list(limit=1000)]
        said += [repr(letter) for letter in system.dead_letters.list()]
        said += [repr(keeper.describe()), repr(system.statistics())]
        assert canary.encode() not in everything(path)
    said.append(caplog.text)
    return path, said


def everything(path: Path) -> bytes:
    """Return the bytes of the store's file and of what lies beside it.

    By another process: if this one closed a file that SQLite has open here, its locks were gone.
    """
    files = sorted(file for file in path.parent.glob(path.name + "*") if file.is_file())
    return subprocess.run(["cat", *files], capture_output=True, check=True).stdout  # noqa: S607


def test_nothing_holds_the_canary(store: tuple[Path, list[str]], canary: str) -> None:
    """Neither the file and its WAL nor a log, an error or a view has the value."""
    path, said = store
    assert canary.encode() not in everything(path)
    assert b"perdure:secret:2:k1:" in everything(path)
    assert any("***" in text for text in said)
    assert not [text for text in said if canary in text]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["people", "programs"])
def test_no_command_shows_a_secret(
    store: tuple[Path, list[str]], canary: str, command: tuple[str, ...], form: tuple[str, ...]
) -> None:
    """No command prints the value, nor the token that stands for it."""
    path, _ = store
    result = invoke(*command, "--store", path, *form)
    assert result.exit_code == 0, result.output
    assert canary not in result.output
    assert "perdure:secret:" not in result.output


def test_dead_letters_are_shown_masked_and_go_back_whole(
    store: tuple[Path, list[str]], canary: str
) -> None:
    """A letter is shown with ``***``, and put back as it was sent."""
    path, _ = store
    with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=KEYS)) as system:
        (letter, *_) = system.dead_letters.list()
        assert letter.body == '[["***"],{}]'
        assert system.dead_letters.get(letter.id) == letter
        system.dead_letters.requeue(letter.id)
        system.agent(Keeper, "1").resume()
        assert system.idle(20)
        assert system.agent(Keeper, "1").call(Keeper.words).get() == {canary}
    for action in ("show", "requeue", "discard"):
        shown = invoke("dead-letters", "--store", path, "--json")
        numbers = re.findall(r'"id":(\d+)', shown.stdout)
        result = invoke("dead-letters", action, numbers[0], "--store", path)
        assert result.exit_code == 0, result.output
        assert canary not in result.output
        assert "perdure:secret:" not in result.output
        if action == "requeue":
            with AgentSystem.open(path, agents=[Keeper], keys=Keys(secrets=KEYS)) as system:
                assert system.idle(20)


def test_a_secret_shows_itself_nowhere(canary: str) -> None:
    """Every way to show a Secret gives ``***``, and it cannot be pickled."""
    secret = Secret(canary)
    assert {repr(secret), str(secret), f"{secret}", f"{secret:>20}", "%s" % secret} == {"***"}  # noqa: UP031
    assert canary not in repr(vars(type(secret)))
    assert copy.copy(secret) is secret
    assert copy.deepcopy(secret) is secret
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(secret)
    assert dump(Vaulted(plain=secret, several=[secret], named={"a": secret})) == {
        "plain": "***", "several": ["***"], "named": {"a": "***"}, "account": None, "pair": None,
        "items": [], "accounts": {}, "turns": 0,
    }  # fmt: skip


def test_a_value_of_its_own(canary: str) -> None:
    """A Secret copies what it is given and gives a copy each time."""
    words = [canary]
    secret = Secret(words)
    words.append("x")
    secret.reveal().append("y")
    assert secret.reveal() == [canary]
    assert secret == Secret([canary])
    assert secret != Secret([canary, canary])
    assert secret != canary


def test_what_is_declared_otherwise_is_refused(canary: str) -> None:
    """A secret in a field of another type is refused by its path, unseen."""
    from perdure.persistence.codec.codec import codec_of  # noqa: PLC0415

    for declared in (object, int, list[object]):
        with pytest.raises(StateError, match=r"^state.x\[0\]: a Secret is stored only") as caught:
            codec_of(declared).encode([Secret(canary)], "state.x")
        assert canary not in "".join(traceback.format_exception(caught.value))


class Keyless(Agent[State]):
    def take(self, token: Secret[str]) -> None:
        """Take what nobody can seal."""


def test_a_report_with_the_variables_of_all_frames_has_no_canary(canary: str) -> None:
    """Where a secret cannot be sealed or is of another type, trackers of errors see no value."""
    errors: list[BaseException] = []
    hidden = [Secret(canary)]
    with AgentSystem.open("memory://", agents=[Keyless]) as system:
        with pytest.raises(KeyMissing) as caught:
            system.agent(Keyless, "1").cast(Keyless.take, hidden[0])
        errors.append(caught.value)
    codec: SecretCodec[object] = SecretCodec(Secret[str], Vault(Keys(secrets=KEYS)), "x")
    other: SecretCodec[object] = SecretCodec(Secret[int], Vault(Keys(secrets=KEYS)), "x")
    stored = codec.encode(hidden[0], "x")
    closed = other.decode(stored)
    assert isinstance(closed, Secret)
    with pytest.raises(CorruptState) as opened:
        closed.reveal()
    errors.append(opened.value)
    with pytest.raises(StateError) as refused:
        other.encode(hidden[0], "x")
    errors.append(refused.value)
    for error in errors:
        seen = traceback.TracebackException.from_exception(error, capture_locals=True)
        own = [line for line in seen.format() if "canary = " not in line]
        told = "".join(own).replace(f"canary = {canary!r}", "")
        assert canary not in told


def test_a_secret_has_no_state_to_be_taken(canary: str) -> None:
    """Neither pickle nor what asks an object for its state gets the value."""
    with pytest.raises(TypeError, match="cannot be pickled"):
        Secret(canary).__getstate__()
