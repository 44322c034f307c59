"""Whoever listens hears of an isolation and of its end."""

from __future__ import annotations

from perdure import Agent, AgentSystem, State
from tests.kit.signals import Told


class BoxState(State):
    items: int = 0


class Box(Agent[BoxState]):
    def put(self) -> int:
        self.state.items += 1
        return self.state.items


def test_an_isolation_and_its_end_are_signalled() -> None:
    """Both signals name the agent, and the first the reason, once for each change."""
    with (
        Told("agent_isolated", "agent_restored") as told,
        AgentSystem.open("memory://", agents=[Box]) as system,
    ):
        box = system.agent(Box, "a")
        box.proxy().put().get()
        system.access.isolate(box, "it leaks")
        system.access.restore(box)
        system.access.restore(box)
    assert told.names() == ["agent_isolated", "agent_restored"]
    event = told.events("agent_isolated")[0]
    assert (event.kind, event.key, event.reason) == ("Box", "a", "it leaks")
