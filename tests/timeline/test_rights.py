"""What an agent sees of a timeline: its own, and what it was granted."""

import json

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Boundary,
    EventKind,
    Keys,
    MessageDetails,
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
    boundary = Boundary.SHARED

    def use(self, number: int, pin: str) -> None:
        self.state.number = number
        self.state.pin = Secret(pin)
        self.system.state.set(Scope.agent("Holder", self.key), "used", number)

    def publish(self, name: str) -> None:
        self.state.number = 1
        artifacts = self.system.artifacts
        artifacts.came_from(artifacts.save(name, b"bytes", scope=Scope.GLOBAL))

    def pass_on(self, key: str, pin: str) -> None:
        self.state.pin = Secret(pin)
        self.system.agent(Holder, key).cast(Holder.use, 8, pin)

    def look(self, key: str) -> list[str]:
        """Return the agents whose events it sees."""
        agent = ("Holder", key) if key else None
        return sorted({event.agent for event in self.system.timeline(agent=agent).each()})

    def details(self, key: str) -> list[str]:
        return [event.detail for event in self.system.timeline(agent=("Holder", key)).each()]

    def ask_why(self, key: str) -> str:
        return self.system.agent(Holder, key).why("number").value


class Stranger(Agent[State]):
    """One who may do nothing with what is shared, unless it was granted."""


def look(_details: MessageDetails) -> None:
    """Be told, and let it go on."""


@pytest.fixture
def system() -> AgentSystem:
    """Open a system with two agents that have done something."""
    keys = Keys(secrets=StaticKeys({"k": new_key()}))
    opened = AgentSystem.open("memory://", agents=[Holder, Stranger], keys=keys)
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


def test_artifacts_hooks_and_reads_of_others_need_rights_of_their_own(system: AgentSystem) -> None:
    """Who may read an agent's scope sees no artifact of other scopes, and not what hooks were told.

    What a value came from is told to its own agent; what a hook was told, to nobody but the system.
    """
    with system:
        system.hooks.on("message.before", look, name="look")
        b = system.agent(Holder, "b")
        b.call(Holder.publish, "made").get(timeout=DEADLINE)
        whole = {each.what for each in system.timeline(agent="Holder/b").each()}
        assert whole == {*EventKind} - {EventKind.LETTER}
        viewer = Principal.agent("Stranger", "s")
        system.access.grant(viewer, Scope.agent("Holder", "b"), Right.READ)
        seen = list(system.timeline.acting_as(viewer)(agent="Holder/b").each())
        assert {each.what for each in seen} == {EventKind.TURN, EventKind.HOOK}
        hooks = [json.loads(each.detail) for each in seen if each.what is EventKind.HOOK]
        assert [set(each) for each in hooks] == [{"point", "hook", "version", "outcome"}]
        found = system.timeline.acting_as(viewer).why(b, "number")
        assert (found.value, found.arguments, found.artifacts, found.reads) == ("1", "", (), ())
        own = system.timeline.acting_as(Principal.agent("Holder", "b")).why(b, "number")
        assert (len(own.artifacts), own.arguments) == (1, "")
        assert "made" in system.why(b, "number").arguments
        system.access.grant(viewer, Scope.GLOBAL, Right.READ)
        seen = list(system.timeline.acting_as(viewer)(agent="Holder/b").each())
        assert EventKind.ARTIFACT in {each.what for each in seen}


def test_every_way_out_shows_no_more_than_the_list(system: AgentSystem) -> None:
    """Trees, exports, causes, effects and counts hold what a viewer may see, and nothing else."""
    with system:
        system.agent(Holder, "b").call(Holder.pass_on, "a", "geheim").get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        timeline = system.timeline.acting_as(Principal.agent("Holder", "a"))()
        shown = {each.id for each in timeline.each()}
        assert {each.agent for each in timeline.each()} == {"Holder/a"}
        assert timeline.count() == len(shown)
        assert {each.id for each in timeline.tree().events} == shown
        (told,) = (each for each in timeline.each() if each.cause)
        assert timeline.causes(told) == ()
        whole = system.timeline()
        (sent,) = whole.causes(told)
        assert timeline.effects(sent) == (told,)
        for form in ("json", "mermaid", "chrome", "html"):
            text = timeline.export(form)
            assert "Holder/b" not in text
            assert "pass_on" not in text
            assert "geheim" not in whole.export(form)


def test_a_right_that_is_revoked_ends_with_the_next_page(system: AgentSystem) -> None:
    """A timeline that somebody keeps asks for the rights anew for each page."""
    with system:
        viewer, scope = Principal.agent("Holder", "a"), Scope.agent("Holder", "b")
        grant = system.access.grant(viewer, scope, Right.READ)
        timeline = system.timeline.acting_as(viewer)()
        assert {each.agent for each in timeline.list()} == {"Holder/a", "Holder/b"}
        system.access.revoke(grant)
        assert {each.agent for each in timeline.list()} == {"Holder/a"}


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
