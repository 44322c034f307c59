"""Hooks that are called later: durable with the turn, once in effect, drained at the end."""

import dataclasses
import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    Breaker,
    Durability,
    ErrorDetails,
    MemoryStore,
    OutcomeDetails,
    Point,
    Replace,
    SaveDetails,
    Scope,
    ScopeDetails,
    Skip,
    State,
    StateDetails,
    hook,
)
from perdure.hooks.hook import Declared, Hook, HookOptions
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import ConfigurationError, Deadlock
from perdure.persistence.records.records import Commit
from perdure.persistence.records.shared_tables import HOOK_QUEUE
from perdure.persistence.records.tables import Change
from tests.cli.commands import records
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


def hears(details: OutcomeDetails) -> None:
    """Do nothing."""


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
        assert system.idle(DEADLINE)
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


class Dreamer(Adder):
    durability = Durability.VOLATILE


class Saver(Adder):
    durability = Durability.SNAPSHOT


@pytest.mark.parametrize("kind", [Adder, Dreamer, Saver])
@pytest.mark.parametrize("point", ["message.after", "state.after", "save.after"])
def test_a_call_goes_with_the_commit_it_is_about(kind: type[Adder], point: str) -> None:
    """Whatever the agent's durability: as often as there are turns, changes or saves of it."""
    told: list[Any] = []
    clock, kinds = VirtualClock(), [Adder, Dreamer, Saver]
    with AgentSystem.open("memory://", agents=kinds, clock=clock) as system:

        def count(details: OutcomeDetails | StateDetails | SaveDetails) -> None:
            told.append(details)

        system.hooks.on(point, count, agents=kind, deferred=True, name="count")
        for number in range(1, 4):
            system.agent(kind, "a").call(kind.add, number).get(timeout=DEADLINE)
        clock.advance(60)  # by then what is saved now and then is
        assert system.idle(DEADLINE)
        assert queued(system) == 0
        commits = [each for each in system.journal.each(kind.kind, "a") if each.delta != "{}"]
        if point == "message.after":
            assert [each.result for each in told] == [1, 3, 6]
        elif point == "state.after":
            assert [(e.version, e.name) for e in told] == [(e.version, e.name) for e in commits]
        else:
            saved = {(each.version, each.sequence) for each in told}
            assert saved >= {(each.version, each.sequence) for each in commits}


def _count(details: OutcomeDetails) -> None:
    """Look."""


def _count_state(details: StateDetails) -> None:
    """Look."""


def _disabled(system: AgentSystem) -> None:
    system.hooks.on("message.after", _count, name="count", deferred=True)
    system.hooks.disable("count")


def _elsewhere(system: AgentSystem) -> None:
    system.hooks.on("state.after", _count_state, name="count", deferred=True)


WAITS: dict[str, Callable[[AgentSystem], None]] = {
    "nobody has registered the hook": lambda _system: None,
    "the hook is disabled": _disabled,
    "the hook is registered at state.after": _elsewhere,
}


