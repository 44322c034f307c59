"""Everything plain passes the detector on its way into a store, wherever it is given."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Backoff, Detector, RestartPolicy, Scope, State
from perdure.persistence.errors import LONGEST_TEXT, ImportRefused, SecretFound
from perdure.persistence.secrets.detector import Policy
from perdure.persistence.secrets.plain import Plain
from perdure.persistence.secrets.vault import Vault

WORD = "tiger-lily-42"
URL = f"postgresql://app:{WORD}@db/app"
HIDDEN = "***@db/app"


class Nothing(State):
    """Keep nothing."""


class Once(Agent[Nothing]):
    """Fail for good at the first attempt."""

    restarts = RestartPolicy(attempts=1)

    def fail(self) -> None:
        """Say in the error what nobody should read."""
        raise ConnectionError(f"cannot reach {URL}")

    def take(self, _value: object) -> None:
        """Take a message."""


class Often(Once):
    """Fail until it is quarantined."""

    restarts = RestartPolicy(attempts=9, restarts=1, backoff=Backoff(first=0.001, jitter=0))


def _answer(s: AgentSystem) -> object:
    board = s.sharing.requests("r")
    number = board.send("who?")
    (asked,) = board.take(lease=9)
    board.answer(asked, URL)
    return board.collect(number)


def _document(s: AgentSystem) -> object:
    document = s.sharing.document("d", dict[str, str], initial={})
    return document.propose(document.read(), {"u": URL})


def _pass_on(s: AgentSystem) -> object:
    line = s.sharing.pipeline("line", ["a", "b"])
    line.put(1)
    line.pass_on(line.take("a", lease=9)[0], {"u": URL})
    return line.take("b", lease=9)


def _topic(s: AgentSystem) -> object:
    topic = s.sharing.topic("t")
    topic.subscribe()
    topic.publish([URL])
    return topic.read()


def _suspended(s: AgentSystem) -> object:
    session = s.sessions.create("s")
    session.suspend(f"until {URL} is back")
    return session.info().note


def _tagged(s: AgentSystem) -> object:
    artifact = s.artifacts.save("a", b"1")
    s.artifacts.tag(artifact, URL)
    return s.artifacts.tags(artifact)


def _call(s: AgentSystem) -> object:
    s.agent(Once, "m").cast(Once.take, {"u": URL})
    return HIDDEN


def _scoped(s: AgentSystem) -> object:
    s.state.set(Scope.GLOBAL, "k", [URL])
    return s.state.get(Scope.GLOBAL, "k")


VALUES: dict[str, Callable[[AgentSystem], object]] = {
    "a message": _call,
    "a scoped key": _scoped,
    "an item of a topic": _topic,
    "an item of a pipeline": _pass_on,
    "a request": lambda s: (
        s.sharing.requests("q").send(URL),
        s.sharing.requests("q").take(lease=9),
    ),
    "an answer": _answer,
    "a document": _document,
    "the initial value of a document": lambda s: s.sharing.document(
        "i", list[str], initial=[URL]
    ).read(),
    "the name of a session": lambda s: s.sessions.create("n", name=URL).info().name,
    "the meta of a session": lambda s: s.sessions.create("m", meta={"db": URL}).info().meta,
    "the note of a session": _suspended,
    "the meta of an artifact": lambda s: s.artifacts.save("a", b"1", meta={"db": URL}).meta,
    "a tag of an artifact": lambda s: s.artifacts.tags(s.artifacts.save("a", b"1", tags=[URL])),
    "a later tag of an artifact": _tagged,
    "the media type of an artifact": lambda s: s.artifacts.save("a", b"1", media=URL).media,
}


def _failed(s: AgentSystem) -> object:
    session = s.sessions.create("s")
    session.fail(f"because {URL}")
    return session.info().note


def _dropped(s: AgentSystem) -> object:
    line = s.sharing.pipeline("line", ["a"])
    line.put(1)
    line.drop(line.take("a", lease=9)[0], f"because {URL}")
    return line.dropped.list()


def _isolated(s: AgentSystem) -> object:
    s.access.isolate(s.agent(Once, "i"), f"because {URL}")
    return s.access.isolations.list()


def _dead(s: AgentSystem) -> object:
    s.agent(Once, "d").cast(Once.fail)
    s.idle()
    return s.dead_letters.list()[0].reason


def _quarantined(s: AgentSystem) -> object:
    ref = s.agent(Often, "q")
    ref.cast(Often.fail)
    s.idle()
    return ref.describe()


REASONS: dict[str, Callable[[AgentSystem], object]] = {
    "a session's end": _failed,
    "a dropped item": _dropped,
    "an isolation": _isolated,
    "a dead letter": _dead,
    "a quarantined agent": _quarantined,
}

NAMES: dict[str, Callable[[AgentSystem], object]] = {
    "a key": lambda s: s.state.set(Scope.GLOBAL, TOKEN, 1),
    "a counter": lambda s: s.state.increment(Scope.GLOBAL, TOKEN),
    "an id": lambda s: s.sessions.create(TOKEN),
    "a topic": lambda s: s.sharing.topic(TOKEN),
    "an artifact": lambda s: s.artifacts.save(TOKEN, b"1"),
}
TOKEN = "ghp_" + "a1B2" * 9


def opened(path: Path, policy: Policy) -> AgentSystem:
    """Open a system that looks for secrets."""
    return AgentSystem.open(path, agents=[Once, Often], detector=Detector(policy))


def stored(path: Path) -> bool:
    """Tell whether a secret stands in the file."""
    raw = path.read_bytes()
    return WORD.encode() in raw or TOKEN.encode() in raw


@pytest.mark.parametrize("place", VALUES)
def test_a_value_is_refused_or_replaced_as_the_policy_says(place: str, tmp_path: Path) -> None:
    """Refused, nothing of it is in the file; replaced, what it is read back as shows the rest."""
    with opened(tmp_path / "refuse.db", "refuse") as system, pytest.raises(SecretFound):
        VALUES[place](system)
    with opened(tmp_path / "redact.db", "redact") as system:
        assert HIDDEN in repr(VALUES[place](system))
    assert not stored(tmp_path / "refuse.db")
    assert not stored(tmp_path / "redact.db")


@pytest.mark.parametrize("policy", ["refuse", "redact"])
@pytest.mark.parametrize("place", REASONS)
def test_a_reason_is_replaced_and_never_refused(place: str, policy: Policy, tmp_path: Path) -> None:
    """What it tells of has happened, so it is told, without its secrets."""
    with opened(tmp_path / "a.db", policy) as system:
        assert HIDDEN in repr(REASONS[place](system))
    assert not stored(tmp_path / "a.db")


@pytest.mark.parametrize("policy", ["refuse", "redact"])
@pytest.mark.parametrize("place", NAMES)
def test_a_name_is_refused_by_both_policies(place: str, policy: Policy, tmp_path: Path) -> None:
    """A name that was replaced would find something else."""
    with opened(tmp_path / "a.db", policy) as system, pytest.raises(SecretFound):
        NAMES[place](system)
    assert not stored(tmp_path / "a.db")


@pytest.mark.parametrize("place", [*VALUES, *REASONS, *NAMES])
def test_a_warning_lets_everything_pass(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """With ``warn`` nothing is changed, and the log names each place without the value."""
    work = {**VALUES, **REASONS, **NAMES}[place]
    with AgentSystem.open("memory://", agents=[Once, Often], detector=Detector("warn")) as system:
        shown = repr(work(system))
    assert HIDDEN not in shown or place == "a message"
    warned = [r.getMessage() for r in caplog.records if r.name == "perdure.secrets"]
    assert warned
    assert not any(WORD in text or TOKEN in text for text in warned)


def test_a_file_with_a_secret_is_not_imported(tmp_path: Path) -> None:
    """An import is refused as a write would be, before anything of it is written."""
    file = tmp_path / "s.jsonl"
    with AgentSystem.open("memory://", agents=[], detector=None) as system:
        session = system.sessions.create("s", meta={"db": URL})
        system.state.set(session.scope, "k", URL)
        system.sessions.export("s", file)
    with AgentSystem.open(tmp_path / "a.db", agents=[], detector=Detector("refuse")) as system:
        with pytest.raises(ImportRefused, match="looks like a secret"):
            system.sessions.import_(file)
        assert system.sessions.list() == []
    with AgentSystem.open(tmp_path / "b.db", agents=[], detector=Detector("redact")) as system:
        session = system.sessions.import_(file)
        assert HIDDEN in repr((session.info().meta, system.state.get(session.scope, "k")))
        assert HIDDEN in str(system.state.get(session.scope, "k"))
    assert not stored(tmp_path / "a.db")
    assert not stored(tmp_path / "b.db")


def test_a_secret_at_the_place_where_an_error_is_cut_is_replaced() -> None:
    """An error is looked at before it is cut, so no half of a secret is left."""
    plain = Vault(detector=Detector("refuse")).plain
    text = plain.told(ValueError("x " * (LONGEST_TEXT // 2 - 10) + TOKEN), "an error")
    assert "ghp_" not in text
    assert "***" in text


def test_without_a_detector_texts_are_as_they_were() -> None:
    """Nothing is looked at, nothing is changed."""
    plain = Plain()
    for look in (plain.value, plain.words, plain.name, plain.reason):
        assert look(URL, "x") == URL
