"""The store fails: retries, the breaker, the agents' policies, and everything saved afterwards.

Time is a VirtualClock. Most tests use the ``FaultyStore`` of the test kit; one makes a real SQLite
file hit its page limit.
"""

import contextlib
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pykka import Timeout

from perdure import AgentSystem, AutoSave, Backoff, Breaker, Limits, Saving
from perdure.lifecycle import signals
from perdure.lifecycle.clock import VirtualClock
from perdure.lifecycle.signals import SaveEvent
from perdure.persistence.errors import ConfigurationError, Deadlock, MailboxFull, StoreUnavailable
from perdure.persistence.sqlite.store import SqliteStore
from perdure.persistence.store.batch import Batch
from perdure.persistence.store.store import Store
from perdure.testing import FaultyStore
from perdure.testing.faults.strikes import Striker, Struck
from tests.actors.test_interrupts import traced
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import Broken, Leaving, Snapshot, Tally, Undeterred, Volatile

AGENTS = [Tally, Undeterred, Leaving, Snapshot, Volatile]
BACKOFF = Backoff(first=1.0, factor=2.0, longest=60.0, jitter=0.0)
BREAKER = Breaker(failures=3, reset_after=30.0)


@contextmanager
def opened(
    store: Store | FaultyStore, clock: VirtualClock, *, most_unsaved: int = 1000
) -> Iterator[AgentSystem]:
    """Open a system on a store that may fail; leaving mends it."""
    system = AgentSystem.open(
        store.open() if isinstance(store, FaultyStore) else store,
        agents=AGENTS,
        clock=clock,
        saving=Saving(BACKOFF, BREAKER, AutoSave(every=5.0), most_unsaved),
        limits=Limits(mailbox_wait=0.0),
    )
    try:
        yield system
    finally:
        if isinstance(store, FaultyStore):
            store.mend()
        assert system.close()


def fail_first(told: Told, system: AgentSystem, store: FaultyStore, clock: VirtualClock) -> None:
    """Break the store and have the breaker opened by an agent of no interest."""
    assert system.idle(DEADLINE)
    store.fail()
    told.heard.clear()
    system.agent(Tally, "canary").proxy().add(1)  # one turn, one commit
    told.wait("save_failed")
    clock.advance(1.0)
    told.wait("save_failed", 2)
    clock.advance(2.0)
    told.wait("breaker_opened")


def test_attempts_come_at_the_backoffs_times() -> None:
    """Each failed save is tried again after its backoff and not a moment earlier."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        store.fail()
        future = system.agent(Tally, "a").proxy().add(1)
        assert told.wait("save_failed").attempt == 1
        clock.advance(0.99)
        assert system.statistics().saves.attempted == 1
        clock.advance(0.01)
        assert told.wait("save_failed", 2).attempt == 2
        clock.advance(1.99)
        assert system.statistics().saves.attempted == 2
        store.mend()
        clock.advance(0.01)
        assert future.get(timeout=DEADLINE) == 1
        assert system.statistics().saves.failed == 2
        assert told.names("breaker_opened") == []


def test_the_breaker_opens_tries_and_closes_by_itself() -> None:
    """Closed, open, half-open, open again, half-open, closed; left alone while it is open."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        store.fail()
        future = system.agent(Tally, "a").proxy().add(1)
        told.wait("save_failed")
        clock.advance(1.0)
        told.wait("save_failed", 2)
        assert system.statistics().saves.breaker == "closed"
        assert not future.done()
        clock.advance(2.0)
        assert told.wait("breaker_opened").attempt == 3
        with pytest.raises(StoreUnavailable, match=r"done but not durable.*down"):
            future.get(timeout=DEADLINE)
        clock.advance(29.9)
        assert system.statistics().saves.attempted == 3
        clock.advance(0.1)
        told.wait("breaker_opened", 2)
        assert system.statistics().saves.attempted == 4
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.flush(DEADLINE)
        assert system.agent(Tally, "a").proxy().total().get(timeout=DEADLINE) == 1
    assert told.names("breaker_opened", "breaker_half_opened", "breaker_closed") == [
        "breaker_opened", "breaker_half_opened", "breaker_opened", "breaker_half_opened",
        "breaker_closed",
    ]  # fmt: skip
    states = [event.breaker for _, event in told.heard if isinstance(event, SaveEvent)]
    assert list(dict.fromkeys(states[:3])) == ["closed", "open"]
    assert states[3:] == ["open", "half-open", "open", "open", "half-open", "closed"]
    assert told.wait("breaker_closed").backlog == 0


