"""What people print says what it is: no default repr of an object that they hold."""

from __future__ import annotations

import pytest

from perdure import Agent, AgentSystem, Scope, State, VirtualClock
from tests.kit.deadline import DEADLINE


class Tally(State):
    count: int = 3


class Counter(Agent[Tally]):
    def shown(self) -> dict[str, str]:
        """Show what a handler holds."""
        held = {
            "self": self, "state": self.state, "scopes": self.scopes,
            "system.state": self.system.state, "sharing": self.system.sharing,
        }  # fmt: skip
        return {name: repr(value) for name, value in held.items()}


OUTSIDE = {
    "state": "<ScopedState of memory://, acting as system>",
    "access": "<Access of memory://, acting as system>",
    "audit": "<AuditTrail of memory://, acting as system>",
    "artifacts": "<Artifacts of memory://, acting as system>",
    "sessions": "<Sessions of memory://, acting as system>",
    "sharing": "<Sharing acting as system: topic, pipeline, requests, document, family>",
    "dead_letters": (
        "<DeadLetters in memory://: list(), each(), count(), get(), requeue(), discard()>"
    ),
    "agents": "<Agents of memory://: list(), each(), count()>",
    "journal": "<Journal of memory://: list(), each(), count()>",
    "mail": "<Mail in memory://: list(), each(), count()>",
    "timers": "<Timers in memory://: list(), each(), count()>",
    "secrets": "<SecretsOffice of memory://: rotate(), rotation(), remaining(), signed()>",
    "aio": "<Rim of <AgentSystem on memory://> for asyncio: flush, idle, close, cast, run>",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_what_a_system_has_says_what_it_is(name: str) -> None:
    """Each attribute names its class, its store or who acts, and is no address."""
    with AgentSystem.open("memory://", agents=[Counter]) as system:
        assert repr(getattr(system, name)) == OUTSIDE[name]


def test_what_a_handler_has_says_what_it_is() -> None:
    """The agent by its kind and key; what is shared by who acts."""
    with AgentSystem.open("memory://", agents=[Counter]) as system:
        shown = system.agent(Counter, "a").call(Counter.shown).get(timeout=DEADLINE)
    assert shown == {
        "self": "<Counter agent, Counter/a>",
        "state": "Tally(count=3)",
        "scopes": "<AgentScopes of memory://, acting as agent:Counter/a>",
        "system.state": "<ScopedState of memory://, acting as agent:Counter/a>",
        "sharing": (
            "<Sharing acting as agent:Counter/a: topic, pipeline, requests, document, family>"
        ),
    }


def test_clocks_and_proxies_say_what_they_are() -> None:
    """A clock tells how far it was advanced, a method's proxy how it is used."""
    clock = VirtualClock()
    clock.advance(90)
    assert repr(clock) == "<VirtualClock, advanced by 90 s; it stands still until advance()>"
    with AgentSystem.open("memory://", agents=[Counter]) as system:
        proxy = system.agent(Counter, "a").proxy()
        assert repr(proxy) == "<AgentProxy Counter/a>"
        assert repr(proxy.shown) == (
            "<MethodProxy Counter/a.shown: call it to ask; .defer(...) to tell>"
        )
        assert repr(Scope.GLOBAL) != object.__repr__(Scope.GLOBAL)
        assert repr(Counter()) == "<Counter agent, not activated>"
