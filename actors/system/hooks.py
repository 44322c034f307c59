"""The hooks of a system as people handle them: ``system.hooks``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar, overload

from ...hooks.hook import Declared, HookStatistics, check_called, options_of
from ...hooks.points import (
    ERROR,
    MESSAGE_AFTER,
    MESSAGE_BEFORE,
    MODELS,
    POINTS,
    TOOLS,
    Point,
    Work,
    point_of,
)
from ...hooks.sets import HOOKED, HookHost, HookSet
from ...persistence.errors import ConfigurationError
from ..agent.agent import Agent
from ..cell.hooks import HookOffice
from ..cell.listeners import refuse
from ..talk.reference import AgentRef
from .calls import ProgramPoints
from .deferred import DeferredCalls
from .history import HookHistory
from .post import refuse_agents

F = TypeVar("F", bound=Callable[..., Any])
D = TypeVar("D")
T = TypeVar("T")

_HANDLED: Final = frozenset({MESSAGE_BEFORE, MESSAGE_AFTER, ERROR})
"""Points at which hooks listen to methods of their agents."""


class Hooks:
    """Register code that intervenes; see what it does. Thread-safe.

    What is registered here is the system's: it acts in the system's name, and not as a part of the
    turns in which it runs. Methods of agent classes are declared with ``hook``.
    """

    def __init__(  # noqa: PLR0917 - what it is composed of
        self,
        office: HookOffice,
        history: HookHistory,
        programs: ProgramPoints,
        deferred: DeferredCalls,
        host: Callable[[str], HookHost],
        classes: Mapping[str, type],
    ) -> None:
        """Register with an office; first what acts for agent classes, by kind (``hooked``).

        ``host`` gives what sets get that belong to a kind, or with an empty one to the system.
        """
        self.history = history
        """What hooks did: ``list()``, ``each()``, ``count()``, ``get(id)``, ``pin(id)``."""
        self.deferred = deferred
        """Calls that are stored and not made yet, each with why it waits: ``list()``, ..."""
        self._office = office
        self._registry = office.registry
        self._host = host
        self._points = programs
        self._classes = classes
        for kind, agent_class in classes.items():
            for each in getattr(agent_class, HOOKED, ()):
                self._add(each, kind, "", owner=kind)

    @overload
    def on(
        self,
        point: Point[Any] | str,
        function: None = None,
        *,
        agents: type[Agent[Any]] | AgentRef[Any] | str | None = None,
        name: str = "",
        **options: Any,  # noqa: ANN401 - of HookOptions
    ) -> Callable[[F], F]: ...
    @overload
    def on(
        self,
        point: Point[Any] | str,
        function: F,
        *,
        agents: type[Agent[Any]] | AgentRef[Any] | str | None = None,
        name: str = "",
        **options: Any,  # noqa: ANN401 - of HookOptions
    ) -> F: ...
    def on(
        self,
        point: Point[Any] | str,
        function: Callable[..., Any] | None = None,
        *,
        agents: type[Agent[Any]] | AgentRef[Any] | str | None = None,
        name: str = "",
        **options: Any,
    ) -> Any:  # fmt: skip
        """Register a function at a point, for all agents, those of a class, or one.

        It is called as ``function(details)``, may be ``async def``, and says by its annotation what
        it may answer. ``options`` are those of HookOptions. Without a function this is a decorator.
        ConfigurationError for an answer the point does not take, or a name that is taken; Denied in
        what an agent runs.
        """
        refuse_agents("register hooks")
        found, (kind, key) = point_of(point), self._whose(agents)

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            called = name or getattr(function, "__qualname__", type(function).__qualname__)
            declared = Declared(found, function, options_of(options), called)
            check_called(called, function)
            if kind and found in _HANDLED:
                self._check_methods(declared, kind)
            self._registry.add(declared, kind=kind, key=key)
            return function

        return register if function is None else register(function)

    def add(
        self, hooks: HookSet, *, agents: type[Agent[Any]] | AgentRef[Any] | str | None = None
    ) -> tuple[str, ...]:
        """Register hooks that belong together, all or none; return their names.

        Those for an agent class or an agent are named after it: ``Desk.rate_limit``. Denied in what
        an agent runs.
        """
        refuse_agents("register hooks")
        return self._add(hooks, *self._whose(agents), owner="")

    def _add(self, hooks: HookSet, kind: str, key: str, *, owner: str) -> tuple[str, ...]:
        if isinstance(hooks, type) or not callable(getattr(hooks, "hooks", None)):
            message = f"hooks.add({hooks!r}): give an object with hooks(), as RateLimit(10)"
            raise ConfigurationError(message)
        whose = f"{kind}/{key}." if key else f"{kind}." if kind else ""
        added: list[str] = []
        try:
            for each in hooks.hooks(self._host(owner)):
                named = Declared(each.point, each.function, each.options, whose + each.name)
                self._registry.add(named, owner=owner, kind=kind, key=key)
                added.append(named.name)
        except BaseException:
            for name in added:
                self._registry.remove(name)
            raise
        return tuple(added)

    def _whose(self, agents: object) -> tuple[str, str]:
        kind, key = _whose(agents)
        if kind and kind not in self._classes:
            message = (
                f"no agent class of kind {kind!r} is here, so the hook would never run; open the"
                f" system with agents=[..., {kind}]"
            )
            raise ConfigurationError(message)
        return kind, key

    def _check_methods(self, declared: Declared, kind: str) -> None:
        """Refuse to listen at methods that the agents do not have: a guard would let all pass."""
        for name in declared.options.on:
            if name != "on_receive" and "." not in name and not hasattr(self._classes[kind], name):
                message = (
                    f"hook {declared.name}: on={name!r}, and {kind} has no such method, so the hook"
                    " would never run"
                )
                raise ConfigurationError(message)

    def remove(self, name: str) -> None:
        """Forget a hook; UnknownHook if there is none of that name."""
        refuse_agents("remove hooks")
        self._registry.remove(name)

    def enable(self, name: str) -> None:
        """Have a hook run again; UnknownHook if there is none of that name."""
        refuse_agents("enable hooks")
        self._registry.enable(name)

    def disable(self, name: str) -> None:
        """Have a hook run no more until it is enabled; UnknownHook."""
        refuse_agents("disable hooks")
        self._registry.enable(name, enabled=False)

    def record(self, ref: AgentRef[Any], *, recorded: bool = True) -> None:
        """Have whole turns of one agent recorded from the next one on, or not, in this process.

        For all agents of a class there is ``record = True``.
        """
        refuse_agents("have turns recorded")
        self._office.record(ref.kind, ref.key, recorded=recorded)

    def list(self) -> list[HookStatistics]:
        """Return every hook with what it did, in the order in which they run."""
        return [hook.statistics() for hook in self._registry.list()]

    def get(self, name: str) -> HookStatistics:
        """Return what a hook did; UnknownHook if there is none of that name."""
        return self._registry.get(name).statistics()

    def run(self, point: Point[D], details: D) -> D:
        """Run the hooks of a program's own point, and return the details as they left them.

        In a turn those that listen to its agent, and as a part of it; outside those that listen to
        all. HookCancelled where one cancels; HookFailed where one fails closed.
        """
        if POINTS.get(point.name) is point:
            message = f"{point} is run by perdure; run a Point.custom, or call_tool and call_model"
            raise ConfigurationError(message)
        decision = self._points.run(point, details)
        refuse(decision)
        return details if decision is None else decision.details

    def heard(self, work: Work, kind: str, key: str) -> bool:
        """Tell whether any hook listens to calls of an agent: of models, or of tools."""
        chain = self._registry.chain
        return any(chain(point, kind, key) for point in work)

    @overload
    def call_tool(
        self, name: str, tool: Callable[..., Coroutine[Any, Any, T]], /, **args: object
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def call_tool(self, name: str, tool: Callable[..., T], /, **args: object) -> T: ...
    def call_tool(self, name: str, tool: Callable[..., Any], /, **args: object) -> Any:
        """Call ``tool(**args)`` with the hooks of tool calls around it; returns what it returns.

        They may answer for it, change its arguments and its result, cancel it (HookCancelled), hold
        it (CallHeld), have it called again; as ``run``, they are part of the turn in which this is
        called. Where the tool is ``async def``, await this. In a turn it is a call outside as any
        other: made again when the turn is handled again.
        """
        return self._points.call(TOOLS, name, tool, args)

    @overload
    def call_model(
        self, name: str, model: Callable[..., Coroutine[Any, Any, T]], /, **args: object
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def call_model(self, name: str, model: Callable[..., T], /, **args: object) -> T: ...
    def call_model(self, name: str, model: Callable[..., Any], /, **args: object) -> Any:
        """Call ``model(**args)`` with the hooks of model calls around it, as ``call_tool``."""
        return self._points.call(MODELS, name, model, args)


def _whose(agents: object) -> tuple[str, str]:
    if agents is None:
        return "", ""
    if isinstance(agents, str):
        return agents, ""
    if isinstance(agents, AgentRef):
        return agents.kind, agents.key
    if isinstance(agents, type) and issubclass(agents, Agent):
        return agents.kind, ""
    message = f"agents={agents!r}: give an agent class, its kind, or a reference to one agent"
    raise ConfigurationError(message)
