"""A tree of events: what ran at the same time, what passed between, and where it ends."""

import threading

import pytest

from perdure import Agent, AgentSystem, MemoryStore, State, VirtualClock
from perdure.hooks.timeline.tree import Tree
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE


class Done(State):
    label: str = ""


class Worker(Agent[Done]):
    """One that is held until it is told to go on."""

    def begin(self) -> None:
        self.state.label = "begin"
        for key in ("left", "right"):
            self.system.agent(Worker, key).cast(Worker.work, key)

    def work(self, key: str) -> None:
        assert GATES[key].wait(DEADLINE)
        self.state.label = key
        if key == "left":
            self.system.agent(Worker, "last").cast(Worker.work, "last")

    def read(self) -> str:
        return self.state.label

    def alone(self) -> None:
        self.state.label = "alone"


GATES = {key: threading.Event() for key in ("left", "right", "last")}


def run() -> tuple[Tree, int]:
    """Return begin at 0 s, which led to left at 2 s and right at 5 s, left to last at 12 s.

    And alone, which nothing led to, at 20 s; and how many events there are.
    """
    clock = VirtualClock(1e9)
    for gate in GATES.values():
        gate.clear()
    with AgentSystem.open(MemoryStore(), agents=[Worker], clock=clock) as system:
        system.agent(Worker, "first").call(Worker.begin).get(timeout=DEADLINE)
        for key, seconds in (("left", 2), ("right", 3), ("last", 7)):
            clock.advance(seconds)
            GATES[key].set()
            wait_for(system, key)
        assert system.idle(DEADLINE)
        clock.advance(8)
        system.agent(Worker, "alone").call(Worker.alone).get(timeout=DEADLINE)
        count = system.timeline().count()
        with pytest.raises(ConfigurationError, match="more than 4 events"):
            system.timeline().tree(most=count - 1)
        return system.timeline().tree(most=count), count


def wait_for(system: AgentSystem, key: str) -> None:
    """Wait until an agent has done its turn: a call comes behind it."""
    system.agent(Worker, key).call(Worker.read).get(timeout=DEADLINE)


def test_a_tree_knows_what_ran_at_the_same_time_what_passed_and_where_it_ends() -> None:
    """Concurrent turns, gaps, leaves and seconds are those of the run, as it was made."""
    tree, count = run()
    assert count == 5
    events = {event.key: event for event in tree.events}
    assert {event.key for event in tree.roots} == {"first", "alone"}
    assert {event.key for event in tree.leaves} == {"right", "last", "alone"}
    together = {key: {e.key for e in tree.concurrent(event)} for key, event in events.items()}
    assert together == {
        "first": set(), "left": {"right"}, "right": {"left", "last"}, "last": {"right"},
        "alone": set(),
    }  # fmt: skip
    gaps = [(gap.cause.key, gap.effect.key, gap.seconds) for gap in tree.gaps()]
    assert gaps == [("left", "last", 10.0), ("first", "right", 5.0), ("first", "left", 2.0)]
    assert tree.seconds == 20.0
    assert tree.span(events["last"]).seconds == 10.0


def test_an_empty_tree_takes_no_time() -> None:
    """Where nothing was selected there is nothing that ran, and nothing to wait for."""
    tree = Tree.of([])
    assert (tree.seconds, tree.gaps(), tree.leaves, tree.roots) == (0.0, (), (), ())
