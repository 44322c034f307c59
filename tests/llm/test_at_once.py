"""Tools that a model calls in one answer: at the same time, each a step of its own."""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from pydantic_ai.messages import ModelMessage

from perdure import AgentSystem
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import Budget, RunStep, RunWait, ThinkingState
from perdure.llm.tools import agent_tool, tool
from perdure.llm.transcript import Transcript
from perdure.persistence.errors import RunFailed
from perdure.persistence.memory.store import MemoryStore
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, faults, returned, scripted, until

EVENTS: list[str] = []
"""What came to be outside, in this process."""
GATES: dict[str, threading.Event] = {}
WAITS: list[str] = []


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Begin with nothing outside."""
    for each in (EVENTS, WAITS, GATES):
        each.clear()
    yield
    for gate in GATES.values():
        gate.set()


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Call all tools that the prompt names, at once; then say what they returned."""
    if nth:
        return str(returned(messages))
    return [(name, {"what": f"{name}{place}"}) for place, name in enumerate(prompt.split())]


async def work(what: str) -> str:
    """Come to be, and end when the gate opens."""
    EVENTS.append(what)
    gate = GATES.get(what)
    if gate is not None:
        assert await asyncio.to_thread(gate.wait, DEADLINE)
    return what


class Many(ThinkingAgent[ThinkingState]):
    """Calls several tools at once."""

    model = scripted(script)

    @tool(effect="safe")
    async def look(self, what: str) -> str:
        """Look."""
        return await work(what)

    @tool(effect="once")
    async def pay(self, what: str) -> str:
        """Pay."""
        return await work(what)

    @tool(effect="once", approve=True)
    async def ship(self, what: str) -> str:
        """Ship, if somebody agrees."""
        return await work(what)

    @tool(effect="safe", sequential=True)
    async def alone(self, what: str) -> str:
        """Run alone."""
        return await work(what)

    def on_wait(self, run: str, waiting: RunWait) -> None:
        WAITS.append(f"{run} {waiting.args['what']}")

    def steps(self) -> list[RunStep]:
        """Return the transcript."""
        return list(self.state.transcript)


def shut(*gates: str) -> None:
    """Shut gates."""
    GATES.update((gate, threading.Event()) for gate in gates)


def steps_of(system: AgentSystem, what: str) -> list[str]:
    """Return the arguments of the tools whose steps are of a kind, in their order."""
    steps: list[RunStep] = system.agent(Many, "one").call(Many.steps).get()
    names = {
        part["tool_call_id"]: part["args"]["what"]
        for step in steps
        if (step.op, step.what) == ("model", "done")
        for part in step.body["parts"]
        if part["part_kind"] == "tool-call"
    }
    assert faults(Transcript.of(steps).finished()) == []
    return [names[step.call] for step in steps if (step.op, step.what) == ("tool", what)]


def has_done(system: AgentSystem, number: int) -> bool:
    """Tell whether so many tools have ended."""
    return len(steps_of(system, "done")) == number


def waiting(system: AgentSystem) -> list[tuple[str, str]]:
    """Return which calls the run waits for."""
    run = system.agent(Many, "one").call(Many.run_status, "r").get()
    return [(wait.why, wait.args["what"]) for wait in run.waiting if run.status == "waiting"]


def test_tools_of_one_answer_run_at_the_same_time() -> None:
    """All have begun before one ends; each has its own steps, and its result has its place."""
    shut("look0", "pay1", "look2")
    with AgentSystem.open("memory://", agents=[Many]) as system:
        reply = system.agent(Many, "one").call(Many.think, "look pay look", run="r")
        until(lambda: len(EVENTS) == 3)
        assert steps_of(system, "begun") == ["look0", "pay1", "look2"]
        for number, gate in enumerate(("look2", "look0", "pay1"), 1):
            GATES[gate].set()
            until(partial(has_done, system, number))
        assert steps_of(system, "done") == ["look2", "look0", "pay1"]
        assert reply.get() == "['look0', 'pay1', 'look2']"
        assert len(EVENTS) == 3


def test_a_tool_that_runs_alone_is_between_the_others() -> None:
    """What is called before a sequential tool has ended when it begins; what is behind it waits."""
    shut("look0", "alone1")
    with AgentSystem.open("memory://", agents=[Many]) as system:
        reply = system.agent(Many, "one").call(Many.think, "look alone look", run="r")
        for gate in ("look0", "alone1"):
            until(partial(EVENTS.__contains__, gate))
            assert EVENTS[-1] == gate
            GATES[gate].set()
        assert reply.get() == "['look0', 'alone1', 'look2']"
        assert EVENTS == ["look0", "alone1", "look2"]


