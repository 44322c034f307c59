"""Models: hypothesis writes to agents, crashes and restarts them, and the test's model follows."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from ..actors.agent.agent import Agent
from ..actors.talk.identity import Identified
from ..actors.talk.reference import AgentRef
from ..lifecycle.status import Status
from ..persistence.errors import ConfigurationError
from .assertions import assert_restores, live_state
from .kit import Kit, LeftBehind

try:
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
except ImportError as error:  # pragma: no cover - a test has it so in a process of its own
    message = "a machine needs hypothesis: pip install 'perdure[testing]'"
    raise ConfigurationError(message) from error


A = TypeVar("A", bound=Identified)


class AgentMachine(RuleBasedStateMachine):
    """Be the base of a model: its rules send messages, and keep a model of what must come of them.

    Restarts, crashes, pauses and time are rules that come for free: after each of them everything
    that was done before is there. After each step every agent in memory would come back as it is.
    Subclass it with ``agents``, and give pytest ``Machine.TestCase``.
    """

    agents: ClassVar[Sequence[type[Agent[Any]]]] = ()
    options: ClassVar[dict[str, Any]] = {}
    """More of what ``AgentSystem.open`` takes."""
    longest: ClassVar[float] = 7 * 86_400.0
    """Seconds that pass at once at the most."""

    def __init__(self) -> None:
        """Open a system in memory; ``begin`` is called for what is outside."""
        super().__init__()
        if not self.agents:
            name = type(self).__name__
            raise ConfigurationError(f"{name} has no agents; say agents = [Order, Stock] in it")
        self.kit = Kit().begin()
        self.prepare()
        self.kit.open(self.agents, **self.options)

    def prepare(self) -> None:
        """Set up stubs and calls outside, before the system is opened; nothing by default."""

    def passed(self, seconds: float) -> None:
        """Have the model know that time has passed; nothing by default."""

    def agent(self, agent_class: type[A], key: str) -> AgentRef[A]:
        """Return a reference to an agent of the present life."""
        return self.kit.agent(agent_class, key)

    @rule()
    def restart(self) -> None:
        """Close the system and open it again."""
        self.kit.clock.run_until_idle()
        self.kit.restart()

    @rule()
    def crash(self) -> None:
        """End the system as a kill does, with everything done so far durable."""
        self.kit.clock.run_until_idle()
        self.kit.crash()

    @rule(seconds=st.floats(0.0, 1.0))
    def time_passes(self, seconds: float) -> None:
        """Let time pass."""
        self._pass(seconds * self.longest)

    @precondition(lambda self: bool(self.kit.system.agents.count()))
    @rule(data=st.data(), seconds=st.floats(0.0, 1.0), crashes=st.booleans())
    def pause(self, data: st.DataObject, seconds: float, crashes: bool) -> None:  # noqa: FBT001 - drawn
        """Pause an agent, let time pass, maybe crash meanwhile, and resume it."""
        self.kit.clock.run_until_idle()
        active = [(each.kind, each.key) for each in self.kit.system.agents.each()]
        kind, key = data.draw(st.sampled_from(active))
        classes = {each.kind: each for each in self.agents}
        if kind not in classes or self.agent(classes[kind], key).describe().status != Status.ACTIVE:
            return
        self.agent(classes[kind], key).pause()
        self._pass(seconds * self.longest)
        if crashes:
            self.kit.crash()
        self.agent(classes[kind], key).resume()

    @invariant()
    def agents_come_back(self) -> None:
        """Have every agent in memory be what a new activation of it would read."""
        self.kit.clock.run_until_idle()
        for agent_class in self.agents:
            for row in list(self.kit.system.agents.each(agent_class.kind)):
                agent = self.agent(agent_class, row.key)
                if live_state(agent) is not None:
                    assert_restores(agent)

    def teardown(self) -> None:
        """End the systems; LeftBehind for what is left."""
        left = self.kit.end()
        if left:
            raise LeftBehind(left)

    def _pass(self, seconds: float) -> None:
        self.kit.clock.advance(seconds)
        self.passed(seconds)


def arguments(
    method: Callable[..., Any], **given: st.SearchStrategy[Any]
) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy of the arguments of a message, by the annotations of its method.

    As dictionaries: ``ref.cast(Order.place, **drawn)``. ``given`` are strategies for some of them.
    """
    hints = typing.get_type_hints(method)
    names = list(inspect.signature(method).parameters)[1:]
    unknown = [name for name in names if name not in hints and name not in given]
    if unknown:
        message = f"{method.__qualname__}: say of what type {unknown[0]!r} is, or give a strategy"
        raise ConfigurationError(message)
    return st.fixed_dictionaries(
        {name: given.get(name) or st.from_type(hints[name]) for name in names}
    )
