"""The steps of runs as the messages that a model is given: always valid."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Self

from pydantic import TypeAdapter
from pydantic_ai.durable_exec import JSON_CODEC
from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from .job import Before
from .records import FAILED, MODEL, TOOL, RunStep

_PART: Final[TypeAdapter[Any]] = TypeAdapter(ModelRequestPart)
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


# Makes the adapter of the codec, which takes long: not while a run waits to go on.
JSON_CODEC.dump(ModelResponse, ModelResponse(parts=[]))


def answer_in(payload: Any) -> ModelResponse:  # noqa: ANN401 - JSON
    """Return an answer of a model as it was."""
    answer: ModelResponse = JSON_CODEC.load(ModelResponse, payload)
    return answer


def result_in(payload: Any) -> Any:  # noqa: ANN401 - JSON
    """Return what a model is told of what a tool returned, or of how it has failed."""
    if not isinstance(payload, dict):
        return payload
    if payload.get("kind") in FAILED:
        return f"[failed: {payload.get('message') or payload.get('title')}]"
    return payload.get("result")


def edits_in(steps: Iterable[RunStep]) -> dict[int, str]:
    """Return what stands for steps that were edited, by their places in the transcript."""
    found: dict[int, str] = {}
    for step in steps:
        if step.what == "edited":
            place, text = step.body["step"], step.body["text"]
            found.pop(place, None)
            if text is not None:
                found[place] = text
    return found


class Transcript:
    """Messages made of steps, one after the other; never a call without its result."""

    def __init__(self, edits: Mapping[int, str] | None = None) -> None:
        """Begin with nothing; ``edits`` has what stands for steps, by their places."""
        self.messages: list[ModelMessage] = []
        self._edits = edits or {}
        self._place = -1
        self._edited_in: dict[int, ModelMessage] = {}
        """Which message has what stands for a step."""
        self._said: dict[str, list[int]] = {}
        """Where a run was asked, and what was said to it since, by run."""
        self._given: dict[int, list[str]] = {}
        """What each model call of the run was given of that behind its request."""
        self._run = ""
        self._nth = 0
        self._request: list[Any] = []
        self._results: dict[str, Any] = {}
        self._closed: dict[str, str] = {}
        self._changed: dict[str, int] = {}
        """Calls whose results were edited, and the places of these."""
        self._before = Before()

    @classmethod
    def of(cls, steps: Iterable[RunStep]) -> Self:
        """Return that of the steps from the first on."""
        known = list(steps)
        made = cls(edits_in(known))
        for step in known:
            made.take(step)
        return made

    def tells_edit(self, place: int) -> bool:
        """Tell whether what stands for a step is among the messages."""
        return any(self._edited_in.get(place) is message for message in self.messages)

    def take(self, step: RunStep) -> None:
        """Go on by one step."""
        self._place += 1
        if step.what in ("asked", "steered"):
            self._said.setdefault(step.run, []).append(self._place)
        elif step.what == "compacted":
            self._compact(step)
        elif step.what == "begun" and step.op == MODEL:
            if step.run != self._run:
                self._switch(step.run)
            self._request = step.body["request"]
            self._nth, self._given[step.nth] = step.nth, step.body.get("steers", [])
        elif step.what == "done" and step.op == MODEL:
            self._answered(step)
        elif step.what == "done" and step.op == TOOL:
            self._results[step.call] = self._edits.get(self._place, result_in(step.body))
            if self._place in self._edits:
                self._changed[step.call] = self._place
        elif step.what in ("closed", "failed") and step.op == TOOL:
            why = "" if step.what == "closed" else "failed: "
            self._closed[step.call] = f"{why}{step.body}"
        elif step.what == "ended":
            self._tell(parts_of(step.body["request"], self._results))

    def finished(self) -> list[ModelMessage]:
        """Return the messages, calls that have no result closed by a marker."""
        self._close()
        return list(self.messages)

    def before(self) -> Before:
        """Return what a run that begins here is told; what is known of it stays known."""
        self._before = Before(self.finished(), self._before.plain)
        return self._before

    def _switch(self, run: str) -> None:
        self._close()
        self._said.pop(self._run, None)
        self._run, self._results, self._closed = run, {}, {}
        self._given, self._changed = {}, {}

    def _answered(self, step: RunStep) -> None:
        said = [UserPromptPart(text) for text in self._given[self._nth]]
        parts = [*parts_of(self._request, self._results), *said]
        self._tell(parts, self._say_instead(parts, len(said)))
        response = answer_in(step.body)
        if self._place in self._edits:
            calls = [part for part in response.parts if isinstance(part, ToolCallPart)]
            response.parts = [TextPart(self._edits[self._place]), *calls]
            self._edited_in[self._place] = response
        self.messages.append(response)
        # Told with this request; a provider may use the ids of calls again.
        self._results, self._closed, self._changed = {}, {}, {}

    def _say_instead(self, parts: list[Any], steers: int) -> list[int]:
        """Put what stands for what was asked, and said since, into a request; return the places."""
        said, last = self._said.get(self._run, []), len(parts) - steers
        before = 1 + sum(len(texts) for nth, texts in self._given.items() if nth < self._nth)
        there = dict(enumerate(said[before : before + steers], last))
        if self._nth == 1:
            asked = (n for n, part in enumerate(parts[:last]) if isinstance(part, UserPromptPart))
            there |= dict(zip(asked, said[:1], strict=False))
        edited = {number: place for number, place in there.items() if place in self._edits}
        for number, place in edited.items():
            parts[number] = replace(parts[number], content=self._edits[place])
        return list(edited.values())

    def _tell(self, parts: list[Any], places: Iterable[int] = ()) -> None:
        """Go on by a request, in which results of tools may stand that were edited."""
        message, found = ModelRequest(parts=parts), list(places)
        for part in parts:
            place = self._changed.get(getattr(part, "tool_call_id", None) or "")
            if place is not None:
                part.content = self._edits[place]
                found.append(place)
        self._edited_in.update(dict.fromkeys(found, message))
        self.messages.append(message)

    def _close(self) -> None:
        """Give each call of the last answer that has no result one: what is known, or a marker."""
        last = self.messages[-1] if self.messages else None
        if not isinstance(last, ModelResponse) or not last.tool_calls:
            return
        parts: list[Any] = []
        for call in last.tool_calls:
            why = self._closed.get(call.tool_call_id, "not begun: the run ended")
            told = self._results.get(call.tool_call_id, f"[{why}]")
            parts.append(ToolReturnPart(call.tool_name, told, call.tool_call_id))
        self._tell(parts)

    def _compact(self, step: RunStep) -> None:
        self._close()
        kept, own = step.body["kept"], step.body.get("own", 0)
        before = self.messages[: len(self.messages) - own]
        tail = before[len(before) - kept :]
        summary: str = self._edits.get(self._place) or step.body["summary"]
        told = ModelRequest(parts=[UserPromptPart(summary)])
        self._edited_in[self._place] = told
        self.messages, self._before = [told, *tail], Before()