def test_each_of_several_is_in_doubt_by_itself() -> None:
    """Behind a crash what has ended stays, what is safe runs again, what is "once" waits."""
    shut("look1", "pay2")
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[Many])
    system.agent(Many, "one").cast(Many.think, "look look pay pay", run="r")
    until(lambda: len(EVENTS) == 4 and set(steps_of(system, "done")) == {"look0", "pay3"})
    system.close(timeout=0.2)
    for gate in GATES.values():
        gate.set()
    with AgentSystem.open(store, agents=[Many]) as again:
        until(lambda: waiting(again) == [("in doubt", "pay2")])
        until(lambda: sorted(steps_of(again, "done")) == ["look0", "look1", "pay3"])
        many = again.agent(Many, "one")
        (wait,) = many.call(Many.run_status, "r").get().waiting
        many.call(Many.decide, "r", wait.call, "done", "by hand").get()
        answer = many.call(Many.think, "", run="r").get()
        assert answer == "['look0', 'look1', 'by hand', 'pay3']"
    assert Counter(EVENTS) == {"look0": 1, "look1": 2, "pay2": 1, "pay3": 1}


def test_what_was_under_way_goes_on_while_another_call_waits() -> None:
    """Behind a crash nobody has to decide about one call before the others go on or are shown."""
    shut("look1", "pay2")
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[Many])
    system.agent(Many, "one").cast(Many.think, "ship look pay", run="r")
    until(lambda: sorted(EVENTS) == ["look1", "pay2"] and waiting(system))
    system.close(timeout=0.2)
    for gate in GATES.values():
        gate.set()
    with AgentSystem.open(store, agents=[Many]) as again:
        assert again.idle(DEADLINE)
        (run,) = again.runs.list()
        assert [each.why for each in run.waiting] == ["approval", "in doubt"]
        assert (sorted(EVENTS), WAITS) == (["look1", "look1", "pay2"], ["r ship0", "r pay2"])
    with AgentSystem.open(store, agents=[Many]) as again:  # now nothing goes on by itself
        assert again.idle(DEADLINE)
        assert again.statistics().live == 0
        many = again.agent(Many, "one")
        for each in many.call(Many.run_status, "r").get().waiting:
            what = "deny" if each.why == "approval" else "skip"
            many.call(Many.decide, "r", each.call, what).get()
        assert "'look1', '[not done: it was skipped]'" in many.call(Many.think, "", run="r").get()


def test_several_wait_for_approval_while_others_run() -> None:
    """Each waits once and is decided by itself; what runs meanwhile runs once, and to its end."""
    shut("pay1")
    with AgentSystem.open("memory://", agents=[Many]) as system:
        many = system.agent(Many, "one")
        reply = many.call(Many.think, "ship pay ship", run="r")
        until(lambda: len(waiting(system)) == 2 and EVENTS == ["pay1"])
        first, second = many.call(Many.run_status, "r").get().waiting
        many.call(Many.approve, "r", first.call).get()
        GATES["pay1"].set()
        until(lambda: waiting(system) == [("approval", "ship2")] and "ship0" in EVENTS)
        many.call(Many.deny, "r", second.call, "too dear").get()
        answer = reply.get()
        assert "'ship0', 'pay1', '[not done: it was not approved: too dear]'" in answer
        assert (sorted(EVENTS), WAITS) == (["pay1", "ship0"], ["r ship0", "r ship2"])
        assert steps_of(system, "waits") == ["ship0", "ship2"]


def test_who_gives_a_call_up_ends_the_others_too() -> None:
    """A run that a decision ends has nothing under way any more, as one that is cancelled."""
    shut("look1")
    with AgentSystem.open("memory://", agents=[Many]) as system:
        many = system.agent(Many, "one")
        reply = many.call(Many.think, "ship look", run="r")
        until(lambda: len(waiting(system)) == 1 and EVENTS == ["look1"])
        (wait,) = many.call(Many.run_status, "r").get().waiting
        many.call(Many.decide, "r", wait.call, "fail").get()
        with pytest.raises(RunFailed, match="was given up"):
            reply.get()
        assert system.idle(DEADLINE)  # its gate is shut
        assert steps_of(system, "closed") == ["look1"]


def test_a_call_that_may_not_begin_cuts_no_other_off() -> None:
    """A budget that one of several calls would exceed ends the run when the others have ended."""
    shut("pay0")
    with AgentSystem.open("memory://", agents=[Many]) as system:
        many = system.agent(Many, "one")
        reply = many.call(Many.think, "pay pay", run="r", budget=Budget(tools=1))
        until(lambda: EVENTS == ["pay0"])
        assert many.call(Many.run_status, "r").get().status == "running"
        GATES["pay0"].set()
        with pytest.raises(RunFailed, match="budget of 1 tools"):
            reply.get()
        assert (steps_of(system, "done"), EVENTS) == (["pay0"], ["pay0"])


