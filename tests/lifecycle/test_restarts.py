"""Supervision of one agent: attempts, dead letters, backoff, intensity, quarantine, restart."""

import random
import threading
from typing import Any

import pytest

from perdure import AgentSystem, Backoff, RestartPolicy
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import AgentQuarantined, ConfigurationError, InvalidTransition
from perdure.persistence.memory.store import MemoryStore
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import Broken, Tally
from tests.lifecycle.test_durable_status import give_up


class Slow(Tally):
    """Waits ten, twenty, forty ... seconds before it begins again."""

    restarts = RestartPolicy(
        attempts=5, restarts=10, within=1000.0, backoff=Backoff(10.0, 2.0, 40.0)
    )


@pytest.mark.parametrize(
    "options", [{"attempts": 0}, {"restarts": -1}, {"within": 0.0}, {"within": float("nan")}]
)
def test_policies_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    """A policy that never tries a message or counts over no time cannot be made."""
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        RestartPolicy(**options)


def test_a_message_that_always_fails_becomes_a_dead_letter() -> None:
    """After its attempts a message is set aside, later mail is handled, nothing else is lost."""
    store, clock = MemoryStore(), VirtualClock()
    with Told() as told, AgentSystem.open(store, agents=[Tally], clock=clock) as system:
        tally = system.agent(Tally, "a")
        tally.proxy().add(1).get()
        tally.cast(Tally.fail)
        tally.cast(Tally.add, 2)
        for attempt in range(1, 4):
            told.wait("agent_restarting", attempt)
            assert system.flush(DEADLINE)
            assert len(store.dead_letters()) == (attempt == 3)
            clock.advance(1.0)
        assert tally.proxy().steps().get(timeout=DEADLINE) == ["add 1", "add 2"]
        (dead,) = store.dead_letters()
        assert (dead.kind, dead.key, dead.attempts, dead.reason) == ("Tally", "a", 3, "Broken: a")
        assert store.mail("Tally", "a") == []


def test_an_asker_gets_the_error_and_nothing_is_restarted() -> None:
    """An error somebody waits for is theirs: no restart, no dead letter, no count."""
    store = MemoryStore()
    with Told() as told, AgentSystem.open(store, agents=[Tally]) as system:
        tally = system.agent(Tally, "a")
        for _ in range(20):
            with pytest.raises(Broken):
                tally.proxy().fail().get()
        assert tally.proxy().total().get() == 0
        assert told.names() == ["agent_starting", "agent_started"]
        assert store.dead_letters() == []


def test_backoff_between_restarts_grows_with_seeded_jitter() -> None:
    """The waits before each next attempt are those the generator draws, on the system's clock."""
    clock, seed = VirtualClock(), 11
    with (
        Told() as told,
        AgentSystem.open(
            "memory://", agents=[Slow], clock=clock, randomness=random.Random(seed)
        ) as system,
    ):
        system.agent(Slow, "a").cast(Slow.fail)
        expected = random.Random(seed)
        for attempt in range(1, 5):
            told.wait("agent_restarting", attempt)
            assert system.flush(DEADLINE)
            wait = Slow.restarts.backoff.delay(attempt, expected)
            clock.advance(wait - 0.001)
            assert len(told.events("agent_failed")) == attempt
            clock.advance(0.002)
            told.wait("agent_failed", attempt + 1)


