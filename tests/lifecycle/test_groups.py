"""Supervision groups: the tree against a model, and groups of agents in a system."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import AgentRef, AgentSystem, Backoff, RestartPolicy, Strategy
from perdure.lifecycle.clock import VirtualClock
from perdure.lifecycle.groups import Member, SupervisionTree, Verdict
from perdure.lifecycle.restart import Intensity
from perdure.persistence.errors import AgentQuarantined, ConfigurationError
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import Brittle, Broken, Snapshot, Tally

QUICK = RestartPolicy(restarts=1, within=10.0, backoff=Backoff(1.0, longest=1.0, jitter=0.0))


@dataclass
class Modelled:
    """A group of the model: a strategy, how much it allows, who is in it, when it restarted."""

    name: str
    strategy: Strategy
    allowed: int
    parent: Modelled | None
    members: list[Member]
    children: list[Modelled] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)

    def everyone(self) -> list[Member]:
        """Return all members, in the order in which they joined."""
        return self.members + [m for child in self.children for m in child.everyone()]

    def may_restart(self, now: float) -> bool:
        """Count a restart within ten seconds and tell whether it is allowed."""
        self.moments.append(now)
        return sum(moment > now - 10.0 for moment in self.moments) <= self.allowed

    def clear(self) -> None:
        """Forget the restarts here and below."""
        self.moments.clear()
        for child in self.children:
            child.clear()

    def fail(self, place: Member | Modelled, now: float) -> tuple[list[Member], list[Member]]:
        """Return who is restarted and who is given up when a member or a group below fails."""
        if not self.may_restart(now):
            return self.parent.fail(self, now) if self.parent else ([], self.everyone())
        units: list[Member | Modelled] = [*self.members, *self.children]
        at = units.index(place)
        hit = {
            Strategy.ONE_FOR_ONE: units[at : at + 1],
            Strategy.ONE_FOR_ALL: units,
            Strategy.REST_FOR_ONE: units[at:],
        }[self.strategy]
        for unit in hit:
            # A restarted group begins with no restarts. When a member failed, groups below are
            # restarted member by member and keep their counts.
            if isinstance(unit, Modelled) and isinstance(place, Modelled):
                unit.clear()
        return [m for u in hit for m in (u.everyone() if isinstance(u, Modelled) else [u])], []


@st.composite
def trees(draw: st.DrawFn) -> list[Modelled]:
    """Draw up to five groups, parents before children, with up to three members each."""
    groups: list[Modelled] = []
    for number in range(draw(st.integers(1, 5))):
        parent = draw(st.sampled_from([None, *groups]))
        members = [("M", f"{number}.{i}") for i in range(draw(st.integers(1, 3)))]
        strategy = draw(st.sampled_from(list(Strategy)))
        group = Modelled(f"g{number}", strategy, draw(st.integers(0, 3)), parent, members)
        if parent is not None:
            parent.children.append(group)
        groups.append(group)
    return groups


@settings(max_examples=150)
@given(trees(), st.data())
def test_the_tree_decides_as_its_model(groups: list[Modelled], data: st.DataObject) -> None:
    """Failures at any place and pace restart and give up exactly whom the strategies say."""
    tree = SupervisionTree()
    for group in groups:
        tree.group(
            group.name,
            group.members,
            strategy=group.strategy,
            policy=RestartPolicy(restarts=group.allowed, within=10.0),
            parent=group.parent.name if group.parent else None,
        )
    where = {member: group for group in groups for member in group.members}
    now = 0.0
    own = Intensity(QUICK)
    for _ in range(data.draw(st.integers(0, 12))):
        now += data.draw(st.sampled_from([0.0, 1.0, 6.0]))
        member = data.draw(st.sampled_from(sorted(where)))
        restart, given_up = where[member].fail(member, now)
        verdict = tree.failed(member, own, QUICK, now)
        assert (list(verdict.restart), list(verdict.quarantine)) == (restart, given_up)
        counted = {group.name: group.restarts for group in tree.describe(now)}
        for group in groups:
            recent = sum(moment > now - 10.0 for moment in group.moments)
            assert counted[group.name] == min(recent, group.allowed + 1)


def test_an_agent_in_no_group_is_supervised_alone() -> None:
    """Without a group an agent's own policy decides about it and nobody else."""
    tree, own = SupervisionTree(), Intensity(QUICK)
    me = ("Tally", "a")
    assert tree.failed(me, own, QUICK, 0.0) == Verdict((me,), (), 1, QUICK)
    assert tree.failed(me, own, QUICK, 1.0) == Verdict((), (me,), 0, QUICK)
    assert tree.failed(me, own, QUICK, 60.0) == Verdict((me,), (), 1, QUICK)


def test_groups_that_make_no_sense_are_refused() -> None:
    """A taken name, an unknown parent, a member twice or in two groups: each is named."""
    with AgentSystem.open("memory://", agents=[Tally]) as system:
        one, two = system.agent(Tally, "1"), system.agent(Tally, "2")
        system.group("g", [one])
        with pytest.raises(ConfigurationError, match="'g' already"):
            system.group("g", [two])
        with pytest.raises(ConfigurationError, match="'nobody' of 'h'"):
            system.group("h", [two], parent="nobody")
        with pytest.raises(ConfigurationError, match="Tally/1 is in the group 'g'"):
            system.group("h", [one])
        with pytest.raises(ConfigurationError, match="'h' names a member twice"):
            system.group("h", [two, two])
        (described,) = system.groups()
        assert described.members == (("Tally", "1"),)
        assert (described.name, described.parent, described.restarts) == ("g", None, 0)


