"""Runs of agents that think: answered, in doubt, decided, cancelled, limited."""

import asyncio
import datetime as dt
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from perdure import (
    AgentSystem,
    Detector,
    Durability,
    ErrorDetails,
    Skip,
    State,
    VirtualClock,
)
from perdure.lifecycle.backoff import Backoff
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import Budget, Effect, Run, RunStep, RunWait, Tally, ThinkingState
from perdure.llm.tools import ask_person, tool, tool_call
from perdure.llm.transcript import Transcript
from perdure.persistence.errors import (
    AgentDeleted,
    ConfigurationError,
    CorruptState,
    Deadlock,
    RunFailed,
    SystemClosed,
    UnknownRun,
)
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.records.records import StoredAgent
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, faults, returned, scripted, until


class DeskState(ThinkingState):
    """What turns count."""

    notes: int = 0
    waits: list[str] = msgspec.field(default_factory=list)


EVENTS: list[str] = []
"""What came to be outside, in this process."""
GATES: dict[str, threading.Event] = {}


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Begin with nothing outside."""
    EVENTS.clear()
    GATES.clear()
    yield
    for gate in GATES.values():
        gate.set()


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Call the tool that the prompt names, once; then say what it returned."""
    if nth or " " not in prompt:
        return f"{prompt}: {returned(messages)}" if nth else f"{prompt}!"
    name, _, argument = prompt.partition(" ")
    return [(name, {"order": argument})]


class Desk(ThinkingAgent[DeskState]):
    """Answers by a script."""

    model = scripted(script)
    instructions = "You help with orders."
    tools = (ask_person,)

    @tool(effect="once")
    async def refund(self, order: str) -> str:
        """Give the money for an order back."""
        EVENTS.append(f"refund {order} {tool_call().attempt}")
        gate = GATES.get(order)
        if gate is not None:
            await asyncio.to_thread(gate.wait, DEADLINE)
        return f"refunded {order}"

    @tool(effect="once", compensate="take_back")
    def ship(self, order: str) -> str:
        """Ship an order."""
        EVENTS.append(f"ship {order}")
        return f"shipped {order}"

    def take_back(self, order: str) -> str:
        """Make up for a shipment that may have been made."""
        EVENTS.append(f"took back {order}")
        return f"took back {order}"

    @tool(effect="once", approve=True)
    def pay(self, order: str) -> str:
        """Pay for an order."""
        EVENTS.append(f"pay {order} {tool_call().key}")
        return f"paid {order}"

    @tool(effect="turn")
    def note(self, order: str) -> int:
        """Take a note."""
        self.state.notes += 1
        if order == "bad":
            raise ValueError("no such order")
        return self.state.notes

    @tool(effect="safe")
    def peek(self, order: str) -> int:
        """Look at the state, which a tool beside the turns must not."""
        return self.state.notes

    @tool(effect="safe")
    def leave(self, order: str) -> str:
        """End everything."""
        raise SystemExit(3) if order == "exit" else KeyboardInterrupt

    @tool(effect="safe")
    async def leave_async(self, order: str) -> str:
        """End everything, from the loop."""
        raise SystemExit(3) if order == "exit" else KeyboardInterrupt

    @tool(effect="turn")
    def leave_turn(self, order: str) -> str:
        """End everything, from a turn."""
        raise SystemExit(order)

    @tool(effect="safe")
    def ask(self, order: str) -> str:
        """Ask a person."""
        raise AssertionError(order)

    def on_wait(self, run: str, waiting: RunWait) -> None:
        self.state.waits = [*self.state.waits, f"{run} {waiting.why}"]

    def steps(self) -> list[RunStep]:
        """Return the transcript."""
        return list(self.state.transcript)

    def facts(self) -> tuple[int, list[str], dict[str, Tally]]:
        """Return what is counted."""
        return self.state.notes, self.state.waits, dict(self.state.tallies)


def status(system: AgentSystem, run: str) -> Run:
    """Return how a run of the desk stands."""
    return system.agent(Desk, "one").call(Desk.run_status, run).get()


def test_a_run_answers_and_is_taken_down_step_by_step() -> None:
    """What begins and what is done is a step of its own, and a later run knows the earlier one."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        assert desk.call(Desk.think, "refund 17").get() == "refund 17: ['refunded 17']"
        assert desk.call(Desk.think, "hello").get() == "hello!"
        steps = desk.call(Desk.steps).get()
        assert [(step.what, step.op) for step in steps[:7]] == [
            ("asked", ""), ("begun", "model"), ("done", "model"), ("begun", "tool"),
            ("done", "tool"), ("begun", "model"), ("done", "model"),
        ]  # fmt: skip
        told = Transcript.of(steps).finished()
        assert len(told) == 6
        assert faults(told) == []
        entries = list(desk.history())
        # A turn for each beginning and each end of a run; the end of a step has gone with the next.
        assert 6 <= sum(entry.name == "note_steps" for entry in entries) <= 10
        notes, _, tallies = desk.call(Desk.facts).get()
        assert (notes, tallies["tool/refund"].calls) == (0, 1)
        assert sum(t.calls for name, t in tallies.items() if name.startswith("model/")) == 3


def test_a_run_of_a_name_is_made_once() -> None:
    """Who asks again by the same name gets the answer there is, and no model is called."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        asked = [desk.call(Desk.think, "refund 17", run="r") for _ in range(3)]
        assert {each.get() for each in asked} == {"refund 17: ['refunded 17']"}
        assert desk.call(Desk.think, "other words", run="r").get() == "refund 17: ['refunded 17']"
        assert EVENTS == ["refund 17 1"]


