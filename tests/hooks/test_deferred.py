"""Hooks that are called later: durable with the turn, once in effect, drained at the end."""

import logging
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, Breaker, OutcomeDetails, Replace, Scope, State, hook
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import ConfigurationError, Deadlock
from perdure.persistence.records.shared_tables import HOOK_QUEUE
from tests.kit.children import ROOT, environment
from tests.kit.deadline import DEADLINE


class Total(State):
    total: int = 0


class Adder(Agent[Total]):
    def add(self, number: int) -> int:
        self.state.total += number
        if number < 0:
            raise ValueError("below 0")
        return self.state.total


def queued(system: AgentSystem) -> int:
    """Return how many calls are stored."""
    return len(system._store.keys(HOOK_QUEUE, None, 1000))


def test_a_deferred_hook_is_called_once_for_every_turn(tmp_path: Path) -> None:
    """Its shared writes and the end of its call are one commit; a turn that failed has none."""
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder]) as system:

        @system.hooks.on("message.after", deferred=True, name="count")
        def count(details: OutcomeDetails) -> None:
            (number,) = details.args
            assert isinstance(number, int)
            system.state.increment(Scope.GLOBAL, "sum", number)

        adder = system.agent(Adder, "a")
        for number in range(1, 51):
            adder.call(Adder.add, number).get(timeout=DEADLINE)
        with pytest.raises(ValueError, match="below 0"):
            adder.call(Adder.add, -1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert system.state.get(Scope.GLOBAL, "sum") == sum(range(1, 51))
        assert system.hooks.history.count(hook="count") == 50
        assert queued(system) == 0
        turns = {each.sequence: each.correlation for each in system.journal.each("Adder", "a")}
        calls = [each for each in system.journal.each() if not each.kind]
        assert {each.cause: each.correlation for each in calls} == turns
        runs = [run.sequence for run in system.hooks.history.each(hook="count")]
        assert runs == [each.sequence for each in calls]


def test_what_is_stored_is_called_at_the_end_or_in_the_next_process(tmp_path: Path) -> None:
    """Closing calls what is stored; a call whose hook is not there waits for it."""
    path = tmp_path / "s.db"
    with AgentSystem.open(path, agents=[Adder], clock=VirtualClock()) as system:

        @system.hooks.on("message.after", deferred=True, name="count")
        def fails(details: OutcomeDetails) -> None:
            raise RuntimeError("not now")

        system.agent(Adder, "a").call(Adder.add, 7).get(timeout=DEADLINE)
    with AgentSystem.open(path, agents=[Adder]) as system:
        assert system.idle(DEADLINE)
        assert queued(system) == 1

        def count(details: OutcomeDetails) -> None:
            system.state.set(Scope.GLOBAL, "result", details.result)

        system.hooks.on("message.after", count, deferred=True, name="count")
    with AgentSystem.open(path, agents=[Adder]) as system:
        assert queued(system) == 0
        assert system.state.get(Scope.GLOBAL, "result") == 7


def test_a_call_is_made_as_soon_as_its_hook_is_registered(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What a killed process has left waits for no look by the clock, and nobody is warned of it."""
    path, clock = tmp_path / "s.db", VirtualClock()
    with AgentSystem.open(path, agents=[Adder]) as system:

        def count(details: OutcomeDetails) -> None:
            system.state.increment(Scope.GLOBAL, "calls")

        system.hooks.on("message.after", count, deferred=True, name="count", on="none")
        system.hooks.on("message.after", _fails, deferred=True, name="left")
        system.agent(Adder, "a").call(Adder.add, 7).get(timeout=DEADLINE)
    caplog.clear()
    with AgentSystem.open(path, agents=[Adder], clock=clock) as system:
        assert system.idle(DEADLINE)
        assert queued(system) == 1
        system.hooks.on("message.after", count, deferred=True, name="left")
        assert system.idle(DEADLINE)
        assert (queued(system), system.state.get(Scope.GLOBAL, "calls")) == (0, 1)
    assert "nobody registered" not in caplog.text
    with AgentSystem.open(path, agents=[Adder], clock=clock) as system:
        system.hooks.on("message.after", _fails, deferred=True, name="left")
        system.agent(Adder, "a").call(Adder.add, 7).get(timeout=DEADLINE)
    caplog.clear()
    with AgentSystem.open(path, agents=[Adder], clock=clock) as system:
        clock.advance(31)
        assert system.idle(DEADLINE)
        assert caplog.text.count("the hook left, which nobody registered") == 1


def _fails(_details: OutcomeDetails) -> None:
    raise RuntimeError("not now")


def test_a_deferred_hook_that_always_fails_is_given_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every attempt stands in the history as failed; after the last one the log says so."""
    clock = VirtualClock()
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder], clock=clock) as system:

        @system.hooks.on("message.after", deferred=True, name="broken")
        def broken(details: OutcomeDetails) -> None:
            system.state.increment(Scope.GLOBAL, "tries")
            raise RuntimeError("broken")

        system.agent(Adder, "a").call(Adder.add, 7).get(timeout=DEADLINE)
        for _ in range(5):
            assert system.idle(DEADLINE)
            clock.advance(60)
        assert system.idle(DEADLINE)
        assert queued(system) == 0
        runs = list(system.hooks.history.each(hook="broken"))
        assert [(run.outcome, run.error) for run in runs] == [
            ("failed", "RuntimeError: broken")
        ] * 5
        assert system.state.get(Scope.GLOBAL, "tries", default=0) == 0
    messages = [each.message for each in caplog.records if each.levelno >= logging.ERROR]
    assert any("given up" in message for message in messages)


