"""What is served of agent classes: a tool for each handler, one for each agent that thinks."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import msgspec

from ..actors.agent.agent import Agent
from ..actors.talk.messages import hints_of
from ..actors.talk.reference import AgentRef
from ..llm.agent import ThinkingAgent
from ..llm.records import Run
from ..persistence.errors import ConfigurationError, PerdureError

WAIT: Final = 50.0
"""Seconds after which a call of an agent that thinks says how its run stands: clients give up."""
_LAST_WORDS: Final = 1.0
"""Seconds for which an answer waits for those who tell of its run."""
MAIN: Final = "main"
"""The key of the agent that is meant where a client names none."""
_OURS: Final = {False: frozenset(dir(Agent)), True: frozenset(dir(ThinkingAgent))}
"""Methods that nobody has written, of an agent that thinks or of another."""
_ODD: Final = re.compile(r"[^A-Za-z0-9_.-]")
"""What clients take in no name of a tool."""
_MARKS: Final = "__perdure"
_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Reference: TypeAlias = Callable[[type[Agent[Any]], str], Any]
"""Returns a reference to an agent: ``system.agent``."""
Progress: TypeAlias = Callable[[float, float | None, str | None], Awaitable[None]]
"""Tells a client how far a call is: of how much, and what was done."""


class Thought(msgspec.Struct, forbid_unknown_fields=True):
    """What an agent that thinks is asked."""

    prompt: str = ""
    """What it is asked; may be left out where the run is known."""
    key: str = MAIN
    """Which agent of its kind: each key has a conversation of its own."""
    run: str = ""
    """The name of the run: asked again by it, the same answer comes, and nothing is paid twice."""


@dataclass(frozen=True, slots=True)
class ServedTool:
    """A tool that is served."""

    name: str
    about: str
    takes: type[msgspec.Struct]
    """Its arguments."""
    call: Callable[[Reference, Any, Progress | None], Awaitable[object]]

    def schema(self) -> dict[str, Any]:
        """Return the JSON schema of its arguments."""
        (_,), parts = msgspec.json.schema_components([self.takes], ref_template="#/$defs/{name}")
        own: dict[str, Any] = parts.pop(self.takes.__name__)
        own = {"$schema": _DIALECT, **own}
        return {**own, "$defs": parts} if parts else own

    async def answer(
        self, agents: Reference, arguments: Mapping[str, object], progress: Progress | None = None
    ) -> str:
        """Call it; what comes back is a text, or JSON. ``progress`` is told of the steps of a run.

        Raises:
            msgspec.ValidationError: the arguments do not fit.
        """
        given = msgspec.convert(arguments, self.takes, str_keys=True)  # JSON has no other keys
        return _text(await self.call(agents, given, progress))


def served(classes: Iterable[type[Agent[Any]]]) -> dict[str, ServedTool]:
    """Return the tools of agent classes, by name.

    An agent that thinks is one tool, and its handlers are others; what decides about its runs is
    not served, since a person does that. ConfigurationError names a handler that cannot be served.
    """
    found: dict[str, ServedTool] = {}
    for agent_class in classes:
        tools = [_handler(agent_class, name) for name in _handlers(agent_class)]
        if issubclass(agent_class, ThinkingAgent):
            tools.append(_thinking(agent_class))
        for tool in tools:
            if tool.name in found:
                message = f"two of the agents' tools are {tool.name}; serve one kind or rename it"
                raise ConfigurationError(message)
            found[tool.name] = tool
    if not found:
        raise ConfigurationError("the agents have no public methods, so there is nothing to serve")
    return found


def _text(result: object) -> str:
    """Return what a call has returned as text; it was done, also where nobody can be told what."""
    try:
        text = result if isinstance(result, str) else msgspec.json.encode(result).decode()
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        text = f"It is done. What it returned JSON does not have: {error}"
    return text.encode(errors="backslashreplace").decode()  # half a pair would end the connection


def _handlers(agent_class: type[Agent[Any]]) -> list[str]:
    ours = _OURS[issubclass(agent_class, ThinkingAgent)]
    return [
        name
        for name in dir(agent_class)
        if not name.startswith("_")
        and name not in ours
        and inspect.isfunction(function := inspect.getattr_static(agent_class, name))
        and not any(mark.startswith(_MARKS) for mark in vars(function))
    ]


def _handler(agent_class: type[Agent[Any]], name: str) -> ServedTool:
    function = getattr(agent_class, name)
    tool = _ODD.sub("_", f"{agent_class.kind}_{name}")
    hints = hints_of(function)
    parameters = list(inspect.signature(function).parameters.values())[1:]
    fields: list[Any] = [("key", str, MAIN)]
    for each in parameters:
        hint = hints.get(each.name)
        if hint is None or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise ConfigurationError(
                f"{agent_class.__name__}.{name} does not say what {each.name!r} is; annotate it, or"
                " begin the name of the method with an underscore to keep it from being served"
            )
        if each.name == "key":
            raise ConfigurationError(
                f"{agent_class.__name__}.{name} takes 'key', which says which agent is meant;"
                " give the parameter another name"
            )
        fields.append((each.name, hint, *_default(each)))
    takes = msgspec.defstruct(tool, fields, kw_only=True, forbid_unknown_fields=True)

    async def call(agents: Reference, given: Any, _progress: object) -> object:  # noqa: ANN401 - ``takes``
        rest = {each.name: getattr(given, each.name) for each in parameters}
        first = [rest.pop(each.name) for each in parameters if each.kind is each.POSITIONAL_ONLY]
        return await agents(agent_class, given.key).call(function, *first, **rest)

    made = ServedTool(tool, inspect.getdoc(function) or tool, takes, call)
    try:
        made.schema()
    except TypeError as error:
        message = f"{agent_class.__name__}.{name} takes what JSON does not have: {error}"
        raise ConfigurationError(message) from None
    return made


def _default(parameter: inspect.Parameter) -> tuple[Any, ...]:
    """Return what stands for an argument that is left out, if one may be."""
    default = parameter.default
    if default is parameter.empty:
        return ()
    try:
        hash(default)
    except TypeError:  # it could be changed: msgspec takes no such default
        return (msgspec.field(default_factory=lambda: default),)
    return (default,)


def _thinking(agent_class: type[ThinkingAgent[Any]]) -> ServedTool:
    about = inspect.getdoc(agent_class) or agent_class.kind
    about += (
        f"\n\nAsk it with `prompt`. A run that takes longer than {WAIT:g} seconds, or waits for a"
        " person, is not lost: call again with the name of the run that you are told."
    )

    async def call(agents: Reference, given: Thought, progress: Progress | None) -> object:
        ref, run = agents(agent_class, given.key), given.run or f"mcp-{uuid.uuid4().hex}"
        asked = ref.call(agent_class.think, given.prompt, run=run)
        telling = None if progress is None else asyncio.create_task(_tell(ref, run, progress))
        try:
            answer = await asyncio.wait_for(asked, WAIT)
        except TimeoutError:
            return _standing(given.key, await ref.call(agent_class.run_status, run))
        else:
            if telling is not None:  # what it tells of is over
                await asyncio.wait([telling], timeout=_LAST_WORDS)
            return answer
        finally:
            if telling is not None:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)

    return ServedTool(_ODD.sub("_", f"{agent_class.kind}_think"), about, Thought, call)


async def _tell(ref: AgentRef[Any], run: str, progress: Progress) -> None:
    """Tell a client of each step of a run, as it is durable."""
    count = 0
    with contextlib.suppress(PerdureError):  # the call says what is wrong
        async for event in ref.stream(run):
            if event.what != "text":
                count += 1
                about = f"{event.op} {event.name}: {event.what}" if event.op else event.what
                await progress(count, None, about)


def _standing(key: str, run: Run) -> str:
    waits = "; ".join(f"{each.why}: {each.name}" for each in run.waiting)
    return (
        f"There is no answer yet: run {run.id} is {run.status}{f' ({waits})' if waits else ''}."
        f" Call again with key={key!r} and run={run.id!r}."
    )
