"""Calls of tools that a run has begun, and that it could not make again by the code of now."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolReturnPart,
)

from .job import Job
from .transcript import result_in


async def tell_missed(messages: Sequence[ModelMessage], job: Job) -> None:
    """Have the last request say what is known of such calls of the answer before it.

    pydantic-ai says of them that there is no such tool, or that its arguments are wrong: as if
    nothing had been done.
    """
    *_, answer, last = [None, *messages]
    if not isinstance(answer, ModelResponse) or not isinstance(last, ModelRequest):
        return
    for call in answer.tool_calls:
        known = await job.missed(call.tool_name, call.tool_call_id, call.args)
        if known is not None:
            told = ToolReturnPart(call.tool_name, result_in(known), call.tool_call_id)
            last.parts = [
                told if _answers(part, call.tool_call_id) else part for part in last.parts
            ]


def _answers(part: ModelRequestPart, call: str) -> bool:
    return getattr(part, "tool_call_id", None) == call
