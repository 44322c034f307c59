"""A run at work, beside the turns of its agent: what it asks them to take down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any, Final, NoReturn

import msgspec

from ..actors.talk.reference import AgentRef
from ..persistence.errors import told
from .ledger import Ledger, Verdict
from .records import FAILED, MODEL, TOOL, Place, Run, Spent
from .tools import Tool, ToolCall, calling

_JITTER: Final = Random()  # noqa: S311 - no secrets


class Suspended(Exception):
    """Say that a run waits for somebody; its work ends, and begins again behind that."""


class Stopped(Exception):
    """Say that a run has ended by another's word, or that the system closes."""


class Over(Exception):
    """Say that a run has used up a budget."""


class Job:
    """Go through a run: what is done already is given again, the rest is done and taken down.

    Each step that begins waits until that is durable. Its end is taken down without waiting: the
    next beginning, or the end of the run, comes behind it in the order of commits.
    """

    def __init__(
        self,
        agent: Any,  # noqa: ANN401 - a ThinkingAgent, which is above
        run: Run,
        prompt: str,
        ledger: Ledger,
        history: list[Any],
    ) -> None:
        """Work for an agent; called in its turn."""
        self.agent = agent
        self.kind: Final = type(agent)
        self.ref: AgentRef[Any] = agent.actor_ref
        self.run, self.prompt, self.history = run.id, prompt, history
        self.nth = 0
        """Which model call it is at."""
        self.results: dict[str, Any] = {}
        """What tools have returned, as it is stored, by call."""
        self.used_by_tools: dict[str, Spent] = {}
        """What the runs of others have used that tools have begun, by call."""
        self.context = 0
        """Tokens of the last model call, in and out."""
        self._budget, self._spent = run.budget, 0
        self._ledger = ledger
        self._home = agent._home  # noqa: SLF001 - it is the agent's work
        self._behind: Any = None
        self._request: list[Any] = []

    @property
    def limit(self) -> int | None:
        """How many tokens are left; None if there is no limit."""
        return None if self._budget.tokens is None else self._budget.tokens - self._spent

    async def model_begins(self, name: str, request: list[Any]) -> Verdict:
        """Begin the next model call; what was said to the run since the last is in the verdict."""
        self.nth += 1
        self._request = request
        if self._ledger.result(MODEL, self.nth, "") is not None:
            return Verdict(steers=tuple(self._ledger.given(self.nth)))
        return await self._begin(self._place(MODEL, "", name), request)

    async def model(
        self,
        name: str,
        body: Callable[[], Awaitable[Any]],
        passes: Callable[[Exception], bool],
    ) -> Any:  # noqa: ANN401 - JSON
        """Call the model, unless that was done; again where its provider fails for a while."""
        known = self._ledger.result(MODEL, self.nth, "")
        payload = await self._model(name, body, passes) if known is None else known.body
        self.context = Spent.of(payload).tokens
        self._spent += self.context
        return payload

    async def _model(
        self,
        name: str,
        body: Callable[[], Awaitable[Any]],
        passes: Callable[[Exception], bool],
    ) -> Any:  # noqa: ANN401 - JSON
        place, failures = self._place(MODEL, "", name), 0
        while True:
            started = time.perf_counter()
            try:
                async with asyncio.timeout(self.kind.step_limit):
                    payload = await body()
            except Exception as error:
                failures += 1
                took = time.perf_counter() - started
                await self.ref.call(self.kind.step_failed, place, told(error), took)
                if failures >= self.kind.attempts or not passes(error):
                    raise
                await self._home.pause_beside(
                    self.kind.backoff.delay(failures, _JITTER), f"{self.ref} calls its model again"
                )
                await self._begin(place, self._request)
            else:
                self._end(place, payload, started, Spent.of(payload))
                return payload

    async def tool(
        self,
        name: str,
        call: str,
        args: Any,  # noqa: ANN401 - JSON
        body: Callable[[], Awaitable[Any]],
        tool: Tool | None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Call a tool, unless that was done or may not be."""
        known = self._ledger.result(TOOL, self.nth, call)
        payload = await self._tool(name, call, args, body, tool) if known is None else known.body
        self.results[call] = payload.get("result")
        self._spent += msgspec.convert(payload.get("spent", {}), Spent).tokens
        return payload

    async def in_turn(self, name: str, call: str, args: Any) -> Any:  # noqa: ANN401 - by name; the tool's
        """Run a tool as a turn of its agent."""
        return await self.ref.call(self.kind.run_tool, self._place(TOOL, call, name), args)

    async def end(self, output: Any, tail: list[Any], error: str = "") -> None:  # noqa: ANN401 - JSON
        """Take down how the run has ended."""
        await self._settled()
        await self.ref.call(self.kind.run_ends, self.run, output, tail, error)

    async def _tool(
        self,
        name: str,
        call: str,
        args: Any,  # noqa: ANN401 - JSON
        body: Callable[[], Awaitable[Any]],
        tool: Tool | None,
    ) -> Any:  # noqa: ANN401 - JSON
        place, started = self._place(TOOL, call, name), time.perf_counter()
        verdict = await self._begin(place, args)
        if verdict.answer == "done":
            payload: Any = {"result": verdict.result, "kind": "tool_return"}
            self._end(place, payload, started, Spent())
            return payload
        known = ToolCall(self.run, call, verdict.key, verdict.attempt, verdict.compensate)
        token = calling.set(known)
        try:
            payload = await body()
        except Exception as error:
            took = time.perf_counter() - started
            await self.ref.call(self.kind.step_failed, place, told(error), took)
            raise
        finally:
            calling.reset(token)
        # A tool that is a turn has taken it down itself, unless it was undone.
        if tool is None or tool.effect != "turn" or payload.get("kind") in FAILED:
            used = self.used_by_tools.pop(call, Spent())
            if used != Spent():
                payload = {**payload, "spent": used}
            self._end(place, payload, started, Spent())
        return payload

    async def _begin(self, place: Place, body: Any) -> Verdict:  # noqa: ANN401 - JSON
        await self._settled()
        if self._home.work_closes():
            raise Stopped("the system closes")
        verdict: Verdict = await self.ref.call(self.kind.step_begins, place, body)
        if verdict.answer not in ("go", "done"):
            _give_up(verdict)
        return verdict

    def _end(self, place: Place, payload: Any, started: float, used: Spent) -> None:  # noqa: ANN401 - JSON
        took = time.perf_counter() - started
        self._behind = self.ref.call(self.kind.step_done, place, payload, took, used)

    async def _settled(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            await behind

    def _place(self, op: Any, call: str, name: str) -> Place:  # noqa: ANN401 - a Literal
        return Place(self.run, op, self.nth, call, name)


def _give_up(verdict: Verdict) -> NoReturn:
    kinds: dict[str, type[Exception]] = {"wait": Suspended, "over": Over}
    raise kinds.get(verdict.answer, Stopped)(verdict.why)
