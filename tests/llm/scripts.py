"""Models that follow a script, and what tests ask of messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel

from tests.kit.deadline import DEADLINE

Call = tuple[str, dict[str, Any]]
Answer = str | Sequence[Call]


def prompt_of(messages: Sequence[ModelMessage]) -> tuple[str, int]:
    """Return the latest prompt, and how many answers were given since."""
    answers = 0
    for message in reversed(messages):
        if isinstance(message, ModelResponse):
            answers += 1
            continue
        said = [part for part in message.parts if isinstance(part, UserPromptPart)]
        if said:
            return str(said[0].content), answers
    raise AssertionError("nobody has asked anything")


def scripted(
    script: Callable[[str, int, list[ModelMessage]], Answer],
    told: Callable[[str, int], object] = lambda _prompt, _nth: None,
) -> FunctionModel:
    """Return a model that answers by ``script(prompt, nth answer, messages)``.

    ``told`` is told of each call first. Messages are refused that no provider would take.
    """

    def answer(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        assert faults(messages) == []
        prompt, nth = prompt_of(messages)
        told(prompt, nth)
        wanted = script(prompt, nth, messages)
        if isinstance(wanted, str):
            return ModelResponse(parts=[TextPart(wanted)])
        calls = [
            ToolCallPart(name, args, tool_call_id=f"{prompt}-{nth}-{place}")
            for place, (name, args) in enumerate(wanted)
        ]
        return ModelResponse(parts=calls)

    return FunctionModel(answer)


def returned(messages: Sequence[ModelMessage]) -> list[object]:
    """Return what the tools have returned that were called last."""
    last = messages[-1]
    assert isinstance(last, ModelRequest)
    return [part.content for part in last.parts if isinstance(part, ToolReturnPart)]


def faults(messages: Sequence[ModelMessage]) -> list[str]:
    """Say what a provider would refuse: calls without results, results without calls, doubles."""
    found, open_calls = [], set[str]()
    for message in messages:
        if isinstance(message, ModelResponse):
            found += [f"{call} has no result" for call in sorted(open_calls)]
            open_calls = {call.tool_call_id for call in message.tool_calls}
            continue
        for part in message.parts:
            if not isinstance(part, ToolReturnPart):
                continue
            if part.tool_call_id in open_calls:
                open_calls.remove(part.tool_call_id)
            else:
                found.append(f"{part.tool_call_id} has a result and no call")
        found += [f"{call} has no result" for call in sorted(open_calls)]
        open_calls = set()
    return found + [f"{call} has no result" for call in sorted(open_calls)]


def until(done: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = threading.Event()
    for _ in range(int(DEADLINE / 0.005)):
        if done():
            return
        deadline.wait(0.005)
    raise AssertionError("it never was")
