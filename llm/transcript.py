"""The steps of runs as the messages that a model is given: always valid."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Self

from pydantic import TypeAdapter
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ToolReturnPart,
    UserPromptPart,
)

from .records import MODEL, TOOL, RunStep

_PART: Final[TypeAdapter[Any]] = TypeAdapter(ModelRequestPart)
_RESPONSE: Final[TypeAdapter[Any]] = TypeAdapter(ModelResponse)
_OF: Final = "$of"
"""Stands in a stored part for the result of a call, which its own step has."""
_LEFT_OUT: Final = frozenset({"run_id", "conversation_id", "state"})


def slim(value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a message as JSON without what says nothing: nulls, zeros of usage, ids of runs."""
    if isinstance(value, dict):
        usage = value.get("usage")
        kept = {
            key: slim(item)
            for key, item in value.items()
            if item is not None and key not in _LEFT_OUT and key not in ("usage", "args", "content")
        }
        for key in ("args", "content"):  # as they are
            if key in value:
                kept[key] = value[key]
        if isinstance(usage, dict):
            kept["usage"] = {key: item for key, item in usage.items() if item}
        return kept
    if isinstance(value, list):
        return [slim(item) for item in value]
    return value


def stored(parts: Iterable[Any], results: dict[str, Any]) -> list[Any]:
    """Return the parts of a request as JSON; what ``results`` has of calls only as a reference."""
    found = []
    for part in parts:
        text = slim(_PART.dump_python(part, mode="json"))
        call = text.get("tool_call_id", "")
        known = text.get("part_kind") == "tool-return" and call in results
        if known and text.get("content") == results[call]:
            text["content"] = {_OF: call}
        found.append(text)
    return found


def parts_of(texts: Iterable[Any], results: dict[str, Any]) -> list[Any]:
    """Return stored parts of a request as they were; ``results`` has what tools have returned."""
    found = []
    for text in texts:
        content, whole = text.get("content"), text
        if isinstance(content, dict) and set(content) == {_OF}:
            whole = {**text, "content": results.get(content[_OF])}
        found.append(_PART.validate_python(whole))
    return found


def result_in(payload: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what a model is told of what a tool returned."""
    return payload.get("result") if isinstance(payload, dict) else payload


class Transcript:
    """Messages made of steps, one after the other; never a call without its result."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.messages: list[ModelMessage] = []
        self._run = ""
        self._prompt: str | None = None
        self._nth = 0
        self._request: list[Any] = []
        self._results: dict[str, Any] = {}
        self._closed: dict[str, str] = {}

    @classmethod
    def of(cls, steps: Iterable[RunStep]) -> Self:
        """Return that of some steps."""
        made = cls()
        for step in steps:
            made.take(step)
        return made

    def take(self, step: RunStep) -> None:
        """Go on by one step."""
        if step.what == "compacted":
            self._compact(step)
        elif step.what == "begun" and step.op == MODEL:
            if step.run != self._run:
                self._switch(step.run)
            self._request = step.body["request"]
            self._steers = step.body.get("steers", [])
        elif step.what == "done" and step.op == MODEL:
            self._answered(step)
        elif step.what == "done" and step.op == TOOL:
            self._results[step.call] = result_in(step.body)
        elif step.what == "closed":
            self._closed[step.call] = step.body
        elif step.what == "ended":
            self.messages.append(ModelRequest(parts=parts_of(step.body["request"], self._results)))

    def finished(self) -> list[ModelMessage]:
        """Return the messages, calls that have no result closed by a marker."""
        self._close()
        return list(self.messages)

    def _switch(self, run: str) -> None:
        self._close()
        self._run, self._results, self._closed = run, {}, {}

    def _answered(self, step: RunStep) -> None:
        parts = parts_of(self._request, self._results)
        parts += [UserPromptPart(text) for text in self._steers]
        self.messages.append(ModelRequest(parts=parts))
        self.messages.append(_RESPONSE.validate_python(step.body))

    def _close(self) -> None:
        """Give each call of the last answer that has no result one: what is known, or a marker."""
        last = self.messages[-1] if self.messages else None
        if not isinstance(last, ModelResponse) or not last.tool_calls:
            return
        parts: list[Any] = []
        for call in last.tool_calls:
            known = self._results.get(call.tool_call_id)
            why = self._closed.get(call.tool_call_id, "not begun: the run ended")
            parts.append(
                ToolReturnPart(
                    call.tool_name,
                    f"[{why}]" if known is None else known,
                    call.tool_call_id,
                )
            )
        self.messages.append(ModelRequest(parts=parts))

    def _compact(self, step: RunStep) -> None:
        self._close()
        kept, own = step.body["kept"], step.body.get("own", 0)
        before = self.messages[: len(self.messages) - own]
        tail = before[len(before) - kept :]
        told = ModelRequest(parts=[UserPromptPart(step.body["summary"])])
        self.messages = [told, *tail]
