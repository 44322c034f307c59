"""Agents that think: a conversation with two tools, what a step costs, how a killed one goes on.

The model is a script, so that all that is measured is the framework. Each question has the model
call both tools, then answer: two model calls and two tool calls, four steps.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from perdure import AgentSystem, ThinkingAgent, tool

from ..thinking import PROMPT, STEPS, Visits, killed, model, stock, weather


def _talker(weather: Callable[[str], str]) -> type[ThinkingAgent[Any]]:
    tools = [tool(effect="safe")(weather), tool(effect="safe")(stock)]
    return ThinkingAgent.define("Talker", model=model(), tools=tools)


def conversation(folder: Path, *, turns: int) -> dict[str, float]:
    """Hold it; milliseconds of a step, bytes of a turn."""
    kind = _talker(weather)
    with AgentSystem.open(folder / "talk.db", agents=[kind]) as system:
        talker = system.agent(kind, "one")
        talker.call(kind.think, PROMPT).get()
        begun, used = time.perf_counter(), time.process_time()
        for _ in range(turns):
            talker.call(kind.think, PROMPT).get()
        took, used = time.perf_counter() - begun, time.process_time() - used
    return {
        "step": took / turns / STEPS * 1_000,
        "cpu": used / turns / STEPS * 1_000,
        "run": took / turns * 1_000,
        "bytes": sum(file.stat().st_size for file in folder.glob("talk.db*")) / turns,
    }


def resumed(folder: Path, *, turns: int) -> dict[str, float]:
    """Kill it in the middle; milliseconds from opening the store until the next step runs."""
    from perdure.llm import engine  # noqa: F401, PLC0415 - imports are no part of it, for nobody

    def hold(visits: Visits) -> None:
        kind = _talker(visits.tool())
        with AgentSystem.open(folder / "talk.db", agents=[kind]) as system:
            for _ in range(turns):
                system.agent(kind, "one").call(kind.think, PROMPT).get()

    killed(hold, turns)
    visits = Visits()
    kind = _talker(visits.tool())
    begun = time.perf_counter()
    with AgentSystem.open(folder / "talk.db", agents=[kind]) as system:
        took = visits.milliseconds_since(begun)
        system.idle()
    return {"resume": took}


def plain(folder: Path, *, turns: int) -> dict[str, float]:  # noqa: ARG001 - it stores nothing
    """Hold the same conversation with pydantic-ai alone, which keeps nothing."""
    from pydantic_ai import Agent  # noqa: PLC0415 - of this measure alone

    thinker = Agent(model(), tools=[weather, stock])

    async def hold() -> float:
        history = (await thinker.run(PROMPT)).all_messages()
        begun = time.perf_counter()
        for _ in range(turns):
            history = (await thinker.run(PROMPT, message_history=history)).all_messages()
        return time.perf_counter() - begun

    used = time.process_time()
    took = asyncio.run(hold())
    used = time.process_time() - used
    return {
        "step": took / turns / STEPS * 1_000,
        "cpu": used / turns / STEPS * 1_000,
        "run": took / turns * 1_000,
    }