def test_an_attempt_is_let_through_wherever_the_clock_was_struck() -> None:
    """A struck call is made again: the breaker does not stay half-open with nobody to try."""
    for at in itertools.count(1):
        store, clock = FaultyStore(), VirtualClock()
        with Told() as told, opened(store, clock) as system:
            fail_first(told, system, store, clock)
            store.mend()
            striker = Striker(Struck, at, inside=("perdure.lifecycle.supervisor",))
            with contextlib.suppress(Struck), traced(striker):
                clock.advance(30.0)
            clock.advance(30.0)
            told.wait("breaker_closed")
        if not striker.struck:
            break
    assert at > 2


def test_pause_refuses_asks_and_keeps_tells() -> None:
    """Policy "pause": asks fail at once with the cause, tells wait in order, nothing runs."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        tally = system.agent(Tally, "a")
        tally.proxy().add(1).get()
        fail_first(told, system, store, clock)
        for number in (2, 3):
            tally.cast(Tally.add, number)
        with pytest.raises(StoreUnavailable, match=r"unavailable .*down.*later"):
            tally.proxy().add(100).get(timeout=DEADLINE)
        with pytest.raises(StoreUnavailable):
            tally.proxy().total().get(timeout=DEADLINE)
        assert system.statistics().turns == 2  # the first add and the canary
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.idle(DEADLINE)
        assert tally.proxy().steps().get() == ["add 1", "add 2", "add 3"]


def test_an_ask_behind_waiting_mail_is_refused_when_the_breaker_opens() -> None:
    """An ask that already waits behind a tell when the store goes is told, not kept waiting."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        tally = system.agent(Tally, "a")
        tally.pause()
        tally.cast(Tally.add, 1)
        behind = tally.proxy().add(100)
        fail_first(told, system, store, clock)
        with pytest.raises(StoreUnavailable):
            behind.get(timeout=DEADLINE)
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        tally.resume()
        assert tally.proxy().total().get(timeout=DEADLINE) == 1


def test_continue_answers_flagged_and_saves_later() -> None:
    """Policy "continue": turns go on, replies are flagged unsaved, the store gets all of them."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        agent = system.agent(Undeterred, "a")
        agent.proxy().add(1).get()
        fail_first(told, system, store, clock)
        for number in range(2, 6):
            future = agent.proxy().add(number)
            future.get(timeout=DEADLINE)
            assert future.unsaved
        assert system.statistics().saves.backlog == 1 + 4
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.flush(DEADLINE)
        later = agent.proxy().steps()
        assert later.get(timeout=DEADLINE) == [f"add {number}" for number in range(1, 6)]
        assert not later.unsaved
        assert store.life.load("Undeterred", "a").fields["total"][0] == "15"  # type: ignore[union-attr]


def test_continue_is_bounded_by_what_may_be_unsaved() -> None:
    """Above most_unsaved agents and senders are held, and half of it saved lets them go on."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock, most_unsaved=10) as system:
        agent = system.agent(Undeterred, "a")
        agent.proxy().add(0).get()
        fail_first(told, system, store, clock)
        done = 0
        while not told.events("backlog_full"):
            agent.proxy().add(1).get(timeout=DEADLINE)
            done += 1
        assert done == 10  # and the canary's turn
        with pytest.raises(StoreUnavailable):
            agent.proxy().add(1).get(timeout=DEADLINE)
        assert told.wait("backlog_full").backlog == 11
        statistics = system.statistics().saves
        assert (statistics.swamped, statistics.backlog) == (True, 11)
        with pytest.raises(MailboxFull, match="commits are unsaved; send more slowly"):
            agent.cast(Undeterred.add, 1)
        store.mend()
        clock.advance(30.0)
        told.wait("backlog_drained")
        assert not system.statistics().saves.swamped
        agent.cast(Undeterred.add, 1)
        assert agent.proxy().total().get(timeout=DEADLINE) == done + 1


def test_a_bound_of_nothing_is_refused() -> None:
    """most_unsaved below one would hold everybody for ever and cannot be set."""
    with pytest.raises(
        ConfigurationError,
        match=r"Saving\(most_unsaved=0\) makes no sense; give a whole number, 1 or more",
    ):
        AgentSystem.open("memory://", agents=[Tally], saving=Saving(most_unsaved=0))


