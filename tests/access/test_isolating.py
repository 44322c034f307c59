"""An agent that is cut off does nothing any more, whatever it was doing; nothing is lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    Breaker,
    Durability,
    Principal,
    Right,
    Saving,
    Scope,
    VirtualClock,
    signals,
)
from perdure.lifecycle.signals import AgentEvent
from perdure.persistence.errors import Denied, Isolated, PerdureError, ScopeError, UnknownAgent
from perdure.persistence.records.records import JournalEntry
from perdure.testing import FaultyStore
from tests.access.agents import ANNA, Desk, DeskState, W, call, opened
from tests.kit.deadline import DEADLINE
from tests.kit.gates import gate
from tests.kit.signals import Told
from tests.kit.threads import together


def last_commit(system: AgentSystem, key: str) -> int:
    """Return the sequence of an agent's newest commit."""
    entries = system.journal.list("Desk", key, limit=10_000)
    return entries[-1].sequence if entries else 0


def isolation_of(system: AgentSystem) -> int:
    """Return the sequence of the newest isolation."""
    return next(e.sequence for e in system.journal.each(newest=True) if "isolate" in e.name)


def test_a_turn_that_writes_is_abandoned_and_its_asker_told() -> None:
    """The asker gets Isolated at once; nothing of the turn is kept, whatever it does afterwards."""
    with gate("in") as door, opened() as system:
        system.access.grant(ANNA, W, Right.ALL)
        reply = system.agent(Desk, "anna").proxy().write_and_wait("workflow:w", "k", 1, "in")
        door.wait()
        system.access.isolate(ANNA, "it leaks")
        with pytest.raises(Isolated):
            reply.get(timeout=DEADLINE)
        door.open()
        assert system.idle(DEADLINE)
        assert system.state.get(W, "k") is None
        assert last_commit(system, "anna") < isolation_of(system)
        system.access.restore(ANNA)
        assert call(system, "anna", "done") == 0
        assert call(system, "anna", "write", "workflow:w", "k", 2) == 1


def test_an_async_turn_is_cancelled() -> None:
    """A coroutine that sleeps for an hour does not; its write is not there."""
    with gate("in") as door, opened() as system:
        system.access.grant(ANNA, W, Right.ALL)
        reply = system.agent(Desk, "anna").proxy().write_and_sleep("workflow:w", "k", 1, "in")
        door.wait()
        system.access.isolate(ANNA, "it hangs")
        with pytest.raises(Isolated):
            reply.get(timeout=DEADLINE)
        assert system.state.get(W, "k") is None
        system.access.restore(ANNA)
        assert call(system, "anna", "work") == 1


def test_what_it_told_in_the_turn_is_not_sent() -> None:
    """Messages leave with the commit, and there is none."""
    with gate("in") as door, opened() as system:
        reply = system.agent(Desk, "anna").proxy().tell_and_wait("bert", "in")
        door.wait()
        system.access.isolate(ANNA, "it shouts")
        door.open()
        with pytest.raises(Isolated):
            reply.get(timeout=DEADLINE)
        assert system.idle(DEADLINE)
        assert call(system, "bert", "done") == 0


def test_what_it_asks_after_the_isolation_reaches_nobody() -> None:
    """An ask is immediate and no part of the commit; it is refused where it is made."""
    with gate("in") as door, opened() as system:
        system.agent(Desk, "anna").proxy().wait_and_ask("bert", "in")
        door.wait()
        system.access.isolate(ANNA, "it asks")
        door.open()
        assert system.idle(DEADLINE)
        assert call(system, "bert", "done") == 0


def test_an_idle_agent_is_cut_off_and_asks_are_refused_while_tells_wait() -> None:
    """Asks get Isolated at once; what was told is handled after the restore, once and in order."""
    with opened() as system:
        anna = system.agent(Desk, "anna")
        call(system, "anna", "work")
        system.access.isolate(anna, "it looks odd")
        for _ in range(3):
            anna.cast(Desk.work)
        for _ in range(2):
            with pytest.raises(Isolated, match="isolated"):
                call(system, "anna", "work")
        assert system.access.isolations.list()[0].reason == "it looks odd"
        assert last_commit(system, "anna") < isolation_of(system)
        system.access.restore(anna)
        assert system.access.isolations.list() == []
        assert call(system, "anna", "done") == 4


def test_asks_that_wait_in_its_mailbox_are_refused() -> None:
    """Those behind the turn under way do not wait for a restore."""
    with gate("in") as door, opened() as system:
        anna = system.agent(Desk, "anna").proxy()
        first = anna.wait("in")
        door.wait()
        behind = [anna.work() for _ in range(3)]
        system.access.isolate(ANNA, "it hangs")
        for reply in (first, *behind):
            with pytest.raises(Isolated):
                reply.get(timeout=DEADLINE)


