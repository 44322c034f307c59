"""One rule for all that is stored: the same comes back, or the path of what would not."""

from __future__ import annotations

import collections
import datetime as dt
import enum
import functools
import zoneinfo
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from perdure import (
    Agent,
    AgentRef,
    AgentSystem,
    Durability,
    Log,
    Map,
    MemoryStore,
    Scope,
    State,
    VirtualClock,
    errors,
)  # fmt: skip
from tests.kit.deadline import DEADLINE


class Colour(enum.StrEnum):
    """A text that is a member."""

    RED = "red"


class Pair(NamedTuple):
    """A named tuple."""

    left: int
    right: str


class Number(int):
    """An integer of another class."""


PARIS = zoneinfo.ZoneInfo("Europe/Paris")
Typed = dict[str, dt.datetime | list[int] | None]
GOOD: list[Typed] = [
    {"at": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}, {"list": [1, 2**64]}, {"none": None},
]  # fmt: skip
# Each with the path below the value, whatever holds it.
BAD: list[tuple[Any, str]] = [
    ({"at": dt.datetime(2026, 1, 1, tzinfo=PARIS)}, "['at']"),
    ({"at": dt.datetime(2026, 10, 25, 2, 30, fold=1)}, "['at']"),  # noqa: DTZ001
    ({Colour.RED: None}, " key <Colour.RED: 'red'>"),
    ({"list": [Number(3)]}, "['list'][0]"),
    ({"list": (1,)}, "['list']"),
    (collections.OrderedDict(none=None), ""),
]
UNTYPED: list[tuple[Any, str]] = [
    ({"c": Colour.RED}, "['c']"),
    ([Pair(1, "a")], "[0]"),
    ({"a": [collections.Counter("b")]}, "['a'][0]"),
    ({"a": {1: 2}}, "['a'] key 1"),
    ([0, {True}], "[1]"),
    ([bytearray(b"x")], "[0]"),
    (Colour.RED, ""),
]


class Store(State):
    """Each way to keep a value."""

    plain: Typed = msgspec.field(default_factory=dict)
    log: Log[Typed] = Log.field()
    map: Map[str, Typed] = Map.field()
    loose: object = None
    seen: Log[str] = Log.field()


class Keeper(Agent[Store]):
    """Keeps a value in each of them."""

    def on_receive(self, message: Typed) -> None:
        """Take a message as it is."""
        self.state.seen.append(repr(message))

    def hear(self, value: Typed) -> None:
        """Take a value as an argument."""
        self.state.seen.append(repr(value))

    def heard(self) -> list[str]:
        """Return what was taken."""
        return list(self.state.seen)

    def put_plain(self, value: object) -> None:
        """Set a field."""
        self.state.plain = value  # type: ignore[assignment]

    def put_log(self, value: Any) -> None:  # noqa: ANN401 - also what does not fit
        """Append an item."""
        self.state.log.append(value)

    def put_map(self, value: Any) -> None:  # noqa: ANN401 - also what does not fit
        """Set an entry."""
        self.state.map["k"] = value

    def place(self) -> Scope:
        """Return where it may write."""
        return Scope.agent(self.kind, self.key)

    def put_scope(self, value: object) -> None:
        """Set a shared value."""
        self.system.state.set(self.place(), "typed/k", value)

    def set_timer(self, value: Any) -> None:  # noqa: ANN401 - also what does not fit
        """Have it come later."""
        self.after(5, Keeper.hear, value)

    def put_loose(self, value: object) -> None:
        """Set a field without a type."""
        self.state.loose = value

    def put_loose_scope(self, value: object) -> None:
        """Set a shared value without a type."""
        self.system.state.set(self.place(), "loose", value)

    def kept(self) -> list[str]:
        """Return what is in all of them, as text."""
        shared = self.system.state.get(self.place(), "typed/k")
        return [
            repr(each)
            for each in (self.state.plain, *self.state.log, *self.state.map.values(), shared)
        ]


class Saved(Keeper):
    """The same, saved now and then."""

    durability = Durability.SNAPSHOT


Put = Callable[[Any, Any], None]
PUTS: list[Put] = [Keeper.put_plain, Keeper.put_log, Keeper.put_map, Keeper.put_scope]


def opened(
    store: MemoryStore, kind: type[Keeper], clock: VirtualClock | None = None
) -> AgentSystem:
    """Open a system in which the key of the scope has a type."""
    system = AgentSystem.open(store, agents=[kind], clock=clock)
    system.state.register("typed/*", Typed)
    return system


