"""Tools of agents that think: methods and functions that a model may call."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar, get_args, overload

from ..persistence.errors import ConfigurationError
from .records import Effect

F = TypeVar("F", bound=Callable[..., Any])
_MARK: Final = "__perdure_tool__"
_EFFECTS: Final = get_args(Effect)
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""What all providers take for the name of a tool."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A method or function that a model may call, and what running it twice would do."""

    name: str
    function: Callable[..., Any]
    effect: Effect
    approve: bool
    """Whether a person has to agree to each call."""
    limit: float | None
    """Seconds that a call may take."""
    compensate: str | None
    """The name of what makes up for a call in doubt: with it, that needs no decision."""
    method: bool
    """Whether it is a method of the agent's class."""
    sequential: bool = False
    """Whether it runs alone, where others are called in the same answer."""
    question: bool = False
    """Whether its result is what a person answers."""
    agent: type | None = None
    """The class of the agent that thinks which answers in its place."""
    key: str = ""
    """The key of that agent; empty for that of the one who asks."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The call of a tool under way: ``tool_call()``."""

    run: str
    call: str
    """The id that the model gave to it."""
    key: str
    """The same at each attempt, and of no other call: an idempotency key."""
    attempt: int
    compensate: str = ""
    """What is called in place of the tool."""


calling: Final[ContextVar[ToolCall | None]] = ContextVar("perdure_tool_call", default=None)


def tool_call() -> ToolCall:
    """Return what a tool may know of its call; ConfigurationError outside of one."""
    found = calling.get()
    if found is None:
        raise ConfigurationError("tool_call() is there in a tool that a model has called only")
    return found


@overload
def tool(function: F, /) -> F: ...
@overload
def tool(
    *,
    effect: Effect = "once",
    approve: bool = False,
    limit: float | None = None,
    compensate: str | None = None,
    sequential: bool = False,
    name: str | None = None,
) -> Callable[[F], F]: ...
def tool(
    function: F | None = None,
    /,
    *,
    effect: Effect = "once",
    approve: bool = False,
    limit: float | None = None,
    compensate: str | None = None,
    sequential: bool = False,
    name: str | None = None,
) -> F | Callable[[F], F]:
    """Declare a method, or a function given to ``define``, as a tool of an agent that thinks.

    Its name, docstring and annotations are what the model is told. It runs beside the turns of its
    agent, in the agent's name, and has no ``self.state`` there; with ``effect="turn"`` it has.

    Args:
        function: the tool, where nothing is said of it.
        effect: what a second run of one call would do. ``"safe"``: nothing, it only reads.
            ``"idempotent"``: nothing, as it hands ``tool_call().key`` on. ``"once"``: harm; a call
            in doubt waits for a decision. ``"turn"``: it changes nothing but its agent and sends
            messages; it runs as a turn, which is all or nothing, and so exactly once.
        approve: have a person agree to each call first.
        limit: seconds that a call may take, not with ``"turn"``. Then it has failed and the model
            is told that it may be done all the same; a function in a thread goes on to its end.
        compensate: the method that is called instead of a decision where a call of ``"once"`` is in
            doubt, with the same arguments; what it returns is the result.
        sequential: run it alone. Tools that the model calls in one answer run at the same time, but
            calls before such a one end first, and those behind it begin afterwards.
        name: what the model calls it by, if not by the function's name.
    """
    if effect not in _EFFECTS:
        raise ConfigurationError(f"effect={effect!r} is unknown; use {', '.join(_EFFECTS)}")
    if limit is not None and effect == "turn":
        raise ConfigurationError('limit=... is not for effect="turn"; set turn_limit of the class')
    if compensate is not None and effect != "once":
        raise ConfigurationError(f'compensate=... is for effect="once", not {effect!r}; leave it')

    def declared(function: F) -> F:
        found = replace(
            _plain(function), effect=effect, approve=approve, limit=limit, compensate=compensate,
            sequential=sequential,
        )  # fmt: skip
        setattr(function, _MARK, replace(found, name=name or found.name))
        return function

    return declared if function is None else declared(function)


def agent_tool(agent_class: type, *, name: str, about: str, key: str = "") -> Callable[..., Any]:
    """Return a tool, to be given in ``tools``, by which a model asks another agent that thinks.

    The other is asked once for each call, whatever crashes, and may use what is left of the budget
    of the run that asks.

    Args:
        agent_class: the other's class.
        name: what the model calls the tool.
        about: what the model is told of it.
        key: the other's key; by default that of the agent that asks.
    """

    def ask(prompt: str) -> str:
        raise ConfigurationError(f"{name} is called by a model, not with {prompt!r}")

    ask.__name__, ask.__doc__ = name, about
    mark = replace(_plain(ask), effect="idempotent", agent=agent_class, key=key)
    setattr(ask, _MARK, mark)
    return ask


def tools_of(agent_class: type, functions: Iterable[Callable[..., Any]] = ()) -> dict[str, Tool]:
    """Return the tools of an agent class and the functions given to it, by name."""
    found: dict[str, Tool] = {}
    for attribute in dir(agent_class):
        function = inspect.getattr_static(agent_class, attribute)
        mark: Tool | None = getattr(function, _MARK, None)
        if mark is not None:
            _add(found, replace(mark, function=function, method=True), agent_class)
    for function in functions:
        _add(found, getattr(function, _MARK, None) or _plain(function), agent_class)
    return found


def _plain(function: Callable[..., Any]) -> Tool:
    """Return a function of which nothing was said."""
    name = getattr(function, "__name__", "")
    if not name:
        raise ConfigurationError(f"{function!r} has no name; a tool is a function")
    return Tool(name, function, "once", approve=False, limit=None, compensate=None, method=False)


def ask_person(question: str) -> str:
    """Ask a person, and wait for the answer, which may take long.

    Give it in ``tools`` to a model that may ask; the run waits until ``answer(run, call, text)``.
    """
    raise ConfigurationError(f"nobody has answered {question!r}")


setattr(ask_person, _MARK, replace(_plain(ask_person), effect="safe", question=True))


def _add(found: dict[str, Tool], new: Tool, agent_class: type) -> None:
    where = f"{agent_class.__name__}.{new.name}"
    if _NAME.fullmatch(new.name) is None:
        message = f"{where}: models call tools by letters, digits, - and _, 64 at most; name=..."
        raise ConfigurationError(message)
    if new.name in found:
        raise ConfigurationError(f"{where} is the name of two tools; give one name=...")
    if new.compensate is not None and not callable(getattr(agent_class, new.compensate, None)):
        raise ConfigurationError(
            f"{where} has compensate={new.compensate!r}, which is no method of its class"
        )
    if new.effect == "turn" and not new.method:
        raise ConfigurationError(f'{where} has effect="turn" and is no method: it has no state')
    found[new.name] = new
