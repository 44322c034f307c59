"""Replays of changed turns, under other code, and under a debugger."""

from __future__ import annotations

import bdb
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from perdure import Agent, AgentSystem, MemoryStore, Resources
from perdure.lifecycle.signals import agent_started
from perdure.persistence.errors import ConfigurationError, Denied, UnknownAgent

from .tills import Curious, OffByOne, Till, TillState, turns


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system with three recorded turns of Till/head."""
    with AgentSystem.open(MemoryStore(), agents=[Till]) as opened:
        head = opened.agent(Till, "head")
        for amount in (1, 2, 100):
            head.call(Till.pay, amount, who="w").get()
        opened.idle()
        yield opened


def test_a_modified_replay_says_what_another_message_would_have_made(system: AgentSystem) -> None:
    """Another argument, by position or by name, changes exactly what hangs on it."""
    replay = system.replay.modified(turns(system)[1], message={"amount": 5, "who": "v"})
    assert replay.outcome == "different"
    assert replay.replayed["result"] == 6
    assert {finding.path for finding in replay.findings} == {
        "result", "delta.set.total", "delta.append.lines[1][0]", "delta.put.owners[0][0]",
        "delta.put.owners[0][1]",
    }  # fmt: skip


def test_a_modified_replay_runs_on_another_state(system: AgentSystem) -> None:
    """Fields, items of lists and logs, and entries of maps may be other than they were."""
    replay = system.replay.modified(
        turns(system)[2],
        state={"total": 1000, "drawn[0]": 0.0, "lines[0]": "z", "owners.w": -1, "owners.new": 1},
    )
    assert replay.replayed["result"] == 1100
    assert replay.replayed["delta"]["set"]["drawn"][0] == 0.0
    first = system.replay.modified(turns(system)[0], state={"total": 10, "lines": ["a", "b"]})
    assert first.replayed["result"] == 11
    assert first.replayed["delta"]["append"]["lines"][0] == 2


def test_a_turn_of_a_deleted_agent_does_not_run_on_the_state_of_its_namesake(
    system: AgentSystem,
) -> None:
    """Another agent of the name has versions of the same numbers, which are not those before it."""
    gone = turns(system, key="head")
    head = system.agent(Till, "head")
    head.delete()
    for amount in (7, 8):
        head.call(Till.pay, amount, who="z").get()
    system.idle()
    assert system.replay.turn(gone[0]).same  # it had no state yet
    for turn in gone[1:]:
        with pytest.raises(UnknownAgent, match="another has its name now"):
            system.replay.turn(turn)
    report = system.replay.batch(kind="Till", key="head").report()
    assert report.counts == {"same": 3, "error": 2}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"message": {"amont": 1}}, "takes no 'amont'; it takes amount, who"),
        ({"state": {"totl": 1}}, "has no state.totl"),
        ({"state": {"drawn[9]": 1}}, "there is no drawn\\[9\\]"),
        ({"state": {"..": 1}}, "is no path"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(
    system: AgentSystem, changes: dict[str, dict[str, object]], says: str
) -> None:
    """What is to be changed must be there; the error says what is."""
    with pytest.raises(ConfigurationError, match=says):
        system.replay.modified(
            turns(system)[1], message=changes.get("message", {}), state=changes.get("state", {})
        )


def test_a_simulation_runs_other_code_and_writes_nothing(system: AgentSystem) -> None:
    """Other classes of the same kind handle the recorded message, and the store stays as it is."""
    ids = turns(system)
    before = [(agent.key, agent.version) for agent in system.agents.each()]
    assert system.replay.simulate(ids[0], agents=[OffByOne]).outcome == "same"
    replay = system.replay.simulate(ids[2], agents=[OffByOne])
    assert replay.recorded["result"], replay.replayed["result"] == (103, 104)
    assert replay.findings[0].severity == "high"
    assert 0 < replay.score < 1
    assert [(agent.key, agent.version) for agent in system.agents.each()] == before


def test_no_call_is_made_outside_unless_it_is_said_so(system: AgentSystem) -> None:
    """A call that was not recorded fails and is named; with ``outside=True`` it is made."""
    system.agent(Till, "head").call(Till.rate, 2).get()
    run = turns(system)[-1]
    replay = system.replay.simulate(run, agents=[Curious])
    assert replay.missing == ["self.outside('rate')"]
    assert "makes none" in replay.replayed["error"]
    assert system.replay.simulate(run, agents=[Curious], outside=True).replayed["result"] == 3.25


def test_nobody_is_told_of_what_a_replay_does(system: AgentSystem) -> None:
    """Receivers of signals hear of live agents only."""
    heard: list[object] = []

    def hear(sender: object, event: object) -> None:
        heard.append((sender, event))

    with agent_started.connected_to(hear):
        system.replay.turn(turns(system)[0])
    assert heard == []


class Script(bdb.Bdb):
    """A debugger that steps over every line and writes down where it stops."""

    def __init__(self) -> None:
        super().__init__()
        self.stops: list[tuple[str, dict[str, object]]] = []

    def user_line(self, frame: FrameType) -> None:
        self.stops.append((frame.f_code.co_name, dict(frame.f_locals)))
        self.set_next(frame)


def test_a_debugger_stops_before_steps_through_and_stops_behind(system: AgentSystem) -> None:
    """It stops at the handler's lines, and at the end with the result and the state."""
    script = Script()
    replay = system.replay.debug(turns(system)[1], debugger=script)
    assert replay.outcome == "same"
    names = [name for name, _ in script.stops]
    assert names[0] == "pay"
    assert names.count("pay") > 5
    assert script.stops[0][1]["amount"] == 2
    name, behind = script.stops[-1]
    assert (name, behind["result"]) == ("ended", 3)


class Own(Agent[TillState]):
    """Replays turns from its handlers."""

    record = True

    async def slow(self, amount: int) -> int:
        """Add, in a coroutine."""
        self.state.total += amount
        return self.state.total

    def again(self, run: str) -> str:
        """Replay a turn."""
        system: Any = self.system
        outcome: str = system.replay.turn(run).outcome
        return outcome


def test_an_agent_replays_its_own_turns_and_no_others() -> None:
    """In a handler a replay is a call as any other: in the agent's name, with the turn's audit."""
    with AgentSystem.open(MemoryStore(), agents=[Own], resources=Resources(workers=1)) as system:
        for key in ("a", "b"):
            system.agent(Own, key).call(Own.slow, 1).get()
        mine, other = turns(system)
        own = system.agent(Own, "a")
        assert own.call(Own.again, mine).get() == "same"
        with pytest.raises(Denied):
            own.call(Own.again, other).get()
        found = [(str(e.who), e.outcome) for e in system.audit.each(operation="replay")]
        assert found == [("agent:Own/a", "allowed"), ("agent:Own/a", "refused")]


def test_a_debugger_steps_through_a_coroutine() -> None:
    """A handler that is a coroutine is stepped through where it runs."""
    with AgentSystem.open(MemoryStore(), agents=[Own]) as system:
        system.agent(Own, "a").call(Own.slow, 4).get()
        script = Script()
        assert system.replay.debug(turns(system)[0], debugger=script).outcome == "same"
        names = [name for name, _ in script.stops]
        assert (names[0], names[-1]) == ("slow", "ended")
        assert script.stops[-1][1]["result"] == 4
