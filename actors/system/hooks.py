"""The hooks of a system as people handle them: ``system.hooks``."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar, overload

from ...hooks.executor import run_chain
from ...hooks.hook import Declared, HookOptions, HookStatistics
from ...hooks.points import Point, point_of
from ...persistence.errors import ConfigurationError
from ..agent.agent import Agent
from ..cell.hooks import HookOffice
from ..cell.listeners import refuse
from ..talk.reference import AgentRef
from ..talk.turn import under_way
from .history import HookHistory
from .post import refuse_agents

F = TypeVar("F", bound=Callable[..., Any])
D = TypeVar("D")


class HookSet(Protocol):
    """Hooks that belong together, as those that perdure ships."""

    def hooks(self) -> Iterable[Declared]:
        """Return them, to be registered."""
        ...


class Hooks:
    """Register code that intervenes; see what it does. Thread-safe.

    What is registered here is the system's: it acts in the system's name, and not as a part of the
    turns in which it runs. Methods of agent classes are declared with ``hook``.
    """

    def __init__(self, office: HookOffice, history: HookHistory) -> None:
        """Register with an office."""
        self.history = history
        """What hooks did: ``list()``, ``each()``, ``count()``, ``get(id)``, ``pin(id)``."""
        self._office = office
        self._registry = office.registry

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
        found, kind, key = point_of(point), *_whose(agents)

        def register(function: Callable[..., Any]) -> Callable[..., Any]:
            called = name or getattr(function, "__qualname__", type(function).__qualname__)
            declared = Declared(found, function, HookOptions(**options), called)
            self._registry.add(declared, kind=kind, key=key)
            return function

        return register if function is None else register(function)

    def add(
        self, hooks: HookSet, *, agents: type[Agent[Any]] | AgentRef[Any] | str | None = None
    ) -> None:
        """Register hooks that belong together."""
        refuse_agents("register hooks")
        kind, key = _whose(agents)
        for declared in hooks.hooks():
            self._registry.add(declared, kind=kind, key=key)

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

        HookCancelled where one cancels; HookFailed where one fails closed.
        """
        turn = under_way()
        kind, key, agent = "", "", None
        if turn is not None:
            cell: Any = turn.cell
            kind, key, agent = cell.kind, cell.key, cell.activation.agent
        chain = self._registry.chain(point, kind, key)
        runs = None if turn is None or turn.notes is None else turn.notes.runs
        decision = run_chain(chain, details, point.name, agent, self._office, runs)
        refuse(decision)
        return details if decision is None else decision.details


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
