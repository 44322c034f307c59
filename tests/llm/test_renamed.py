"""Agents that think whose class has another name while they are at work."""

import asyncio
import threading

from pydantic_ai.messages import ModelMessage

from perdure import AgentSystem, MemoryStore
from perdure.llm.agent import ThinkingAgent
from perdure.llm.records import ThinkingState
from perdure.llm.tools import tool, tool_call
from tests.kit.deadline import DEADLINE
from tests.llm.scripts import Answer, returned, scripted, until

KEYS: list[str] = []
GATE = threading.Event()


@tool(effect="idempotent")
async def pay(bill: str) -> str:
    """Pay a bill, once for each key."""
    KEYS.append(tool_call().key)
    await asyncio.to_thread(GATE.wait, DEADLINE)
    return f"paid {bill}"


def script(prompt: str, nth: int, messages: list[ModelMessage]) -> Answer:
    """Pay, then say what came back."""
    return f"{prompt}: {returned(messages)}" if nth else [("pay", {"bill": prompt})]


class Desk(ThinkingAgent[ThinkingState]):
    """Pays."""

    kind = "Desk é"
    model = scripted(script)
    tools = (pay,)


class Counter(Desk):
    """Is what the desk is called now."""

    kind = "Counter"
    aliases = (Desk.kind,)


def test_runs_go_on_under_another_name() -> None:
    """The run at work goes on with the keys of its calls, and the one behind it begins."""
    KEYS.clear()
    GATE.clear()
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[Desk])
    desk = system.agent(Desk, "one")
    desk.cast(Desk.think, "17", run="first")
    until(lambda: KEYS)
    desk.cast(Desk.think, "18", run="second")
    assert len(desk.call(Desk.list_runs).get()) == 2
    system.close(timeout=0.0)
    GATE.set()
    with AgentSystem.open(store, agents=[Counter]) as system:
        counter = system.agent(Counter, "one")
        for run, prompt in (("first", "17"), ("second", "18")):
            said = counter.call(Counter.think, "", run=run).get(timeout=DEADLINE)
            assert said == f"{prompt}: ['paid {prompt}']"
        assert KEYS[0] == KEYS[1]
        assert len(KEYS) == 3
        assert system.runs.list() == []
