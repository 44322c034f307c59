"""A small model on this machine: a server of llama.cpp on loopback, asked by HTTP.

Such models make no calls of tools by themselves. So the answer is held to a JSON schema: the call
of one of the tools, and a text once a tool has returned something. With the choice of both it only
ever talks.
"""

import json
from collections.abc import Sequence
from typing import Any, Final
from urllib.request import Request, urlopen

from pydantic_ai.messages import (
    ModelMessage,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

MOST: Final = 128
"""Tokens of an answer."""
SEEN: Final = 6
"""Messages that the model is given: it has a small memory."""
PATIENCE: Final = 300.0


def local_model(address: str) -> FunctionModel:
    """Return a model that a server at ``address`` runs, which speaks as OpenAI's does."""

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        body = {
            "messages": _spoken(messages[-SEEN:], info),
            "temperature": 0,
            "max_tokens": MOST,
            "response_format": {"type": "json_schema", "json_schema": _schema(messages[-1], info)},
        }
        asked = Request(  # noqa: S310 - an address that the user gives
            f"{address}/v1/chat/completions",
            json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )
        with urlopen(asked, timeout=PATIENCE) as reply:  # noqa: S310 - same
            told = json.load(reply)
        used = RequestUsage(
            input_tokens=told["usage"]["prompt_tokens"],
            output_tokens=told["usage"]["completion_tokens"],
        )
        return ModelResponse(parts=[_part(told["choices"][0]["message"]["content"])], usage=used)

    return FunctionModel(answer, model_name="local")


def _spoken(messages: Sequence[ModelMessage], info: AgentInfo) -> list[dict[str, str]]:
    tools = "; ".join(f"{tool.name}: {tool.description}" for tool in info.function_tools)
    spoken = [{"role": "system", "content": f"{info.instructions or ''} Tools: {tools}"}]
    for message in messages:
        for part in message.parts:
            if isinstance(part, UserPromptPart | ToolReturnPart):
                spoken.append({"role": "user", "content": str(part.content)})
            elif isinstance(part, TextPart):
                spoken.append({"role": "assistant", "content": part.content})
            elif isinstance(part, ToolCallPart):
                spoken.append({"role": "assistant", "content": f"I call {part.tool_name}."})
    return spoken


def _schema(last: ModelMessage, info: AgentInfo) -> dict[str, Any]:
    """Return the schema of an answer: the call of a tool, or a text about what one returned."""
    talks = not info.function_tools or any(isinstance(part, ToolReturnPart) for part in last.parts)
    if talks:
        return {"name": "answer", "schema": _object(text={"type": "string", "maxLength": 120})}
    shapes = []
    for tool in info.function_tools:
        names = tool.parameters_json_schema.get("properties", {})
        given = {name: {"type": "string", "maxLength": 60} for name in names}
        shapes.append(_object(tool={"const": tool.name}, args=_object(**given)))
    return {"name": "answer", "schema": {"anyOf": shapes}}


def _object(**members: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def _part(content: str) -> TextPart | ToolCallPart:
    try:
        found = json.loads(content)
    except ValueError:  # it was cut off
        return TextPart(content)
    return (
        TextPart(found["text"]) if "text" in found else ToolCallPart(found["tool"], found["args"])
    )
