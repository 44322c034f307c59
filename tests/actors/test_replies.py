"""A reply shares nothing that can change with the state of who answered."""

from __future__ import annotations

import collections
import functools
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from perdure import Agent, AgentRef, AgentSystem, Durability, Map, State, errors
from tests.kit.deadline import DEADLINE


class Shelf(State):
    """Values that could be changed from outside."""

    lists: list[list[int]] = msgspec.field(default_factory=list)
    named: dict[str, list[int]] = msgspec.field(default_factory=dict)
    kept: Map[str, list[int]] = Map.field()
    turns: int = 0


class Box:
    """A class of somebody's own."""

    def __init__(self, inside: object) -> None:
        self.inside = inside


class Odd(list[Any]):
    """A list with an attribute."""

    more: object = None


def odd(state: Shelf) -> Odd:
    """Return such a list whose attribute is part of the state."""
    made = Odd()
    made.more = state.lists
    return made


class Line(msgspec.Struct):
    """A record."""

    inside: object


COPIED: dict[str, Callable[[Any], object]] = {
    "list": lambda s: s.lists,
    "values in a list": lambda s: list(s.named.values()),
    "deque": lambda s: collections.deque(s.lists),
    "own class": lambda s: Box(s.lists),
    "own class in a record": lambda s: Line([Box(s.lists)]),
    "own list": odd,
    "default dictionary": lambda s: collections.defaultdict(list, s.named),
    "set of objects": lambda s: {Box(s.lists)},
    "key": lambda s: {Box(s.lists): 1},
    "map": lambda s: s.kept,
    "namespace": lambda s: types.SimpleNamespace(inside=s.lists),
}
REFUSED: dict[str, Callable[[Any], object]] = {
    "dict_values cannot be copied; return list": lambda s: s.named.values(),
    "dict_items cannot be copied; return list": lambda s: s.named.items(),
    "ValuesView cannot be copied; return list": lambda s: s.kept.values(),
    "generator cannot be copied; return list": lambda s: (each for each in s.lists),
    "list_iterator cannot be copied; return list": lambda s: iter(s.lists),
    "map cannot be copied; return list": lambda s: map(list, s.lists),
    "zip cannot be copied; return list": lambda s: zip(s.lists, s.lists, strict=True),
    "list_reverseiterator cannot be copied; return list": lambda s: reversed(s.lists),
    "mappingproxy cannot be copied; return dict": lambda s: types.MappingProxyType(s.named),
    "ChainMap cannot be copied; return dict": lambda s: collections.ChainMap(s.named),
    "builtin_function_or_method cannot be copied": lambda s: s.lists.append,
    "function cannot be copied; it may hold on": lambda s: lambda: s.lists,
    "partial cannot be copied; it may hold on": lambda s: functools.partial(list, s.lists),
    "lock cannot be copied; return a copy of what is in it": lambda _s: threading.Lock(),
    "generator cannot be copied": lambda s: Line([(each for each in s.lists)]),
}


class Keeper(Agent[Shelf]):
    """Answers with what a test wants."""

    def fill(self) -> None:
        """Put something in."""
        self.state.lists = [[1]]
        self.state.named = {"a": [1]}
        self.state.kept["a"] = [1]

    def give(self, name: str) -> object:
        """Return what goes by that name; a refused reply undoes the turn."""
        self.state.turns += 1
        return {**COPIED, **REFUSED}[name](self.state)

    def turns(self) -> int:
        """Return how often something was given."""
        return self.state.turns

    def myself(self) -> object:
        """Return the agent."""
        return self

    def method(self) -> object:
        """Return one of its methods."""
        return self.turns

    def whole(self) -> str:
        """Return all there is as text."""
        return repr((self.state.lists, self.state.named, dict(self.state.kept.items())))


class Snapshot(Keeper):
    """The same, saved now and then."""

    durability = Durability.SNAPSHOT


class Volatile(Keeper):
    """The same, never saved."""

    durability = Durability.VOLATILE


KINDS = [Keeper, Snapshot, Volatile]


@pytest.fixture(params=KINDS)
def keeper(request: pytest.FixtureRequest) -> Iterator[AgentRef[Keeper]]:
    """Give a filled agent of each durability."""
    with AgentSystem.open("memory://", agents=[request.param]) as system:
        agent = system.agent(request.param, "a")
        agent.call(request.param.fill).get(timeout=DEADLINE)
        yield agent


def spoil(value: Any) -> None:  # noqa: ANN401 - whatever a reply is made of
    """Change whatever can be changed in a reply."""
    if isinstance(value, dict):
        for key, item in list(value.items()):
            spoil(key)
            spoil(item)
        value["forged"] = [99]
    elif isinstance(value, list | collections.deque | set):
        for item in list(value):
            spoil(item)
        (value.add if isinstance(value, set) else value.append)(99)
    for name in ("inside", "more"):
        if getattr(value, name, None) is not None:
            spoil(getattr(value, name))


@pytest.mark.parametrize("name", COPIED)
def test_a_reply_is_a_copy(keeper: AgentRef[Keeper], name: str) -> None:
    """What a caller does to a reply never shows in the agent, whatever it was wrapped in."""
    before = keeper.call(Keeper.whole).get(timeout=DEADLINE)
    spoil(keeper.call(Keeper.give, name).get(timeout=DEADLINE))
    assert keeper.call(Keeper.whole).get(timeout=DEADLINE) == before


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_copied_is_refused(keeper: AgentRef[Keeper], name: str) -> None:
    """A reply that is tied to the state is refused with what to return, and undoes its turn."""
    with pytest.raises(errors.StateError, match=name):
        keeper.call(Keeper.give, name).get(timeout=DEADLINE)
    assert keeper.call(Keeper.turns).get(timeout=DEADLINE) == 0


def test_an_agent_gives_out_neither_itself_nor_its_methods(keeper: AgentRef[Keeper]) -> None:
    """An agent and a bound method are ways to the state, and refused."""
    with pytest.raises(errors.StateError, match=r"return its state, or self\.key"):
        keeper.call(Keeper.myself).get(timeout=DEADLINE)
    with pytest.raises(errors.StateError, match="it belongs to an object"):
        keeper.call(Keeper.method).get(timeout=DEADLINE)


class Stream(Agent[Shelf]):
    """A handler that yields."""

    def lines(self) -> Iterator[int]:
        """Give one after the other."""
        yield self.state.turns


class Private(Agent[Shelf]):
    """A helper that yields."""

    def _lines(self) -> Iterator[int]:
        yield self.state.turns

    def count(self) -> list[int]:
        """Use it."""
        return list(self._lines())


def test_a_handler_that_yields_is_refused() -> None:
    """A generator as a handler is refused when the class is registered; a private one is not."""
    with pytest.raises(errors.ConfigurationError, match=r"Stream\.lines .*yield.*return a list"):
        AgentSystem.open("memory://", agents=[Stream])
    with AgentSystem.open("memory://", agents=[Private]) as system:
        assert system.agent(Private, "a").call(Private.count).get(timeout=DEADLINE) == [0]