@pytest.mark.parametrize("why", WAITS)
def test_a_call_that_cannot_be_made_waits_and_says_why(tmp_path: Path, why: str) -> None:
    """It is listed, by the library and the command line, until a process makes it, once."""
    path = tmp_path / "s.db"
    with AgentSystem.open(path, agents=[Adder], sync="process") as system:
        system.hooks.on("message.after", _failing, name="count", deferred=True)
        system.agent(Adder, "a").call(Adder.add, 1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        (call,) = system.hooks.deferred.list()
        assert call.reason == "it has failed 1 of 5 times"
    (told,) = records("hooks", "waiting", "--store", path)
    assert (told["id"], told["hook"], told["reason"]) == (
        call.id, "count", "nobody has the store open",
    )  # fmt: skip
    with AgentSystem.open(path, agents=[Adder], sync="process") as system:
        WAITS[why](system)
        assert system.idle(DEADLINE)
        assert [(each.id, each.reason) for each in system.hooks.deferred.each()] == [(call.id, why)]
        (told,) = records("hooks", "waiting", "--store", path)
        assert told == msgspec.to_builtins(next(system.hooks.deferred.each()))
        assert (told["kind"], told["key"]) == ("Adder", "a")
    with AgentSystem.open(path, agents=[Adder], sync="process") as system:
        system.hooks.on("message.after", _count, name="count", deferred=True)
    with AgentSystem.open(path, agents=[Adder], sync="process") as system:
        assert system.hooks.deferred.count() == 0
        outcomes = [run.outcome for run in system.hooks.history.each(hook="count")]
        assert outcomes.count("continue") == 1


def _failing(details: OutcomeDetails) -> None:
    raise LookupError("not yet")


def test_a_call_that_cannot_be_told_any_more_is_given_up_in_the_history() -> None:
    """Where its details do not fit its point any more: the history says that it failed."""
    point = Point.custom("shop.sold", dict)
    other = Point.custom("shop.sold", int)
    store, clock = MemoryStore(), VirtualClock()
    with AgentSystem.open(store, agents=[Adder], clock=clock) as system:
        commit = Commit()
        row = (0, 0, 1.0, "late", "shop.sold", '{"price":1}')
        commit.with_effects().rows = [Change(HOOK_QUEUE, row[:2], row)]
        system._supervisor.append(commit)
        assert point.name == other.name

        def late(details: int) -> None:
            """Look."""

        system.hooks._registry.put(_deferred(other, late))
        for _ in range(6):
            clock.advance(31)
            assert system.idle(DEADLINE)
        assert queued(system) == 0
        assert {run.outcome for run in system.hooks.history.each(hook="late")} == {"failed"}


def _deferred(point: Point[Any], function: Callable[..., Any]) -> Hook:
    """Return a hook that guards nothing, as no program can make it at a point of its own."""
    after = dataclasses.replace(point, guards=False)
    return Hook(Declared(after, function, HookOptions(deferred=True), "late"), 1)


def test_a_call_that_is_overtaken_has_not_failed() -> None:
    """Others who were first are no failure of the hook: it is made again, and counted once."""
    overtaken = iter([True] * 7 + [False] * 100)
    with AgentSystem.open("memory://", agents=[Adder]) as system:

        @system.hooks.on("message.after", deferred=True, name="late")
        def late(details: OutcomeDetails) -> None:
            seen = system.state.get(Scope.GLOBAL, "n", default=0)
            if next(overtaken):
                run_apart(lambda: system.state.increment(Scope.GLOBAL, "n"))
            assert isinstance(seen, int)
            system.state.set(Scope.GLOBAL, "n", seen + 100)

        system.agent(Adder, "a").call(Adder.add, 1).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        while system.hooks.deferred.count():
            assert system.idle(DEADLINE)
        assert system.state.get(Scope.GLOBAL, "n") == 107
        assert [run.outcome for run in system.hooks.history.each(hook="late")] == ["continue"]


def run_apart(work: Callable[[], object]) -> None:
    """Do something in a thread of its own, as somebody else does it."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_what_a_skipped_error_undid_is_not_told_of() -> None:
    """A write that was undone with the handler is no write, also for deferred hooks."""
    told: list[str] = []
    with AgentSystem.open("memory://", agents=[Writer]) as system:

        @system.hooks.on("scope_write.after", deferred=True, name="wrote")
        def wrote(details: ScopeDetails) -> None:
            told.append(details.name)

        @system.hooks.on("error", name="skips")
        def skips(details: ErrorDetails) -> Skip | None:
            return Skip(7)

        writer = system.agent(Writer, "a")
        assert writer.call(Writer.write, "undone", fail=True).get(timeout=DEADLINE) == 7
        assert writer.call(Writer.write, "done").get(timeout=DEADLINE) is None
        assert system.idle(DEADLINE)
        assert told == ["done"]


class Writer(Agent[Total]):
    def write(self, key: str, *, fail: bool = False) -> None:
        self.scopes.set(self.scopes.own, key, 1)
        if fail:
            raise ValueError(key)


def test_an_erased_agents_calls_leave_nothing_in_the_file(tmp_path: Path) -> None:
    """Nor do its pinned runs: not where what came and went is kept for recoveries, either."""
    path = tmp_path / "s.db"
    with AgentSystem.open(path, agents=[Adder]) as system:
        system.hooks.on("message.after", hears, name="later", deferred=True)
        system.hooks.on("message.after", hears, name="now")
        for key, number in (("a", 424242), ("b", 535353)):
            system.agent(Adder, key).call(Adder.add, number).get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        for run in system.hooks.history.each(hook="now"):
            system.hooks.history.pin(run.id)
        assert system.agent(Adder, "a").delete(erase=True)
    held = path.read_bytes()
    assert b"424242" not in held
    assert b"535353" in held