def test_too_many_restarts_end_in_quarantine_and_restart_puts_back() -> None:
    """Above its intensity an agent is given up: asks refused, tells waiting; restart() frees it."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Tally], clock=clock) as system:
        give_up(system, told, Tally, "a")
        tally = system.agent(Tally, "a")
        tally.cast(Tally.add, 1)
        with pytest.raises(AgentQuarantined):
            tally.proxy().add(100).get(timeout=DEADLINE)
        with pytest.raises(InvalidTransition, match="quarantined"):
            tally.pause(timeout=DEADLINE)
        assert told.wait("agent_quarantined").reason == "Broken: a"
        tally.restart(timeout=DEADLINE)
        assert tally.proxy().steps().get(timeout=DEADLINE) == ["add 1"]
        give_up(system, told, Tally, "a")  # it has all its restarts again


def test_askers_who_wait_when_an_agent_is_given_up_are_told() -> None:
    """Asks in the mailbox of an agent that is quarantined get its reason, not silence."""
    clock = VirtualClock()

    class Fragile(Tally):
        """Is given up at the first failure."""

        restarts = RestartPolicy(restarts=0)
        entered = threading.Event()
        go_on = threading.Event()

        def wait_and_fail(self) -> None:
            """Fail when told to."""
            self.entered.set()
            assert self.go_on.wait(DEADLINE)
            raise Broken(self.key)

    with Told() as told, AgentSystem.open("memory://", agents=[Fragile], clock=clock) as system:
        fragile = system.agent(Fragile, "a")
        fragile.cast(Fragile.wait_and_fail)
        assert Fragile.entered.wait(DEADLINE)
        waiting = fragile.proxy().total()
        stopping = fragile.stop(block=False)
        Fragile.go_on.set()
        with pytest.raises(AgentQuarantined, match="Broken: a"):
            waiting.get(timeout=DEADLINE)
        assert stopping.get(timeout=DEADLINE) is True
        told.wait("agent_stopped")


def test_a_stop_does_not_wait_for_a_pause_a_backoff_or_a_quarantine() -> None:
    """stop() is taken at once although the mail before it stands still."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Tally], clock=clock) as system:
        paused, failing, given_up = (system.agent(Tally, key) for key in ("p", "f", "q"))
        paused.pause()
        give_up(system, told, Tally, "q")
        restarting = len(told.events("agent_restarting"))
        failing.cast(Tally.fail)
        told.wait("agent_restarting", restarting + 1)
        for agent in (paused, failing, given_up):
            assert agent.stop(timeout=DEADLINE) is True
        assert {row.status for row in system.agents.each()} == {"stopped"}


def test_a_restart_by_a_person_ends_the_backoff() -> None:
    """restart() during a wait begins again at once, and the old wait cuts no later one short."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Slow], clock=clock) as system:
        slow = system.agent(Slow, "a")
        slow.cast(Slow.fail)
        told.wait("agent_restarting")
        slow.restart(timeout=DEADLINE)
        told.wait("agent_failed", 2)
        told.wait("agent_restarting", 3)  # one by the person, two by supervision
        first, second = sorted(
            call.seconds for call in clock.pending() if 5.0 < call.seconds <= 10.0
        )[:2]
        clock.advance(min(first, second))
        assert system.flush(DEADLINE)
        clock.advance(max(first, second) - min(first, second) - 0.001)
        clock.advance(0.002)
        told.wait("agent_failed", 3)
        assert system.close()


class Unmakeable(Tally):
    """Cannot be made while its flag says so."""

    broken = True

    def __init__(self) -> None:
        """Raise if broken."""
        super().__init__()
        if Unmakeable.broken:
            raise Broken("cannot be made")


def test_an_agent_that_cannot_be_made_keeps_its_mail() -> None:
    """A class whose __init__ raises after a reopening loses no mail and buries nothing of ours."""
    store, clock = MemoryStore(), VirtualClock()
    Unmakeable.broken = False
    with AgentSystem.open(store, agents=[Unmakeable]) as system:
        system.agent(Unmakeable, "a").pause()
        system.agent(Unmakeable, "a").cast(Unmakeable.add, 1)
    Unmakeable.broken = True
    with Told() as told, AgentSystem.open(store, agents=[Unmakeable], clock=clock) as system:
        for attempt in range(1, 5):
            told.wait("agent_restarting", attempt)
            assert store.dead_letters() == []
            Unmakeable.broken = attempt < 4
            clock.advance(1.0)
        assert system.idle(DEADLINE)
        system.agent(Unmakeable, "a").resume(timeout=DEADLINE)
        assert system.agent(Unmakeable, "a").proxy().total().get(timeout=DEADLINE) == 1


def test_closing_does_not_wait_for_a_backoff() -> None:
    """A system closes at once although an agent has minutes to wait; its mail stays stored."""
    store, clock = MemoryStore(), VirtualClock()
    system = AgentSystem.open(store, agents=[Slow], clock=clock)
    with Told() as told:
        system.agent(Slow, "a").cast(Slow.fail)
        told.wait("agent_restarting")
        assert system.close(timeout=DEADLINE) is True
    assert len(store.mail("Slow", "a")) == 1
