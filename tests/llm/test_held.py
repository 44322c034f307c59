"""Calls of tools that a hook holds until a person has agreed."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic_ai.messages import ModelMessage

from perdure import (
    AgentSystem,
    CallDetails,
    Declared,
    Hold,
    HookHost,
    Replace,
    hooked,
)
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import Budget, Run, ThinkingState
from perdure.llm.tools import tool, tool_call
from perdure.llm.transcript import Transcript
from perdure.persistence.errors import CallHeld, RunFailed
from perdure.persistence.memory.store import MemoryStore
from tests.cli.commands import invoke, records
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, faults, returned, scripted

PAID: list[str] = []
BEGUN, GATE = threading.Event(), threading.Event()


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    """Begin with nothing outside."""
    PAID.clear()
    BEGUN.clear()
    GATE.clear()
    yield
    GATE.set()


def script(_prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Pay, and say what came of it."""
    return str(returned(messages)) if nth else [("pay", {"cents": 9_000}), ("pay", {"cents": 5})]


class Payer(ThinkingAgent[ThinkingState]):
    """Pays without asking."""

    model = scripted(script)

    @tool(effect="once")
    async def pay(self, cents: int) -> str:
        """Pay."""
        PAID.append(f"{cents} {tool_call().attempt}")
        return f"paid {cents}"

    def told(self) -> str:
        """Return what the model would be told."""
        messages = Transcript.of(list(self.state.transcript)).finished()
        assert faults(messages) == []
        return str(messages)


class Slow(Payer):
    """Takes its time to pay."""

    model = scripted(
        lambda _prompt, nth, messages: str(returned(messages)) if nth else [("pay", {"cents": 1})]
    )

    @tool(effect="once")
    async def pay(self, cents: int) -> str:
        """Pay."""
        PAID.append(f"{cents} {tool_call().attempt}")
        BEGUN.set()
        await asyncio.to_thread(GATE.wait, DEADLINE)
        return f"paid {cents}"


def dear(details: CallDetails) -> Hold | None:
    """Have a person agree to what is dear."""
    assert isinstance(details.args["cents"], int)
    return Hold("that is dear") if details.args["cents"] > 100 else None


def always(_details: CallDetails) -> Hold:
    """Have a person agree to everything."""
    return Hold("once more?")


