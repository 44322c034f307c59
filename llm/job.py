"""A run at work, beside the turns of its agent: what it asks them to take down."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial, reduce
from random import Random
from typing import Any, Final, NoReturn, Protocol

import msgspec

from ..actors.system.calls import agreed
from ..actors.talk.reference import AgentRef
from ..hooks.points import MODELS, TOOLS
from ..persistence.errors import CallHeld, HookCancelled, RunFailed
from .failures import contained, failure
from .ledger import RunLedger
from .news import RunEnds, StepBegins, StepEnds, StepVerdict
from .outbox import Outbox
from .records import FAILED, MODEL, RAISED, TOOL, Run, StepPlace, Usage
from .runs import runs_of
from .tools import Tool, ToolCall, calling

given: Final[ContextVar[dict[str, Any] | None]] = ContextVar("perdure_tool_args", default=None)
"""Arguments that a hook has given the tool that is called here."""
raised: Final[ContextVar[list[Exception] | None]] = ContextVar("perdure_tool_raised", default=None)
"""Takes what the tool that is called here raises, where hooks are told of it."""
_JITTER: Final = Random()  # noqa: S311 - no secrets


class Suspended(Exception):
    """Say that a run waits for somebody; its work ends, and begins again behind that."""


class Stopped(Exception):
    """Say that a run has ended by another's word, or that the system closes."""


class Over(Exception):
    """Say that a run may not go on: a budget is used up, or all attempts are."""


