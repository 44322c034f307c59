"""What an agent sees of a timeline: its own, and what it was granted."""

import json

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Keys,
    Principal,
    Right,
    Scope,
    Secret,
    State,
    StaticKeys,
    new_key,
)
from perdure.persistence.errors import Denied
from tests.kit.deadline import DEADLINE


class Card(State):
    number: int = 0
    pin: Secret[str] = Secret("")


class Holder(Agent[Card]):
    def use(self, number: int, pin: str) -> None:
        self.state.number = number
        self.state.pin = Secret(pin)
        self.system.state.set(Scope.agent("Holder", self.key), "used", number)

    def look(self, key: str) -> list[str]:
        """Return the agents whose events it sees."""
        agent = ("Holder", key) if key else None
        return sorted({event.agent for event in self.system.timeline(agent=agent).each()})

    def details(self, key: str) -> list[str]:
        return [event.detail for event in self.system.timeline(agent=("Holder", key)).each()]

    def ask_why(self, key: str) -> str:
        return self.system.agent(Holder, key).why("number").value


@pytest.fixture
def system() -> AgentSystem:
    """Open a system with two agents that have done something."""
    keys = Keys(secrets=StaticKeys({"k": new_key()}))
    opened = AgentSystem.open("memory://", agents=[Holder], keys=keys)
    for key in "ab":
        opened.agent(Holder, key).call(Holder.use, 7, "geheim").get(timeout=DEADLINE)
    return opened


def test_an_agent_sees_its_own_turns_and_those_it_was_granted(system: AgentSystem) -> None:
    """Others are left out, or refused if asked for by name; a grant of READ shows them."""
    with system:
        a = system.agent(Holder, "a")
        assert a.call(Holder.look, "").get(timeout=DEADLINE) == ["Holder/a"]
        assert a.call(Holder.ask_why, "a").get(timeout=DEADLINE) == "7"
        for method in (Holder.look, Holder.ask_why):
            with pytest.raises(Denied):
                a.call(method, "b").get(timeout=DEADLINE)
        system.access.grant(Principal.agent("Holder", "a"), Scope.agent("Holder", "b"), Right.READ)
        assert a.call(Holder.look, "").get(timeout=DEADLINE) == ["Holder/a", "Holder/b"]
        assert a.call(Holder.ask_why, "b").get(timeout=DEADLINE) == "7"
        seen = system.audit.list(who=Principal.agent("Holder", "a"), operation="timeline")
        assert {entry.outcome for entry in seen} == {"allowed", "refused"}


def test_what_others_wrote_of_what_is_shared_is_not_shown(system: AgentSystem) -> None:
    """A right to read an agent's scope shows what it changed of itself, not of other scopes."""
    with system:
        system.access.grant(Principal.agent("Holder", "a"), Scope.agent("Holder", "b"), Right.READ)
        a = system.agent(Holder, "a")
        others = a.call(Holder.details, "b").get(timeout=DEADLINE)
        assert "rows" not in json.loads(others[0])
        own = a.call(Holder.details, "a").get(timeout=DEADLINE)
        assert "rows" in json.loads(own[0])


def test_a_handle_that_acts_as_another_sees_as_that(system: AgentSystem) -> None:
    """``acting_as`` binds a timeline to whom it speaks for."""
    with system:
        bound = system.timeline.acting_as(Principal.agent("Holder", "b"))
        assert {event.agent for event in bound().each()} == {"Holder/b"}
        with pytest.raises(Denied):
            bound(agent="Holder/a")


def test_secrets_are_masked_everywhere(system: AgentSystem) -> None:
    """Events and provenance show ``***``, never a secret or its sealed form."""
    with system:
        shown = [event.detail for event in system.timeline().each()]
        shown.append(system.why("Holder/a", "pin").value)
        assert all("geheim" not in text and "perdure:" not in text for text in shown)
        assert sum("***" in text for text in shown) == 3