def test_a_run_without_a_name_takes_none_that_is_there() -> None:
    """A run that is given no name leaves the runs alone that have the name it would have had."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        desk.call(Desk.think, "hello", run="run3").get()
        assert len(desk.call(Desk.steps).get()) == 3
        assert desk.call(Desk.think, "goodbye").get() == "goodbye!"
        runs = desk.call(Desk.list_runs).get()
        assert [(run.id, run.output) for run in runs] == [("run3", "hello!"), ("run4", "goodbye!")]


def test_runs_of_one_agent_come_one_after_the_other() -> None:
    """Several runs that are asked for at once are made in the order in which they were asked."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        asked = [desk.call(Desk.think, f"note {n}") for n in range(5)]
        assert [each.get() for each in asked] == [f"note {n}: [{n + 1}]" for n in range(5)]
        assert faults(Transcript.of(desk.call(Desk.steps).get()).finished()) == []
        assert system.runs.list() == []


def test_a_tool_in_a_turn_is_all_or_nothing() -> None:
    """A tool that is a turn and raises changes nothing; the model is told, and the run goes on."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        said = desk.call(Desk.think, "note bad").get()
        assert "no such order" in said
        notes, _, tallies = desk.call(Desk.facts).get()
        assert (notes, tallies["tool/note"].failures) == (0, 1)


@pytest.mark.parametrize("order", ["exit", "interrupt"])
def test_a_tool_ends_no_process(order: str) -> None:
    """A tool that calls for the end of the process has failed; the loop of all agents goes on."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        for name in ("leave", "leave_async"):
            assert "ends no process" in desk.call(Desk.think, f"{name} {order}").get()
        assert desk.call(Desk.think, "refund 17").get() == "refund 17: ['refunded 17']"


class Panic(BaseException):
    """What an extension raises that panics: no ``Exception``."""


@pytest.mark.parametrize(
    "error", [Panic("oh"), StopIteration(), BaseExceptionGroup("two", [KeyboardInterrupt()])]
)
@pytest.mark.parametrize("name", ["leave", "leave_async", "leave_turn"])
def test_the_model_is_told_whatever_a_tool_raises(error: BaseException, name: str) -> None:
    """What is no ``Exception`` has a tool fail as all else: no run is left at work for ever."""

    class Rude(Desk):
        @tool(effect="safe")
        def leave(self, order: str) -> str:
            raise error

        @tool(effect="safe")
        async def leave_async(self, order: str) -> str:
            raise error

        @tool(effect="turn")
        def leave_turn(self, order: str) -> str:
            raise error

    with AgentSystem.open("memory://", agents=[Rude]) as system:
        said = system.agent(Rude, "one").call(Rude.think, f"{name} 17").get(timeout=DEADLINE)
        assert type(error).__name__ in said


