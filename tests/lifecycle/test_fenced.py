"""A store that another owner took over, or that is none any more, is the end of a system."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from perdure import AgentSystem, Breaker, Resources, Saving
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import Fenced, NotAStore
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.store.lease import RENEW_SECONDS
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import Snapshot, Tally, Undeterred, Volatile

AGENTS = [Tally, Undeterred, Snapshot, Volatile]


@pytest.fixture
def told() -> Iterator[Told]:
    """Listen to all signals."""
    with Told() as told:
        yield told


def test_the_next_commit_ends_the_system(told: Told) -> None:
    """After a takeover asks get Fenced at once, tells raise it, steps too, and close() returns."""
    store = MemoryStore()
    stale = AgentSystem.open(store, agents=AGENTS)
    tally = stale.agent(Tally, "a")
    tally.proxy().add(1).get()
    with AgentSystem.open(store.twin(), agents=AGENTS, takeover=True) as owner:
        with pytest.raises(Fenced):
            tally.proxy().add(10).get(timeout=DEADLINE)
        lost = told.wait("store_lost")
        assert isinstance(lost.error, Fenced)
        for kind in AGENTS:
            with pytest.raises(Fenced):
                stale.agent(kind, "b").proxy().total().get(timeout=DEADLINE)
            with pytest.raises(Fenced):
                stale.agent(kind, "b").cast(kind.add, 1)
            with pytest.raises(Fenced):
                stale.agent(kind, "b").pause(timeout=DEADLINE)
        with pytest.raises(Fenced):
            stale.flush(DEADLINE)
        turns = stale.statistics().turns
        stale.close(timeout=DEADLINE)
        assert stale.statistics().turns == turns
        assert owner.agent(Tally, "a").proxy().total().get() == 1
        owner.agent(Tally, "a").proxy().add(1).get()
    assert len(told.events("store_lost")) == 1
    assert told.names("breaker_opened", "breaker_half_opened") == []


def test_an_idle_system_learns_of_its_end_by_renewing(told: Told) -> None:
    """Without any message the renewal finds out; no save is counted that was not tried."""
    store, clock = MemoryStore(), VirtualClock()
    stale = AgentSystem.open(store, agents=AGENTS, clock=clock)
    with AgentSystem.open(store.twin(), agents=AGENTS, takeover=True):
        clock.advance(RENEW_SECONDS)
        told.wait("store_lost")
        with pytest.raises(Fenced):
            stale.agent(Tally, "a").proxy().total().get(timeout=DEADLINE)
        saves = stale.statistics().saves
        assert (saves.attempted, saves.failed) == (0, 0)
        clock.advance(10 * RENEW_SECONDS)
        assert stale.close(timeout=DEADLINE)
    assert len(told.events("store_lost")) == 1


def test_waiting_mail_and_handlers_under_way_end_quietly(told: Told) -> None:
    """Mail in memory is not handled any more, no worker spins, and close() is no longer than it."""
    store = MemoryStore()
    stale = AgentSystem.open(store, agents=AGENTS, resources=Resources(workers=2))
    paused = stale.agent(Tally, "paused")
    paused.pause()
    paused.cast(Tally.add, 1)
    waiting = paused.proxy().add(2)
    assert stale.flush(DEADLINE)
    volatile = stale.agent(Volatile, "v")
    volatile.cast(Volatile.fail)
    with AgentSystem.open(store.twin(), agents=AGENTS, takeover=True) as owner:
        with pytest.raises(Fenced):
            stale.agent(Tally, "a").proxy().add(1).get(timeout=DEADLINE)
        with pytest.raises(Fenced):
            waiting.get(timeout=DEADLINE)
        stale.close(timeout=DEADLINE)
        owner.agent(Tally, "paused").resume()
        assert owner.agent(Tally, "paused").proxy().total().get() == 1


def test_a_file_that_stops_being_a_store_is_the_end_as_well(told: Told) -> None:
    """An error that trying again cannot heal opens no breaker and is not tried again.

    The store is a ``FaultyStore`` that refuses as SQLite does when the file was overwritten.
    """
    store, clock = FaultyStore(), VirtualClock()
    system = AgentSystem.open(
        store.open(), agents=AGENTS, clock=clock, saving=Saving(breaker=Breaker(failures=1))
    )
    store.fail(error=NotAStore("a.db is not a SQLite file"))
    with pytest.raises(NotAStore):
        system.agent(Tally, "a").proxy().add(1).get(timeout=DEADLINE)
    told.wait("store_lost")
    clock.advance(1000.0)
    saves = system.statistics().saves
    assert (saves.attempted, saves.failed, saves.opened, saves.breaker) == (1, 1, 0, "open")
    system.close(timeout=DEADLINE)


def test_the_lease_is_renewed_while_nothing_happens(tmp_path: Path) -> None:
    """Every few seconds the renewal time in the file moves on, which other hosts go by."""
    clock = VirtualClock()
    with AgentSystem.open(tmp_path / "a.db", agents=AGENTS, clock=clock) as system:
        renewals = set()
        for _ in range(3):
            (row,) = system._store._writer.execute("SELECT renewed FROM lease").fetchall()  # type: ignore[attr-defined]
            renewals.add(row)
            now = time.time()
            while time.time() == now:
                """A coarse clock must have moved on before the next renewal."""
            clock.advance(RENEW_SECONDS)
        assert len(renewals) == 3
