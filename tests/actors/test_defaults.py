"""What an agent starts with is its own, and the same after a load."""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest

from perdure import Agent, AgentSystem, Durability, MemoryStore, State, errors
from perdure.persistence.state.state import layout_of
from tests.kit.deadline import DEADLINE

_number = itertools.count()


@dataclasses.dataclass
class Config:
    """A default that can be changed in place, and that msgspec does not copy."""

    limit: int = 0


SHARED = Config(5)


class Card(State):
    """Computed defaults, and objects as defaults."""

    turns: int = 0
    id: uuid.UUID = msgspec.field(default_factory=uuid.uuid4)
    number: int = msgspec.field(default_factory=lambda: next(_number))
    config: Config = Config()
    given: Config = msgspec.field(default_factory=lambda: SHARED)


Identity = tuple[uuid.UUID, int]


class Holder(Agent[Card]):
    """Tells who it is."""

    def who(self) -> Identity:
        """Read only what was computed."""
        return self.state.id, self.state.number

    def change(self) -> Identity:
        """Change something else."""
        self.state.turns += 1
        return self.who()

    def fail(self) -> None:
        """Raise."""
        raise RuntimeError("no")

    def raise_limits(self) -> list[int]:
        """Change the defaults in place."""
        self.state.config.limit += 1
        self.state.given.limit += 1
        return [self.state.config.limit, self.state.given.limit]


class Saved(Holder):
    """The same, saved now and then."""

    durability = Durability.SNAPSHOT


class Lost(Holder):
    """The same, never saved."""

    durability = Durability.VOLATILE


@pytest.mark.parametrize("kind", [Holder, Saved])
@pytest.mark.parametrize("first", [Holder.who, Holder.change])
def test_what_was_computed_stays(kind: type[Holder], first: Callable[[Holder], Identity]) -> None:
    """A computed default that was answered is the same after a restart, a failure and a reopen."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[kind]) as system:
        agent = system.agent(kind, "a")
        known = agent.call(first).get(timeout=DEADLINE)
        agent.restart()
        assert agent.call(kind.who).get(timeout=DEADLINE) == known
        with pytest.raises(RuntimeError, match="no"):
            agent.call(kind.fail).get(timeout=DEADLINE)
        assert agent.call(kind.change).get(timeout=DEADLINE) == known
        assert system.agent(kind, "b").call(kind.who).get(timeout=DEADLINE) != known
    with AgentSystem.open(store, agents=[kind]) as system:
        assert system.agent(kind, "a").call(kind.who).get(timeout=DEADLINE) == known


def test_only_the_first_turn_stores_what_was_computed() -> None:
    """The first turn commits what was computed; one that only reads afterwards commits nothing."""
    with AgentSystem.open(MemoryStore(), agents=[Holder]) as system:
        agent = system.agent(Holder, "a")
        for _ in range(3):
            agent.call(Holder.who).get(timeout=DEADLINE)
        (entry,) = system.journal.list()
        stored = msgspec.json.decode(entry.delta)["set"]
        assert stored.keys() == {"id", "number", "given"}


def test_nothing_of_a_volatile_agent_is_stored() -> None:
    """A VOLATILE agent's computed defaults are new in each life, and in no commit."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Lost]) as system:
        agent = system.agent(Lost, "a")
        known = agent.call(Lost.who).get(timeout=DEADLINE)
        agent.restart()
        assert agent.call(Lost.who).get(timeout=DEADLINE) != known
        agent.stop()
        assert not [entry for entry in system.journal.list() if '"set"' in entry.delta]


def test_an_object_as_default_is_one_for_each_agent() -> None:
    """What one agent does to a default is never seen by another, nor by the class."""
    with AgentSystem.open("memory://", agents=[Holder]) as system:
        limits = [
            system.agent(Holder, key).call(Holder.raise_limits).get(timeout=DEADLINE)
            for key in ("a", "b", "a")
        ]
    assert limits == [[1, 6], [1, 6], [2, 7]]
    assert Config(5) == SHARED
    assert Card().config == Config()


class Spot(NamedTuple):
    """A list that all share."""

    places: list[int] = []  # noqa: RUF012 -- what is tested


class Line(msgspec.Struct):
    """An object that all share."""

    config: Config = Config()


class Fixed(msgspec.Struct, frozen=True):
    """A default that nobody can change."""

    numbers: tuple[int, ...] = (1, 2)


class Fine(msgspec.Struct):
    """Defaults that are no danger."""

    fixed: Fixed = Fixed()
    made: Config = msgspec.field(default_factory=Config)
    items: list[int] = msgspec.field(default_factory=list)


class Good(State):
    """What may be declared."""

    fine: Fine = msgspec.field(default_factory=Fine)


class Page(Good):
    """Records with an object."""

    lines: list[Line] = msgspec.field(default_factory=list)


class Chart(Good):
    """Tuples with a list."""

    spots: dict[str, Spot | None] = msgspec.field(default_factory=dict)


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (Page, r"Page\.lines holds a Line, whose field config has a Config .*default_factory"),
        (Chart, r"Chart\.spots holds a Spot, whose field places has a list .*default_factory"),
    ],
)
def test_an_object_shared_by_records_is_refused(state: type[State], wanted: str) -> None:
    """A record whose default is one object for all is refused when its class is looked at."""
    with pytest.raises(errors.ConfigurationError, match=wanted):
        layout_of(state)
    assert layout_of(Good).plain
