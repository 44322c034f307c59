"""A store that fails: what is shared is refused or waits, loudly, and nothing is lost."""

import threading
from collections.abc import Callable

import pytest

from perdure import Agent, AgentSystem, Breaker, Limits, Saving, VirtualClock, WhenUnsaved
from perdure.lifecycle import signals
from perdure.persistence.errors import CommitsLost, Fenced, MailboxFull, StoreUnavailable
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.kit.threads import at_once, hasty
from tests.shared.agents import AGENTS, WORK, Count, Worker

QUICK = Breaker(failures=1, reset_after=30.0)


class Goer(Worker):
    """Goes on while nothing can be saved."""

    when_unsaved = WhenUnsaved.CONTINUE


def test_an_outage_is_told_and_survived() -> None:
    """Whoever waits for a write gets StoreUnavailable; it is kept, and there when it is over."""
    store, clock = FaultyStore(), VirtualClock()
    with (
        AgentSystem.open(
            store.open(), agents=AGENTS, clock=clock, saving=Saving(breaker=QUICK)
        ) as system,
        Told("breaker_opened", "breaker_closed") as told,
    ):
        state = system.state
        state.set(WORK, "k", "old")
        store.fail()
        with pytest.raises(StoreUnavailable, match="kept"):
            state.set(WORK, "k", "kept")
        told.wait("breaker_opened")
        calls: list[Callable[[], object]] = [
            lambda: state.set(WORK, "k", "refused"),
            lambda: state.increment(WORK, "n"),
            lambda: state.transact(lambda s: s.set(WORK, "n", 1)),
            lambda: state.clear(WORK),
        ]
        for call in calls:
            with pytest.raises(StoreUnavailable, match="unavailable"):
                call()
        # Reading what is durable goes on; a transaction may not wait for what is not.
        assert state.get(WORK, "k") == "old"
        with pytest.raises(StoreUnavailable), state.transaction():
            state.get(WORK, "k")
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert state.get(WORK, "k") == "kept"
        assert state.set(WORK, "k", "new") == 3
        assert not state.exists(WORK, "n")


def test_agents_that_go_on_share_what_is_unsaved() -> None:
    """With CONTINUE, turns go on in an outage, see each other's writes, and all is saved later."""
    store, clock = FaultyStore(), VirtualClock()
    with (
        AgentSystem.open(
            store.open(), agents=[Goer], clock=clock, saving=Saving(breaker=QUICK)
        ) as system,
        Told("breaker_opened", "breaker_closed") as told,
    ):
        agents = [system.agent(Goer, str(number)) for number in range(4)]
        agents[0].call(Goer.increment, "n").get()
        store.fail()
        for agent in agents:
            agent.cast(Goer.increment, "n")
        told.wait("breaker_opened")
        given = [agents[number % 4].call(Goer.increment, "n").get() for number in range(8)]
        # The casts are handled whenever a worker comes to them: no sum is told twice, none is lost.
        assert given == sorted(set(given))
        assert given[-1] <= 13
        assert system.state.get(WORK, "n") == 1
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.flush(DEADLINE)
        assert system.state.get(WORK, "n") == 13


def test_a_lost_store_refuses_everything() -> None:
    """Fenced off, every write raises Fenced, no lock is left behind, and the end tells the loss."""
    store = FaultyStore()
    system = AgentSystem.open(store.open(), agents=[Worker])
    system.state.set(WORK, "k", 1)
    store.fail(error=Fenced("memory://", token=1, current=2))
    for _ in range(2):
        with pytest.raises(Fenced):
            system.state.set(WORK, "k", 2)
    with pytest.raises(Fenced):
        system.agent(Worker, "a").call(Worker.increment, "n").get()
    assert system.state.get(WORK, "k") == 1
    threads_done: list[object] = []

    def refused(_number: int) -> None:
        with pytest.raises(Fenced):
            system.state.increment(WORK, "n")
        threads_done.append(1)

    at_once(4, refused)
    assert len(threads_done) == 4
    store.mend()
    with pytest.raises(CommitsLost, match="closed with 1 commit that") as lost, system:
        pass
    assert isinstance(lost.value.__cause__, Fenced)