def test_a_told_turn_that_hangs_is_handled_again_after_the_restore_though_it_never_ends() -> None:
    """The restored agent gets on beside what still hangs; its message counts once."""
    with gate("in") as door, opened() as system:
        anna = system.agent(Desk, "anna")
        anna.cast(Desk.wait, "in")
        anna.cast(Desk.work)
        door.wait()
        system.access.isolate(anna, "it hangs")
        system.access.restore(anna)
        door.wait()  # a second run, while the first still hangs
        door.open()
        assert system.idle(DEADLINE)
        assert call(system, "anna", "done") == 2


def test_isolation_lasts_over_a_restart_and_one_call_undoes_it(tmp_path: Path) -> None:
    """The next process refuses it as well; its mail waits in the store until it is restored."""
    with opened(tmp_path / "a.db") as system:
        anna = system.agent(Desk, "anna")
        call(system, "anna", "work")
        system.access.isolate(anna, "it leaks")
        anna.cast(Desk.work)
    with opened(tmp_path / "a.db") as system:
        anna = system.agent(Desk, "anna")
        anna.cast(Desk.work)
        with pytest.raises(Isolated):
            call(system, "anna", "work")
        assert system.access.isolations.list()[0].agent == ANNA
        assert not system.access.check(ANNA, Right.READ, Scope.agent("Desk", "anna")).allowed
    with opened(tmp_path / "a.db") as system:
        system.access.restore(ANNA)
        assert call(system, "anna", "done") == 3
    with opened(tmp_path / "a.db") as system:
        assert call(system, "anna", "done") == 3


def test_an_agent_nobody_has_met_is_isolated_before_its_first_message() -> None:
    """There is no cell yet; the one that is made holds its mail."""
    with opened() as system:
        system.access.isolate(ANNA, "in advance")
        system.agent(Desk, "anna").cast(Desk.work)
        with pytest.raises(Isolated):
            call(system, "anna", "work")
        assert system.idle(DEADLINE)
        assert last_commit(system, "anna") == 0
        system.access.restore(ANNA)
        assert call(system, "anna", "done") == 1


def test_a_reason_that_cannot_be_stored_is_refused_and_nobody_cut_off(tmp_path: Path) -> None:
    """It must be text without lone surrogates; the system works on."""
    with opened(tmp_path / "a.db") as system:
        for reason in ("a\ud800", None, 5, b"x"):
            with pytest.raises(ScopeError, match="reason"):
                system.access.isolate(ANNA, reason)  # type: ignore[arg-type]
        assert system.access.isolations.list() == []
        assert call(system, "anna", "work") == 1
        assert system.audit.list() == []


def test_a_misspelt_agent_is_no_agent_and_restoring_says_whether_anybody_was_cut_off() -> None:
    """UnknownAgent for a kind the system does not have; False for who was never isolated."""
    with opened() as system:
        with pytest.raises(UnknownAgent, match="'Dsek'"):
            system.access.isolate(Principal.agent("Dsek", "anna"), "it leaks")
        assert system.access.isolations.list() == []
        assert system.access.restore(ANNA) is False
        system.access.isolate(ANNA, "it leaks")
        assert system.access.restore(ANNA) is True
        assert system.access.restore(ANNA) is False


def test_steps_of_the_lifecycle_are_refused_while_it_is_isolated() -> None:
    """Pausing, resuming, stopping and restarting run the agent's own code, so they are refused."""
    with opened() as system:
        anna = system.agent(Desk, "anna")
        call(system, "anna", "work")
        system.access.isolate(anna, "it leaks")
        for step in (anna.pause, anna.stop, anna.restart):
            with pytest.raises(Isolated):
                step()
        system.access.restore(anna)
        assert call(system, "anna", "work") == 2


class Saved(Desk):
    durability = Durability.SNAPSHOT


def test_a_snapshot_agent_keeps_what_it_had_done_before() -> None:
    """Its turns before the isolation are saved by it, so that their mail need not come again."""
    with AgentSystem.open("memory://", agents=[Saved]) as system:
        saved = system.agent(Saved, "s")
        for _ in range(3):
            saved.cast(Saved.work)
        assert saved.proxy().done().get() == 3
        system.access.isolate(saved, "it leaks")
        saved.cast(Saved.work)
        system.access.restore(saved)
        assert saved.proxy().done().get() == 4


class Boxed(Agent[DeskState]):
    turn_limit = 3600.0

    def work(self) -> int:
        self.state.done += 1
        return self.state.done


def test_a_turn_with_a_time_limit_is_decided_once() -> None:
    """The clock, the runner and the isolation do not end the same turn twice."""
    with AgentSystem.open("memory://", agents=[Boxed]) as system:
        boxed = system.agent(Boxed, "b")
        assert boxed.proxy().work().get() == 1
        system.access.isolate(boxed, "why not")
        system.access.restore(boxed)
        assert boxed.proxy().work().get() == 2


