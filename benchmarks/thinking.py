"""The conversation that agents that think and their peers hold: a scripted model, two tools."""

from __future__ import annotations

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
