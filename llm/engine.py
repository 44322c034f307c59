"""Runs a model and its tools by pydantic-ai, beside the turns of an agent that takes it down."""

from __future__ import annotations

import asyncio
import inspect
import types
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Final

from pydantic import TypeAdapter
from pydantic_ai import Agent as Thinker
from pydantic_ai import FunctionToolset, RunContext
from pydantic_ai import Tool as ModelTool
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
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart
from pydantic_ai.models import Model, ModelRequestContext
from pydantic_ai.models.fallback import FallbackModel

from ..persistence.errors import ConfigurationError, told
from .agent import ThinkingAgent
from .job import Job, Over, Stopped, Suspended
from .records import Run, Spent
from .tools import Tool
from .transcript import Transcript, slim, stored

_JOB: Final[ContextVar[Job | None]] = ContextVar("perdure_run", default=None)
_CALL: Final[ContextVar[str]] = ContextVar("perdure_tool", default="")
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
            return await job.model(operation_id.model_name, lambda: _slimmed(body), _used)
        if isinstance(operation_id, ToolsetCallToolId):
            called, args = str(cache_key[0]), cache_key[1]
            tool = self._engine.tools.get(called)
            return await job.tool(called, _CALL.get(), args, lambda _other: body(), tool)
        return await body()


class Durability(BaseDurabilityCapability[Any]):
    """Make a run of pydantic-ai durable in an agent."""

    engine_spec: ClassVar[DurabilityEngineSpec] = DurabilityEngineSpec(
        engine_name="perdure",
        durable_unit_noun="step",
        durable_container_noun="run",
        codec=JSON_CODEC,
        sequential_tools_in_durable_context=True,
    )

    def __init__(self, engine: Engine) -> None:
        """Work for an engine."""
        super().__init__(name=engine.name)
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
        parts = stored(last.parts, job.results)
        name = request_context.model.model_name
        for text in await job.model_begins(name, parts):
            said = [*last.parts, UserPromptPart(text)]
            last.parts = said
        return request_context

    async def wrap_tool_execute(
        self, ctx: RunContext[Any], *, call: Any, tool_def: Any, args: Any, handler: Any
    ) -> Any:  # noqa: ANN401 - as the base has it
        """Know which call it is."""
        token = _CALL.set(call.tool_call_id)
        try:
            return await super().wrap_tool_execute(
                ctx, call=call, tool_def=tool_def, args=args, handler=handler
            )
        finally:
            _CALL.reset(token)


class _Tools(FunctionToolset[Any]):
    """The tools of an agent class: called in the agent's name."""

    def __init__(self, tools: dict[str, Tool]) -> None:
        made = [ModelTool(_shown(tool), name=tool.name, takes_ctx=False) for tool in tools.values()]
        super().__init__(made, id="tools")
        self._declared = tools

    async def call_tool(self, name: str, tool_args: dict[str, Any], ctx: Any, tool: Any) -> Any:  # noqa: ANN401 - as the base has it
        job, declared = _job(), self._declared[name]
        try:
            if declared.effect == "turn":
                payload = await job.in_turn(name, _CALL.get(), tool_args)
                return payload.get("result")
            async with asyncio.timeout(declared.limit):
                return await _called(declared, job, tool_args)
        except TimeoutError:
            raise ToolFailed(f"{name} took longer than {declared.limit} seconds") from None
        except (Suspended, Stopped, Over, asyncio.CancelledError):
            raise
        except Exception as error:
            if type(error).__module__.partition(".")[0] in ("pydantic_ai", "pydantic"):
                raise
            raise ToolFailed(told(error)) from error


class Engine:
    """What runs the model of one agent class."""

    def __init__(self, agent_class: type[ThinkingAgent[Any]]) -> None:
        """Look at what the class declares; ConfigurationError if it does not fit."""
        self.name = agent_class.kind
        self.tools = agent_class._tools()  # noqa: SLF001 - its engine
        if agent_class.model is None:
            raise ConfigurationError(
                f'{agent_class.__name__} says no model; write model = "openai:gpt-5-mini", or another'
            )
        model: Model | str = agent_class.model
        if agent_class.fallbacks:
            model = FallbackModel(model, *agent_class.fallbacks)
        toolsets: list[Any] = [_Tools(self.tools)] if self.tools else []
        self.thinker: Thinker[Any, Any] = Thinker(
            model,
            name=self.name,
            output_type=agent_class.output,
            instructions=agent_class.instructions or None,
            toolsets=[*toolsets, *agent_class.toolsets],
            model_settings=agent_class.settings,
            capabilities=[Durability(self)],
        )
        self._output: TypeAdapter[Any] = TypeAdapter(agent_class.output)

    def history(self, agent: ThinkingAgent[Any], run: Run) -> list[ModelMessage]:
        """Return what was said before a run."""
        known = agent.__dict__.get("_messages")
        upto, transcript = known or (0, Transcript())
        if upto > run.start:
            upto, transcript = 0, Transcript()
        for step in agent.state.transcript[upto : run.start]:
            if step.run != run.id:
                transcript.take(step)
        agent.__dict__["_messages"] = (run.start, transcript)
        return transcript.finished()

    def restored(self, output: Any) -> Any:  # noqa: ANN401 - as the class says
        """Return a stored answer as it was given."""
        return self._output.validate_python(output)

    async def drive(self, job: Job) -> None:
        """Go through a run, to its end or until it waits for somebody."""
        _JOB.set(job)
        try:
            with replay_scope():
                result = await self.thinker.run(job.prompt, message_history=job.history)
        except (Suspended, Stopped):
            return
        except Exception as error:
            await job.end(None, None, [], str(error) if isinstance(error, Over) else told(error))
            return
        output = self._output.dump_python(result.output, mode="json")
        last = result.all_messages()[-1]
        tail = stored(last.parts, job.results) if isinstance(last, ModelRequest) else []
        await job.end(result.output, output, tail)


async def _called(tool: Tool, job: Job, args: dict[str, Any]) -> Any:  # noqa: ANN401 - the tool's
    """Call a tool: a method for its agent, a function as it is."""
    me: Sequence[Any] = (job.agent,) if tool.method else ()
    if inspect.iscoroutinefunction(tool.function):
        return await tool.function(*me, **args)
    result = await asyncio.to_thread(tool.function, *me, **args)
    return await result if inspect.isawaitable(result) else result


async def _slimmed(body: Any) -> Any:  # noqa: ANN401 - JSON
    return slim(await body())


def _shown(tool: Tool) -> Any:  # noqa: ANN401 - a function
    """Return a tool's function as the model is told of it: without ``self``."""
    return types.MethodType(tool.function, tool) if tool.method else tool.function


def _used(payload: Any) -> Spent:  # noqa: ANN401 - JSON
    usage = payload.get("usage", {})
    return Spent(tokens_in=usage.get("input_tokens", 0), tokens_out=usage.get("output_tokens", 0))


def engine_of(agent_class: type[ThinkingAgent[Any]]) -> Engine:
    """Return the engine of a class, made once."""
    known: Engine | None = agent_class.__dict__.get("_known_engine")
    if known is None:
        known = Engine(agent_class)
        agent_class._known_engine = known  # type: ignore[attr-defined]
    return known