def halved(details: CallDetails) -> Replace:
    """Pay half."""
    assert isinstance(details.args["cents"], int)
    return Replace({"cents": details.args["cents"] // 2})


class Careful:
    """Hooks that pay half, and have a person agree to what is dear."""

    name = "careful"

    def hooks(self, _host: HookHost) -> Iterator[Declared]:
        """Yield them."""
        yield Declared.at("tool_call.before", halved, "half", priority=1)
        yield Declared.at("tool_call.before", dear, "dear")


@hooked(Careful())
class Halved(Payer):
    """Has its hooks before its runs go on."""


def held(system: AgentSystem) -> Run:
    """Return the run once it waits for somebody."""
    payer = system.agent(Halved, "one")
    assert system.idle(DEADLINE)
    run = payer.call(Halved.run_status, "r").get()
    assert run.status == "waiting"
    return run


def test_a_hook_has_a_call_wait_for_a_person_over_restarts(tmp_path: Path) -> None:
    """A held call does not run before somebody agrees, in whatever process; then it runs once.

    The other call of its answer runs meanwhile, and not again.
    """
    store = tmp_path / "store.db"
    with AgentSystem.open(store, agents=[Halved]) as system:
        system.agent(Halved, "one").cast(Halved.think, "go", run="r", budget=Budget(tools=2))
        (waiting,) = held(system).waiting
        assert (waiting.why, waiting.reason) == ("approval", "that is dear")
        assert waiting.args == {"cents": 4_500}
    with AgentSystem.open(store, agents=[Halved]) as system:
        assert system.agent(Halved, "one").call(Halved.run_status).get().status == "waiting"
        assert held(system).waiting == (waiting,)
        assert PAID == ["2 1"]
    (row,) = records("runs", "--store", store)
    assert row["waiting"][0]["reason"] == "that is dear"
    assert "that is dear" in invoke("runs", "--store", store).stdout
    records("runs", "approve", "Halved", "one", "r", waiting.call, "--store", store)
    with AgentSystem.open(store, agents=[Halved]) as system:
        payer = system.agent(Halved, "one")
        assert payer.call(Halved.think, "", run="r").get() == "['paid 4500', 'paid 2']"
        assert PAID == ["2 1", "4500 1"]
        assert payer.call(Halved.run_status, "r").get().spent.tools == 2
        assert "paid 4500" in payer.call(Halved.told).get()
        tally = payer.describe().tallies["tool/pay"]
        assert (tally.calls, tally.doubts) == (2, 0)


@pytest.mark.parametrize("what", ["deny", "cancel"])
def test_a_held_call_that_nobody_agrees_to_is_not_made(what: str) -> None:
    """The model is told that it was denied, or that the run has ended before it began."""
    with AgentSystem.open("memory://", agents=[Halved]) as system:
        payer = system.agent(Halved, "one")
        reply = payer.call(Halved.think, "go", run="r")
        (waiting,) = held(system).waiting
        if what == "cancel":
            payer.call(Halved.cancel_run, "r").get()
            with pytest.raises(RunFailed, match="cancelled"):
                reply.get()
            assert "not begun" in payer.call(Halved.told).get()
        else:
            payer.call(Halved.deny, "r", waiting.call, "too dear").get()
            assert "too dear" in reply.get(timeout=DEADLINE)
        assert all(not paid.startswith("4500") for paid in PAID)


DENIED = "[not done again, and may have been done: it was not approved]"


@pytest.mark.parametrize(
    ("last", "told", "paid"),
    [("approve", "paid 1", ["1 1", "1 2"]), ("deny", DENIED, ["1 1"])],
)
def test_a_call_in_doubt_that_is_held_when_it_is_made_again_waits_once(
    last: str, told: str, paid: list[str]
) -> None:
    """Who has decided that a call is made again, and then agrees to it, is asked nothing more.

    Where that is refused, the model is told that the call of before may have been done.
    """
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[Slow])
    system.agent(Slow, "one").cast(Slow.think, "go", run="r")
    assert BEGUN.wait(DEADLINE)
    assert not system.close(timeout=0.1)
    GATE.set()
    with AgentSystem.open(store, agents=[Slow]) as system:
        system.hooks.on("tool_call.before")(always)
        payer = system.agent(Slow, "one")
        for why, what in (("in doubt", "retry"), ("approval", last)):
            assert system.idle(DEADLINE)
            (waiting,) = payer.call(Slow.run_status, "r").get().waiting
            assert waiting.why == why
            payer.call(Slow.decide, "r", waiting.call, what).get()
        assert payer.call(Slow.think, "", run="r").get(timeout=DEADLINE) == str([told])
        assert paid == PAID
        assert payer.call(Slow.run_status, "r").get().spent.tools == 1


class Shipper(Slow):
    """Has what makes up for a call in doubt."""

    kind = "Shipper"

    @tool(effect="once", compensate="take_back")
    async def pay(self, cents: int) -> str:
        """Pay."""
        PAID.append(f"{cents} {tool_call().attempt}")
        BEGUN.set()
        await asyncio.to_thread(GATE.wait, DEADLINE)
        return f"paid {cents}"

    def take_back(self, cents: int) -> str:
        """Take back what may have been paid."""
        PAID.append(f"back {cents}")
        return f"took back {cents}"


class Asking:
    """Hooks that have a person agree to everything."""

    name = "asking"

    def hooks(self, _host: HookHost) -> Iterator[Declared]:
        """Yield them."""
        yield Declared.at("tool_call.before", always, "ask")


@hooked(Asking())
class Watched(Shipper):
    """Asks a person first."""

    kind = "Shipper"


def agree(system: AgentSystem) -> None:
    """Agree to the call that waits."""
    payer = system.agent(Watched, "one")
    assert system.idle(DEADLINE)
    (waiting,) = payer.call(Watched.run_status, "r").get().waiting
    assert (waiting.why, waiting.reason) == ("approval", "once more?")
    payer.call(Watched.approve, "r", waiting.call).get()


@pytest.mark.parametrize("first", [Shipper, Watched])
def test_what_makes_up_for_a_call_is_held_as_the_call(first: type[Shipper]) -> None:
    """A person is asked once, before or behind the crash; the call in doubt is not made again."""
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[first])
    system.agent(first, "one").cast(first.think, "go", run="r")
    if first is Watched:
        agree(system)
    assert BEGUN.wait(DEADLINE)
    assert not system.close(timeout=0.1)
    GATE.set()
    with AgentSystem.open(store, agents=[Watched]) as system:
        if first is Shipper:
            agree(system)
        payer = system.agent(Watched, "one")
        assert payer.call(Watched.think, "", run="r").get(timeout=DEADLINE) == "['took back 1']"
        assert PAID == ["1 1", "back 1"]
        assert payer.call(Watched.run_status, "r").get().spent.tools == 1


def test_nobody_is_asked_outside_of_runs() -> None:
    """A call by a program that a hook holds is not made; the error says what the hook wants."""
    with AgentSystem.open("memory://", agents=[Payer]) as system:
        system.hooks.on("tool_call.before", name="dear")(dear)
        with pytest.raises(CallHeld, match="until a person agrees: that is dear"):
            system.hooks.call_tool("pay", PAID.append, cents=101)
        assert PAID == []
