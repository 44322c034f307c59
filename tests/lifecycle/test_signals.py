"""Signals: each fires, in order, with a frozen record, and no receiver can do harm."""

import dataclasses
import logging
import threading

import pytest

from perdure import AgentRef, AgentSystem, Passivation, Resources
from perdure.lifecycle import signals
from perdure.lifecycle.clock import VirtualClock
from perdure.lifecycle.signals import AgentEvent, SaveEvent, fire
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import Broken, Snapshot, Tally


def test_steps_are_announced_before_and_told_after() -> None:
    """Each step of a life fires one signal before and one after, in the order of the steps."""
    with Told() as told, AgentSystem.open("memory://", agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        tally.proxy().add(1).get()
        for step in (tally.pause, tally.resume, tally.restart):
            step()
        tally.proxy().add(1).get()
        tally.stop()
    assert told.names() == [
        "agent_starting", "agent_started", "agent_pausing", "agent_paused", "agent_resuming",
        "agent_resumed", "agent_restarting", "agent_starting", "agent_restarted",
        "agent_stopping", "agent_stopped",
    ]  # fmt: skip


def test_an_event_says_who_when_and_at_which_version() -> None:
    """An event holds kind, key, version, status and time, and cannot be changed by a receiver."""
    clock = VirtualClock(start=500.0)
    with Told() as told, AgentSystem.open("memory://", agents=[Tally], clock=clock) as system:
        tally = system.agent(Tally, "a")
        tally.proxy().add(1).get()
        tally.pause()
    before, after = told.wait("agent_pausing"), told.wait("agent_paused")
    assert before == AgentEvent("Tally", "a", 1, "active", 500.0)
    assert after == AgentEvent("Tally", "a", 2, "paused", 500.0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        after.key = "b"


def test_a_refused_step_fires_nothing() -> None:
    """A step the table does not have is refused before anybody is told."""
    with (
        Told() as told,
        AgentSystem.open("memory://", agents=[Tally]) as system,
        pytest.raises(RuntimeError, match="active"),
    ):
        system.agent(Tally, "a").resume()
    assert told.names() == []


def test_a_failure_is_told_before_its_consequences() -> None:
    """A message that fails for good: failed and restarting each time, dead at the last."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Tally], clock=clock) as system:
        system.agent(Tally, "a").cast(Tally.fail)
        for attempt in range(1, 4):
            told.wait("agent_restarting", attempt)
            clock.advance(10.0)
        system.agent(Tally, "a").proxy().add(1).get()
        once = ["agent_failed", "agent_restarting", "agent_starting", "agent_restarted"]
        dead = ["agent_failed", "message_dead", *once[1:]]
        assert told.names() == ["agent_starting", "agent_started", *once, *once, *dead]
    failed = told.wait("agent_failed")
    assert isinstance(failed.error, Broken)
    assert (failed.reason, failed.version) == ("fail", 0)
    assert told.wait("message_dead").reason == "Broken: a"


def test_passivation_is_told_with_the_version_that_left() -> None:
    """An idle agent that leaves memory fires agent_passivated with its latest version."""
    clock = VirtualClock()
    passivation = Passivation(idle=5.0)
    with (
        Told() as told,
        AgentSystem.open(
            "memory://", agents=[Tally], clock=clock, resources=Resources(passivation=passivation)
        ) as system,
    ):
        system.agent(Tally, "a").proxy().add(1).get()
        assert system.idle(DEADLINE)
        clock.advance(10.0)
        assert told.wait("agent_passivated").version == 1


def test_one_system_can_be_listened_to() -> None:
    """A receiver connected with ``sender=system`` hears that system and no other."""
    heard: list[str] = []

    def receiver(_sender: object, event: AgentEvent) -> None:
        heard.append(event.key)

    with (
        AgentSystem.open("memory://", agents=[Tally]) as one,
        AgentSystem.open("memory://", agents=[Tally]) as other,
        signals.agent_paused.connected_to(receiver, sender=one),
    ):
        one.agent(Tally, "mine").pause()
        other.agent(Tally, "theirs").pause()
    assert heard == ["mine"]


@pytest.mark.parametrize("error", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_a_receiver_that_raises_is_logged_and_harms_nobody(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a receiver raises, its name is logged, the others are told and the step is done."""
    told = Told("agent_paused", "agent_stopped")

    def rude(_sender: object, event: AgentEvent) -> None:
        raise error

    with (
        AgentSystem.open("memory://", agents=[Tally]) as system,
        signals.agent_pausing.connected_to(rude),
        signals.agent_paused.connected_to(rude),
        signals.agent_stopped.connected_to(rude),
        told,
    ):
        tally = system.agent(Tally, "a")
        tally.proxy().add(1).get()
        tally.pause()
        tally.stop()
        assert system.statistics().live == 0
    assert told.names() == ["agent_paused", "agent_stopped"]
    logged = [record for record in caplog.records if "rude raised" in record.message]
    assert len(logged) == 3


def test_who_hears_that_an_agent_stopped_finds_none_live() -> None:
    """Nor does who was answered: the agent leaves memory behind both."""
    found: list[tuple[int, bool]] = []

    def look(system: AgentSystem, event: AgentEvent) -> None:
        found.append((system.statistics().live, system.agent(Tally, event.key).describe().live))

    with (
        AgentSystem.open("memory://", agents=[Tally]) as system,
        signals.agent_stopped.connected_to(look),
    ):
        system.agent(Tally, "a").proxy().add(1).get()
        system.agent(Tally, "a").stop()
    assert found == [(0, False)]


def test_an_async_receiver_is_refused_aloud(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that is a coroutine function is not run, which the log says with its name."""

    async def late(_sender: object, event: AgentEvent) -> None: ...

    with (
        AgentSystem.open("memory://", agents=[Tally]) as system,
        signals.agent_paused.connected_to(late),
    ):
        system.agent(Tally, "a").pause()
    assert "late raised" in caplog.text
    assert "connect a plain function" in caplog.text


def test_a_slow_receiver_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """A receiver that takes longer than the limit is warned about, one that is quicker is not."""
    clock = VirtualClock()

    def slow(_sender: object, event: AgentEvent) -> None:
        clock.advance(signals.SLOW_SECONDS + 1.5)

    def quick(_sender: object, event: AgentEvent) -> None:
        clock.advance(signals.SLOW_SECONDS / 2)

    event = AgentEvent("Tally", "a", 1, "paused", 0.0)
    with (
        signals.agent_paused.connected_to(slow),
        signals.agent_pausing.connected_to(quick),
        caplog.at_level(logging.WARNING),
    ):
        fire(signals.agent_paused, None, event, clock.monotonic)
        fire(signals.agent_pausing, None, event, clock.monotonic)
    assert [record.message.rpartition(".")[2] for record in caplog.records] == [
        "slow took 2.0 seconds".rpartition(".")[2]
    ]
    assert "slow took" in caplog.text


def test_a_slow_receiver_lends_its_workers_place() -> None:
    """While a receiver waits on the only worker, other agents are served."""
    go_on = threading.Event()

    def slow(_sender: object, event: AgentEvent) -> None:
        if event.key == "slow":
            assert go_on.wait(DEADLINE)

    with (
        AgentSystem.open("memory://", agents=[Tally], resources=Resources(workers=1)) as system,
        signals.agent_starting.connected_to(slow),
    ):
        held_up = system.agent(Tally, "slow")
        held_up.cast(Tally.add, 1)
        future = system.agent(Tally, "other").proxy().add(2)
        assert future.get(timeout=DEADLINE) == 2
        go_on.set()
        assert held_up.proxy().total().get(timeout=DEADLINE) == 1


def test_a_receiver_may_tell_agents() -> None:
    """What a receiver sends is sent at once and is no part of the turn it was told about."""
    with AgentSystem.open("memory://", agents=[Tally]) as system:

        def forward(_sender: object, event: AgentEvent) -> None:
            if event.key == "a":
                system.agent(Tally, "b").cast(Tally.add, 5)

        with signals.agent_paused.connected_to(forward):
            system.agent(Tally, "a").pause()
        assert system.idle(DEADLINE)
        other: AgentRef[Tally] = system.agent(Tally, "b")
        assert other.proxy().total().get(timeout=DEADLINE) == 5


def test_nobody_listening_makes_no_event() -> None:
    """Without receivers no record is made, so that signals cost nothing."""
    unheard = object()
    fire(signals.agent_paused, None, unheard)  # type: ignore[arg-type]
    with AgentSystem.open("memory://", agents=[Snapshot]) as system:
        system.agent(Snapshot, "a").pause()


def test_every_signal_has_its_record_and_its_words() -> None:
    """Each signal is in the table under its own name and says in a sentence when it fires."""
    for name, signal in signals.SIGNALS.items():
        assert getattr(signals, name) is signal
        assert signal.__doc__
        assert signal.__doc__.endswith(".")
    assert {field.name for field in dataclasses.fields(SaveEvent)} >= {"breaker", "backlog"}