def test_a_failure_is_no_success_whatever_is_kept_of_it(tmp_path: Path) -> None:
    """Calls of a hook that fails, or that is left alone, stay until it succeeds: none is lost."""
    clock = VirtualClock()
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder], clock=clock) as system:
        broken = True
        breaker = Breaker(2, reset_after=100.0)

        @system.hooks.on("message.after", deferred=True, record=False, breaker=breaker)
        def count(details: OutcomeDetails) -> None:
            if broken:
                raise RuntimeError("broken")
            system.state.increment(Scope.GLOBAL, "calls")

        for _ in range(6):
            system.agent(Adder, "a").call(Adder.add, 1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert queued(system) == 6
        broken = False
        for _ in range(8):
            clock.advance(31)
            assert system.idle(DEADLINE)
        assert (queued(system), system.state.get(Scope.GLOBAL, "calls")) == (0, 6)


def test_only_hooks_that_guard_nothing_can_be_deferred() -> None:
    """A guard and a method of an agent decide, or act, in the turn: neither can wait."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        def guard(details: object) -> None:
            return None

        def late(details: object) -> Replace | None:
            return None

        with pytest.raises(ConfigurationError, match="it cannot be deferred"):
            system.hooks.on("message.before", guard, deferred=True)
        with pytest.raises(ConfigurationError, match="answers too late; declare -> None"):
            system.hooks.on("message.after", late, deferred=True)

    class Deferring(Adder):
        @hook("message.after", deferred=True)
        def _later(self, details: OutcomeDetails) -> None:
            return None

    with pytest.raises(ConfigurationError, match="send the agent a message"):
        AgentSystem.open("memory://", agents=[Deferring])


KILLED = """
import os, sys
from perdure import AgentSystem, Scope
from tests.hooks.test_deferred import Adder
left = int(sys.argv[2])
with AgentSystem.open(sys.argv[1], agents=[Adder], sync="process") as system:
    def count(details) -> None:
        global left
        system.state.increment(Scope.GLOBAL, "sum", details.args[0])
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 9)
    system.hooks.on("message.after", count, deferred=True, name="count")
    for _ in range(20):
        system.agent(Adder, "a").call(Adder.add, 1).get()
    system.idle(30)
"""


@pytest.mark.parametrize("at", [1, 4, 9])
def test_a_kill_neither_loses_nor_doubles_a_deferred_call(tmp_path: Path, at: int) -> None:
    """Killed in the middle of a call, the next process makes it, and what is counted is exact."""
    child = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "s.db", str(at)],
        cwd=ROOT, env=environment(), check=False,
    )  # fmt: skip
    assert child.returncode == -signal.SIGKILL
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder]) as system:
        done = system.agent(Adder, "a").call(Adder.add, 0).get(timeout=DEADLINE)

        def count(details: OutcomeDetails) -> None:
            (number,) = details.args
            assert isinstance(number, int)
            system.state.increment(Scope.GLOBAL, "sum", number)

        system.hooks.on("message.after", count, deferred=True, name="count")
    with AgentSystem.open(tmp_path / "s.db", agents=[Adder]) as system:
        assert system.state.get(Scope.GLOBAL, "sum") == done
        assert system.hooks.history.count(hook="count") == done


@pytest.mark.parametrize("how", ["close", "idle"])
@pytest.mark.parametrize(("point", "deferred"), [("message.after", True), ("save.after", False)])
def test_a_hook_that_waits_for_the_whole_system_is_a_deadlock(
    how: str, point: str, *, deferred: bool
) -> None:
    """idle() and close() in a hook that runs outside of turns raise, and nothing hangs."""
    met: list[str] = []
    called = threading.Event()
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        @system.hooks.on(point, on="add", deferred=deferred)
        def wait(_details: object) -> None:
            try:
                getattr(system, how)()
            except Deadlock as error:
                met.append(str(error))
            called.set()

        system.agent(Adder, "a").call(Adder.add, 1).get(timeout=DEADLINE)
        assert called.wait(DEADLINE)
        assert system.idle(DEADLINE)
    assert met == [f"{how}() in a hook would wait for that hook; call it from outside"]
