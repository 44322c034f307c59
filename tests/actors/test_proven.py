"""What is told to a SNAPSHOT agent is encoded when it is stored, if nothing can go wrong then."""

from __future__ import annotations

import enum
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pykka.messages import ProxyCall

from perdure import Agent, AgentSystem, Durability, Limits, State
from perdure.actors.talk.messages import CallCodec
from perdure.persistence.errors import SecretFound, StateError
from perdure.persistence.secrets.detector import Detector
from perdure.persistence.secrets.vault import Vault

LARGEST = 10_000


class Kind(enum.StrEnum):
    """A text that is no plain one."""

    ONE = "one"


class Words(str):
    """Another."""

    __slots__ = ()


class Kept(State):
    """What was told."""

    told: list[str] = msgspec.field(default_factory=list)


class Taker(Agent[Kept]):
    """Takes values of several declared types."""

    durability = Durability.SNAPSHOT

    def on_receive(self, message: object) -> None:
        """Keep it."""
        self.state.told.append(repr(message))

    def any(self, value, other=0):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Take what is not declared."""

    def number(self, value: int) -> None:
        """Keep a number."""
        self.state.told.append(repr(value))

    def text(self, value: str) -> None:
        """Take a text."""

    def flag(self, value: bool) -> None:  # noqa: FBT001
        """Take a flag."""

    def fraction(self, value: float) -> None:
        """Take a float."""

    def password(self, password: str) -> None:
        """Take what is sensitive by its name."""


VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.integers(-(10**17), 10**17),
    st.floats(), st.text(max_size=20),
    st.text("a:/@\0", max_size=20), st.just(Kind.ONE), st.just(Words("x")), st.lists(st.integers()),
)  # fmt: skip
METHODS = st.sampled_from(["any", "number", "text", "flag", "fraction", "password", "gone"])
CALLS = st.builds(
    ProxyCall,
    st.tuples(METHODS),
    st.lists(VALUES, max_size=3).map(tuple),
    st.dictionaries(st.just("value"), VALUES),
)


@settings(max_examples=500)
@given(VALUES | CALLS)
def test_what_is_proven_comes_back_as_it_is(message: object) -> None:
    """A proven message is encoded without complaint, to what was sent and to nothing secret."""
    codec = CallCodec(Taker, LARGEST, Vault(detector=Detector(policy="refuse")))
    if codec.proven(message):
        name, body, fresh = codec.encode(message, "1")
        assert repr(codec.decode(name, body, "1")) == repr(fresh) == repr(message)


@pytest.mark.parametrize(
    ("message", "proven"),
    [
        ("add", True),
        (7, True),
        (None, True),
        ("a text of twenty chars", False),
        ("a://b:c@d", False),
        (2**60, False),
        (Words("x"), False),
        (ProxyCall(("number",), (1,), {}), True),
        (ProxyCall(("any",), ("a", 2), {}), True),
        (ProxyCall(("text",), ("a b",), {}), True),
        (ProxyCall(("flag",), (True,), {}), True),
        (ProxyCall(("number",), (True,), {}), False),
        (ProxyCall(("fraction",), (1,), {}), False),
        (ProxyCall(("password",), ("short",), {}), False),
        (ProxyCall(("number",), (), {"value": 1}), False),
        (ProxyCall(("gone",), (1,), {}), False),
    ],
)
def test_short_values_of_the_declared_types_are_proven(message: object, *, proven: bool) -> None:
    """Numbers and short texts that are exactly what a method declares need no look before."""
    assert CallCodec(Taker, LARGEST).proven(message) is proven


def test_nothing_is_proven_below_a_small_limit() -> None:
    """Where a message may take a few characters only, each is encoded and counted."""
    codec = CallCodec(Taker, 100)
    assert not codec.proven("add")
    assert not codec.proven(ProxyCall(("number",), (1,), {}))


@pytest.mark.parametrize("message", ["x" * 200, float("nan"), "\ud800"])
def test_a_message_that_cannot_be_stored_is_refused_on_its_line(message: object) -> None:
    """A SNAPSHOT agent's mail from outside is looked at when it is sent, not at the next pause."""
    with (
        AgentSystem.open("memory://", agents=[Taker], limits=Limits(largest_value=100)) as system,
        pytest.raises(StateError),
    ):
        system.agent(Taker, "a").tell(message)


def test_a_secret_is_refused_on_its_line() -> None:
    """A text that is a secret is refused when it is told, also where mail waits in memory."""
    detector = Detector(policy="refuse")
    with (
        AgentSystem.open("memory://", agents=[Taker], detector=detector) as system,
        pytest.raises(SecretFound),
    ):
        system.agent(Taker, "a").tell("postgres://me:hunter2hunter2@host/db")


def test_what_waits_is_stored_at_the_end(tmp_path: Path) -> None:
    """Proven mail of a paused SNAPSHOT agent is there when the store is opened again."""
    path = tmp_path / "a.db"
    with AgentSystem.open(path, agents=[Taker]) as system:
        agent = system.agent(Taker, "a")
        agent.cast(Taker.number, 1)
        agent.pause()
        agent.cast(Taker.number, 2)
        agent.tell("three")
    with AgentSystem.open(path, agents=[Taker]) as system:
        agent = system.agent(Taker, "a")
        agent.resume()
        system.idle()
        assert agent.proxy().state.get().told == ["1", "2", "'three'"]