@pytest.mark.parametrize("kind", [Keeper, Saved])
@pytest.mark.parametrize("value", GOOD, ids=range(len(GOOD)))
def test_what_fits_comes_back_everywhere(kind: type[Keeper], value: Typed) -> None:
    """A value of the declared type is the same after a reopen, wherever it was kept."""
    store = MemoryStore()
    with opened(store, kind, clock := VirtualClock()) as system:
        agent = system.agent(kind, "a")
        for put in PUTS:
            agent.call(put, value).get(timeout=DEADLINE)
        agent.cast(Keeper.hear, value)
        agent.tell(value)
        agent.call(Keeper.set_timer, value).get(timeout=DEADLINE)
        clock.advance(6)
        system.idle()
    with opened(store, kind) as system:
        agent = system.agent(kind, "a")
        assert agent.call(Keeper.kept).get(timeout=DEADLINE) == [repr(value)] * 4
        assert agent.call(Keeper.heard).get(timeout=DEADLINE) == [repr(value)] * 3


@pytest.mark.parametrize("kind", [Keeper, Saved])
@pytest.mark.parametrize(("value", "where"), BAD, ids=range(len(BAD)))
def test_what_does_not_fit_is_refused_everywhere(
    kind: type[Keeper], value: Typed, where: str
) -> None:
    """A value that would come back as another is refused in its turn, with its path."""
    with opened(MemoryStore(), kind) as system:
        agent: AgentRef[Any] = system.agent(kind, "a")
        for put in [*PUTS, Keeper.set_timer]:
            with pytest.raises(errors.StateError) as refused:
                agent.call(put, value).get(timeout=DEADLINE)
            assert where in refused.value.path
            assert refused.value.turn == f"{kind.__name__}/a at {put.__name__}"
            assert str(refused.value).startswith(f"{refused.value.turn}: {refused.value.path}: ")
        sends: list[Callable[[], object]] = [
            functools.partial(agent.cast, Keeper.hear, value),
            functools.partial(agent.tell, value),
        ]
        for send in sends:
            with pytest.raises(errors.StateError) as refused:
                send()
            assert refused.value.path.endswith(where)
        assert agent.call(Keeper.kept).get(timeout=DEADLINE) == ["{}", "None"]


@pytest.mark.parametrize(("value", "where"), UNTYPED, ids=range(len(UNTYPED)))
def test_nothing_changes_where_no_type_is_declared(value: object, where: str) -> None:
    """Without a type only what JSON has is taken: in fields, scopes and metadata alike."""
    with AgentSystem.open("memory://", agents=[Keeper]) as system:
        agent = system.agent(Keeper, "a")
        for put in (Keeper.put_loose, Keeper.put_loose_scope):
            with pytest.raises(errors.StateError) as refused:
                agent.call(put, value).get(timeout=DEADLINE)
            assert refused.value.path.endswith(where)
        calls: list[Callable[[], object]] = [
            lambda: system.artifacts.save("a", b"x", scope=Scope.GLOBAL, meta={"m": value}),
            lambda: system.sessions.create(meta={"m": value}),
        ]
        for call in calls:
            with pytest.raises(errors.StateError) as refused:
                call()
            assert refused.value.path.endswith(f"['m']{where}")


class Counts(State):
    """Integers alone."""

    count: int = 0


class Counter(Agent[Counts]):
    """Saved now and then."""

    durability = Durability.SNAPSHOT

    def set(self, digits: int) -> None:
        """Make a number of so many digits."""
        self.state.count = 10**digits

    def count(self) -> int:
        """Return it."""
        return self.state.count


def test_an_integer_that_no_save_takes_is_refused_in_its_turn() -> None:
    """A SNAPSHOT agent refuses an integer that is too long at once, and what it has is saved."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Counter]) as system:
        agent = system.agent(Counter, "a")
        agent.call(Counter.set, 4000).get(timeout=DEADLINE)
        with pytest.raises(errors.StateError, match=r"state\.count: an integer of so many digits"):
            agent.call(Counter.set, 5000).get(timeout=DEADLINE)
    with AgentSystem.open(store, agents=[Counter]) as system:
        assert system.agent(Counter, "a").call(Counter.count).get(timeout=DEADLINE) == 10**4000
