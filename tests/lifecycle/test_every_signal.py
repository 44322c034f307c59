"""The signals of rare events: each of them fires."""

import re
import sqlite3
import threading
from pathlib import Path
from typing import ClassVar

import pytest

from perdure import Agent, AgentSystem, Keys, RestartPolicy, Scope, State, StaticKeys, new_key
from perdure.actors.pool.future import Future
from perdure.lifecycle import signals
from perdure.lifecycle.clock import VirtualClock
from perdure.lifecycle.signals import AgentEvent
from perdure.persistence.errors import TurnTimeout
from tests.kit.deadline import DEADLINE
from tests.kit.gates import GATES, Gate, gate
from tests.kit.signals import Told
from tests.lifecycle.agents import Tally


class Endless(Tally):
    """Has a second for each message."""

    turn_limit = 1.0
    entered = threading.Event()
    go_on = threading.Event()

    def hang(self) -> None:
        """Wait until told to go on."""
        self.entered.set()
        assert self.go_on.wait(DEADLINE)


def test_a_turn_over_its_limit_is_told() -> None:
    """A turn that is abandoned fires turn_timed_out with what it was and how long it had."""
    clock = VirtualClock()
    with Told() as told, AgentSystem.open("memory://", agents=[Endless], clock=clock) as system:
        future = system.agent(Endless, "a").proxy().hang()
        assert Endless.entered.wait(DEADLINE)
        clock.advance(1.0)
        assert re.search(r"hang .*1.0 seconds", told.wait("turn_timed_out").reason)
        with pytest.raises(TurnTimeout):
            future.get(timeout=DEADLINE)
        Endless.go_on.set()


class Ticking(Agent[State]):
    """Tick, and tell of it."""

    ticked: ClassVar[threading.Event]

    def begin(self) -> None:
        self.every(0.01, self.tick)

    def tick(self) -> None:
        self.ticked.set()


class Slow(Agent[State]):
    """Take longer than it may."""

    turn_limit = 0.05
    restarts = RestartPolicy(attempts=1)

    def hang(self) -> None:
        GATES["slow"].pass_through()


@pytest.mark.parametrize("asked", [True, False])
def test_a_receiver_that_waits_holds_up_no_timer(*, asked: bool) -> None:
    """What people have called when a turn is given up may take its time: timers go on."""
    names = ("turn_timed_out", "agent_restarting", "message_dead")
    with gate("slow") as slow, AgentSystem.open("memory://", agents=[Slow, Ticking]) as system:
        Ticking.ticked = threading.Event()
        told = Gate()
        future: Future[None] = Future()
        system.agent(Ticking, "a").call(Ticking.begin).get()

        def wait(_sender: object, event: AgentEvent) -> None:
            told.pass_through()

        for name in names:
            signals.SIGNALS[name].connect(wait, weak=False)
        try:
            if asked:
                future = system.agent(Slow, "a").call(Slow.hang)
                future.add_callback(told.pass_through)
            else:
                system.agent(Slow, "a").cast(Slow.hang)
            told.wait()
            Ticking.ticked.clear()
            assert Ticking.ticked.wait(DEADLINE)
        finally:
            for name in names:
                signals.SIGNALS[name].disconnect(wait)
            told.open()
            slow.open()
        assert system.idle(DEADLINE)
        if asked:
            with pytest.raises(TurnTimeout):
                future.get(timeout=DEADLINE)


def test_a_bad_value_is_told(tmp_path: Path) -> None:
    """A stored value that fails its checksum fires snapshot_quarantined, and the agent works."""
    with AgentSystem.open(tmp_path / "a.db", agents=[Tally]) as system:
        system.agent(Tally, "a").proxy().add(7).get()
    connection = sqlite3.connect(tmp_path / "a.db")
    with connection:
        changed = connection.execute("UPDATE fields SET value = '8' WHERE field = 'total'")
        assert changed.rowcount == 1
    connection.close()
    with Told() as told, AgentSystem.open(tmp_path / "a.db", agents=[Tally]) as system:
        assert system.agent(Tally, "a").proxy().total().get() == 7
        event = told.wait("snapshot_quarantined")
        assert (event.kind, event.key) == ("Tally", "a")
        assert "total" in event.reason


def test_a_secret_in_the_plain_is_told() -> None:
    """A plain value that looks like a secret fires secret_found once, with its place and rule."""
    with Told() as told, AgentSystem.open("memory://", agents=[Tally]) as system:
        for key in ("a", "b"):
            system.state.set(Scope.user(key), "password", "correct horse battery")
        event = told.wait("secret_found")
        assert (event.place, event.reason) == ("user password", "the name of its place")
        assert told.names("secret_found") == ["secret_found"]


def test_the_end_of_a_rotation_is_told() -> None:
    """A rotation that went through fires rotation_done with the key in use."""
    keys = StaticKeys({"k1": new_key()})
    with (
        Told() as told,
        AgentSystem.open("memory://", agents=[Tally], keys=Keys(secrets=keys)) as system,
    ):
        assert system.secrets.rotate(wait=True).done
        assert told.wait("rotation_done").reason == "k1"


def test_a_step_of_a_session_is_told() -> None:
    """Each step of a session fires session_changed with the status it leads to."""
    with Told() as told, AgentSystem.open("memory://", agents=[Tally]) as system:
        system.sessions.create("s").fail("why")
        events = [told.wait("session_changed", count) for count in (1, 2)]
        assert [(event.status, event.note) for event in events] == [
            ("active", ""),
            ("failed", "why"),
        ]


def test_no_signal_is_without_a_test() -> None:
    """Every signal's name stands in a test that waits for it, counts it or is connected to it."""
    tests = sorted(Path(__file__).parents[1].rglob("test_*.py"))
    texts = "".join(path.read_text() for path in tests)
    ways = ('"{}"', "signals.{}.connected_to(")
    tested = {name for name in signals.SIGNALS if any(way.format(name) in texts for way in ways)}
    assert set(signals.SIGNALS) == tested