@pytest.mark.parametrize("rounds", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_isolated_and_restored_in_a_storm_of_mail_nothing_is_lost_or_doubled(rounds: int) -> None:
    """Told messages count once each; no commit stands behind an isolation before its restore."""
    with opened() as system:
        anna = system.agent(Desk, "anna")
        told, stop = 0, threading.Event()
        asked = []

        def ask() -> None:
            while not stop.is_set():
                try:
                    anna.proxy().work().get(timeout=DEADLINE)
                except Isolated:
                    continue
                asked.append(1)

        def tell() -> None:
            nonlocal told
            while not stop.is_set() and told < 20_000:
                anna.cast(Desk.work)
                told += 1

        threads = [threading.Thread(target=ask), threading.Thread(target=tell)]
        for thread in threads:
            thread.start()
        for _ in range(rounds):
            system.access.isolate(anna, "storm")
            system.access.restore(anna)
        stop.set()
        for thread in threads:
            thread.join(DEADLINE)
        assert system.idle(DEADLINE)
        assert call(system, "anna", "done") == told + len(asked)
        assert commits_while_isolated(system, "anna") == []


def commits_while_isolated(system: AgentSystem, key: str) -> list[JournalEntry]:
    """Return an agent's commits between an isolation and its restore."""
    found, inside, after = [], False, 0
    while page := system.journal.list(after=after, limit=1000):
        after = page[-1].sequence
        for entry in page:
            if entry.name in ("(isolate)", "(restore)"):
                inside = entry.name == "(isolate)"
            elif entry.key == key and inside:
                found.append(entry)
    return found


def test_isolating_is_for_the_system_alone() -> None:
    """A principal of a name may not, nor may an agent; the refusal is in the audit."""
    with opened() as system:
        handle = system.access.acting_as(ANNA)
        for refused in (lambda: handle.isolate(ANNA, "no"), lambda: handle.restore(ANNA),
                        handle.isolations.list):  # fmt: skip
            with pytest.raises(Denied):
                refused()
        assert len(system.audit.list(outcome="refused")) == 3


def test_an_isolation_while_the_store_is_away_holds_and_says_so() -> None:
    """In an emergency the disk may be part of it: it is cut off, and the error tells the rest."""
    store = FaultyStore()
    with (
        Told("breaker_opened") as told,
        opened(
            store.open(),
            saving=Saving(
                backoff=Backoff(first=0.01), breaker=Breaker(failures=2, reset_after=0.05)
            ),
        ) as system,
    ):
        call(system, "anna", "work")
        store.fail()
        system.agent(Desk, "bert").cast(Desk.work)
        told.wait("breaker_opened")
        with pytest.raises(PerdureError):
            system.access.isolate(ANNA, "and the disk burns")
        assert [i.reason for i in system.access.isolations.list()] == ["and the disk burns"]
        store.mend()
        assert system.flush(DEADLINE)
        with pytest.raises(Isolated):
            call(system, "anna", "work")


def test_a_receiver_may_isolate_the_agent_whose_failure_it_is_told_of() -> None:
    """It runs in the middle of that agent's mailbox, and waits for nothing there."""
    with AgentSystem.open("memory://", agents=[Desk]) as system:

        def told(_sender: object, event: AgentEvent) -> None:
            system.access.isolate(Principal.agent(event.kind, event.key), "it failed")

        signals.agent_failed.connect(told, sender=system)
        system.agent(Desk, "anna").cast(Desk.read_and_fail, "agent:Desk/anna", "k")
        assert system.idle(DEADLINE)
        assert [i.reason for i in system.access.isolations.list()] == ["it failed"]
        with pytest.raises(Isolated):
            call(system, "anna", "work")
        signals.agent_failed.disconnect(told, sender=system)


def test_what_still_runs_reaches_nobody_when_its_agent_is_restored() -> None:
    """The abandoned turn stays abandoned: it asks in vain beside the agent that goes on."""
    with gate("in") as door, opened() as system:
        system.agent(Desk, "anna").proxy().wait_and_ask("bert", "in")
        door.wait()
        system.access.isolate(ANNA, "it asks")
        system.access.restore(ANNA)
        assert call(system, "anna", "work") == 1
        door.open()
        assert system.idle(DEADLINE)
        assert call(system, "bert", "done") == 0


class Timed(Desk):
    turn_limit = 60.0


def test_a_turn_that_the_clock_gives_up_beside_an_isolation_leaves_the_agent_cut_off() -> None:
    """Whoever comes first, the fresh cell holds its mail."""
    clock = VirtualClock()
    with gate("in") as door, AgentSystem.open("memory://", agents=[Timed], clock=clock) as system:
        timed = system.agent(Timed, "t")
        timed.cast(Timed.wait, "in")
        door.wait()
        together(lambda: system.access.isolate(timed, "both"), lambda: clock.advance(61))
        with pytest.raises(Isolated):
            timed.proxy().work().get(timeout=DEADLINE)
        door.open()
        system.access.restore(timed)
        while timed.proxy().done().get(timeout=DEADLINE) < 1:
            clock.advance(1)
        assert timed.proxy().done().get(timeout=DEADLINE) == 1
