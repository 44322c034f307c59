"""A handler directs what is its own: itself, those below it, and whom it was granted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from perdure import Agent, AgentRef, AgentSystem, Principal, Right, Scope, State
from perdure.persistence.errors import Denied
from tests.kit.deadline import DEADLINE


def resume(ref: AgentRef[Any]) -> None:
    """Pause an agent and let it go on."""
    ref.pause()
    ref.resume()


STEPS: dict[str, Callable[[AgentRef[Any]], object]] = {
    "pause": AgentRef.pause,
    "resume": resume,
    "restart": AgentRef.restart,
    "stop": AgentRef.stop,
}


class Boss(Agent[State]):
    """Directs others."""

    def direct(self, key: str, step: str) -> None:
        """Take a step of another agent."""
        STEPS[step](self.system.agent(Boss, key))

    def later(self, key: str) -> bool:
        """Begin to stop an agent, and tell whether it is this one."""
        self.system.agent(Boss, key).stop(block=False)
        return key == self.key

    def group(self, name: str, keys: list[str], parent: str | None) -> None:
        """Supervise agents together."""
        system: Any = self.system
        system.group(name, [system.agent(Boss, key) for key in keys], parent=parent)

    def join(self, key: str) -> None:
        """Be below another."""
        self.system.sharing.family().join(self.system.agent(Boss, key))

    def fail(self) -> None:
        """Say in an error what only it should know."""
        raise ValueError("the code is 1234")

    def look(self, key: str) -> tuple[str, str]:
        """Tell what it learns of how another stands."""
        found = self.system.agent(Boss, key).describe()
        return found.error, found.status

    def heads(self, how: str) -> object:
        """Look at all agents."""
        system: Any = self.system
        return getattr(system.agents, how)()

    def here(self) -> str:
        """Tell that it works."""
        return self.key


def opened() -> AgentSystem:
    """Open a system of bosses."""
    return AgentSystem.open("memory://", agents=[Boss])


@pytest.mark.parametrize("step", STEPS)
def test_a_stranger_is_not_directed(step: str) -> None:
    """Denied, the audit has it, and the other goes on."""
    with opened() as system:
        other = system.agent(Boss, "other")
        other.call(Boss.here).get()
        with pytest.raises(Denied, match="ask its owner for a grant"):
            system.agent(Boss, "one").call(Boss.direct, "other", step).get()
        assert other.describe().status == "active"
        (refused,) = system.audit.list(outcome="refused")
        assert refused.scope == Scope.agent("Boss", "other")
        assert refused.operation in (step, "pause")


@pytest.mark.parametrize("step", STEPS)
def test_who_is_below_is_directed(step: str) -> None:
    """In whatever generation; those above are not."""
    with opened() as system:
        system.agent(Boss, "child").call(Boss.join, "parent").get()
        system.agent(Boss, "parent").call(Boss.join, "top").get()
        system.agent(Boss, "top").call(Boss.direct, "child", step).get()
        with pytest.raises(Denied):
            system.agent(Boss, "parent").call(Boss.direct, "top", step).get()


def test_a_grant_of_everything_lets_direct_and_less_does_not() -> None:
    """All rights on all keys of its scope; the audit names the grant."""
    with opened() as system:
        one, scope = Principal.agent("Boss", "one"), Scope.agent("Boss", "other")
        direct = system.agent(Boss, "one").call
        for rights, keys in ((Right.ALL, "a*"), (Right.READ | Right.WRITE, "*")):
            system.access.grant(one, scope, rights, keys=keys)
            with pytest.raises(Denied):
                direct(Boss.direct, "other", "stop").get()
        grant = system.access.grant(one, scope, Right.ALL, uses=1)
        direct(Boss.direct, "other", "stop").get()
        (used,) = system.audit.list(operation="stop", outcome="allowed")
        assert str(grant.number) in used.reason
        with pytest.raises(Denied):
            direct(Boss.direct, "other", "stop").get()


def test_an_agent_directs_itself() -> None:
    """As it always could."""
    with opened() as system:
        assert system.agent(Boss, "one").call(Boss.later, "one").get()


def test_only_what_one_directs_is_grouped() -> None:
    """Neither strangers nor a group with strangers above; outside anybody is grouped."""
    with opened() as system:
        system.agent(Boss, "child").call(Boss.join, "one").get()
        system.group("all", [system.agent(Boss, "other")])
        group = system.agent(Boss, "one").call
        group(Boss.group, "mine", ["one"], None).get()
        group(Boss.group, "inner", ["child"], "mine").get()
        for keys, parent in ((["one", "other"], None), (["one"], "all")):
            with pytest.raises(Denied):
                group(Boss.group, "theirs", keys, parent).get()
        assert {each.name for each in system.groups()} == {"all", "mine", "inner"}


def test_an_error_is_told_to_who_may_direct() -> None:
    """A stranger sees how an agent stands, and no error; itself, those above and who may do."""
    with opened() as system:
        other = system.agent(Boss, "other")
        other.cast(Boss.fail)
        assert system.idle(DEADLINE)
        error = other.describe().error
        assert "1234" in error

        def seen(key: str) -> tuple[str, str]:
            return system.agent(Boss, key).call(Boss.look, "other").get()

        assert seen("other") == (error, "active")
        assert seen("one") == ("", "active")
        system.access.grant(Principal.agent("Boss", "one"), Scope.agent("Boss", "other"), Right.ALL)
        assert seen("one") == (error, "active")
        other.call(Boss.join, "two").get()
        assert seen("two") == (error, "active")


@pytest.mark.parametrize("how", ["list", "each", "count"])
def test_all_agents_are_the_programs_to_list(how: str) -> None:
    """In a handler the list of all agents is denied, however it is asked for."""
    with opened() as system:
        boss = system.agent(Boss, "one")
        with pytest.raises(Denied, match="Boss/one may not look at all agents"):
            boss.call(Boss.heads, how).get()
        assert system.agents.count() == 0  # nothing of it is stored yet
