"""The detector: how much it finds, how little it suspects, and what each policy does."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import Agent, AgentSystem, Durability, Log, Map, State
from perdure.persistence.errors import ConfigurationError, SecretFound
from perdure.persistence.secrets.detector import NAMED, Detector, SecretWatch
from tests.secrets.corpus import Case, made
from tests.secrets.corpus.negatives import negatives
from tests.secrets.corpus.positives import positives

PAGE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "secrets.md"


def found(case: Case) -> bool:
    """Tell whether a system would report the case."""
    told: list[str] = []
    watch = SecretWatch(Detector("redact"), lambda _place, rule: told.append(rule))
    watch.examine(case.text, "x", case.name)
    return bool(told)


def test_precision_and_recall_are_as_documented() -> None:
    """Both figures, computed over the corpus, are those in the guide."""
    good, bad = positives(), negatives()
    assert len(good) >= 200
    assert len(bad) >= 400
    hits = sum(map(found, good))
    alarms = [case for case in bad if found(case)]
    precision, recall = hits / (hits + len(alarms)), hits / len(good)
    sentence = (
        f"{len(good)} secrets and {len(bad)} others: precision {precision:.3f}, recall {recall:.3f}"
    )
    assert sentence in " ".join(PAGE.read_text(encoding="utf-8").split())


def test_a_redacted_text_is_clean_json() -> None:
    """After redaction nothing is found, and what was no secret is still there."""
    for case in positives():
        clean = Detector().redacted(case.text, case.name)
        json.loads(clean)
        assert not Detector().find(clean, case.name)
    for case in negatives():
        if not found(case):
            assert Detector().redacted(case.text, case.name) == case.text


class Note(State):
    text: str = ""
    password: str = ""
    options: dict[str, str] = msgspec.field(default_factory=dict)
    lines: Log[str] = Log.field()
    headers: Map[str, str] = Map.field()


class Desk(Agent[Note]):
    def write(self, text: str) -> str:
        self.state.text = text
        return text

    def fill(self, word: str) -> None:
        self.state.password = word
        self.state.options = {"api_key": word, "region": "emea"}
        self.state.lines.extend(["a plain line", word])
        self.state.headers["access_token"] = word
        self.state.headers["host"] = "example.com"

    def log_in(self, user: str, password: str) -> None:
        self.state.text = f"{user} {len(password)}"

    def read(self) -> object:
        state = self.state
        return state.password, state.options, list(state.lines), dict(state.headers)


class Saved(Agent[Note]):
    durability = Durability.SNAPSHOT

    def write(self, text: str) -> str:
        self.state.text = text
        return text


WORD = made("ghp_{A:36}").text.strip('"')


def test_warn_tells_once_for_each_place_and_rule(caplog: pytest.LogCaptureFixture) -> None:
    """By default the value is stored, and a warning names the place and the rule, no value."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        for key in ("1", "2", "1"):
            system.agent(Desk, key).proxy().write(WORD).get()
    lines = [record.getMessage() for record in caplog.records if record.name == "perdure.secrets"]
    (line,) = lines
    assert line.startswith("Note.text looks like a secret (GitHub token) and is stored as it is")


@pytest.mark.parametrize("agent", [Desk, Saved])
def test_refuse_undoes_the_turn(agent: type[Desk] | type[Saved]) -> None:
    """A value that looks like a secret fails its turn; the error shows the place, no value."""
    with AgentSystem.open(
        "memory://", agents=[agent], detector=Detector(policy="refuse")
    ) as system:
        desk: Any = system.agent(agent, "1").proxy()
        with pytest.raises(
            SecretFound, match=r"^Note\.text looks like a secret \(GitHub"
        ) as caught:
            desk.write(WORD).get()
        assert WORD not in repr(caught.value)
        assert desk.write("nothing to hide").get() == "nothing to hide"


def test_refuse_stops_a_message_on_its_line() -> None:
    """A message with a secret in a plain parameter is refused where it is sent."""
    with AgentSystem.open("memory://", agents=[Desk], detector=Detector("refuse")) as system:
        desk = system.agent(Desk, "1").proxy()
        with pytest.raises(SecretFound, match=r"Desk\.write looks like"):
            desk.write.defer(WORD)
        with pytest.raises(SecretFound, match=r"Desk\.log_in\(password\) looks like"):
            desk.log_in.defer("mira", "hunter-two")
        desk.log_in.defer("mira", "***")
        assert system.idle(10)
        assert not system.dead_letters.list()


def test_redact_stores_a_mask(tmp_path: Path) -> None:
    """In place of each secret ``***`` is stored, in every kind of field; others stay."""
    expected = (
        "***", {"api_key": "***", "region": "emea"}, ["a plain line", "***"],
        {"access_token": "***", "host": "example.com"},
    )  # fmt: skip
    path = tmp_path / "d.db"
    for life in range(2):
        with AgentSystem.open(path, agents=[Desk], detector=Detector("redact")) as system:
            desk = system.agent(Desk, "1").proxy()
            if not life:
                desk.fill(WORD).get()
            assert desk.read().get() == expected
            desk.log_in.defer("mira", "hunter-two")
            assert system.idle(10)
    assert WORD.encode() not in path.read_bytes()


def test_what_is_allowed_and_what_is_off(caplog: pytest.LogCaptureFixture) -> None:
    """An allowed place is left alone; without a detector nothing is looked at."""
    allowing = Detector("refuse", allow=frozenset({"Note.text"}))
    for detector in (allowing, None):
        with AgentSystem.open("memory://", agents=[Desk], detector=detector) as system:
            assert system.agent(Desk, "1").proxy().write(WORD).get() == WORD
    nameless = Detector("refuse", names=False)
    assert not nameless.find('{"password":"hunter-two"}')
    assert Detector().find('{"password":"hunter-two"}') == [NAMED]
    with pytest.raises(ConfigurationError, match='"warn", "refuse" or "redact"'):
        Detector("shout")  # type: ignore[arg-type]
    assert not caplog.records