def test_too_much_unsaved_holds_up_writers() -> None:
    """Above most_unsaved a writer outside waits, and gets MailboxFull when that lasts."""
    store = FaultyStore()
    with AgentSystem.open(
        store.open(),
        agents=[Worker],
        saving=Saving(most_unsaved=4),
        limits=Limits(mailbox_wait=0.05),
    ) as system:
        waiting = store.hold()
        asked = [system.agent(Worker, str(n)).call(Worker.increment, "n") for n in range(8)]
        assert waiting.wait(DEADLINE)
        full = threading.Event()
        for _ in range(200):
            if system.statistics().saves.swamped:
                full.set()
                break
            threading.Event().wait(0.01)
        assert full.is_set()
        with pytest.raises(MailboxFull, match="most_unsaved"):
            system.state.set(WORK, "k", 1)
        store.let_go()
        assert sorted(future.get(timeout=DEADLINE) for future in asked) == list(range(1, 9))
        system.state.set(WORK, "k", 1)


def test_receivers_of_a_full_backlog_may_share() -> None:
    """A receiver of backlog_full is called without the lock: it may read, and others write on."""
    store = FaultyStore()
    heard: list[object] = []

    with AgentSystem.open(store.open(), agents=[Worker], saving=Saving(most_unsaved=2)) as system:

        def told(_sender: object, _event: object) -> None:
            done = threading.Event()

            def look() -> None:
                heard.append(system.state.list(WORK))
                with system._runtime.ledger.lock:
                    done.set()

            thread = threading.Thread(target=look)
            thread.start()
            assert done.wait(DEADLINE)
            thread.join()

        with signals.backlog_full.connected_to(told):
            asked = [system.agent(Worker, str(n)).call(Worker.increment, "n") for n in range(64)]
            assert sorted(future.get(timeout=DEADLINE) for future in asked) == list(range(1, 65))


def test_a_batch_that_fails_halfway_is_seen_by_nobody() -> None:
    """While a commit is tried again, outside sees the old value, and the new one only once."""
    clock = VirtualClock()
    seen: list[object] = []

    store = FaultyStore()
    with (
        AgentSystem.open(store.open(), agents=[], clock=clock) as system,
        Told("save_failed") as failures,
    ):
        system.state.set(WORK, "k", "old")
        store.on_fault.append(lambda _what: seen.append(system.state.get(WORK, "k")))
        store.fail(next=2)
        seen.clear()  # of what was told just now
        writer = threading.Thread(target=system.state.set, args=(WORK, "k", "new"))
        writer.start()
        for count in (1, 2):
            failures.wait("save_failed", count)
            assert system.state.get(WORK, "k") == "old"
            # No further: the attempt after that could be made on the same way.
            clock.advance(next(call.seconds for call in clock.pending() if not call.routine))
        writer.join(DEADLINE)
        assert seen == ["old", "old"]
        assert system.state.get(WORK, "k") == "new"


def test_the_lock_is_free_after_any_error() -> None:
    """Turns and calls that fail in every way leave the ledger's lock and its line free."""

    class Failer(Agent[Count]):
        boundary = Worker.boundary

        def fail(self, how: str) -> None:
            self.scopes.increment(WORK, "n")
            if how == "state":
                self.state.turns = "no number"  # type: ignore[assignment]
            elif how == "raise":
                raise RuntimeError(how)
            elif how == "replace":
                self.state = Count()

    with AgentSystem.open("memory://", agents=[Failer]) as system, hasty():
        ways = ["state", "raise", "replace"]
        asked = [
            system.agent(Failer, str(number)).call(Failer.fail, ways[number % 3])
            for number in range(30)
        ]
        for future in asked:
            with pytest.raises((RuntimeError, ValueError)):
                future.get()
        assert system.state.increment(WORK, "n") == 1
        assert system._runtime.ledger._line == []
