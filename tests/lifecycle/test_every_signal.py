"""The signals of rare events: each of them fires."""

import re
import sqlite3
import threading
from pathlib import Path

import pytest

from perdure import AgentSystem, Keys, Scope, StaticKeys, new_key
from perdure.lifecycle import signals
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import TurnTimeout
from tests.kit.deadline import DEADLINE
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
    """Every signal's name stands in a test of this folder that waits for it or counts it."""
    texts = "".join(path.read_text() for path in sorted(Path(__file__).parent.glob("test_*.py")))
    assert [name for name in signals.SIGNALS if f'"{name}"' not in texts] == []