def three(system: AgentSystem) -> list[AgentRef[Brittle]]:
    """Return three agents that have started."""
    agents = [system.agent(Brittle, key) for key in "abc"]
    for agent in agents:
        agent.proxy().add(1).get()
    return agents


@pytest.mark.parametrize(
    ("strategy", "restarted"),
    [
        (Strategy.ONE_FOR_ONE, ["b"]),
        (Strategy.ONE_FOR_ALL, ["a", "b", "c"]),
        (Strategy.REST_FOR_ONE, ["b", "c"]),
    ],
)
def test_a_group_restarts_whom_its_strategy_says(strategy: Strategy, restarted: list[str]) -> None:
    """When b of (a, b, c) fails, the strategy says who begins again, all with their state."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Brittle], clock=clock) as system:
        agents = three(system)
        system.group("g", agents, strategy=strategy, policy=QUICK)
        agents[1].cast(Brittle.fail)
        told.wait("agent_restarting", len(restarted))
        assert sorted(event.key for event in told.events("agent_restarting")) == restarted
        assert system.flush(DEADLINE)
        clock.advance(0.999)
        waiting = [agent.proxy().total() for agent in agents if agent.key in restarted]
        assert not any(future.done() for future in waiting)
        for agent in agents:
            if agent.key not in restarted:
                assert agent.proxy().total().get(timeout=DEADLINE) == 1


def test_a_group_that_fails_too_often_is_given_up_and_put_back() -> None:
    """Above its intensity every member is quarantined, durably, also those that were dormant."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Brittle], clock=clock) as system:
        agents = [*three(system), system.agent(Brittle, "dormant")]
        agents[2].stop()
        system.group("g", agents, strategy=Strategy.ONE_FOR_ALL, policy=QUICK)
        agents[0].cast(Brittle.fail)
        agents[0].cast(Brittle.fail)
        told.wait("agent_restarting", 2)
        assert system.flush(DEADLINE)
        clock.advance(1.0)
        told.wait("agent_quarantined", 3)
        assert system.flush(DEADLINE)
        statuses = {row.key: row.status for row in system.agents.each()}
        assert statuses == {
            "a": "quarantined", "b": "quarantined", "c": "stopped", "dormant": "quarantined",
        }  # fmt: skip
        with pytest.raises(AgentQuarantined):
            agents[1].proxy().total().get(timeout=DEADLINE)
        for agent in agents:
            agent.restart(timeout=DEADLINE)
        assert system.groups()[0].restarts <= 1
        assert agents[1].proxy().total().get(timeout=DEADLINE) == 1


def test_a_paused_or_given_up_member_is_left_as_it_is() -> None:
    """A group's restart passes over members that are paused or quarantined."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Brittle], clock=clock) as system:
        agents = three(system)
        system.group("g", agents, strategy=Strategy.ONE_FOR_ALL, policy=QUICK)
        agents[1].pause()
        agents[0].cast(Brittle.fail)
        told.wait("agent_restarting", 2)
        assert system.flush(DEADLINE)
        assert {event.key for event in told.events("agent_restarting")} == {"a", "c"}
        assert [row.status for row in system.agents.each()] == ["active", "paused", "active"]


def test_an_innocent_member_loses_nothing() -> None:
    """A SNAPSHOT member that is restarted for another's failure is saved first."""
    clock = VirtualClock()
    with (
        Told() as told,
        AgentSystem.open("memory://", agents=[Brittle, Snapshot], clock=clock) as system,
    ):
        guilty, innocent = system.agent(Brittle, "a"), system.agent(Snapshot, "b")
        system.group("g", [guilty, innocent], strategy=Strategy.ONE_FOR_ALL, policy=QUICK)
        innocent.proxy().add(7).get()
        guilty.cast(Brittle.fail)
        told.wait("agent_restarting", 2)
        assert system.flush(DEADLINE)
        clock.advance(1.0)
        assert innocent.proxy().total().get(timeout=DEADLINE) == 7


def test_a_group_gives_its_failure_to_its_parent() -> None:
    """A child group above its intensity is restarted by its parent with its counts at zero."""
    clock = VirtualClock()
    once = RestartPolicy(restarts=0, within=10.0, backoff=QUICK.backoff)
    with Told() as told, AgentSystem.open("memory://", agents=[Brittle], clock=clock) as system:
        agents = three(system)
        system.group("top", [agents[0]], strategy=Strategy.ONE_FOR_ONE, policy=QUICK)
        system.group("child", agents[1:], parent="top", policy=once)
        with pytest.raises(Broken):
            agents[1].proxy().fail().get()
        agents[1].cast(Brittle.fail)
        agents[1].cast(Brittle.fail)
        told.wait("agent_restarting", 2)
        assert {event.key for event in told.events("agent_restarting")} == {"b", "c"}
        assert [group.restarts for group in system.groups()] == [1, 0]
        assert system.flush(DEADLINE)
        clock.advance(1.0)
        told.wait("agent_quarantined", 3)
        assert {event.key for event in told.events("agent_quarantined")} == {"a", "b", "c"}
