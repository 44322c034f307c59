"""In whose name hooks act: what their agent is Denied, they are, wherever they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Auditing,
    CostBudget,
    Declared,
    Details,
    HookHost,
    HookOptions,
    MessageDetails,
    OutcomeDetails,
    Point,
    Principal,
    Scope,
    State,
    hook,
    hooked,
)
from perdure.hooks import points
from perdure.persistence.errors import ConfigurationError, Denied
from tests.kit.deadline import DEADLINE

ELSEWHERE = Scope.agent("Other", "x")
CHECKED = Point.custom("rights.checked", MessageDetails)
PLACES = [
    points.MESSAGE_BEFORE, points.MESSAGE_AFTER, points.STATE_BEFORE, points.STATE_AFTER,
    points.SAVE_BEFORE, points.SAVE_AFTER, points.LOAD_AFTER, points.LIFECYCLE_BEFORE,
    points.LIFECYCLE_AFTER, points.ERROR, CHECKED,
]  # fmt: skip


class Total(State):
    total: int = 0


class Meddler:
    """Try what only the system may do, and take down what came of it."""

    system: ClassVar[AgentSystem]
    seen: ClassVar[list[str]] = []

    @classmethod
    def tries(cls) -> Iterator[Callable[[], object]]:
        """Iterate over what no agent may."""
        system = cls.system
        yield lambda: system.state.set(ELSEWHERE, "key", 1)
        yield lambda: system.state.transact(lambda state: state.set(ELSEWHERE, "key", 1))
        yield lambda: system.agent(Other, "x").pause()
        yield lambda: system.hooks.remove("guard")
        yield system.dead_letters.count
        yield lambda: system.mail.count(kind="Other", key="x")

    @classmethod
    def act(cls, where: str) -> None:
        """Try all of it, and write what the agent may."""
        for attempt in cls.tries():
            try:
                attempt()
            except Denied:
                cls.seen.append(where)
            else:
                cls.seen.append(f"{where}: allowed")


class Set:
    """A set of one hook."""

    def __init__(
        self,
        point: Point[Any],
        function: Callable[[Any, HookHost], None],
        **options: Any,  # noqa: ANN401
    ) -> None:
        """Run a function with the details and the host."""
        self._point, self._function, self._options = point, function, options

    def hooks(self, host: HookHost) -> Iterable[Declared]:
        """Return it."""

        def act(details: Details) -> None:
            self._function(details, host)

        yield Declared(self._point, act, HookOptions(**self._options), "set")


class Other(Agent[Total]):
    pass


def _desk(**body: object) -> type[Agent[Total]]:
    class Desk(Agent[Total]):
        def add(self, number: int) -> int:
            self.state.total += number
            details = MessageDetails("Desk", "a", 0, 0, "add", (), {}, 0, 1, asked=True)
            Meddler.system.hooks.run(CHECKED, details)
            if number < 0:
                raise ValueError("negative")
            return self.state.total

    for name, value in body.items():
        setattr(Desk, name, value)
    return Desk


def _drive(agent_class: type[Agent[Total]]) -> None:
    """Have an agent reach every point."""
    Meddler.seen.clear()
    with AgentSystem.open("memory://", agents=[agent_class, Other]) as system:
        Meddler.system = system

        @system.hooks.on("message.before", agents=Other, name="guard")
        def guard(details: MessageDetails) -> None:
            return None

        desk: Any = system.agent(agent_class, "a")
        desk.proxy().add(1).get(timeout=DEADLINE)
        with pytest.raises(ValueError, match="negative"):
            desk.proxy().add(-1).get(timeout=DEADLINE)
        desk.pause()
        desk.resume()
        assert system.idle(DEADLINE)
        assert not system.state.exists(ELSEWHERE, "key")
        assert system.hooks.get("guard").enabled


@pytest.mark.parametrize("point", PLACES, ids=str)
@pytest.mark.parametrize("way", ["method", "set", "async"])
def test_a_hook_of_a_class_is_denied_what_its_agent_is(point: Point[Any], way: str) -> None:
    """At every point, in its turn and beside it, as a method, as a set, and on the event loop."""

    def method(self: object, details: Details) -> None:
        Meddler.act(way)

    async def later(self: object, details: Details) -> None:
        await asyncio.to_thread(Meddler.act, way)

    if way == "set":
        _drive(hooked(Set(point, lambda _details, _host: Meddler.act(way)))(_desk()))
    else:
        _drive(_desk(meddle=hook(point)(later if way == "async" else method)))
    assert Meddler.seen
    assert set(Meddler.seen) == {way}


def test_a_deferred_hook_of_a_class_is_denied_what_its_agent_is() -> None:
    """It runs later, on a worker, and still in the name of the agent at whose turn it was."""
    late = Set(points.MESSAGE_AFTER, lambda _details, _host: Meddler.act("late"), deferred=True)
    _drive(hooked(late)(_desk()))
    assert set(Meddler.seen) == {"late"}


def test_a_hook_of_a_class_writes_as_its_agent_beside_its_turns_too() -> None:
    """What an agent may write, its hooks may, at once and deferred; the owner is the agent."""
    own = Scope.agent("Desk", "a")

    def write(details: Details, _host: HookHost) -> None:
        Meddler.system.state.increment(Scope.agent(details.kind, details.key), "count")

    for point, options in (
        (points.SAVE_AFTER, {}), (points.MESSAGE_AFTER, {"deferred": True}),
    ):  # fmt: skip
        desk_class = hooked(Set(point, write, **options))(_desk())
        with AgentSystem.open("memory://", agents=[desk_class]) as system:
            Meddler.system = system
            system.agent(desk_class, "a").proxy().add(1).get(timeout=DEADLINE)
            assert system.idle(DEADLINE)
            assert system.state.get(own, "count") == 1


def test_a_hook_of_the_system_does_not_lend_its_name() -> None:
    """A class's hook at a point that a hook of the system runs acts as the agent all the same."""
    agent_class = hooked(Set(CHECKED, lambda _details, _host: Meddler.act("inner")))(_desk())
    Meddler.seen.clear()
    with AgentSystem.open("memory://", agents=[agent_class, Other]) as system:
        Meddler.system = system

        @system.hooks.on("message.before", name="guard")
        def outer(details: MessageDetails) -> None:
            system.hooks.run(CHECKED, details)
            system.state.set(ELSEWHERE, "outer", 1)

        system.agent(agent_class, "a").proxy().add(1).get(timeout=DEADLINE)
        assert set(Meddler.seen) == {"inner"}
        assert system.state.get(ELSEWHERE, "outer") == 1


