"""Status is durable: what an agent was when the process ended it is when it comes back."""

from pathlib import Path

import pytest

from perdure import AgentSystem
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import AgentQuarantined
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import Snapshot, Tally, Volatile


@pytest.mark.parametrize("kind", [Tally, Snapshot, Volatile])
def test_a_paused_agent_is_still_paused_after_reopening(kind: type[Tally], tmp_path: Path) -> None:
    """Pause survives the process at every durability level, and resume ends it."""
    with AgentSystem.open(tmp_path / "a.db", agents=[kind]) as system:
        system.agent(kind, "a").pause()
    with AgentSystem.open(tmp_path / "a.db", agents=[kind]) as system:
        agent = system.agent(kind, "a")
        future = agent.proxy().add(1)
        assert system.idle(DEADLINE)
        assert not future.done()
        agent.resume()
        assert future.get(timeout=DEADLINE) == 1


def test_mail_of_a_paused_agent_waits_in_order_over_reopening(tmp_path: Path) -> None:
    """Messages sent before and after a reopening are handled in order once it is resumed."""
    with AgentSystem.open(tmp_path / "a.db", agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        tally.pause()
        for number in (1, 2):
            tally.cast(Tally.add, number)
    with AgentSystem.open(tmp_path / "a.db", agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        for number in (3, 4):
            tally.cast(Tally.add, number)
        assert system.idle(DEADLINE)
        assert system.statistics().turns == 0
        tally.resume()
        assert tally.proxy().steps().get() == ["add 1", "add 2", "add 3", "add 4"]


def test_a_stopped_agent_starts_with_the_next_message(tmp_path: Path) -> None:
    """Stopped is durable, a second stop is False, and mail after reopening starts the agent."""
    with AgentSystem.open(tmp_path / "a.db", agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        tally.proxy().add(1).get()
        assert tally.stop() is True
    with Told() as told, AgentSystem.open(tmp_path / "a.db", agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        assert [row.status for row in system.agents.each()] == ["stopped"]
        assert tally.stop() is False
        assert told.names() == []
        assert tally.proxy().add(1).get() == 2
        assert [row.status for row in system.agents.each()] == ["active"]


def test_a_quarantined_agent_is_still_quarantined_after_reopening(tmp_path: Path) -> None:
    """Quarantine, its reason and the waiting mail survive the process; restart() ends it."""
    path = tmp_path / "a.db"
    with (
        Told() as told,
        AgentSystem.open(path, agents=[Tally], clock=VirtualClock()) as system,
    ):
        give_up(system, told, Tally, "a")
        system.agent(Tally, "a").cast(Tally.add, 3)
    with AgentSystem.open(path, agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        (row,) = system.agents.each()
        assert (row.status, row.reason) == ("quarantined", "Broken: a")
        # One ask comes behind the mail that waits, one finds the agent known as given up.
        with pytest.raises(AgentQuarantined, match=r"Broken: a"):
            tally.proxy().total().get(timeout=DEADLINE)
        with pytest.raises(AgentQuarantined, match=r"Tally/a .*Broken: a.*restart"):
            tally.proxy().total().get(timeout=DEADLINE)
        tally.restart()
        assert system.idle(DEADLINE)
        assert tally.proxy().total().get(timeout=DEADLINE) == 3


def give_up(system: AgentSystem, told: Told, agent: type[Tally], key: str) -> None:
    """Have an agent fail until its supervision gives it up, on the system's virtual clock."""
    clock = system._clock
    assert isinstance(clock, VirtualClock)
    failed = len(told.events("agent_failed"))
    restarting = len(told.events("agent_restarting"))
    allowed = agent.restarts.restarts
    for number in range(allowed + 1):
        if number % agent.restarts.attempts == 0:
            system.agent(agent, key).cast(agent.fail)
        told.wait("agent_failed", failed + number + 1)
        if number < allowed:
            told.wait("agent_restarting", restarting + number + 1)
            assert system.flush(DEADLINE)
            clock.advance(1.0)
    told.wait("agent_quarantined")
