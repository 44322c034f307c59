"""The conversation that agents that think and their peers hold: a scripted model, two tools."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

PROMPT: Final = "What is the weather in Lisbon, and how many umbrellas are left?"
ANSWER: Final = "It rains in Lisbon, and 17 umbrellas are left."
STEPS: Final = 4
"""Of each turn: two model calls, two tool calls."""


def weather(city: str) -> str:
    """Say what the weather is."""
    return f"rain in {city}"


class Visits:
    """Calls of ``weather`` in one process: one of them kills it, or the first is waited for."""

    def __init__(self, dies_at: int = 0) -> None:
        """Die at that call, counted from 1."""
        self._left = dies_at
        self._came = threading.Event()
        self._at = 0.0

    def tool(self) -> Callable[[str], str]:
        """Return a tool as ``weather``, whose calls are counted here."""

        def weather(city: str) -> str:
            """Say what the weather is."""
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            if not self._came.is_set():
                self._at = time.perf_counter()
                self._came.set()
            return f"rain in {city}"

        return weather

    def milliseconds_since(self, begun: float) -> float:
        """Wait for the first call; return how long it took from a moment of ``perf_counter``."""
        if not self._came.wait(120.0):
            raise RuntimeError("the run did not go on")
        return (self._at - begun) * 1_000


def killed(hold: Callable[[Visits], object], turns: int) -> None:
    """Hold a conversation in a process that kills itself in the tool of question ``turns``."""
    child = os.fork()
    if not child:
        try:
            hold(Visits(dies_at=turns))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError("the conversation ended before it was killed")


def stock(thing: str) -> int:
    """Say how many are left."""
    return 17 if thing == "umbrellas" else 0


def model() -> FunctionModel:
    """Return a model that calls both tools, then answers."""

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        if messages[-1].parts[-1].part_kind == "tool-return":
            return ModelResponse(parts=[TextPart(ANSWER)])
        return ModelResponse(
            parts=[
                ToolCallPart("weather", {"city": "Lisbon"}),
                ToolCallPart("stock", {"thing": "umbrellas"}),
            ]
        )

    return FunctionModel(answer)
