"""Agents that think: a conversation with two tools, what a step costs, how an old one goes on.

The model is a script, so that all that is measured is the framework. Each question has the model
call both tools, then answer: two model calls and two tool calls, four steps.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from perdure import AgentSystem, ThinkingAgent, tool

from ..thinking import PROMPT, STEPS, model, stock, weather


def conversation(folder: Path, *, turns: int) -> dict[str, float]:
    """Hold it; milliseconds of a step, bytes of a turn, milliseconds to open it and go on."""
    path = folder / "talk.db"
    kind = ThinkingAgent.define(
        "Talker", model=model(), tools=[tool(effect="safe")(weather), tool(effect="safe")(stock)]
    )
    with AgentSystem.open(path, agents=[kind]) as system:
        talker = system.agent(kind, "one")
        talker.call(kind.think, PROMPT).get()
        begun, used = time.perf_counter(), time.process_time()
        for _ in range(turns):
            talker.call(kind.think, PROMPT).get()
        took, used = time.perf_counter() - begun, time.process_time() - used
    begun = time.perf_counter()
    with AgentSystem.open(path, agents=[kind]) as system:
        system.agent(kind, "one").call(kind.think, PROMPT).get()
        resumed = time.perf_counter() - begun
    return {
        "step": took / turns / STEPS * 1_000,
        "cpu": used / turns / STEPS * 1_000,
        "run": took / turns * 1_000,
        "bytes": sum(file.stat().st_size for file in folder.glob("talk.db*")) / turns,
        "resume": resumed * 1_000,
    }


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