def test_stop_leaves_and_comes_back_with_its_mail() -> None:
    """Policy "stop": on_stop runs, memory is left, and mail starts the agent after the outage."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        agent = system.agent(Leaving, "a")
        agent.proxy().add(1).get()
        fail_first(told, system, store, clock)
        assert told.wait("agent_stopped").key == "a"
        agent.cast(Leaving.add, 2)
        with pytest.raises(StoreUnavailable):
            agent.proxy().add(100).get(timeout=DEADLINE)
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.idle(DEADLINE)
        assert agent.proxy().steps().get() == ["add 1", "on_stop", "add 2"]


def test_everything_unsaved_is_saved_in_order_after_an_outage() -> None:
    """After an outage the journal has every turn once, in order, and SNAPSHOT agents are saved."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        snapshot, agent = system.agent(Snapshot, "s"), system.agent(Undeterred, "a")
        assert snapshot.proxy().add(1).get() == 1
        fail_first(told, system, store, clock)
        for number in range(10):
            agent.proxy().add(number).get(timeout=DEADLINE)
        clock.advance(20.0)  # the auto-save falls due, and waits
        assert store.life.load("Snapshot", "s") is None
        store.mend()
        clock.advance(10.0)
        told.wait("breaker_closed")
        assert system.idle(DEADLINE)
        stored = store.life.load("Snapshot", "s")
        assert stored is not None
        assert stored.fields["total"][0] == "1"
        entries = system.journal.list("Undeterred", "a")
        assert [entry.version for entry in entries] == list(range(1, 11))
        sequences = [entry.sequence for entry in system.journal.list(limit=1000)]
        assert sequences == sorted(set(sequences))


def test_no_error_is_latched() -> None:
    """After three outages the system works as on the first day, and says so."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        tally = system.agent(Tally, "a")
        for number in range(1, 4):
            fail_first(told, system, store, clock)
            with pytest.raises(StoreUnavailable):
                tally.proxy().add(100).get(timeout=DEADLINE)
            store.mend()
            clock.advance(30.0)
            told.wait("breaker_closed")
            assert tally.proxy().add(1).get(timeout=DEADLINE) == number
            saves = system.statistics().saves
            assert (saves.breaker, saves.last_error, saves.opened) == ("closed", "", number)


def test_steps_taken_in_an_outage_are_kept() -> None:
    """A pause during an outage holds at once, its caller learns it is not durable, then it is."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        agent = system.agent(Undeterred, "a")
        agent.proxy().add(1).get()
        fail_first(told, system, store, clock)
        paused = agent.stop(block=False)
        told.wait("agent_stopped")
        clock.advance(30.0)
        told.wait("breaker_opened", 2)
        with pytest.raises(StoreUnavailable, match="done but not durable"):
            paused.get(timeout=DEADLINE)
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.flush(DEADLINE)
        assert store.life.load("Undeterred", "a").head.status == "stopped"  # type: ignore[union-attr]


def test_close_tries_again_until_its_deadline() -> None:
    """A shutdown in an outage does not wait for the clock: it saves when the store is back."""
    store, clock = FaultyStore(), VirtualClock()
    system = AgentSystem.open(
        store.open(),
        agents=AGENTS,
        clock=clock,
        saving=Saving(backoff=Backoff(0.01, longest=1.0), breaker=BREAKER),
    )
    with Told() as told:
        store.fail()
        system.agent(Tally, "a").proxy().add(1)
        told.wait("save_failed")

        def mend(_sender: object, event: object) -> None:
            if len(told.events("save_failed")) >= 3:
                store.mend()

        with signals.save_failed.connected_to(mend):
            assert system.close(timeout=DEADLINE)
    assert store.life.load("Tally", "a").fields["total"][0] == "1"  # type: ignore[union-attr]


def test_close_gives_up_at_its_deadline_and_says_so() -> None:
    """A shutdown on a store that stays away returns False, and whoever waited gets an error."""
    store, clock = FaultyStore(), VirtualClock()
    system = AgentSystem.open(
        store.open(), agents=AGENTS, clock=clock, saving=Saving(backoff=BACKOFF, breaker=BREAKER)
    )
    with Told() as told:
        store.fail()
        future = system.agent(Tally, "a").proxy().add(1)
        told.wait("save_failed")
        assert system.close(timeout=0.1) is False
        with pytest.raises((StoreUnavailable, RuntimeError)):
            future.get(timeout=DEADLINE)


def test_a_full_sqlite_file_is_an_outage_that_ends(tmp_path: Path) -> None:
    """A real file at its page limit opens the breaker; more room closes it with nothing lost."""
    store, clock = SqliteStore(tmp_path / "a.db", sync="process"), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        agent = system.agent(Undeterred, "a")
        agent.proxy().add(0).get()
        limit_pages(store, 0)
        sent = 400  # far more than the pages that are there can hold
        for _ in range(sent):
            agent.cast(Undeterred.note, "x" * 2000)
        told.wait("save_failed")
        clock.advance(1.0)
        told.wait("save_failed", 2)
        clock.advance(2.0)
        told.wait("breaker_opened")
        assert "full" in system.statistics().saves.last_error
        assert len(agent.proxy().steps().get(timeout=DEADLINE)) == sent + 1
        limit_pages(store, 1_000_000)
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.idle(DEADLINE)
    with AgentSystem.open(tmp_path / "a.db", agents=AGENTS) as system:
        story = system.agent(Undeterred, "a").proxy().steps().get()
        assert story == ["add 0", *["x" * 2000] * sent]


