"""A run that was made gone through again, without a provider: what would its model be told now?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

import msgspec
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models.function import AgentInfo, FunctionModel

from ..actors.talk.reference import AgentRef
from ..persistence.errors import UnknownRun
from .engine import Engine
from .job import Before, Called, Job, Request, Stopped
from .ledger import RunLedger
from .records import MODEL, TOOL, Run, RunStep, ThinkingState
from .transcript import Transcript, parts_of, stored

_UNSAID = frozenset({"timestamp"})
"""What of a message depends on when it is made."""


class PromptDifference(msgspec.Struct, frozen=True):
    """What a model would be told otherwise than it was."""

    nth: int
    """Which model call of the run."""
    what: Literal["request", "instructions", "call", "output"]
    """"call": a tool is called that was not; "output": the answer, or the error, is another."""
    recorded: Any
    now: Any


class RunReplay(msgspec.Struct, frozen=True):
    """What came of going through a run again."""

    run: str
    models: int
    """Model calls that were answered as they were."""
    tools: int
    output: Any
    """The answer, as JSON; None if it did not come to one."""
    error: str
    differences: tuple[PromptDifference, ...]

    @property
    def same(self) -> bool:
        """Whether it came out as it was recorded."""
        return not self.differences


async def replay_run(
    ref: AgentRef[Any], run: str, *, against: type[Any] | None = None
) -> RunReplay:
    """Go through a run of an agent again, its models and tools answered as they were.

    Nothing is called and nothing is changed. ``against`` is another class than the agent's: with
    other instructions, tools or output, and the differences say what its model would be told.
    UnknownRun if the agent has no such run; a run that is under way is gone through so far.
    """
    version = await asyncio.to_thread(ref.describe)
    state = await asyncio.to_thread(ref.state_at, version.version)
    if not isinstance(state, ThinkingState) or run not in state.runs:
        raise UnknownRun(f"{ref}: there is no run {run!r}")
    return await play(against or ref.actor_class, state.runs[run], state.transcript)


async def play(agent_class: type[Any], run: Run, transcript: Sequence[RunStep]) -> RunReplay:
    """Go through a run of a transcript again, under a class."""
    before = Transcript.of(transcript[: max(run.start, 0)]).before()
    playback = _Playback(run, transcript, before)
    engine = Engine(agent_class, FunctionModel(_nobody))
    await engine.drive(playback)
    return playback.outcome()


def _nobody(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
    raise AssertionError("a run that is gone through again asks nobody")


class _Playback(Job):
    """Answer what a run asks from its own ledger."""

    def __init__(self, found: Run, transcript: Sequence[RunStep], before: Before) -> None:
        self.run, self.prompt = found.id, str(transcript[found.first].body)
        self._before = before
        self.nth = self.context = self._models = self._tools = 0
        self.results: dict[str, Any] = {}
        self.sums_up = found.keeps is not None
        self._ledger = RunLedger(found.id, found.first)
        self._recorded = found
        self._told: dict[int, Any] = {}
        self._instructions = ""
        self._differences: list[PromptDifference] = []
        self._output: Any = None
        self._error = ""
        for step in transcript[found.first :]:
            self._ledger.take(step)
            if step.run == found.id and step.what == "begun" and step.op == MODEL:
                self._told[step.nth] = step.body

    @property
    def limit(self) -> int | None:
        return None

    def tell(self, text: str) -> None:
        pass

    def says(self, request: Request, parts: list[Any], instructions: str) -> None:
        self.nth += 1
        told = self._told.get(self.nth)
        if told is None:
            raise Stopped("there the recording ends")
        before = _plain(parts_of(told["request"], self.results))
        now = _plain(parts_of(parts, self.results))
        self._instructions = told.get("instructions", self._instructions)
        for what, was, would in (
            ("instructions", self._instructions, instructions), ("request", before, now),
        ):  # fmt: skip
            if was != would:
                self._differ(what, was, would)
        request.say(None, self._ledger.given(self.nth))

    async def model(
        self,
        name: str,  # noqa: ARG002 - as the base has it
        body: Callable[[], Awaitable[Any]],  # noqa: ARG002 - nothing is called
        passes: Callable[[Exception], bool],  # noqa: ARG002 - same
    ) -> Any:  # noqa: ANN401 - JSON
        known = self._ledger.result(MODEL, self.nth, "")
        if known is None:
            raise Stopped("there the recording ends")
        self._models += 1
        return known.body

    async def tool(self, called: Called, body: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401, ARG002 - JSON; nothing is called
        known = self._ledger.result(TOOL, self.nth, called.call)
        if known is None:
            self._differ("call", None, {"name": called.name, "args": called.shown})
            raise Stopped("it calls what was not called")
        self._tools += 1
        self.results[called.call] = known.body.get("result")
        return known.body

    async def missed(self, name: str, call: str, args: Any) -> Any:  # noqa: ANN401, ARG002 - as the base has it
        return None  # what is said then is a difference

    async def end(self, output: Any, tail: list[Any], error: str = "") -> None:  # noqa: ANN401, ARG002 - JSON; stored before
        self._output, self._error, was = output, error, self._recorded
        failed = "" if was.status == "cancelled" else was.error
        if error != failed or (was.status == "done" and output != was.output):
            self._differ("output", failed or was.output, error or output)

    async def settled(self) -> None:
        pass  # nothing is taken down

    def leave(self) -> None:
        pass

    def outcome(self) -> RunReplay:
        """Return what came of it."""
        return RunReplay(
            self.run, self._models, self._tools, self._output, self._error,
            tuple(self._differences),
        )  # fmt: skip

    def _differ(self, what: Any, recorded: Any, now: Any) -> None:  # noqa: ANN401 - a Literal; JSON
        self._differences.append(PromptDifference(self.nth, what, recorded, now))


def _plain(parts: list[Any]) -> list[Any]:
    return [
        {name: value for name, value in part.items() if name not in _UNSAID}
        for part in stored(parts, {})
    ]