class _Past(BaseException):
    """Carry past the hooks of a call what is no failure of it: one of the three above."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.error = error


async def _inside(call: Awaitable[Any]) -> Any:  # noqa: ANN401 - the call's
    """Make a call that hooks stand around: they are told of its own failures only."""
    try:
        return await call
    except (Suspended, Stopped, Over) as error:
        raise _Past(error) from error


async def _outside(call: Awaitable[Any]) -> Any:  # noqa: ANN401 - same
    """Make a call with the hooks that stand around it."""
    try:
        return await call
    except _Past as past:
        raise past.error from None


class ToolHasFailed(Exception):
    """Tell hooks of a tool that is not ours, and has said to the model that it failed."""


@dataclass(frozen=True, slots=True)
class Called:
    """A tool that the model calls."""

    name: str
    call: str
    """The id of the call."""
    args: dict[str, Any]
    """The very object that a toolset is given which is not ours."""
    shown: Any
    """These as JSON."""
    tool: Tool | None
    """None for one of a toolset that is not ours."""

    @property
    def may_harm(self) -> bool:
        """Whether nobody may run it a second time without being asked."""
        return self.tool is None or self.tool.effect == "once"

    @property
    def in_turn(self) -> bool:
        """Whether it runs as a turn, which takes it down."""
        return self.tool is not None and self.tool.effect == "turn"


@dataclass(slots=True)
class Before:
    """What was said before a run."""

    messages: list[Any] = field(default_factory=list)
    plain: int = 0
    """How many of them, from the first on, are known to be sent as they are."""


class Request(Protocol):
    """What is said to a model with its next call, as long as it may be changed."""

    def say(self, parts: list[Any] | None, texts: Sequence[str]) -> None:
        """Say ``texts`` besides, and ``parts`` in place of the request; None: as it was made."""
        ...


class Job:
    """Go through a run: what is done already is given again, the rest is done and taken down.

    Each step that begins waits until that is durable. Its end is taken down with the next beginning
    or the end of the run, in one commit, and soon by itself where nothing follows.
    """

    def __init__(
        self,
        agent: Any,  # noqa: ANN401 - a ThinkingAgent, which is above
        run: Run,
        prompt: str,
        ledger: RunLedger,
        before: Before | Callable[[], Before],
    ) -> None:
        """Work for an agent; called in its turn."""
        self.agent = agent
        self.kind: Final = type(agent)
        self.ref: AgentRef[Any] = agent.actor_ref
        self.run, self.prompt, self._before = run.id, prompt, before
        self.nth = 0
        """Which model call it is at."""
        self.results: dict[str, Any] = {}
        """What tools have returned, as it is stored, by call."""
        self.used_by_tools: dict[str, Usage] = {}
        """What the runs of others have used that tools have begun, by call."""
        self.context = 0
        """Tokens of the last model call, in and out."""
        self.sums_up = run.keeps is not None
        """Whether it makes a summary."""
        self.used = Usage()
        """What the run has used so far, with calls under way and runs of others that it asked."""
        self._budget = run.budget
        self._runs = runs_of(agent.system)
        self._ledger = ledger
        self._home = agent._home  # noqa: SLF001 - it is the agent's work
        self._outbox = Outbox(partial(self._ask, self.kind.note_steps))
        self._met: set[tuple[int, str]] = set()
        """Calls that the run has come to, by model call and id."""
        self._open = 0
        """Calls of tools under way."""
        self._at_rest = asyncio.Event()
        self._one_asks = asyncio.Lock()
        self._parts: list[Any] = []
        self._instructions = self._instructed = ""
        self._hooks = agent.system.hooks

    async def remember(self) -> Before:
        """Return what was said before, of which messages are made once a model has to be told."""
        if not isinstance(self._before, Before):
            self._before = await asyncio.to_thread(self._before)
        return self._before

    @property
    def before(self) -> Before:
        """What was said before, once it is remembered."""
        assert isinstance(self._before, Before)
        return self._before

    @property
    def answered(self) -> bool:
        """Whether the model call that it is at was made already."""
        return self._ledger.result(MODEL, self.nth, "") is not None

    @property
    def limit(self) -> int | None:
        """How many tokens are left; None if there is no limit."""
        return self._budget.left(self.used).tokens

    def tell(self, text: str) -> None:
        """Hand a piece of an answer on to those who read along."""
        self._runs.tell(self.ref.kind, self.ref.key, self.run, text)

    async def ask_another(self, tool: Tool, prompt: str) -> Any:  # noqa: ANN401 - the other's
        """Have another agent that thinks answer, with what is left of the budget of this run.

        By the name of this call: asked again, it gives the answer that it has. Of calls that are
        made together one asks at a time, since they have one budget.
        """
        async with self._one_asks:
            return await self._ask_another(tool, prompt)

    async def _ask_another(self, tool: Tool, prompt: str) -> Any:  # noqa: ANN401 - the other's
        call = calling.get()
        assert call is not None
        other: Any = tool.agent
        ref = self.agent.system.agent(other, tool.key or self.ref.key)
        used = reduce(Usage.plus, self.used_by_tools.values(), self.used)
        budget = other.budget.within(self._budget.left(used))
        answer = ref.call(other.think, prompt, run=call.key, budget=budget)
        try:
            await answer
        except RunFailed:
            pass  # raised behind the look at what it has used
        except asyncio.CancelledError:
            if not self._home.work_goes_on(self.run):
                ref.cast(other.cancel_run, call.key, f"{self.ref} has cancelled its run {self.run}")
            raise
        found = await ref.call(other.run_status, call.key)
        self.used_by_tools[call.call] = found.spent
        return answer.get()

    def says(self, request: Request, parts: list[Any], instructions: str) -> None:
        """Take note of what is said to the model with its next call."""
        self.nth += 1
        self._request, self._parts = request, parts
        self._instructions = "" if instructions == self._instructed else instructions
        self._instructed = instructions
        if self.answered:
            request.say(None, self._ledger.given(self.nth))

    async def model(
        self,
        name: str,
        body: Callable[[], Awaitable[Any]],
        passes: Callable[[Exception], bool],
    ) -> Any:  # noqa: ANN401 - JSON
        """Call the model, unless that was done; again where its provider fails for a while."""
        self.used = self.used.plus(Usage(models=self._ledger.attempts(MODEL, self.nth, "")))
        known = self._ledger.result(MODEL, self.nth, "")
        payload = await self._model(name, body, passes) if known is None else known.body
        used = Usage.of(payload)
        self.context = used.tokens
        self.used = self.used.plus(used)
        return payload

    async def _model(
        self,
        name: str,
        body: Callable[[], Awaitable[Any]],
        passes: Callable[[Exception], bool],
    ) -> Any:  # noqa: ANN401 - JSON
        place, failures = self._place(MODEL, "", name), self._ledger.failures(MODEL, self.nth, "")
        if failures >= self.kind.attempts:  # it was given up where the process ended
            raise Over(f"its model has failed {failures} times")
        while True:
            started = time.perf_counter()
            try:
                payload = await self._asked(place, body)
            except Exception as error:
                failures += 1
                if failures >= self.kind.attempts or not passes(error):
                    raise
                pause = self.kind.backoff.delay(failures, _JITTER)
                what = f"{self.ref} calls its model again"
                await self._home.pause_beside(self.run, pause, what)
            else:
                self._end(place, payload, started, Usage.of(payload))
                return payload

    async def _asked(self, place: StepPlace, body: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
        """Make one attempt to call the model, with the hooks that listen."""
        begun = False

        async def attempt(request: list[Any]) -> Any:  # noqa: ANN401 - JSON
            nonlocal begun
            begun = True
            verdict = await self._begin(place, self._said(request))
            self._request.say(None if request is self._parts else request, verdict.steers)
            return await self._tried(place, body)

        async def call(request: list[Any]) -> Any:  # noqa: ANN401 - JSON
            return await _inside(attempt(request))

        if not self._hooks.heard(MODELS, self.ref.kind, self.ref.key):
            return await attempt(self._parts)
        made = self._hooks.call_model(place.name, call, request=self._parts)
        payload = await _outside(made)
        if not begun:  # a hook has answered in the model's place
            await self._begin(place, self._said(self._parts))
        return payload

    def _said(self, request: list[Any]) -> dict[str, Any]:
        """Return what is stored of a request: its instructions only where they are new."""
        if not self._instructions:
            return {"request": request}
        return {"request": request, "instructions": self._instructions}

    async def _tried(self, place: StepPlace, body: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
        started = time.perf_counter()
        try:
            async with asyncio.timeout(self.kind.step_limit if place.op == MODEL else None):
                return await contained(body())
        except Exception as error:
            took = time.perf_counter() - started
            if not isinstance(error, Suspended | Stopped | Over):
                self._outbox.tell(StepEnds(place, "failed", failure(error), took))
                await self._outbox.settled()
            raise

    async def tool(self, called: Called, body: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
        """Call a tool, unless that was done or may not be."""
        self._met.add((self.nth, called.call))
        self.used = self.used.plus(Usage(tools=1))
        known = self._ledger.result(TOOL, self.nth, called.call)
        payload = await self._together(called, body) if known is None else known.body
        self.results[called.call] = payload.get("result")
        used = msgspec.convert(payload.get("spent", {}), Usage)
        self.used = self.used.plus(used)
        return payload

    async def missed(self, name: str, call: str, args: Any) -> Any:  # noqa: ANN401 - JSON
        """Return what is known of a call of the last answer that the run did not come to again.

        The class was changed since the call was begun: its tool is gone, has another name or takes
        other arguments. None of a call that nobody needs to know of; one in doubt waits.
        """
        told = self._ledger.result(MODEL, self.nth + 1, "") is not None
        if told or (self.nth, call) in self._met or not self._ledger.attempts(TOOL, self.nth, call):
            return None
        known = self._ledger.result(TOOL, self.nth, call)
        if known is not None:
            return known.body
        place, started = self._place(TOOL, call, name), time.perf_counter()
        verdict = await self._begin(place, args)
        if verdict.answer == "known":
            return verdict.result
        if verdict.answer == "done":
            payload = {"result": verdict.result, "kind": "tool_return"}
            self._end(place, payload, started, Usage())
            return payload
        if verdict.compensate:
            raise Over(
                f"nothing makes up for call {call} of {name}: its tool takes other arguments"
            )
        self._end(place, {"kind": RAISED, "message": "it cannot be called"}, started, Usage())
        return None

    async def in_turn(self, name: str, call: str, args: Any) -> Any:  # noqa: ANN401 - by name; the tool's
        """Run a tool as a turn of its agent."""
        return await contained(self._ask(self.kind.run_tool, self._place(TOOL, call, name), args))

    async def end(self, output: Any, tail: list[Any], error: str = "") -> None:  # noqa: ANN401 - JSON
        """Take down how the run has ended."""
        if error:
            self._outbox.error = None  # it ends by that, or by a worse one
        await self._outbox.ask(RunEnds(self.run, output, tail, error))

    async def settled(self) -> None:
        """Wait until the ends of all steps are durable."""
        await self._outbox.settled()

    def leave(self) -> None:
        """Have taken down what has ended, and wait for nothing any more."""
        self._outbox.leave()

    async def _together(self, called: Called, body: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
        """Make one of the calls of an answer; if it gives up, the others come to their end first.

        What it raises ends the work on the run, and would cut them off in the middle.
        """
        self._open += 1
        self._at_rest.clear()
        try:
            return await self._tool(called, body)
        except Exception as error:  # noqa: BLE001 - raised behind the others
            gives_up = error
        finally:
            self._open -= 1
            if not self._open:
                self._at_rest.set()
        await self._at_rest.wait()
        raise gives_up

    async def _tool(self, called: Called, body: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
        place, started = self._place(TOOL, called.call, called.name), time.perf_counter()
        verdict = await self._begin(place, called.shown)
        if verdict.answer == "done":
            payload: Any = {"result": verdict.result, "kind": "tool_return"}
            self._end(place, payload, started, Usage())
            return payload
        if verdict.answer == "known":
            return verdict.result
        known = ToolCall(self.run, called.call, verdict.key, verdict.attempt, verdict.compensate)
        token = calling.set(known)
        try:
            payload = await self._hooked(called, partial(self._tried, place, body), verdict)
        except CallHeld as error:
            changed = error.given != called.args
            shown = msgspec.to_builtins(error.given, enc_hook=str) if changed else called.shown
            instead = verdict.compensate
            await contained(self._ask(self.kind.step_held, place, shown, error.reason, instead))
            raise Suspended(error.reason) from error
        finally:
            calling.reset(token)
        # A tool that is a turn has taken it down itself, unless it was undone.
        if not called.in_turn or payload.get("kind") in FAILED or "by" in payload:
            used = self.used_by_tools.pop(called.call, Usage())
            if used != Usage():
                payload = {**payload, "spent": msgspec.to_builtins(used)}
            self._end(place, payload, started, Usage())
        return payload

    async def _hooked(
        self, called: Called, body: Callable[[], Awaitable[Any]], verdict: StepVerdict
    ) -> Any:  # noqa: ANN401 - JSON
        """Call a tool with the hooks that listen; the model is told of what one has cancelled."""
        if not self._hooks.heard(TOOLS, self.ref.kind, self.ref.key):
            return await body()
        payload: dict[str, Any] = {}
        failed: Exception | None = None

        async def call(**args: object) -> object:
            nonlocal failed
            if failed is not None and self._home.work_closes():
                raise failed if called.may_harm else _Past(Stopped("the system closes"))
            payload.clear()  # of an attempt before
            if called.tool is None and args != called.args:  # a toolset takes them from there
                called.args.clear()
                called.args.update(args)
            errors: list[Exception] = []
            before, outer = given.set(args), raised.set(errors)
            try:
                payload.update(await _inside(body()))
            finally:
                given.reset(before)
                raised.reset(outer)
            if payload["kind"] != RAISED:
                return payload.get("result")
            failed = errors[-1] if errors else ToolHasFailed(payload["message"])
            raise failed

        token = agreed.set(verdict.agreed)
        try:
            made = self._hooks.call_tool(called.name, call, **called.args)
        finally:
            agreed.reset(token)
        try:
            result = await _outside(made)
        except HookCancelled as error:
            return {"kind": RAISED, "message": str(error)}
        except Exception as error:
            if error is failed:
                return payload  # no hook has had another word: the model is told
            raise
        if not payload or payload["kind"] == RAISED:
            return {"kind": "tool_return", "result": result, "by": "a hook"}
        return (
            payload
            if called.in_turn or payload["kind"] in FAILED
            else {**payload, "result": result}
        )

    async def _begin(self, place: StepPlace, body: Any) -> StepVerdict:  # noqa: ANN401 - JSON
        if self._home.work_closes():
            raise Stopped("the system closes")
        verdict = await self._outbox.ask(StepBegins(place, body))
        if verdict.answer not in ("go", "done", "known"):
            _give_up(verdict)
        if place.op == MODEL:
            self.used = self.used.plus(Usage(models=1))
        return verdict

    def _end(self, place: StepPlace, payload: Any, started: float, used: Usage) -> None:  # noqa: ANN401 - JSON
        took = time.perf_counter() - started
        self._outbox.tell(StepEnds(place, "done", payload, took, used))

    def _ask(self, method: Callable[..., Any], *args: object) -> Any:  # noqa: ANN401 - a Future
        """Ask the agent, unless it was stopped: what it is asked would start it again."""
        if self._home.work_is_left(self.run):
            raise Stopped("its agent was stopped")
        return self.ref.call(method, *args)

    def _place(self, op: Any, call: str, name: str) -> StepPlace:  # noqa: ANN401 - a Literal
        return StepPlace(self.run, op, self.nth, call, name)


def _give_up(verdict: StepVerdict) -> NoReturn:
    kinds: dict[str, type[Exception]] = {"wait": Suspended, "over": Over}
    raise kinds.get(verdict.answer, Stopped)(verdict.why)