def test_an_agent_class_that_is_called_system_is_none() -> None:
    """No name of an agent class is the system's."""
    desk_class: Any = hooked(Set(points.MESSAGE_AFTER, lambda _d, _h: Meddler.act("name")))(_desk())
    desk_class.kind = "system"
    _drive(desk_class)
    assert set(Meddler.seen) == {"name"}


def test_the_host_of_a_class_does_no_more_than_its_agent() -> None:
    """Its values stand in its agent's scope, its notes are of that; it works for nobody else."""
    hosts: list[HookHost] = []
    errors: list[Denied] = []

    def use(details: OutcomeDetails, host: HookHost) -> None:
        hosts.append(host)
        host.update("count", "all", lambda value: int(str(value or 0)) + 1)
        host.note(details, "counted", "once", allowed=True)
        other = MessageDetails("Other", "x", 0, 0, "add", (), {}, 0, 1, asked=True)
        try:
            host.note(other, "counted", "once", allowed=True)
        except Denied as error:
            errors.append(error)

    for options in ({}, {"deferred": True}):
        desk_class = hooked(Set(points.MESSAGE_AFTER, use, **options))(_desk())
        with AgentSystem.open("memory://", agents=[desk_class]) as system:
            Meddler.system = system
            system.agent(desk_class, "a").proxy().add(1).get(timeout=DEADLINE)
            assert system.idle(DEADLINE)
            assert system.state.get(Scope.agent("Desk", "a"), "hooks/count/all") == 1
            (noted,) = [each for each in system.audit.list() if each.operation == "counted"]
            assert noted.who == Principal.agent("Desk", "a")
            with pytest.raises(Denied, match="at the work of its agents only"):
                hosts[-1].update("count", "all", lambda value: value)
    assert len(errors) == 2


def test_a_budget_of_a_class_is_of_each_agent() -> None:
    """Agents write nothing in common, so a set of their class that adds up over them is refused."""
    desk_class = hooked(CostBudget(turns=1))(_desk())
    with pytest.raises(ConfigurationError, match='give per="agent"'):
        AgentSystem.open("memory://", agents=[desk_class])


def test_what_a_class_audits_is_noted_once() -> None:
    """The audit of a class's own hooks is part of the deferred call, in the agent's name."""
    desk_class = hooked(Auditing())(_desk())
    with AgentSystem.open("memory://", agents=[desk_class]) as system:
        Meddler.system = system
        desk = system.agent(desk_class, "a").proxy()
        desk.add(1).get(timeout=DEADLINE)
        with pytest.raises(ValueError, match="negative"):
            desk.add(-1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        noted = [each for each in system.audit.list() if each.operation == "handle"]
        assert sorted((each.key, each.outcome) for each in noted) == [
            ("add", "allowed"), ("add", "refused"),
        ]  # fmt: skip
