"""Runs a model and its tools by pydantic-ai, beside the turns of an agent that takes it down."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import types
from collections.abc import AsyncIterable, Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, Final, cast

from pydantic import PydanticSchemaGenerationError, TypeAdapter
from pydantic_ai import Agent as Thinker
from pydantic_ai import FunctionToolset, RunContext
from pydantic_ai import Tool as ModelTool
from pydantic_ai.agent import EventStreamHandler
from pydantic_ai.durable_exec import (
    JSON_CODEC,
    BaseDurabilityCapability,
    CallToolResult,
    DurabilityEngineSpec,
    DurableOperationBackend,
    DurableOperationId,
    JournalCallableOperationBackend,
    ModelRequestId,
    RoleBasedOperationConfig,
    ToolsetCallToolId,
    replay_scope,
)
from pydantic_ai.exceptions import (
    ApprovalRequired,
    CallDeferred,
    FallbackExceptionGroup,
    ModelAPIError,
    ModelHTTPError,
    ModelRetry,
    ToolFailed,
)
from pydantic_ai.messages import (
    AgentStreamEvent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    PartDeltaEvent,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.toolsets import ToolsetTool
from pydantic_ai.usage import UsageLimits
from pydantic_core import to_json, to_jsonable_python

from ..persistence.errors import ConfigurationError
from .beside import AgentBeside
from .failures import contained, failure, harmless
from .job import Before, Called, Job, Over, Stopped, Suspended, given, raised
from .missed import tell_missed
from .records import Run, RunStep, Usage
from .reminder import Reminded
from .tools import Tool, calling
from .transcript import Transcript, answer_in, parts_of, slim, stored

_JOB: Final[ContextVar[Job | None]] = ContextVar("perdure_run", default=None)
_CALL: Final[ContextVar[str]] = ContextVar("perdure_tool", default="")
_OURS: Final = (Suspended, Stopped, Over)
_MEANT: Final = (ModelRetry, ToolFailed, CallDeferred, ApprovalRequired)
"""What a tool raises to say something to pydantic-ai; all else it raises the model is told."""
_LATER: Final = frozenset({408, 409, 425, 429})
_SERVERS: Final = 500
_NO_LIMITS: Final = UsageLimits(request_limit=None)
_MILLION: Final = 1_000_000
_TEXT: Final[TypeAdapter[Any]] = TypeAdapter(str)
_RESULT: Final[TypeAdapter[Any]] = TypeAdapter(CallToolResult)


def _job() -> Job:
    job = _JOB.get()
    assert job is not None
    return job


def payload_of(result: object) -> Any:  # noqa: ANN401 - JSON
    """Return what a tool returned as it is stored."""
    return JSON_CODEC.dump(
        CallToolResult, _RESULT.validate_python({"kind": "tool_return", "result": result})
    )


class _Backend(JournalCallableOperationBackend[None]):
    """Have each step of a run taken down by its agent."""

    def __init__(self, engine: Engine) -> None:
        config = RoleBasedOperationConfig[None](model=None, event=None, capability=None, tool=None)
        super().__init__(agent_name=engine.name, config=config)
        self._engine = engine

    async def execute(
        self,
        *,
        operation_id: DurableOperationId,
        name: str,  # noqa: ARG002 - ours are found by run, model call and id
        body: Any,  # noqa: ANN401 - as the base has it
        cache_key: tuple[object, ...],
        config: None,  # noqa: ARG002 - same
    ) -> object:
        job = _job()
        if isinstance(operation_id, ModelRequestId):
            priced = partial(self._engine.priced, body)
            return await job.model(operation_id.model_name, priced, _passes)
        if isinstance(operation_id, ToolsetCallToolId):
            called, args = str(cache_key[0]), cast("dict[str, Any]", cache_key[1])
            shown = to_jsonable_python(args, fallback=str)
            tool = self._engine.tools.get(called)
            return await job.tool(Called(called, _CALL.get(), args, shown, tool), body)
        return await body()


class RunDurability(BaseDurabilityCapability[Any]):
    """Make a run of pydantic-ai durable in an agent."""

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="perdure",
        durable_unit_noun="step",
        durable_container_noun="run",
        codec=JSON_CODEC,
        sequential_tools_in_durable_context=False,
    )

    def __init__(self, engine: Engine, hear: EventStreamHandler[Any] | None) -> None:
        """Work for an engine."""
        super().__init__(name=engine.name, event_stream_handler=hear)
        self._engine = engine

    @property
    def in_durable_context(self) -> bool:
        """Whether a run of an agent is under way here."""
        return _JOB.get() is not None

    def get_durable_operation_backend(self) -> DurableOperationBackend[Any]:
        """Return what takes the steps down."""
        return _Backend(self._engine)

    async def before_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Begin a model call: what is said to it is taken down first."""
        request_context = await super().before_model_request(ctx, request_context)
        job = _job()
        last = request_context.messages[-1]
        assert isinstance(last, ModelRequest)
        await tell_missed(request_context.messages, job)
        if job.limit is not None:
            await _limit(request_context, job, job.limit)
        parts = stored(last.parts, job.results)
        job.says(_Request(last, job), parts, last.instructions or "")
        return request_context

    async def prepare_model_request(
        self, ctx: RunContext[Any], request_context: ModelRequestContext
    ) -> ModelRequestContext:
        """Have at hand what a model is told besides: see ``Reminded``."""
        job = _job()
        if not job.answered:
            await job.remember()
        return await super().prepare_model_request(ctx, request_context)

    async def wrap_tool_execute(
        self,
        ctx: RunContext[Any],
        *,
        call: ToolCallPart,
        tool_def: ToolDefinition,
        args: dict[str, Any],
        handler: Any,  # noqa: ANN401 - a callable of the base
    ) -> Any:  # noqa: ANN401 - as the base has it
        """Know which call it is."""
        token = _CALL.set(call.tool_call_id)
        try:
            return await super().wrap_tool_execute(
                ctx, call=call, tool_def=tool_def, args=args, handler=handler
            )
        finally:
            _CALL.reset(token)