def asking(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Have three others look at once."""
    if nth:
        return str(returned(messages))
    return [(f"ask_{name}", {"prompt": "look"}) for name in "abc"]


Boss: type[ThinkingAgent[Any]] = ThinkingAgent.define(
    "Boss",
    model=scripted(asking),
    tools=[agent_tool(Many, name=f"ask_{name}", about="Ask.", key=name) for name in "abc"],
)


def test_agents_that_are_asked_at_once_share_a_budget() -> None:
    """What one of them has used is not given to the next: together they stay within the budget."""
    with AgentSystem.open("memory://", agents=[Boss, Many]) as system:
        boss = system.agent(Boss, "one")
        assert boss.call(Boss.think, "go", run="r").get() == str(["['look0']"] * 3)
        spent = boss.call(Boss.run_status, "r").get().spent
        assert (spent.models, spent.tools) == (2 + 3 * 2, 3 + 3)
        given = [system.agent(Many, name).call(Many.list_runs).get()[0].budget for name in "abc"]
        assert sorted(budget.steps for budget in given if budget.steps) == [95, 97, 99]
        with pytest.raises(RunFailed, match="steps is used up"):
            boss.call(Boss.think, "go", budget=Budget(steps=6)).get()
        runs = [system.agent(Many, name).call(Many.list_runs).get()[1:] for name in "abc"]
        assert sum(run.spent.models for (run,) in runs) <= 6 - 1


@tool(effect="once")
async def pay(what: str) -> str:
    """Pay."""
    return await work(what)


@tool(effect="once", name="pay")
async def pay_whom(whom: str) -> str:
    """Pay somebody."""
    return await work(whom)


@tool(effect="once")
async def pay_now(what: str) -> str:
    """Pay at once."""
    return await work(what)


def clerks(
    paying: Callable[..., Any], told: Callable[[str, int], object] = lambda _prompt, _nth: None
) -> type[ThinkingAgent[Any]]:
    """Return a release of agents that pay by a tool."""
    return ThinkingAgent.define("Clerk", model=scripted(script, told), tools=[paying])


@pytest.mark.parametrize("paying", [pay_now, pay_whom], ids=["name", "argument"])
@pytest.mark.parametrize("what", ["done", "skip", "retry"])
def test_a_call_in_doubt_waits_though_its_tool_has_changed(
    paying: Callable[..., Any], what: str
) -> None:
    """A new release that has no such tool any more asks as well what became of the call."""
    shut("pay0")
    store, old, new = MemoryStore(), clerks(pay), clerks(paying)
    system = AgentSystem.open(store, agents=[old])
    system.agent(old, "one").cast(old.think, "pay", run="r")
    until(lambda: EVENTS == ["pay0"])
    system.close(timeout=0.2)
    GATES["pay0"].set()
    with AgentSystem.open(store, agents=[new]) as again:
        assert again.idle(DEADLINE)
    with AgentSystem.open(store, agents=[new]) as again:
        clerk = again.agent(new, "one")
        (wait,) = clerk.call(new.run_status, "r").get().waiting
        assert (wait.why, wait.name, wait.args) == ("in doubt", "pay", {"what": "pay0"})
        clerk.call(new.decide, "r", wait.call, what, "by hand").get()
        said = clerk.call(new.think, "", run="r").get()
        steps = [event for event in clerk.call(new.run_events, "r").get() if event.op == "tool"]
        assert steps[-1].what == "done"
    told = {"done": "['by hand']", "skip": "['[not done: it was skipped: by hand]']"}
    assert said == told.get(what, said)
    assert ("by hand" in said) == (what != "retry")
    assert EVENTS == ["pay0"]


def test_what_a_tool_has_returned_is_told_though_it_has_changed() -> None:
    """A finished call is a finished call: the model is not told that there is no such tool."""
    told, gate = threading.Event(), threading.Event()

    def asked(_prompt: str, nth: int) -> None:
        if nth and not told.is_set():
            told.set()
            gate.wait(DEADLINE)

    store, old, new = MemoryStore(), clerks(pay, asked), clerks(pay_now)
    system = AgentSystem.open(store, agents=[old])
    system.agent(old, "one").cast(old.think, "pay", run="r")
    assert told.wait(DEADLINE)
    system.close(timeout=0.2)
    gate.set()
    with AgentSystem.open(store, agents=[new]) as again:
        assert again.agent(new, "one").call(new.think, "", run="r").get() == "['pay0']"
    assert EVENTS == ["pay0"]
