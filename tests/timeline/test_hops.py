"""Cause, chain and trace over every hop there is, from one message, over a restart."""

import asyncio
import json
import threading
from pathlib import Path

from perdure import (
    Agent,
    AgentSystem,
    Event,
    EventKind,
    Log,
    MessageDetails,
    OutcomeDetails,
    Principal,
    Right,
    SaveDetails,
    Scope,
    State,
    VirtualClock,
)
from perdure.hooks.timeline.tree import Tree
from perdure.hooks.trace import read_traceparent
from tests.kit.deadline import DEADLINE

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
STATE = "vendor=a b,tenant@other=2"
HOPS = {
    "ask", "tell", "task", "thread", "late task", "late thread", "deferred hook", "hook of a save",
    "timer",
}  # fmt: skip


class Reached(State):
    label: str = ""
    traces: Log[str] = Log.field()
    states: Log[str] = Log.field()


class Target(Agent[Reached]):
    """One whose turns are named after the way by which their message came."""

    def reached(self, label: str) -> None:
        self.state.label = label
        self.state.traces.append(self.turn.traceparent)
        self.state.states.append(self.turn.tracestate)

    def traces(self) -> list[str]:
        return list(self.state.traces)

    def states(self) -> list[str]:
        return list(self.state.states)

    def fail(self) -> None:
        raise ValueError("no")


class Late:
    """What goes on after the turn that began it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.turn_is_over = threading.Event()
        self.thread: threading.Thread | None = None
        self.task: asyncio.Task[None] | None = None


LATE = Late()


class Origin(Agent[Reached]):
    """One whose single turn leads everywhere."""

    async def go(self) -> None:
        self.state.label = "origin"
        target = self.system.agent(Target, "t")

        def send(label: str, *, wait: bool = False) -> None:
            if wait:
                assert LATE.turn_is_over.wait(DEADLINE)
            target.cast(Target.reached, label)

        async def send_later() -> None:
            await asyncio.to_thread(LATE.turn_is_over.wait, DEADLINE)
            send("late task")

        await target.call(Target.reached, "ask")
        send("tell")
        self.after(1.0, self.fires, name="timer")
        await asyncio.create_task(asyncio.to_thread(lambda: send("task")))
        thread = threading.Thread(target=self.system.carry(send), args=("thread",))
        thread.start()
        await asyncio.to_thread(thread.join)
        LATE.task = asyncio.create_task(send_later())
        LATE.thread = threading.Thread(
            target=self.system.carry(send), args=("late thread",), kwargs={"wait": True}
        )
        LATE.thread.start()
        self.system.artifacts.save("made", b"bytes")
        self.system.agent(Target, "f").cast(Target.fail)
        await asyncio.to_thread(self.system.carry(self.system.agent(Target, "p").pause))

    def fires(self) -> None:
        self.system.agent(Target, "t").cast(Target.reached, "timer")


def listen(system: AgentSystem) -> None:
    """Register hooks, two of which send when the turn of the origin is over."""

    @system.hooks.on("message.after", deferred=True, name="deferred")
    def deferred(details: OutcomeDetails) -> None:
        if details.name == "go":
            system.state.set(Scope.GLOBAL, "told", "deferred")
            system.agent(Target, "t").cast(Target.reached, "deferred hook")

    @system.hooks.on("save.after", name="saved")
    def saved(details: SaveDetails) -> None:
        if details.name == "go":
            system.agent(Target, "t").cast(Target.reached, "hook of a save")

    @system.hooks.on("message.before", name="looks")
    def looks(details: MessageDetails) -> None:
        assert details.correlation


def run(path: Path) -> tuple[list[Event], list[str]]:
    """Send one message with a trace; return what came of it, and the traces of its turns."""
    with AgentSystem.open(path, agents=[Origin, Target], sync="process") as system:
        system.access.grant(Principal.agent("Origin", "o"), Scope.agent("Target", "p"), Right.ALL)
        system.access.grant(Principal.agent("Origin", "o"), Scope.GLOBAL, Right.WRITE)
        listen(system)
        with system.trace(GIVEN, STATE):
            system.agent(Origin, "o").call(Origin.go).get(timeout=DEADLINE)
        LATE.turn_is_over.set()
        assert LATE.thread is not None
        LATE.thread.join()
        assert system.idle(DEADLINE)
        letter = system.dead_letters.list()
        assert [each.name for each in letter] == ["fail"]
    with AgentSystem.open(path, agents=[Origin, Target], clock=VirtualClock(4e9)) as system:
        assert system.idle(DEADLINE)
        (begun,) = (each for each in system.timeline(agent="Origin/o").each() if each.name == "go")
        events = list(system.timeline(correlation=begun.correlation).each())
        target = system.agent(Target, "t")
        traces = target.call(Target.traces).get(timeout=DEADLINE)
        assert target.call(Target.states).get(timeout=DEADLINE) == [STATE] * len(traces)
    return events, traces


def label_of(event: Event) -> str:
    """Return what a turn was named."""
    return str(json.loads(event.detail).get("set", {}).get("label", event.name))


def test_every_hop_carries_cause_chain_and_trace(tmp_path: Path) -> None:
    """Each event of the chain comes from the one turn at its origin, nearer or farther."""
    events, traces = run(tmp_path / "hops.db")
    tree = Tree.of(events)
    (origin,) = tree.roots
    assert label_of(origin) == "origin"
    turns = {label_of(event): event for event in events if event.is_turn}
    assert set(turns) >= HOPS | {"fires", "(pause)"}
    parents = {label: tree.parent(event) for label, event in turns.items()}
    for label in HOPS - {"timer"} | {"fires", "(pause)"}:
        assert parents[label] == origin, label
    assert parents["timer"] == turns["fires"]
    kinds = {event.what for event in events}
    assert kinds == set(EventKind)
    assert {read_traceparent(trace).trace for trace in traces} == {read_traceparent(GIVEN).trace}
    assert len({read_traceparent(trace).span for trace in traces}) == len(traces) == len(HOPS)