class _Request:
    """What is said to a model with its next call, as long as it may be changed."""

    def __init__(self, message: ModelRequest, job: Job) -> None:
        self._message, self._parts = message, message.parts
        self._job = job

    def say(self, parts: list[Any] | None, texts: Sequence[str]) -> None:
        """Say ``texts`` besides, and ``parts`` in place of the request; None: as it was made.

        Each attempt says it anew: nothing is left of what the one before was given.
        """
        said = self._parts if parts is None else parts_of(parts, self._job.results)
        self._message.parts = [*said, *map(UserPromptPart, texts)]


class _Tools(FunctionToolset[Any]):
    """The tools of an agent class: called in the agent's name."""

    def __init__(self, tools: dict[str, Tool]) -> None:
        made = [
            ModelTool(_shown(tool), name=name, takes_ctx=False, sequential=tool.sequential)
            for name, tool in tools.items()
        ]
        super().__init__(made, id="tools")
        self._declared = tools

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[Any],  # noqa: ARG002 - a tool of ours asks tool_call()
        tool: ToolsetTool[Any],  # noqa: ARG002 - found by its name
    ) -> Any:  # noqa: ANN401 - as the base has it
        """Call a tool; what it raises the model is told."""
        job, declared = _job(), self._declared[name]
        changed = given.get()
        args = tool_args if changed is None else changed
        limit = asyncio.timeout(declared.limit)
        try:
            if declared.effect == "turn":
                payload = await job.in_turn(name, _CALL.get(), args)
                return payload.get("result")
            async with limit:
                return await _called(declared, job, args)
        except (*_OURS, *_MEANT):
            raise
        except Exception as error:
            told = failure(error)
            if limit.expired():  # a tool may raise a TimeoutError of its own
                took = f"{name} took longer than {declared.limit} seconds"
                told = f"{took}, and may be done all the same"
            raise _failed(told, error) from error


