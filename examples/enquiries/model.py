"""The model: a script that needs no network, or whatever ``ENQUIRIES_MODEL`` names."""

import os
import re
from typing import Final

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model
from pydantic_ai.models.function import AgentInfo, FunctionModel

from .local import local_model

VARIABLE: Final = "ENQUIRIES_MODEL"
LOCAL: Final = "local:"
"""Before the address of a server on this machine."""
_CALLS: Final = (
    (r"exact.* ([A-Z]{3})\b", "recount", "airport"),
    (r"airport ([A-Z]{3})\b", "airport", "code"),
    (r"carrier ([A-Z0-9]{2})\b", "carrier", "code"),
    (r"aircraft (N\w+)", "aircraft", "tail"),
)
"""What a question asks for, which tool knows it, and by which argument."""


def chosen() -> Model | str:
    """Return the model that the environment names, as pydantic-ai spells it, or the script."""
    named = os.environ.get(VARIABLE, "")
    if named.startswith(LOCAL):
        return local_model(named.removeprefix(LOCAL))
    return named or FunctionModel(scripted)


def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Answer as a simple model would: call the tool that knows, then say what it returned."""
    last = messages[-1]
    assert isinstance(last, ModelRequest)
    told = [part.content for part in last.parts if isinstance(part, ToolReturnPart)]
    if told:
        return ModelResponse(parts=[TextPart("; ".join(map(str, told)))])
    asked = [str(part.content) for part in last.parts if isinstance(part, UserPromptPart)]
    question = asked[-1] if asked else ""
    tools = {tool.name for tool in info.function_tools}
    for pattern, tool, argument in _CALLS:
        found = re.search(pattern, question)
        if found and tool in tools:
            return ModelResponse(parts=[ToolCallPart(tool, {argument: found[1]})])
    if "ask_expert" in tools:
        return ModelResponse(parts=[ToolCallPart("ask_expert", {"prompt": question})])
    return ModelResponse(parts=[TextPart("I do not know.")])