def limit_pages(store: SqliteStore, more: int) -> None:
    """Let the file grow by ``more`` pages and no further."""
    with store._writing:
        (pages,) = store._writer.execute("PRAGMA page_count").fetchone()
        store._writer.execute(f"PRAGMA max_page_count = {pages + more}")


def test_statistics_add_up_at_every_moment() -> None:
    """Attempts are successes plus failures, and only durable commits are counted as such."""
    store, clock, batches = FaultyStore(), VirtualClock(), list[Batch]()
    store.on_commit.append(batches.append)
    with Told() as told, opened(store, clock) as system:
        tally = system.agent(Tally, "a")
        for _ in range(5):
            tally.proxy().add(1).get()
        saves = system.statistics().saves
        assert (saves.commits, saves.backlog, saves.failed) == (5, 0, 0)
        assert saves.attempted == saves.succeeded == len(batches)
        assert store.commits == saves.commits
        assert saves.oldest_unsaved == 0.0
        fail_first(told, system, store, clock)
        clock.advance(7.0)
        saves = system.statistics().saves
        assert saves.attempted == saves.succeeded + 3
        assert (saves.failed, saves.commits, saves.opened) == (3, 5, 1)
        assert saves.backlog > 0
        assert saves.oldest_unsaved == pytest.approx(10.0)
        assert saves.mean <= saves.slowest or saves.slowest == 0.0


def test_a_receiver_that_waits_for_what_it_holds_up_is_refused() -> None:
    """A receiver of a save signal runs where saving is done: waiting there is a Deadlock."""
    store, clock = FaultyStore(), VirtualClock()
    refusals: list[type[BaseException]] = []

    with Told() as told, opened(store, clock) as system:
        counter = system.agent(Tally, "t")
        waits = (lambda: counter.proxy().add(1).get(), system.flush)

        def receiver(_sender: object, event: SaveEvent) -> None:
            for wait in waits:
                with pytest.raises(Deadlock) as refused:
                    wait()
                refusals.append(refused.type)

        signals.save_failed.connect(receiver, sender=system)
        store.fail()
        counter.proxy().add(1)
        told.wait("save_failed")
        store.mend()
        clock.advance(1.0)
        assert system.idle(DEADLINE)
    assert refusals == [Deadlock, Deadlock]


def test_the_first_ask_of_an_outage_is_answered_if_its_agent_goes_on() -> None:
    """Policy "continue": whoever waited when the breaker opened has the result, marked unsaved."""
    store, clock = FaultyStore(), VirtualClock()
    with Told() as told, opened(store, clock) as system:
        undeterred, tally = system.agent(Undeterred, "a"), system.agent(Tally, "a")
        store.fail()
        goes_on, failing, waits = (
            undeterred.call(Undeterred.add, 1), undeterred.call(Undeterred.fail),
            tally.call(Tally.add, 1),
        )  # fmt: skip
        for number, seconds in enumerate((1.0, 2.0), 1):
            told.wait("save_failed", number)
            clock.advance(seconds)
        told.wait("breaker_opened")
        assert goes_on.get(timeout=DEADLINE) == 1
        with pytest.raises(Broken):
            failing.get(timeout=DEADLINE)
        assert (goes_on.unsaved, failing.unsaved, waits.unsaved) == (True, True, False)
        with pytest.raises(StoreUnavailable, match="done but not durable"):
            waits.get(timeout=DEADLINE)
        assert undeterred.call(Undeterred.add, 1).get(timeout=DEADLINE) == 2


def test_a_snapshot_agents_reply_does_not_wait_for_its_own_save() -> None:
    """A save under way holds up no reply and no error; what others have told it does."""
    store, clock = FaultyStore(), VirtualClock()
    with opened(store, clock) as system:
        snapshot = system.agent(Snapshot, "a")
        assert snapshot.call(Snapshot.add, 1).get(timeout=DEADLINE) == 1
        with store.held() as waiting:
            clock.advance(5.0)
            assert waiting.wait(DEADLINE)
            assert snapshot.call(Snapshot.add, 1).get(timeout=DEADLINE) == 2
            with pytest.raises(Broken):
                snapshot.call(Snapshot.fail).get(timeout=DEADLINE)
            told_of = snapshot.call(Snapshot.pass_on, 1)  # its commit holds a message
            after_it = snapshot.call(Snapshot.total)
            with pytest.raises(Timeout):
                after_it.get(timeout=0.05)
            assert not told_of.done()
        assert after_it.get(timeout=DEADLINE) == 3
