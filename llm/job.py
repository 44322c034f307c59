"""A run at work, beside the turns of its agent: what it asks them to take down."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ..actors.talk.reference import AgentRef
from ..persistence.errors import told
from .ledger import Ledger, Verdict
from .records import MODEL, TOOL, Spent
from .tools import Tool, ToolCall, calling

Body = Callable[[], Awaitable[Any]]


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
        run: str,
        prompt: str,
        ledger: Ledger,
        history: list[Any],
    ) -> None:
        """Work for an agent; called in its turn."""
        self.agent = agent
        self.kind: Final = type(agent)
        self.ref: AgentRef[Any] = agent.actor_ref
        self.run, self.prompt, self.history = run, prompt, history
        self.nth = 0
        """Which model call it is at."""
        self.results: dict[str, Any] = {}
        """What tools have returned, as it is stored, by call."""
        self._ledger = ledger
        self._home = agent._home  # noqa: SLF001 - it is the agent's work
        self._behind: Any = None
        self._attempt = 0

    def done_before(self) -> bool:
        """Tell whether the model call it is at was done by an earlier process."""
        return self._ledger.result(MODEL, self.nth, "") is not None

    async def model_begins(self, name: str, request: list[Any]) -> list[str]:
        """Begin the next model call; return what was said to the run since the last one."""
        self.nth += 1
        if self.done_before():
            return self._ledger.given(self.nth)
        verdict = await self._begin(self.kind._model_begins, self.nth, name, request)
        return list(verdict.steers)

    async def model(self, name: str, body: Body, used: Callable[[Any], Spent]) -> Any:  # noqa: ANN401 - JSON
        """Call the model, unless that was done."""
        known = self._ledger.result(MODEL, self.nth, "")
        if known is not None:
            return known.body
        started = time.perf_counter()
        try:
            payload = await body()
        except Exception as error:
            took = time.perf_counter() - started
            await self._say(self.kind._failed, MODEL, self.nth, "", name, told(error), took)
            raise
        took = time.perf_counter() - started
        self._behind = self._say(
            self.kind._model_done, self.nth, name, payload, took, used(payload)
        )
        return payload

    async def tool(
        self,
        name: str,
        call: str,
        args: Any,
        body: Callable[[str], Awaitable[Any]],
        tool: Tool | None,
    ) -> Any:  # noqa: ANN401 - JSON
        """Call a tool, unless that was done or may not be."""
        known = self._ledger.result(TOOL, self.nth, call)
        payload = await self._tool(name, call, args, body, tool) if known is None else known.body
        self.results[call] = payload.get("result")
        return payload

    async def _tool(
        self,
        name: str,
        call: str,
        args: Any,
        body: Callable[[str], Awaitable[Any]],
        tool: Tool | None,
    ) -> Any:  # noqa: ANN401 - JSON
        verdict = await self._begin(self.kind._tool_begins, self.nth, call, name, args)
        if verdict.done:
            payload: Any = {"result": verdict.result, "kind": "tool_return"}
            self._behind = self._say(self.kind._tool_done, self.nth, call, name, payload, 0.0)
            return payload
        token = calling.set(ToolCall(self.run, call, verdict.key, verdict.attempt))
        started = time.perf_counter()
        try:
            payload = await body(verdict.compensate)
        except Exception as error:
            took = time.perf_counter() - started
            await self._say(self.kind._failed, TOOL, self.nth, call, name, told(error), took)
            raise
        finally:
            calling.reset(token)
        if tool is None or tool.effect != "turn" or verdict.compensate:
            took = time.perf_counter() - started
            self._behind = self._say(self.kind._tool_done, self.nth, call, name, payload, took)
        return payload

    async def in_turn(self, name: str, call: str, args: dict[str, Any]) -> Any:  # noqa: ANN401 - the tool's
        """Run a tool as a turn of its agent."""
        return await self._say(self.kind._tool_turn, self.nth, call, name, args)

    async def end(self, output: object, stored: object, tail: list[Any], error: str = "") -> None:
        """Take down how the run has ended."""
        await self._settled()
        await self._say(self.kind._run_ends, output, stored, tail, error)

    async def _begin(self, method: Callable[..., Verdict], *args: object) -> Verdict:
        await self._settled()
        if self._home.work_closes():
            raise Stopped("the system closes")
        verdict: Verdict = await self._say(method, *args)
        if verdict.suspend:
            raise Suspended(verdict.refused)
        if verdict.refused.startswith("its budget"):
            raise Over(verdict.refused)
        if verdict.refused:
            raise Stopped(verdict.refused)
        return verdict

    def _say(self, method: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - a Future
        return self.ref.call(method, self.run, *args)

    async def _settled(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            await behind
