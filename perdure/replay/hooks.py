"""Hooks of the system in a replay: each answers what it has answered when the turn was recorded."""

from __future__ import annotations

import typing
from typing import Any, Final, NamedTuple

import msgspec

from ..actors.agent.agent import state_class_of
from ..actors.system.runtime import Runtime
from ..hooks import results
from ..hooks.history.recording import ASKED, HookAnswer, HookPlace
from ..hooks.hook import Declared, Hook, HookNeeds, HookOptions, HookRun
from ..hooks.points import MESSAGE_BEFORE, POINTS, STATE_BEFORE, Point
from ..hooks.results import Result
from ..persistence.errors import HookFailed, ReplayFailed
from .turn import RecordedTurn

_BEHIND: Final = 1_000_000
"""From here on they are numbered: behind the methods of classes of the same priority."""


class _Agent(NamedTuple):
    kind: str
    key: str


class PlayedHook(Hook):
    """Answer as it was answered."""

    __slots__ = ("_answer", "_place")

    def __init__(self, answer: HookAnswer, result: Result | HookFailed, number: int) -> None:
        """Answer ``result`` at one of the times hooks are asked."""
        point = POINTS.get(answer.point) or Point(
            answer.point, object, frozenset({results.Continue}), guards=True, programs=True
        )
        options = HookOptions(priority=answer.priority, record=False, version="recorded")
        super().__init__(Declared(point, _nothing, options, answer.hook), number)
        self._answer = result
        self._place = HookPlace(answer.point, answer.name, answer.call, answer.nth)

    def run(
        self,
        details: Any,  # noqa: ANN401, ARG002 - as Hook has it
        agent: object,  # noqa: ARG002
        around: HookNeeds,  # noqa: ARG002
        runs: list[HookRun] | None,  # noqa: ARG002
        *,
        strict: bool = False,  # noqa: ARG002
    ) -> Result | None:
        """Return the answer, or raise the failure, if it is its time."""
        if ASKED.get() != self._place:
            return None
        if isinstance(self._answer, HookFailed):
            raise self._answer
        return self._answer


def put_hooks(runtime: Runtime, turn: RecordedTurn) -> None:
    """Have a sandbox answer as the hooks of the system have answered in a turn."""
    registry = runtime.hooks.registry
    for hook in registry.list():
        if not hook.method:  # of a set: what it knows of other turns is not here
            registry.remove(hook.name)
    for number, answer in enumerate(turn.recording.answers, _BEHIND):
        try:
            result = _result(runtime, turn, answer)
        except (ValueError, TypeError, AttributeError) as error:
            message = f"what the hook {answer.hook} answered in {turn} does not fit: {error}"
            raise ReplayFailed(message) from error
        registry.put(PlayedHook(answer, result, number))


def _result(runtime: Runtime, turn: RecordedTurn, answer: HookAnswer) -> Result | HookFailed:
    if answer.verb == "replace" and answer.point == MESSAGE_BEFORE.name and answer.called:
        calls = runtime.catalogue.of_kind(turn.kind).calls
        message: Any = calls.decode(answer.called, answer.value, turn.key)
        is_call = answer.called != "on_receive"
        return results.Replace((message.args, message.kwargs) if is_call else message)
    value = msgspec.json.decode(answer.value)
    if answer.verb == "replace" and answer.point == STATE_BEFORE.name:
        value = _typed(state_class_of(runtime.catalogue.of_kind(turn.kind).agent_class), value)
    if answer.verb in ("redirect", "fork"):
        value = _Agent(*value)
    if answer.verb == "retry":
        return results.Retry(*value)
    makes: dict[str, Any] = {
        "replace": results.Replace, "skip": results.Skip, "cancel": results.Cancel,
        "hold": results.Hold,
        "redirect": results.Redirect, "fork": results.Fork, "failed": HookFailed,
    }  # fmt: skip
    made: Result | HookFailed = makes[answer.verb](value)
    return made


def _typed(state: type, values: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(state)
    return {name: msgspec.convert(each, hints.get(name, Any)) for name, each in values.items()}


def _nothing(_details: object) -> None:
    """Stand for the code of a hook, which does not run."""
