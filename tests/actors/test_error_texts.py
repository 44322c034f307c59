"""Mistakes in calls and declarations: one sentence says what is wrong, where, and what to do."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import pytest

from perdure import Agent, AgentSystem, MemoryStore, State
from perdure.persistence.errors import ConfigurationError, StateError, StoreOwned
from perdure.persistence.state.state import layout_of
from tests.kit.deadline import DEADLINE

T = TypeVar("T")
S = TypeVar("S", bound=State)


class PlainState(State):
    count: int = 0


class BoxState(State, Generic[T]):
    item: T | None = None


class IntBoxState(BoxState[int]):
    pass


class MoreState(PlainState):
    more: int = 0


class Odd(int):
    """Be a number that JSON has no form for."""


class Desk(Agent[PlainState]):
    """Set timers as they come."""

    def add(self, amount: int, note: str = "") -> None: ...

    def timer(self, which: str) -> None:
        mistakes: dict[str, tuple[Any, Any]] = {
            "lambda": (1, lambda: None),
            "partial": (1, functools.partial(self.add, 1)),
            "stranger": (1, Desk().add),
            "seconds": ("1", "add"),
        }
        seconds, method = mistakes[which]
        self.after(seconds, method, 1)


class Hasty(Agent[PlainState]):
    def __init__(self) -> None:
        super().__init__()
        self.state.count = 1

    def add(self) -> None: ...


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system of these agents in memory."""
    with AgentSystem.open(MemoryStore(), agents=[Desk, Hasty]) as opened:
        yield opened


@pytest.mark.parametrize("way", ["call", "cast"])
def test_a_name_instead_of_a_method(system: AgentSystem, way: str) -> None:
    """`call` and `cast` take methods, and say so to one who gives a name."""
    desk = system.agent(Desk, "a")
    with pytest.raises(ConfigurationError, match=r"Desk/a: 'add' is not a method.*Desk\.method"):
        getattr(desk, way)("add", 1)


def test_a_name_instead_of_a_class(system: AgentSystem) -> None:
    """`agent` takes a class, and says so to one who gives its kind."""
    wrong: Any = "NA"
    with pytest.raises(ConfigurationError, match=r"'NA' is not an Agent class.*agent\(Desk, key"):
        system.agent(wrong, "b")


@pytest.mark.parametrize(
    ("which", "text"),
    [
        ("lambda", "Desk/a: a timer cannot call <function.*self.after"),
        ("partial", "Desk/a: a timer cannot call functools.partial.*self.after"),
        ("stranger", "Desk/a: a timer cannot call <bound method.*self.after"),
        ("seconds", "Desk/a: a timer in '1' seconds makes no sense; give a number"),
    ],
)
def test_a_timer_that_could_not_be_stored(system: AgentSystem, which: str, text: str) -> None:
    """A timer takes a number of seconds and a method of its own agent."""
    with pytest.raises(ConfigurationError, match=text):
        system.agent(Desk, "a").call(Desk.timer, which).get(timeout=DEADLINE)


def test_a_class_instead_of_a_list() -> None:
    """`agents` is a list also for one class."""
    wrong: Any = Desk
    with pytest.raises(ConfigurationError, match=r"agents=Desk is not a list.*agents=\[Desk\]"):
        AgentSystem.open(MemoryStore(), agents=wrong)


def test_a_generic_state() -> None:
    """A state with parameters is refused with the way to name it, which works."""

    class Box(Agent[BoxState[int]]): ...

    class Named(Agent[IntBoxState]): ...

    with pytest.raises(ConfigurationError, match=r"BoxState\[int\].*class BoxState\(.*BoxState"):
        AgentSystem.open(MemoryStore(), agents=[Box])
    AgentSystem.open(MemoryStore(), agents=[Named]).close()


def test_a_struct_that_is_no_state() -> None:
    """A state must derive from State, and the error says so."""

    class Bare(Agent[msgspec.Struct]): ...  # type: ignore[type-var]

    with pytest.raises(ConfigurationError, match="Bare is Struct, which is not a subclass of"):
        AgentSystem.open(MemoryStore(), agents=[Bare])


def test_an_annotation_that_is_not_found() -> None:
    """A state with a local class in its annotations is refused by the names of both."""

    class Local(msgspec.Struct): ...

    class Torn(State):
        item: Local | None = None

    with pytest.raises(ConfigurationError, match=r"Torn is annotated with 'Local'.*at the top"):
        layout_of(Torn)


def test_a_field_of_dataclasses() -> None:
    """`dataclasses.field()` is no default of a State; the error names the one that is."""

    class Mixed(State):
        items: list[int] = dataclasses.field(default_factory=list)

    with pytest.raises(ConfigurationError, match=r"Mixed\.items has a dataclasses.*msgspec\.field"):
        layout_of(Mixed)


def test_state_in_the_constructor(system: AgentSystem) -> None:
    """One who uses the state in `__init__` is led to `on_start`."""
    with pytest.raises(ConfigurationError, match=r"Hasty\.__init__ uses self\.state.*on_start"):
        system.agent(Hasty, "a").call(Hasty.add).get(timeout=DEADLINE)


def test_a_store_of_ones_own(tmp_path: Path) -> None:
    """Opening a store twice in one process does not advise to stop the process."""
    path = tmp_path / "a.db"
    with AgentSystem.open(path, agents=[Desk]):
        with pytest.raises(StoreOwned, match="that is this process: use the") as refused:
            AgentSystem.open(path, agents=[Desk])
        assert "stop that process" not in str(refused.value)


@pytest.mark.parametrize(
    ("send", "text"),
    [
        (
            lambda d: d.add.defer("x"),
            r"Desk\.add\(amount\): .*got `str`; it is declared int$",
        ),
        (
            lambda d: d.add.defer(1, note=5),
            r"Desk\.add\(note\): .*got `int`; it is declared str$",
        ),
        (lambda d: d.add.defer(Odd()), r"Desk\.add\(amount\): 0 cannot .* a Odd; store int\(x\)"),
        (lambda d: d.add.defer(amount=float("nan")), r"Desk\.add\(amount\): NaN"),
    ],
)
def test_an_argument_of_another_type(
    system: AgentSystem, send: Callable[[Any], object], text: str
) -> None:
    """An argument that a method does not take is named as the method names it."""
    with pytest.raises(StateError, match=text) as refused:
        send(system.agent(Desk, "a").proxy())
    assert "perdure." not in str(refused.value)


def test_a_state_annotation_that_changes_nothing() -> None:
    """`state: Other` in a subclass is refused, since the state stays the base's."""
    with pytest.raises(ConfigurationError, match=r"Sub declares state: MoreState, but.*PlainState"):

        class Sub(Desk):
            state: MoreState

    class Same(Desk):
        state: PlainState

    class Base(Agent[S]):
        state: S

    class Right(Base[MoreState]):
        state: MoreState

    AgentSystem.open(MemoryStore(), agents=[Same, Right]).close()
