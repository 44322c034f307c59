"""Agents with secrets against a model: turns, failures, restarts, rotations in any order."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

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
    new_key,
)


class Things(State):
    one: Secret[str] | None = None
    listed: list[Secret[int]] = msgspec.field(default_factory=list)
    logged: Log[Secret[str]] = Log.field()
    mapped: Map[str, Secret[str]] = Map.field()


class Holder(Agent[Things]):
    def one(self, word: Secret[str]) -> None:
        self.state.one = word

    def listed(self, number: int) -> None:
        self.state.listed.append(Secret(number))

    def logged(self, word: Secret[str]) -> None:
        self.state.logged.append(word)

    def mapped(self, key: str, word: Secret[str]) -> None:
        self.state.mapped[key] = word

    def dropped(self, key: str) -> None:
        self.state.mapped.pop(key, None)

    def moved(self, key: str) -> None:
        if key in self.state.mapped:
            self.state.one = self.state.mapped[key]
            self.state.logged.append(self.state.mapped[key])

    def failed(self, word: str) -> None:
        self.state.one = Secret(word)
        self.state.listed.clear()
        self.state.logged.append(Secret(word))
        self.state.mapped.clear()
        message = "undone"
        raise ValueError(message)

    def all(self) -> tuple[object, ...]:
        state = self.state
        return (
            None if state.one is None else state.one.reveal(),
            [number.reveal() for number in state.listed],
            [word.reveal() for word in state.logged],
            {key: word.reveal() for key, word in state.mapped.items()},
        )


@dataclass
class Model:
    one: str | None = None
    listed: list[int] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)
    mapped: dict[str, str] = field(default_factory=dict)

    def all(self) -> tuple[object, ...]:
        """Return what the agent should hold."""
        return self.one, self.listed, self.logged, self.mapped


WORDS = st.text(st.characters(codec="utf-8"), max_size=6)
KEYS = st.sampled_from("abc")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["one", "logged", "failed"]), WORDS),
        st.tuples(st.just("listed"), st.integers(-9, 9)),
        st.tuples(st.just("mapped"), KEYS, WORDS),
        st.tuples(st.sampled_from(["dropped", "moved"]), KEYS),
        st.tuples(st.sampled_from(["restart", "rotate"])),
    ),
    max_size=12,
)


class Subject:
    """The agent, its system and its keys."""

    def __init__(self, how: str) -> None:
        self._how = how
        self._store = MemoryStore()
        self._keys = {"k0": new_key()}
        self.open()

    def open(self) -> None:
        """Open the system with the keys there are."""
        self.system = AgentSystem.open(
            self._store, agents=[Holder], keys=Keys(secrets=StaticKeys(self._keys)), takeover=True
        )

    def restart(self) -> None:
        """Close the system and open it again."""
        assert self.system.idle(20)
        self.system.close()
        self._store = self._store.twin()
        self.open()

    def rotate(self) -> None:
        """Take a new key, and forget the old ones when nothing is stored with them."""
        self._keys = {f"k{len(self._keys)}": new_key(), **self._keys}
        self.restart()
        assert self.system.secrets.rotate(wait=True).done
        assert set(self.system.secrets.remaining()) <= {next(iter(self._keys))}

    def tell(self, name: str, *arguments: object) -> None:
        """Send a message in one of the two ways."""
        method: Any = getattr(self.system.agent(Holder, "1").proxy(), name)
        if self._how == "tell":
            method.defer(*arguments)
            assert self.system.idle(20)
        else:
            try:
                method(*arguments).get()
            except ValueError:
                assert name == "failed"


def apply(model: Model, name: str, arguments: tuple[Any, ...]) -> None:
    """Do to the model what a step does to the agent."""
    steps: dict[str, Callable[..., object]] = {
        "one": lambda word: setattr(model, "one", word),
        "listed": model.listed.append,
        "logged": model.logged.append,
        "mapped": model.mapped.__setitem__,
        "dropped": lambda key: model.mapped.pop(key, None),
        "moved": lambda key: _move(model, key),
        "failed": lambda _word: None,
    }
    steps[name](*arguments)


def _move(model: Model, key: str) -> None:
    if key in model.mapped:
        model.one = model.mapped[key]
        model.logged.append(model.mapped[key])


@settings(max_examples=30)
@given(steps=STEPS, how=st.sampled_from(["ask", "tell"]))
def test_any_history_gives_the_values_back(steps: list[tuple[Any, ...]], how: str) -> None:
    """Whatever was done, in whichever order, the agent reveals what the model holds."""
    model, subject = Model(), Subject(how)
    try:
        for name, *arguments in steps:
            if name in ("restart", "rotate"):
                getattr(subject, name)()
                continue
            sealed = [*arguments]
            if name in ("one", "logged", "mapped"):
                sealed[-1] = Secret(sealed[-1])
            subject.tell(name, *sealed)
            apply(model, name, tuple(arguments))
        assert subject.system.agent(Holder, "1").call(Holder.all).get() == model.all()
    finally:
        subject.system.close()