class Engine:
    """What runs the model of one agent class."""

    def __init__(self, agent_class: type[Any], stand_in: Model | None = None) -> None:
        """Look at what the class declares; ConfigurationError if it does not fit.

        ``stand_in`` is a model that is used in place of the class's own.
        """
        self.name = agent_class.kind
        self.tools = agent_class._tools()  # noqa: SLF001 - its engine
        model: Model | str | None = agent_class.model if stand_in is None else stand_in
        if model is None:
            raise ConfigurationError(
                f"{agent_class.__name__} has no model; write model = ..., as pydantic-ai takes it"
            )
        if agent_class.fallbacks and stand_in is None:
            model = FallbackModel(model, *agent_class.fallbacks)
        self._output = _adapter(agent_class)
        settings: Any = agent_class.settings
        self._knows = bool(agent_class.toolsets) or callable(settings)
        """Whether what is not ours may look at the messages of a run (``ctx.messages``)."""
        if not self._knows:
            model = Reminded(model, _JOB.get)
        toolsets: list[Any] = [_Tools(self.tools)] if self.tools else []
        self.thinker: Thinker[Any, Any] = Thinker(
            model,
            name=self.name,
            output_type=agent_class.output,
            instructions=agent_class.instructions or None,
            toolsets=[*toolsets, *agent_class.toolsets],
            model_settings=agent_class.settings,
            capabilities=[RunDurability(self, self._hear if agent_class.streams else None)],
        )
        self._prices = dict(agent_class.prices)
        self._priceless: set[str] = set()
        """Models that nobody knows a price of."""

    def before(self, agent: Any, run: Run) -> Before | Callable[[], Before]:  # noqa: ANN401 - a ThinkingAgent
        """Return what was said before a run, or what makes messages of it in any thread.

        Of an agent that was just loaded that is its whole transcript, too much for a turn. A run
        that goes on at a tool needs none of it.
        """
        steps, known = agent.state.transcript, vars(agent).get("_messages")
        if known is None:
            return partial(self._folded, agent, steps[: run.start])
        upto, last, transcript = cast("tuple[int, RunStep, Transcript]", known)
        more = steps[upto : run.start]
        undone = upto > run.start or (upto and steps[upto - 1] != last)  # it knows of such a turn
        if undone or any(step.what == "edited" for step in more):
            transcript = Transcript.of(steps[: run.start])
        else:
            for step in more:
                transcript.take(step)
        vars(agent)["_messages"] = (run.start, steps[run.start - 1], transcript)
        return transcript.before()

    def _folded(self, agent: Any, steps: Sequence[RunStep]) -> Before:  # noqa: ANN401 - same
        transcript = Transcript.of(steps)
        before = transcript.before()
        vars(agent)["_messages"] = (len(steps), steps[-1], transcript)
        return before

    def tail(self, agent: Any, keep: int, tokens: int | None) -> int:  # noqa: ANN401 - a ThinkingAgent
        """Return how many of the last messages are kept: they begin with something asked."""
        kept, size = 0, 0
        messages = Transcript.of(agent.state.transcript).finished()
        for count, message in enumerate(reversed(messages), 1):
            size += _size(message)
            if count > keep or (tokens is not None and size > tokens):
                break
            if isinstance(message, ModelRequest) and any(
                isinstance(part, UserPromptPart) for part in message.parts
            ):
                kept = count
        return kept

    def tells_edit(self, transcript: Sequence[RunStep], place: int) -> bool:
        """Tell whether what stands for a step of a transcript is told to the model."""
        made = Transcript.of(transcript)
        made.finished()
        return made.tells_edit(place)

    async def priced(self, body: Callable[[], Awaitable[Any]]) -> Any:  # noqa: ANN401 - JSON
        """Return an answer as it is stored, with what it has cost."""
        payload = await body()
        answer = slim(payload)
        cost = self._cost(payload)
        return {**answer, "cost": cost} if cost else answer

    def _cost(self, payload: Any) -> float:  # noqa: ANN401 - JSON
        name, used = payload.get("model_name") or "", Usage.of(payload)
        known = self._prices.get(name)
        if known is not None:
            total: float = used.tokens_in * known[0] + used.tokens_out * known[1]
            return total / _MILLION
        if name in self._priceless or not used.tokens:
            return 0.0
        try:
            price = answer_in(payload).cost()
        except (LookupError, ValueError, AssertionError):
            self._priceless.add(name)
            return 0.0
        cost: float = float(price.total_price)
        return cost

    def restored(self, output: Any) -> Any:  # noqa: ANN401 - as the class says
        """Return a stored answer as it was given."""
        return self._output.validate_json(to_json(output))  # a strict type takes no text else

    async def _hear(self, _ctx: RunContext[Any], events: AsyncIterable[AgentStreamEvent]) -> None:
        """Hand on what a model says while it says it."""
        job = _job()
        async for event in events:
            if isinstance(event, PartStartEvent) and isinstance(event.part, TextPart):
                job.tell(event.part.content)
            elif isinstance(event, PartDeltaEvent) and isinstance(event.delta, TextPartDelta):
                job.tell(event.delta.content_delta)

    async def drive(self, job: Job) -> None:
        """Go through a run, to its end or until it waits for somebody."""
        _JOB.set(job)
        try:
            with contextlib.suppress(Suspended, Stopped):
                await self._gone_through(job)
            await job.settled()
        finally:
            job.leave()

    async def _gone_through(self, job: Job) -> None:
        try:
            await job.end(*await contained(self._answer(job)))
        except (Suspended, Stopped):
            raise
        except Over as error:
            await job.end(None, [], str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended by it
            await job.end(None, [], failure(error))

    async def _answer(self, job: Job) -> tuple[Any, list[Any]]:
        """Return the answer of a run, and what is said behind it, as they are stored."""
        before = await job.remember() if self._knows else Before()
        with replay_scope():
            result = await self.thinker.run(
                job.prompt,
                message_history=before.messages,
                usage_limits=_NO_LIMITS,
                output_type=str if job.sums_up else None,
            )
        kind = _TEXT if job.sums_up else self._output
        output = kind.dump_python(result.output, mode="json")
        last = result.all_messages()[-1]
        return output, stored(last.parts, job.results) if isinstance(last, ModelRequest) else []


def _adapter(agent_class: type[Any]) -> TypeAdapter[Any]:
    """Return what stores the answers of a class; ConfigurationError if they are of no type."""
    output: Any = agent_class.output
    try:
        if not inspect.isroutine(output):
            return TypeAdapter(output)
    except PydanticSchemaGenerationError:
        pass
    name = f"{agent_class.__name__}.output"
    raise ConfigurationError(f"{name} is {output!r:.60}, which is no type; of several write A | B")


async def _called(tool: Tool, job: Job, args: dict[str, Any]) -> Any:  # noqa: ANN401 - the tool's
    """Call a tool, or what makes up for it: a method for its agent, a function as it is."""
    if tool.agent is not None:
        return await job.ask_another(tool, args["prompt"])
    call, function = calling.get(), tool.function
    me: list[Any] = [AgentBeside(job.agent)] if tool.method else []
    if call is not None and call.compensate:
        function, me = getattr(job.kind, call.compensate), [AgentBeside(job.agent)]
    if inspect.iscoroutinefunction(function):
        return await contained(function(*me, **args))
    return await contained(asyncio.to_thread(_made, function, *me, **args))


def _failed(told: str, error: Exception) -> ToolFailed:
    """Return what the model is told of an error, and hooks the error itself."""
    errors = raised.get()
    if errors is not None:
        errors.append(error)
    return ToolFailed(told)


def _made(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - the tool's
    """Call a function in a thread; a future holds no more than errors, and no StopIteration."""
    try:
        return function(*args, **kwargs)
    except StopIteration as error:
        raise harmless(error) from error
    except Exception:
        raise
    except BaseException as error:
        raise harmless(error) from error


async def _limit(request: ModelRequestContext, job: Job, left: int) -> None:
    """Have a model say no more than what is ``left`` of the tokens of its run; Over if nothing.

    What its last call took and gave is known; what came to it since is not.
    """
    news = [request.messages[-1]]
    if not job.context:
        news = [*(await job.remember()).messages, *request.messages]
    most = left - job.context - _size(*news)
    if most < 1:
        raise Over("what is left of its budget of tokens does not suffice for another model call")
    settings = dict(request.model_settings or {})
    settings["max_tokens"] = min(most, cast("int", settings.get("max_tokens") or most))
    request.model_settings = cast("ModelSettings", settings)


def _size(*messages: ModelMessage) -> int:
    """Return about how many tokens messages take: rather too many."""
    return len(ModelMessagesTypeAdapter.dump_json(list(messages))) // 3


def _passes(error: Exception) -> bool:
    """Tell whether what a provider refuses now it may take later."""
    if isinstance(error, FallbackExceptionGroup):
        return any(_passes(each) for each in error.exceptions)
    if isinstance(error, ModelHTTPError):
        return error.status_code in _LATER or error.status_code >= _SERVERS
    return isinstance(error, ModelAPIError | TimeoutError | ConnectionError)


def _shown(tool: Tool) -> Any:  # noqa: ANN401 - a function
    """Return a tool's function as the model is told of it: without ``self``."""
    return types.MethodType(tool.function, tool) if tool.method else tool.function


def engine_of(agent_class: type[Any]) -> Engine:
    """Return the engine of a class of agents that think, made once."""
    known: Engine | None = agent_class.__dict__.get("_known_engine")
    if known is None:
        known = Engine(agent_class)
        setattr(agent_class, "_known_engine", known)  # noqa: B010 - no attribute of its contract
    return known