def test_a_run_ends_whatever_its_model_raises() -> None:
    """What a model raises that is no ``Exception`` ends the run, and all who wait are told."""

    def panics(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        raise Panic("oh")

    class Rude(Desk):
        model = FunctionModel(panics)

    with (
        AgentSystem.open("memory://", agents=[Rude]) as system,
        pytest.raises(RunFailed, match="Panic"),
    ):
        system.agent(Rude, "one").call(Rude.think, "hello").get(timeout=DEADLINE)


@pytest.mark.parametrize("effect", ["safe", "turn"])
@pytest.mark.parametrize("error", [TimeoutError("no answer"), ModelHTTPError(500, "inner")])
def test_an_error_of_a_tool_is_told_as_its_own(effect: Effect, error: Exception) -> None:
    """Of a tool that raises a TimeoutError, or an error of a model of its own, it is told that."""

    class Late(Desk):
        @tool(effect=effect)
        async def leave_async(self, order: str) -> str:
            raise error

    with AgentSystem.open("memory://", agents=[Late]) as system:
        said = system.agent(Late, "one").call(Late.think, "leave_async 17").get(timeout=DEADLINE)
        assert said == f"leave_async 17: ['{type(error).__name__}: {error}']"


def test_a_turn_that_comes_behind_the_end_of_its_run_does_nothing() -> None:
    """A tool that is a turn has its result taken down with what it changes, or does neither."""

    class Cancelled(Desk):
        def needs_approval(self, tool: str, args: dict[str, Any]) -> bool:
            for what in (Cancelled.wait, Cancelled.cancel_run):  # they stand before the tool
                self.actor_ref.cast(what)
            return False

        def wait(self) -> None:
            GATES["wait"].wait(DEADLINE)

    GATES["wait"] = threading.Event()
    with AgentSystem.open("memory://", agents=[Cancelled]) as system:
        desk = system.agent(Cancelled, "one")
        asked = desk.call(Cancelled.think, "note 17", run="r")
        until(lambda: desk.describe().waiting == 2)
        GATES["wait"].set()
        with pytest.raises(RunFailed, match="cancelled"):
            asked.get(timeout=DEADLINE)
        notes, _, _ = desk.call(Cancelled.facts).get(timeout=DEADLINE)
        assert notes == 0


def test_a_turn_ends_no_loop() -> None:
    """A tool that is a turn, and what a class does when a run waits, fail; others go on."""

    class Rude(Desk):
        def on_wait(self, run: str, waiting: RunWait) -> None:
            raise SystemExit(3)

    with AgentSystem.open("memory://", agents=[Rude]) as system:
        desk = system.agent(Rude, "one")
        said = desk.call(Rude.think, "leave_turn 17").get(timeout=DEADLINE)
        assert "ends no process" in said
        with pytest.raises(RunFailed, match="ends no process"):
            desk.call(Rude.think, "pay 17").get(timeout=DEADLINE)
        said = desk.call(Rude.think, "refund 17").get(timeout=DEADLINE)
        assert said == "refund 17: ['refunded 17']"


def test_a_tool_that_says_that_it_was_cancelled_has_failed() -> None:
    """A tool whose own task was cancelled, and not its run, has failed; the model is told."""

    class Odd(Desk):
        @tool(effect="safe")
        async def leave_async(self, order: str) -> str:
            """Wait for what is cancelled."""
            task = asyncio.ensure_future(asyncio.Event().wait())
            asyncio.get_running_loop().call_soon(task.cancel)
            await task
            return order

    with AgentSystem.open("memory://", agents=[Odd]) as system:
        said = system.agent(Odd, "one").call(Odd.think, "leave_async 17").get(timeout=DEADLINE)
        assert "nobody has cancelled it" in said


def test_a_tool_that_takes_too_long_has_failed_and_may_be_done_all_the_same() -> None:
    """Behind its limit a call of "once" is given up and counted as failed; the model is told."""

    class Slow(Desk):
        @tool(effect="once", limit=0.01)
        async def refund(self, order: str) -> str:
            """Never come back."""
            await asyncio.Event().wait()
            return order

    with AgentSystem.open("memory://", agents=[Slow]) as system:
        desk = system.agent(Slow, "one")
        assert "may be done all the same" in desk.call(Slow.think, "refund 17").get()
        _, waits, tallies = desk.call(Slow.facts).get()
        assert (waits, tallies["tool/refund"].failures) == ([], 1)


def test_a_tool_beside_the_turns_has_no_state() -> None:
    """A tool that is no turn is told so where it reaches for the state."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        said = system.agent(Desk, "one").call(Desk.think, "peek 17").get()
        assert 'effect="turn"' in said


def test_an_agent_takes_messages_while_it_thinks() -> None:
    """While a tool works the agent answers others, is steered and cancelled."""
    GATES["17"] = threading.Event()
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        reply = desk.call(Desk.think, "refund 17", run="r")
        until(lambda: EVENTS == ["refund 17 1"])
        assert status(system, "r").status == "running"
        assert desk.call(Desk.steer, "and be quick").get()
        assert desk.call(Desk.cancel_run, "r", "enough").get()
        assert desk.call(Desk.facts).get()[2]["tool/refund"] == Tally(doubts=1)
        with pytest.raises(RunFailed, match="run r cancelled: enough"):
            reply.get()
        assert not desk.call(Desk.cancel_run).get()
        told = Transcript.of(desk.call(Desk.steps).get()).finished()
        assert faults(told) == []
        assert "cut off" in str(told)
        assert desk.call(Desk.think, "hello").get() == "hello!"


def test_a_stopped_agent_thinks_no_more_until_it_is_needed() -> None:
    """A stop ends the work on a run, also over a restart; the next message has it go on."""
    store = MemoryStore()
    GATES["17"] = threading.Event()
    with AgentSystem.open(store, agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        desk.cast(Desk.think, "refund 17", run="r")
        until(lambda: EVENTS == ["refund 17 1"])
        desk.stop()
        GATES["17"].set()
        assert system.idle(DEADLINE)
    with AgentSystem.open(store, agents=[Desk]) as system:
        assert system.idle(DEADLINE)
        desk = system.agent(Desk, "one")
        assert desk.describe().status == "stopped"
        until(lambda: status(system, "r").status == "waiting")
        assert status(system, "r").waiting[0].why == "in doubt"


def test_a_fork_leaves_the_run_to_the_agent_that_it_was_forked_from() -> None:
    """A fork knows what was said, and makes no step of a run that is not its own."""
    GATES["17"] = threading.Event()
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        reply = desk.call(Desk.think, "refund 17", run="r")
        later = desk.call(Desk.think, "note 18", run="later")
        until(lambda: EVENTS == ["refund 17 1"])
        other = system.fork(desk, "two")
        assert other.call(Desk.run_status, "r").get().status == "cancelled"
        assert other.call(Desk.think, "hello").get() == "hello!"
        GATES["17"].set()
        assert (reply.get(), later.get()) == ("refund 17: ['refunded 17']", "note 18: [1]")
        assert EVENTS == ["refund 17 1"]
        assert faults(Transcript.of(other.call(Desk.steps).get()).finished()) == []


@pytest.mark.parametrize("durability", [Durability.VOLATILE, Durability.SNAPSHOT])
def test_runs_of_agents_that_are_not_saved_with_each_turn(durability: Durability) -> None:
    """An agent that opts out of durability thinks as any other; nothing is left of its runs."""
    name = str(durability)
    body = {"durability": durability, "kind": f"Light{name[-3:]}"}
    kind: type[Desk] = type("Light", (Desk,), body)
    with AgentSystem.open("memory://", agents=[kind]) as system:
        desk = system.agent(kind, "one")
        assert desk.call(kind.think, "refund 17").get() == "refund 17: ['refunded 17']"
        assert desk.call(kind.think, "note 18").get() == "note 18: [1]"
        assert system.idle(DEADLINE)
        assert system.runs.list() == []


def test_a_deleted_agent_has_no_runs() -> None:
    """Who waits for a run of an agent that is deleted is told, and nothing of it is listed."""
    GATES["17"] = threading.Event()
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        reply = desk.call(Desk.think, "refund 17", run="r")
        until(lambda: EVENTS == ["refund 17 1"])
        assert len(system.runs.list()) == 1
        desk.delete()
        with pytest.raises(AgentDeleted):
            reply.get()
        GATES["17"].set()
        assert system.runs.list() == []
        assert desk.call(Desk.think, "hello").get() == "hello!"
    with AgentSystem.open(store, agents=[Desk]) as system:
        assert system.idle(DEADLINE)


def test_nothing_is_left_of_what_a_run_of_an_erased_agent_waited_for(tmp_path: Path) -> None:
    """The index of all runs says where they are, and keeps no arguments beyond the agent's end."""
    with AgentSystem.open(tmp_path / "desk.db", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        for number in range(2):
            desk.cast(Desk.think, f"pay card-4711-{number}", run=f"r{number}")
            assert system.idle(DEADLINE)
            (open_run,) = system.runs.list()
            assert open_run.waiting[0].args == {"order": f"card-4711-{number}"}
            if number == 0:
                desk.call(Desk.approve, "r0", open_run.waiting[0].call).get()
                assert system.idle(DEADLINE)
        desk.delete(erase=True)
        assert system.runs.list() == []
    for file in tmp_path.iterdir():
        assert b"card-4711" not in file.read_bytes(), file.name


def test_a_run_that_begins_while_the_index_is_swept_stays_in_it() -> None:
    """The sweep at an opening removes what deleted agents have left, and nothing that is new."""
    during: list[Callable[[], object]] = []

    class Watched(MemoryStore):
        def load(self, kind: str, key: str) -> StoredAgent | None:
            while during:
                during.pop()()
            return super().load(kind, key)

    with AgentSystem.open(Watched(), agents=[Desk]) as system:
        system.agent(Desk, "gone").cast(Desk.think, "pay 16", run="r")
        system.agent(Desk, "one").cast(Desk.think, "pay 17", run="r")
        assert system.idle(DEADLINE)
        system.agent(Desk, "gone").delete()

        def begins() -> None:
            system.agent(Desk, "new").cast(Desk.think, "pay 18", run="r")
            assert system.idle(DEADLINE)

        during.append(begins)
        assert [row.key for row in system.runs.sweep()] == ["one"]
        assert [row.key for row in system.runs.list()] == ["new", "one"]
        assert [row.key for row in system.runs.sweep()] == ["new", "one"]


class Hurt(MemoryStore):
    """Cannot read one field of one agent any more."""

    hurt: tuple[int, str] | None = None

    def map_entry(self, agent: int, field: str, entry: str | int) -> str | None:
        self._look(agent, field)
        return super().map_entry(agent, field, entry)

    def map_page(
        self, agent: int, field: str, after: str | int | None, limit: int
    ) -> list[tuple[str | int, str]]:
        self._look(agent, field)
        return super().map_page(agent, field, after, limit)

    def _look(self, agent: int, field: str) -> None:
        if (agent, field) == self.hurt:
            raise CorruptState(field, "its checksum does not match")


@pytest.mark.parametrize("field", ["runs", "tallies"])
def test_damage_of_one_agent_keeps_no_other_from_going_on(field: str) -> None:
    """Behind a crash the runs of all others go on and are listed; the damaged one is described."""
    store = Hurt()
    GATES.update((order, threading.Event()) for order in ("17", "18"))
    system = AgentSystem.open(store, agents=[Desk])
    for key, order in (("one", "17"), ("two", "18")):
        system.agent(Desk, key).cast(Desk.think, f"refund {order}", run="r")
    until(lambda: len(EVENTS) == 2)
    assert not system.close(timeout=0.2)
    for gate in GATES.values():
        gate.set()
    stored = store.load("Desk", "one")
    assert stored is not None
    store.hurt = stored.head.agent, field
    with AgentSystem.open(store, agents=[Desk]) as system:
        until(lambda: ("two", "waiting") in [(r.key, r.status) for r in system.runs.list()])
        assert (system.agent(Desk, "one").describe().tallies == {}) == (field == "tallies")


def test_what_a_class_does_at_its_start_comes_behind_the_runs() -> None:
    """An on_start of a class's own runs, and its run goes on all the same."""
    store = MemoryStore()
    broken_off(store, "refund 17")

    class Starts(Desk):
        kind = "Desk"

        def on_start(self) -> None:
            self.state.notes = 7

    with AgentSystem.open(store, agents=[Starts]) as system:
        desk = system.agent(Starts, "one")
        until(lambda: desk.call(Starts.run_status, "r").get().status == "waiting")
        assert desk.call(Starts.facts).get()[0] == 7


def test_what_is_said_meanwhile_reaches_the_next_model_call() -> None:
    """A run that is steered while a tool works tells the model with its next call, and keeps it."""
    GATES["17"] = threading.Event()
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        reply = desk.call(Desk.think, "refund 17", run="r")
        until(lambda: EVENTS == ["refund 17 1"])
        assert desk.call(Desk.steer, "quick").get()
        GATES["17"].set()
        assert reply.get() == "quick!"
        assert "quick" in str(Transcript.of(desk.call(Desk.steps).get()).finished())


def test_who_agrees_to_a_call_agrees_to_no_later_one_of_its_id() -> None:
    """Where a provider uses the id of a call again, each call waits for a decision of its own."""

    def pays_twice(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        answers = sum(isinstance(message, ModelResponse) for message in messages)
        if answers == 2:
            return ModelResponse(parts=[TextPart("paid")])
        call = ToolCallPart("pay", {"order": str(answers)}, tool_call_id="call_0")
        return ModelResponse(parts=[call])

    class Repeats(Desk):
        model = FunctionModel(pays_twice)

    with AgentSystem.open("memory://", agents=[Repeats]) as system:
        desk = system.agent(Repeats, "one")
        reply = desk.call(Repeats.think, "go", run="r")
        for number in range(2):
            assert system.idle(DEADLINE)
            assert len(EVENTS) == number
            (waiting,) = desk.call(Repeats.run_status, "r").get().waiting
            assert waiting.args == {"order": f"{number}"}
            desk.call(Repeats.approve, "r", waiting.call).get()
        assert reply.get(timeout=DEADLINE) == "paid"
        assert [event.split()[1] for event in EVENTS] == ["0", "1"]


def broken_off(store: MemoryStore, prompt: str) -> None:
    """Leave a run with a call that was begun and whose end nobody knows."""
    order = prompt.rpartition(" ")[2]
    GATES[order] = threading.Event()
    system = AgentSystem.open(store, agents=[Desk])
    reply = system.agent(Desk, "one").call(Desk.think, prompt, run="r")
    until(lambda: EVENTS)
    assert not system.close(timeout=0.2)
    with pytest.raises(SystemClosed):
        reply.get()
    GATES[order].set()


def test_a_call_in_doubt_of_once_waits_for_a_decision() -> None:
    """A call that may have been made is not made again; the run says what it waits for."""
    store = MemoryStore()
    broken_off(store, "refund 17")
    with AgentSystem.open(store, agents=[Desk]) as system:
        until(lambda: status(system, "r").status == "waiting")
        (waiting,) = status(system, "r").waiting
        assert (waiting.why, waiting.name, waiting.args) == (
            "in doubt", "refund", {"order": "17"},
        )  # fmt: skip
        assert [(row.key, row.run, row.status) for row in system.runs.list()] == [
            ("one", "r", "waiting")
        ]
        assert EVENTS == ["refund 17 1"]
        assert system.agent(Desk, "one").call(Desk.facts).get()[1] == ["r in doubt"]


@pytest.mark.parametrize(
    ("what", "result", "said", "events"),
    [
        ("retry", None, "refund 17: ['refunded 17']", ["refund 17 1", "refund 17 2"]),
        ("done", "by hand", "refund 17: ['by hand']", ["refund 17 1"]),
        ("skip", None, "refund 17: ['[not done: it was skipped]']", ["refund 17 1"]),
    ],
)
def test_a_decision_ends_a_doubt(what: str, result: object, said: str, events: list[str]) -> None:
    """A call in doubt is made again, taken for done or left out, as was decided."""
    store = MemoryStore()
    broken_off(store, "refund 17")
    with AgentSystem.open(store, agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        until(lambda: status(system, "r").status == "waiting")
        (waiting,) = status(system, "r").waiting
        desk.call(Desk.decide, "r", waiting.call, what, result).get()
        assert desk.call(Desk.think, "", run="r").get() == said
        assert events == EVENTS
        system.flush(DEADLINE)
        tally = desk.describe().tallies["tool/refund"]
        assert (tally.calls, tally.failures, tally.doubts) == (1, 0, 1)


def test_the_row_of_an_agent_is_read_once_for_its_description() -> None:
    """How it stands and what its calls came to are told from one look at the store."""
    looks: list[str] = []

    class Watched(MemoryStore):
        def load(self, kind: str, key: str) -> StoredAgent | None:
            looks.append(key)
            return super().load(kind, key)

    store = Watched()
    with AgentSystem.open(store, agents=[Desk]) as system:
        system.agent(Desk, "one").call(Desk.think, "hello").get()
    with AgentSystem.open(store, agents=[Desk]) as system:
        looks.clear()
        assert system.agent(Desk, "one").describe().tallies
        assert looks == ["one"]


def test_a_decision_may_end_the_run() -> None:
    """A run whose call in doubt is given up has failed, and whoever waits is told."""
    store = MemoryStore()
    broken_off(store, "refund 17")
    with AgentSystem.open(store, agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        until(lambda: status(system, "r").status == "waiting")
        (waiting,) = status(system, "r").waiting
        reply = desk.call(Desk.think, "", run="r")
        with pytest.raises(ConfigurationError, match="takes retry"):
            desk.call(Desk.decide, "r", waiting.call, "approve").get()
        with pytest.raises(UnknownRun):
            desk.call(Desk.decide, "r", "another", "retry").get()
        desk.call(Desk.decide, "r", waiting.call, "fail").get()
        with pytest.raises(RunFailed, match="given up"):
            reply.get()
        assert desk.call(Desk.facts).get()[2]["tool/refund"] == Tally(doubts=1)


def test_a_call_in_doubt_is_compensated() -> None:
    """A tool that says what makes up for it needs no decision."""
    store = MemoryStore()

    class Breaks(Desk):
        kind = "Desk"

        @tool(effect="once", compensate="take_back")
        def ship(self, order: str) -> str:
            """Ship an order, and never come back."""
            EVENTS.append(f"ship {order}")
            GATES.setdefault(order, threading.Event()).wait(DEADLINE)
            return ""

    system = AgentSystem.open(store, agents=[Breaks])
    reply = system.agent(Breaks, "one").call(Breaks.think, "ship 17", run="r")
    until(lambda: EVENTS)
    assert not system.close(timeout=0.2)
    GATES["17"].set()
    with AgentSystem.open(store, agents=[Desk]) as again:
        said = again.agent(Desk, "one").call(Desk.think, "", run="r").get()
    assert said == "ship 17: ['took back 17']"
    assert EVENTS == ["ship 17", "took back 17"]
    with pytest.raises(SystemClosed):
        reply.get()


def test_a_call_waits_for_approval_over_a_restart() -> None:
    """A tool that needs approval does not run before somebody agrees, in whatever process."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Desk]) as system:
        system.agent(Desk, "one").cast(Desk.think, "pay 17", run="r")
        until(lambda: status(system, "r").status == "waiting")
        assert system.idle(DEADLINE)
    with AgentSystem.open(store, agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        (waiting,) = status(system, "r").waiting
        assert waiting.why == "approval"
        assert EVENTS == []
        desk.call(Desk.approve, "r", waiting.call).get()
        assert desk.call(Desk.think, "", run="r").get() == "pay 17: ['paid 17']"
        assert [f"pay 17 Desk/one/r/1/{waiting.call}"] == EVENTS


def test_the_model_is_told_of_a_refusal() -> None:
    """A call that is denied does not run, and the model learns why."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        reply = desk.call(Desk.think, "pay 17", run="r")
        until(lambda: status(system, "r").status == "waiting")
        (waiting,) = status(system, "r").waiting
        desk.call(Desk.deny, "r", waiting.call, "too dear").get()
        assert "too dear" in reply.get()
        assert EVENTS == []


def asking(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Ask a person, and say what that has answered."""
    return str(returned(messages)) if nth else [("ask_person", {"question": "Really?"})]


def test_a_question_waits_for_its_answer() -> None:
    """A model asks a person, and goes on with what that has answered."""

    class Asking(Desk):
        model = scripted(asking)

    with AgentSystem.open("memory://", agents=[Asking]) as system:
        desk = system.agent(Asking, "one")
        reply = desk.call(Asking.think, "pay", run="r")
        until(lambda: desk.call(Asking.run_status, "r").get().waiting)
        (waiting,) = desk.call(Asking.run_status, "r").get().waiting
        assert (waiting.why, waiting.args) == ("question", {"question": "Really?"})
        desk.call(Asking.answer, "r", waiting.call, "Yes.").get()
        assert reply.get() == "['Yes.']"


@pytest.mark.parametrize(
    ("budget", "why"),
    [
        (Budget(steps=3), "3 steps"),
        (Budget(tools=2), "2 tools"),
        (Budget(tokens=400), "budget of tokens"),
    ],
)
def test_a_run_stops_before_its_budget_is_exceeded(budget: Budget, why: str) -> None:
    """The step that would exceed a budget is not begun, and the run has failed by that."""

    class Endless(Desk):
        model = scripted(lambda _prompt, nth, _messages: [("note", {"order": str(nth)})])

    with AgentSystem.open("memory://", agents=[Endless]) as system:
        desk, most = system.agent(Endless, "one"), budget.tokens
        with pytest.raises(RunFailed, match=why):
            desk.call(Endless.think, "go", run="r", budget=budget).get()
        spent = desk.call(Endless.run_status, "r").get().spent
        assert spent.models <= (budget.steps or 0)
        assert budget.tools is None or spent.tools == budget.tools
        assert most is None or (spent.models > 1 and spent.tokens <= most)
        assert faults(Transcript.of(desk.call(Endless.steps).get()).finished()) == []


def test_a_run_ends_when_its_time_is_over() -> None:
    """A run that takes longer than its budget of seconds is ended, whatever it waits for."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Desk], clock=clock) as system:
        desk = system.agent(Desk, "one")
        reply = desk.call(Desk.think, "pay 17", run="r", budget=Budget(seconds=60))
        until(lambda: status(system, "r").status == "waiting")
        clock.advance(61)
        with pytest.raises(RunFailed, match=r"60\.0 seconds"):
            reply.get()


def flaky(failures: list[Exception]) -> FunctionModel:
    """Return a model that fails so, and then answers."""

    def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        if failures:
            raise failures.pop(0)
        return ModelResponse(parts=[TextPart("at last")])

    return FunctionModel(answer)


def test_a_model_is_called_again_when_its_provider_recovers() -> None:
    """What fails for a while is tried again with a pause; each failure is taken down."""
    failures: list[Exception] = [ModelHTTPError(503, "m"), ModelHTTPError(429, "m")]

    class Flaky(Desk):
        model = flaky(failures)
        backoff = Backoff(0.0, 1.0, 0.0)

    with AgentSystem.open("memory://", agents=[Flaky]) as system:
        desk = system.agent(Flaky, "one")
        assert desk.call(Flaky.think, "go").get() == "at last"
        steps = desk.call(Flaky.steps).get()
        assert [step.what for step in steps].count("failed") == 2
        assert faults(Transcript.of(steps).finished()) == []


def test_what_is_steered_is_told_once_in_each_attempt() -> None:
    """A model that is called again is told no more than the first time."""
    told: list[list[object]] = []
    failures = [ModelHTTPError(503, "m"), ModelHTTPError(503, "m")]

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        said = messages[-1].parts
        told.append([part.content for part in said if isinstance(part, UserPromptPart)])
        if said[0].part_kind == "user-prompt":
            return ModelResponse(parts=[ToolCallPart("refund", {"order": "17"})])
        if failures:
            raise failures.pop()
        return ModelResponse(parts=[TextPart("at last")])

    class Flaky(Desk):
        model = FunctionModel(answer)
        backoff = Backoff(0.0, 1.0, 0.0)

    gate = GATES["17"] = threading.Event()
    with AgentSystem.open("memory://", agents=[Flaky]) as system:
        desk = system.agent(Flaky, "one")
        asked = desk.call(Flaky.think, "go", run="r")
        until(lambda: EVENTS)
        assert desk.call(Flaky.steer, "be short", "r").get()
        gate.set()
        assert asked.get(timeout=DEADLINE) == "at last"
        assert told == [["go"], *[["be short"]] * 3]


def test_a_pause_before_another_call_is_time_that_a_test_advances() -> None:
    """On a clock that stands still a run waits for it, the system says so, and a close ends it."""
    clock, failures = VirtualClock(), [ModelHTTPError(503, "m"), ModelHTTPError(503, "m")]

    class Flaky(Desk):
        model = flaky(list[Exception](failures))
        backoff = Backoff(5.0, 1.0, 5.0, 0.0)

    store = MemoryStore()
    with AgentSystem.open(store, agents=[Flaky], clock=clock) as system:
        desk = system.agent(Flaky, "one")
        desk.cast(Flaky.think, "go", run="r")
        with pytest.raises(Deadlock, match="calls its model again"):
            system.idle()
        clock.advance(5)
        with pytest.raises(Deadlock, match="calls its model again"):
            system.idle()
    with AgentSystem.open(store, agents=[Flaky], clock=clock) as system:
        assert system.agent(Flaky, "one").call(Flaky.think, "", run="r").get() == "at last"
        assert system.idle(DEADLINE)


def test_a_run_that_is_cancelled_in_a_pause_leaves_nothing_to_wait_for() -> None:
    """Who cancels a run that waits before another call has the system idle at once."""

    class Flaky(Desk):
        model = flaky([ModelHTTPError(503, "m")])
        backoff = Backoff(5.0, 1.0, 5.0, 0.0)

    with AgentSystem.open("memory://", agents=[Flaky], clock=VirtualClock()) as system:
        desk = system.agent(Flaky, "one")
        desk.cast(Flaky.think, "go", run="r")
        with pytest.raises(Deadlock, match="calls its model again"):
            system.idle()
        assert desk.call(Flaky.cancel_run, "r").get()
        assert system.idle(DEADLINE)


def test_what_a_provider_refuses_for_good_ends_the_run() -> None:
    """An error that no repetition mends fails the run at once, and the next run works."""
    failures: list[Exception] = [ModelHTTPError(400, "m", "no such model")]

    class Flaky(Desk):
        model = flaky(failures)

    with AgentSystem.open("memory://", agents=[Flaky]) as system:
        desk = system.agent(Flaky, "one")
        with pytest.raises(RunFailed, match="400"):
            desk.call(Flaky.think, "go").get()
        assert desk.call(Flaky.think, "go").get() == "at last"


def test_a_key_that_a_provider_quotes_is_nowhere_stored(tmp_path: Path) -> None:
    """The error of a provider loses its key before it is stored or told."""
    key = "sk-proj-" + "aB3dE5gH" * 6
    failures: list[Exception] = [ModelHTTPError(401, "m", f"Incorrect API key provided: {key}")]

    class Locked(Desk):
        model = flaky(failures)

    with AgentSystem.open(tmp_path / "store.db", agents=[Locked]) as system:
        with pytest.raises(RunFailed, match="401") as raised:
            system.agent(Locked, "one").call(Locked.think, "go").get()
        assert key not in str(raised.value)
    assert all(key.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_an_answer_that_may_not_be_stored_ends_the_run() -> None:
    """Where the detector refuses what a model says, the run has failed, and who waits is told."""
    key = "sk-proj-" + "aB3dE5gH" * 6

    class Tells(Desk):
        model = scripted(lambda _prompt, _nth, _messages: f"It is {key}.")

    with AgentSystem.open("memory://", agents=[Tells], detector=Detector("refuse")) as system:
        desk = system.agent(Tells, "one")
        with pytest.raises(RunFailed, match="SecretFound") as raised:
            desk.call(Tells.think, "go").get(timeout=DEADLINE)
        assert key not in str(raised.value)
        assert system.runs.list() == []


def test_another_model_answers_where_one_fails() -> None:
    """The next of the fallbacks is asked where a model cannot be reached."""

    class Safe(Desk):
        model = flaky([ModelHTTPError(503, "m")])
        fallbacks = (flaky([]),)

    with AgentSystem.open("memory://", agents=[Safe]) as system:
        assert system.agent(Safe, "one").call(Safe.think, "go").get() == "at last"


class Decision(BaseModel):
    """A typed answer."""

    order: str
    cents: int


def test_an_answer_is_of_the_declared_type_also_when_it_is_asked_for_again() -> None:
    """A structured answer is checked, and comes back as an object; the transcript stays valid."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert faults(messages) == []
        wrong = not any(isinstance(each, ModelResponse) for each in messages[-2:])
        args = {"order": "17", "cents": "many" if wrong else 5}
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, args)])

    class Typed(ThinkingAgent[DeskState]):
        model = FunctionModel(answer)
        output = Decision

        def steps(self) -> list[RunStep]:
            """Return the transcript."""
            return list(self.state.transcript)

    store = MemoryStore()
    for _ in range(2):
        with AgentSystem.open(store, agents=[Typed]) as system:
            desk = system.agent(Typed, "one")
            assert desk.call(Typed.think, "go", run="r").get() == Decision(order="17", cents=5)
    with AgentSystem.open(store, agents=[Typed]) as system:
        desk = system.agent(Typed, "one")
        assert desk.call(Typed.think, "again").get() == Decision(order="17", cents=5)
        told = Transcript.of(desk.call(Typed.steps).get()).finished()
        assert faults(told) == []
        assert len(told) == len(set(map(str, told)))


class Day(BaseModel, strict=True):
    """An answer that takes no text for a date."""

    when: dt.date


def test_an_answer_of_a_strict_type_comes_back() -> None:
    """What is stored is JSON, and is taken for that: a strict type would refuse a text there."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        args = '{"when": "2026-01-31"}'
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, args)])

    class Dated(ThinkingAgent[DeskState]):
        model = FunctionModel(answer)
        output = Day

    store = MemoryStore()
    for _ in range(2):
        with AgentSystem.open(store, agents=[Dated]) as system:
            said = system.agent(Dated, "one").call(Dated.think, "when?", run="r").get()
            assert said == Day(when=dt.date(2026, 1, 31))


def test_a_summary_is_a_text_whatever_answers_are() -> None:
    """An agent whose answers are of a type has its conversation summed up by its model."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        if not info.output_tools:
            return ModelResponse(parts=[TextPart("all was well")])
        args = {"order": "17", "cents": 5}
        return ModelResponse(parts=[ToolCallPart(info.output_tools[0].name, args)])

    class Typed(ThinkingAgent[DeskState]):
        model = FunctionModel(answer)
        output = Decision

    store = MemoryStore()
    with AgentSystem.open(store, agents=[Typed]) as system:
        desk = system.agent(Typed, "one")
        desk.call(Typed.think, "go").get()
        assert desk.call(Typed.compact, 0).get() == "all was well"
        name = desk.call(Typed.list_runs).get()[-1].id
    with AgentSystem.open(store, agents=[Typed]) as system:
        desk = system.agent(Typed, "one")
        assert desk.call(Typed.think, "", run=name).get() == "all was well"
        assert desk.call(Typed.think, "again").get() == Decision(order="17", cents=5)


@pytest.mark.parametrize("wanted", [[Decision, str], len])
def test_answers_of_no_type_are_refused(wanted: object) -> None:
    """What pydantic-ai takes besides a type could not be stored and read again."""

    class Odd(Desk):
        output = wanted

    with AgentSystem.open("memory://", agents=[Odd]) as system:
        with pytest.raises(ConfigurationError, match=r"Odd\.output is .* no type"):
            system.agent(Odd, "one").call(Odd.think, "hello").get()
        assert system.runs.list() == []


def test_a_class_that_could_not_think_is_refused() -> None:
    """What is declared wrongly is named where it is declared."""
    with pytest.raises(ConfigurationError, match=r"effect='twice'"):
        tool(effect="twice")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=r"limit=\.\.\. is not for"):
        tool(effect="turn", limit=1.0)
    with pytest.raises(ConfigurationError, match=r"compensate=.* not 'safe'"):
        tool(effect="safe", compensate="undo")
    with pytest.raises(ConfigurationError, match=r"would replace ThinkingAgent\.think"):
        type("Wrong", (Desk,), {"think": lambda _self: None})
    with pytest.raises(ConfigurationError, match="no method of its class"):
        type("Wrong", (Desk,), {"undo": tool(compensate="nothing", name="undo")(lambda _self: 1)})
    with pytest.raises(ConfigurationError, match="a tool that a model has called"):
        tool_call()
    with pytest.raises(ConfigurationError, match="derive it from ThinkingState"):

        class Stateless(ThinkingAgent[State]):  # type: ignore[type-var]
            model = "test"

    with pytest.raises(ConfigurationError, match=r"Budget\(steps=100\)"):
        type("Wrong", (Desk,), {"budget": 5})
    with pytest.raises(ConfigurationError, match="letters, digits"):
        ThinkingAgent.define("Wrong", model="test", tools=[lambda: 1])
    with pytest.raises(ConfigurationError, match="agents that think have no tool"):
        ThinkingAgent.define("Wrong", model="test", tool=[ask_person])


def test_what_is_asked_wrongly_is_refused_where_it_is_asked() -> None:
    """A run without words, with a budget that is none, or of no name, is one sentence."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        five: Any = 5
        for asked, why in (
            (desk.call(Desk.think, "", run="r"), "run r is new, so say what it asks"),
            (desk.call(Desk.think, five), "say what it asks, not 5"),
            (desk.call(Desk.think, "go", budget=five), "5 is no budget"),
        ):
            with pytest.raises(ConfigurationError, match=why):
                asked.get()
        with pytest.raises(UnknownRun, match="no run is at work"):
            desk.call(Desk.run_status).get()
        assert desk.call(Desk.list_runs).get() == []


@pytest.mark.parametrize("wrong", [None, 5, b"text", "", " ", ["text"]])
def test_what_no_model_can_be_told_is_refused(wrong: str) -> None:
    """A text that is none would have every later run fail: it never comes into a transcript."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        desk.call(Desk.think, "hello", run="first").get()
        desk.cast(Desk.think, "pay 17", run="r")
        assert system.idle(DEADLINE)
        with pytest.raises(ConfigurationError, match="say what the model is to see, not "):
            desk.call(Desk.steer, wrong).get()
        desk.call(Desk.cancel_run, "r").get()
        if wrong is not None:
            with pytest.raises(ConfigurationError, match="say what stands for what was said"):
                desk.call(Desk.compact, 0, summary=wrong).get()
            with pytest.raises(ConfigurationError, match="say what stands for step 0"):
                desk.call(Desk.edit_transcript, 0, wrong).get()
        assert desk.call(Desk.think, "hello").get() == "hello!"


@pytest.mark.parametrize("wrong", ["x", 1.5, -1, True])
def test_a_number_that_is_none_is_refused(wrong: int) -> None:
    """How much is kept, and which step it is, are whole numbers."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:
        desk = system.agent(Desk, "one")
        desk.call(Desk.think, "hello", run="first").get()
        for name, asked in (
            ("keep", desk.call(Desk.compact, wrong)),
            ("tokens", desk.call(Desk.compact, 0, tokens=wrong)),
            ("after", desk.call(Desk.run_events, "first", wrong)),
        ):
            with pytest.raises(ConfigurationError, match=f"{name}=.* makes no sense"):
                asked.get()
        with pytest.raises(ConfigurationError, match="there is no step"):
            desk.call(Desk.edit_transcript, wrong, "text").get()


class Hasty(Desk):
    """Fails behind the beginning of a run."""

    def begin_and_fail(self) -> str:
        """Think, and raise."""
        self.think("hello")
        raise LookupError("no")


def test_a_run_of_what_a_hook_undoes_does_not_begin() -> None:
    """The asker gets what the hook says, and does not wait for a run that is not there."""

    def skip(details: ErrorDetails) -> Skip:
        return Skip(str(details.error))

    with AgentSystem.open("memory://", agents=[Hasty]) as system:
        system.hooks.on("error", skip)
        hasty = system.agent(Hasty, "one")
        assert hasty.call(Hasty.begin_and_fail).get(timeout=DEADLINE) == "no"
        assert system.runs.list() == []


class Bureau(Desk):
    """Has another name than before."""

    aliases = ("Desk",)


def test_a_run_goes_on_where_its_kind_has_another_name() -> None:
    """It is not taken for that of another agent, whose state this one came with, and waits on."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Desk]) as system:
        system.agent(Desk, "one").cast(Desk.think, "pay 17", run="r")
        assert system.idle(DEADLINE)
        (before,) = system.runs.list()
    with AgentSystem.open(store, agents=[Bureau]) as system:
        (run,) = system.runs.list()
        assert run == msgspec.structs.replace(before, kind="Bureau")
        bureau = system.agent(Bureau, "one")
        bureau.call(Bureau.approve, "r", run.waiting[0].call).get()
        said = bureau.call(Bureau.think, "", run="r").get(timeout=DEADLINE)
        assert said == "pay 17: ['paid 17']"
        assert system.runs.list() == []
