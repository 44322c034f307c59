"""The store fails while artifacts are saved: an error for who waits, and nothing half done."""

import threading

import pytest

from perdure import Agent, AgentSystem, Backoff, Breaker, Durability, MemoryStore, Saving, State
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import StoreUnavailable
from perdure.persistence.records.shared_tables import CHUNKS
from perdure.testing import FaultyStore
from tests.artifacts.agents import opened
from tests.artifacts.looks import named, noise
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told

LARGE = noise(12 << 20)
"""More than may be under way."""


def test_an_upload_meets_an_outage() -> None:
    """Who saves is told of the outage, and no artifact is; when it is over, saving works again."""
    store, clock = FaultyStore(), VirtualClock()
    errors: list[BaseException] = []
    breaker = Breaker(failures=1, reset_after=30.0)
    saving = Saving(breaker=breaker, backoff=Backoff(first=1.0, jitter=0.0))
    with Told() as told, opened(store.open(), clock=clock, saving=saving) as system:
        store.fail()

        def save() -> None:
            try:
                system.artifacts.save("large", LARGE)
            except StoreUnavailable as error:
                errors.append(error)

        thread = threading.Thread(target=save)
        thread.start()
        told.wait("breaker_opened")
        thread.join(DEADLINE)
        assert len(errors) == 1
        with pytest.raises(StoreUnavailable):
            system.artifacts.save("small", b"1")
        with pytest.raises(StoreUnavailable):
            system.artifacts.sweep()
        store.mend()
        clock.advance(30.0)
        told.wait("breaker_closed")
        assert system.artifacts.list() == []
        artifact = system.artifacts.save("large", LARGE)
        assert system.artifacts.read(artifact) == LARGE
        system.artifacts.delete(artifact)
        system.artifacts.sweep()
        assert store.life.keys(CHUNKS, None, 1) == []


class Snapshot(Agent[State]):
    durability = Durability.SNAPSHOT

    def make(self) -> int:
        return self.system.artifacts.save("a", b"snapshot").version


class Volatile(Snapshot):
    durability = Durability.VOLATILE


@pytest.mark.parametrize("kind", [Snapshot, Volatile])
def test_agents_that_are_saved_seldom_make_durable_artifacts(kind: type[Snapshot]) -> None:
    """Whatever becomes of the agent's own state, its artifacts are durable with the reply."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[kind]) as system:
        assert system.agent(kind, "k").proxy().make().get() == 1
        (artifact,) = system.artifacts.list(agent=(kind.kind, "k"))
        (entry,) = [e for e in system.journal.list() if e.sequence == artifact.sequence]
        assert entry.name == "make"
    with AgentSystem.open(store, agents=[]) as system:
        assert named(system.artifacts.list()) == [("a", 1)]
