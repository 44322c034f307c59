"""What is saved of an agent is what stood between two of its turns, whoever saves it and when."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, AutoSave, Durability, Log, Map, MemoryStore, State
from perdure.actors.talk.control import Verb
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import StateError
from perdure.persistence.records.records import Delta
from perdure.persistence.state.tracker import dump
from perdure.persistence.store.lease import Owner
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate
from tests.persistence.keeper import Keeper


class ShelfState(State):
    """A field of every sort."""

    left: int = 0
    right: int = 0
    name: str = ""
    tags: list[str] = []  # noqa: RUF012 -- msgspec copies it for every instance
    share: float = 0.0
    story: Log[str] = Log.field()
    places: Map[str, int] = Map.field()


class Shelf(Agent[ShelfState]):
    """Moves things from left to right; their number stays the same from turn to turn."""

    durability = Durability.SNAPSHOT
    autosave = AutoSave(every=3600.0)
    gate: ClassVar[Gate]

    def fill(self, number: int) -> None:
        """Put things on the left side."""
        self.state.left += number
        self.state.tags.append(f"{number} in")
        self.state.story.append("fill")
        self.state.places["left"] = self.state.left

    def move(self) -> None:
        """Move one, with a long stop in the middle."""
        self.state.left -= 1
        self.state.tags.append("on its way")
        self.state.story.append("move")
        self.state.places["left"] = self.state.left
        self.gate.pass_through()
        self.state.right += 1
        self.state.tags[-1] = "moved"

    def look(self) -> tuple[int, int, list[str], list[str], dict[str, int]]:
        """Return all of it."""
        state = self.state
        return state.left, state.right, state.tags, list(state.story), dict(state.places)


class HurriedShelf(Shelf):
    """Gives up a turn that takes long."""

    turn_limit = 5.0


FILLED = (3, 0, ["3 in"], ["fill"], {"left": 3})
MOVED = (2, 1, ["3 in", "moved"], ["fill", "move"], {"left": 2})


@pytest.fixture
def gate() -> Gate:
    """Hold up every move that does not find it open."""
    Shelf.gate = Gate()
    return Shelf.gate


def deltas(system: AgentSystem, kind: str) -> list[str]:
    """Return what the journal has of an agent's states."""
    return [entry.delta for entry in system.journal.list(kind, "s")]


def test_an_isolation_saves_nothing_of_the_turn_it_cuts_off(gate: Gate) -> None:
    """The state before the turn is saved; the message is handled again, once, after the restore."""
    with AgentSystem.open(MemoryStore(), agents=[Shelf]) as system:
        shelf = system.agent(Shelf, "s")
        shelf.call(Shelf.fill, 3).get()
        shelf.cast(Shelf.move)
        gate.wait()
        system.access.isolate(shelf, reason="it is looked at")
        assert [delta for delta in deltas(system, "Shelf") if "on its way" in delta] == []
        gate.open()
        system.access.restore(shelf)
        assert system.idle(DEADLINE)
        assert shelf.call(Shelf.look).get() == MOVED


def test_a_time_limit_saves_nothing_of_the_turn_it_gives_up(gate: Gate) -> None:
    """The state before the turn is saved; the message is tried again from there."""
    clock = VirtualClock()
    with AgentSystem.open(MemoryStore(), agents=[HurriedShelf], clock=clock) as system:
        shelf = system.agent(HurriedShelf, "s")
        shelf.call(Shelf.fill, 3).get()
        shelf.cast(Shelf.move)
        gate.wait()
        clock.advance(5.0)
        system.flush()
        assert [delta for delta in deltas(system, "HurriedShelf") if "on its way" in delta] == []
        gate.open()
        clock.advance(1.0)  # the wait before the restart
        assert system.idle(DEADLINE)
        assert shelf.call(Shelf.look).get() == MOVED


@pytest.mark.parametrize("step", ["pause", "stop", "restart"])
def test_a_step_waits_for_the_end_of_the_turn(gate: Gate, step: str) -> None:
    """What is asked for in the middle of a turn saves the whole of it."""
    with AgentSystem.open(MemoryStore(), agents=[Shelf]) as system:
        shelf = system.agent(Shelf, "s")
        shelf.call(Shelf.fill, 3).get()
        shelf.cast(Shelf.move)
        gate.wait()
        done = system._runtime.post.control(shelf, Verb(step))
        gate.open()
        done.get(timeout=DEADLINE)
        if step == "pause":
            shelf.resume()
        assert shelf.call(Shelf.look).get() == MOVED
        assert [delta for delta in deltas(system, "Shelf") if "on its way" in delta] == []


def test_a_close_that_does_not_wait_saves_nothing_of_the_turn(gate: Gate) -> None:
    """A turn that outlasts the close is not in the store; its agent begins where it was before."""
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[Shelf])
    shelf = system.agent(Shelf, "s")
    shelf.call(Shelf.fill, 3).get()
    shelf.pause()
    shelf.resume()  # both save
    shelf.cast(Shelf.move)
    gate.wait()
    assert not system.close(timeout=0.0)
    gate.open()
    with AgentSystem.open(store, agents=[Shelf]) as again:
        assert again.agent(Shelf, "s").call(Shelf.look).get() == FILLED


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "left": st.integers(),
    "right": st.integers(-(2**63), 2**63 - 1),
    "name": st.text(st.characters(codec="ascii"), max_size=4),
    "share": st.floats(allow_nan=False, allow_infinity=False),
}
CHANGE = st.one_of(
    *(st.tuples(st.just(name), values) for name, values in VALUES.items()),
    st.tuples(st.sampled_from(["tags", "story"]), st.text("ab", max_size=2)),
    st.tuples(st.just("places"), st.integers(0, 9)),
)
TURN = st.tuples(st.lists(CHANGE, max_size=4), st.sampled_from(["end", "raise", "cut"]))


def change(state: ShelfState, name: str, value: object) -> None:
    """Change a field in the way that its sort is changed."""
    if name in VALUES:
        setattr(state, name, value)
    elif name == "places":
        state.places[str(value)] = int(str(value))
    else:
        getattr(state, name).append(value)


@given(st.lists(TURN, max_size=8))
@settings(max_examples=200)
def test_whenever_it_is_saved_the_last_turn_is_over(turns: list[Any]) -> None:
    """A save in the middle of any turn, after any others, stores what the last one had left."""
    store = MemoryStore()
    store.acquire(Owner.this_process())
    keeper = Keeper(store, ShelfState)
    unsaved = Delta(1)
    left = keeper.values()
    for changes, end in turns:
        for name, value in changes:
            change(keeper.state, name, value)
        if end == "cut":  # saved by somebody else, and never heard of again
            unsaved.merge(keeper.tracker.saved() or Delta(1))
            keeper.put(unsaved)
            unsaved = Delta(1)
            keeper.load()
            assert keeper.values() == left
            continue
        if end == "end":
            try:
                unsaved.merge(keeper.tracker.defer() or Delta(1))
            except StateError:
                keeper.tracker.rollback()
            left = keeper.values()
        else:
            keeper.tracker.rollback()
            assert keeper.values() == left
    unsaved.merge(keeper.tracker.saved() or Delta(1))
    keeper.put(unsaved)
    assert dump(keeper.tracker.state) == left
    keeper.load()
    assert keeper.values() == copy.deepcopy(left)
