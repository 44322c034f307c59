"""A deleted agent is gone with all that is its own, and a later message makes a new one."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from pathlib import Path
from random import Random

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Breaker,
    Log,
    Map,
    MemoryStore,
    Saving,
    Scope,
    State,
    open_reader,
)
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import (
    AgentDeleted,
    CorruptState,
    Denied,
    StoreUnavailable,
    UnknownAgent,
    UnknownDeadLetter,
)
from perdure.persistence.store.store import Store
from perdure.persistence.upkeep.doctor import examine
from perdure.testing import FaultyStore
from tests.cli.commands import records
from tests.kit.deadline import DEADLINE
from tests.kit.gates import GATES, gate
from tests.kit.signals import Told
from tests.lifecycle.agents import Brittle, Snapshot, Tally, Volatile


class PetState(State):
    meals: int = 0
    diary: Log[str] = Log.field()
    friends: Map[str, int] = Map.field()


class Pet(Agent[PetState]):
    """Has something of everything that is an agent's own."""

    def eat(self, what: str) -> int:
        self.state.meals += 1
        self.state.diary.append(what)
        self.state.friends[what[:30]] = self.state.meals
        self.scopes.set(self.scopes.own, what[:30], self.state.meals)
        self.every(60.0, self.eat, "by the clock")
        return self.state.meals

    def count(self) -> int:
        return self.state.meals

    def leave(self, then: str = "") -> None:
        self.state.diary.append("bye")
        if then == "raise":
            self.delete_self()
            raise ValueError(then)
        self.delete_self()

    def remove(self, key: str) -> None:
        self.system.agent(Pet, key).delete()

    def wait(self, name: str) -> None:
        GATES[name].pass_through()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store | Path:
    """Give a store that can be opened twice, in memory and in a file."""
    return MemoryStore() if request.param == "memory" else tmp_path / "pets.db"


def test_nothing_of_it_is_left(store: Store | Path) -> None:
    """Deleted are state, mail, timers, dead letters and own keys; the journal has a tombstone."""
    clock = VirtualClock()
    with AgentSystem.open(store, agents=[Pet, Brittle], clock=clock) as system:
        pet, other = system.agent(Pet, "a"), system.agent(Pet, "b")
        pet.call(Pet.eat, "hay").get()
        other.call(Pet.eat, "corn").get()
        system.state.set(Scope.agent("Pet", "a"), "from outside", 1)
        pet.pause()
        pet.cast(Pet.eat, "late")
        assert pet.delete() is True
        assert system.state.list(Scope.agent("Pet", "a")) == []
        assert [row.key for row in system.agents.each()] == ["b"]
        assert [e.name for e in system.journal.list("Pet", "a")] == ["eat", "(pause)", "(delete)"]
        clock.advance(600.0)
        assert system.idle(DEADLINE)
        assert [row.key for row in system.agents.each()] == ["b"]
        assert pet.delete() is False
    with AgentSystem.open(store, agents=[Pet, Brittle], clock=clock) as system:
        clock.advance(600.0)
        assert system.idle(DEADLINE)
        assert system.agent(Pet, "a").call(Pet.count).get() == 0
        assert system.agent(Pet, "b").call(Pet.count).get() > 1
        assert [row.key for row in system.agents.each()] == ["b"]


def test_the_next_message_makes_a_new_agent(store: Store | Path) -> None:
    """After a deletion versions begin at 1, in this process and in the next, and both are told."""
    with AgentSystem.open(store, agents=[Pet]) as system:
        pet = system.agent(Pet, "a")
        for _ in range(3):
            pet.call(Pet.eat, "hay").get()
            pet.delete()
        assert pet.call(Pet.eat, "hay").get() == 1
        assert pet.describe().version == 1
    with AgentSystem.open(store, agents=[Pet]) as system:
        assert system.agent(Pet, "a").call(Pet.eat, "oats").get() == 2
        versions = [entry.version for entry in system.journal.list("Pet", "a")]
        assert versions == [1, 2] * 3 + [1, 2]


def test_dead_letters_go_with_their_agent() -> None:
    """A dead letter of a deleted agent can neither be listed nor put back."""
    with AgentSystem.open("memory://", agents=[Brittle]) as system:
        for key in ("a", "b"):
            system.agent(Brittle, key).cast(Brittle.fail)
        system.idle(DEADLINE)
        mine, other = sorted(system.dead_letters.list(), key=lambda letter: letter.key)
        assert system.agent(Brittle, "a").delete()
        with pytest.raises(UnknownDeadLetter):
            system.dead_letters.requeue(mine.id)
        assert [letter.id for letter in system.dead_letters.list()] == [other.id]


def test_an_ask_that_waits_is_told() -> None:
    """Whoever waits for an agent that is deleted gets AgentDeleted; the turn under way ends."""
    with gate("deletion") as held, AgentSystem.open("memory://", agents=[Pet]) as system:
        pet = system.agent(Pet, "a")
        under_way = pet.call(Pet.wait, "deletion")
        held.wait()
        waiting = pet.call(Pet.count)
        deleted = pet.delete(block=False)
        held.open()
        assert deleted.get(timeout=DEADLINE) is True
        under_way.get(timeout=DEADLINE)
        with pytest.raises(AgentDeleted, match=r"Pet/a was deleted .* makes a new agent"):
            waiting.get(timeout=DEADLINE)
        assert pet.call(Pet.count).get(timeout=DEADLINE) == 0


def test_deletions_that_meet_are_one() -> None:
    """Of several deletions that wait for one agent the first finds it, the others find nothing."""
    with gate("deletion") as held, AgentSystem.open("memory://", agents=[Pet]) as system:
        pet = system.agent(Pet, "a")
        under_way = pet.call(Pet.wait, "deletion")
        held.wait()
        deletions = [pet.delete(block=False, erase=erase) for erase in (False, True, False)]
        held.open()
        assert sorted(each.get(timeout=DEADLINE) for each in deletions) == [False, False, True]
        under_way.get(timeout=DEADLINE)


def test_an_agent_may_delete_itself_and_no_other() -> None:
    """delete_self() takes effect when its turn commits; another agent's deletion is Denied."""
    with AgentSystem.open("memory://", agents=[Pet]) as system:
        pet, other = system.agent(Pet, "a"), system.agent(Pet, "b")
        pet.call(Pet.eat, "hay").get()
        with pytest.raises(Denied, match="Pet/b may not delete Pet/a"):
            other.call(Pet.remove, "a").get()
        with pytest.raises(ValueError, match="raise"):
            pet.call(Pet.leave, "raise").get()
        assert pet.call(Pet.count).get() == 1
        pet.call(Pet.leave).get()
        system.idle(DEADLINE)
        assert [entry.name for entry in system.journal.list("Pet", "a")][-2:] == [
            "leave",
            "(delete)",
        ]
        assert list(system.agents.each("Pet")) == []
        audited = system.audit.list(scope=Scope.agent("Pet", "a"))
        ends = [str(entry.who) for entry in audited if entry.operation == "delete the agent"]
        assert ends == ["agent:Pet/a"]


@pytest.mark.parametrize("kind", [Snapshot, Volatile])
def test_every_durability_can_be_deleted(kind: type[Tally]) -> None:
    """What a saved or volatile agent had in memory is gone as well."""
    with AgentSystem.open("memory://", agents=[kind]) as system:
        agent = system.agent(kind, "a")
        assert agent.call(kind.add, 5).get() == 5
        assert agent.delete() is True
        assert agent.call(kind.add, 2).get() == 2


def test_an_agent_that_is_cut_off_can_be_deleted() -> None:
    """An isolated agent is deleted with its waiting mail; its name stays isolated."""
    with AgentSystem.open("memory://", agents=[Pet]) as system:
        pet = system.agent(Pet, "a")
        pet.call(Pet.eat, "hay").get()
        system.access.isolate(pet, "it bites")
        pet.cast(Pet.eat, "late")
        assert pet.delete() is True
        pet.cast(Pet.eat, "new")
        assert [i.agent.part for i in system.access.isolations.list()] == ["a"]
        system.access.restore(pet)
        system.idle(DEADLINE)
        assert pet.call(Pet.count).get() == 1


def test_a_quarantined_agent_can_be_deleted() -> None:
    """What supervision has given up is deleted, and begins anew."""
    with AgentSystem.open("memory://", agents=[Tally]) as system:
        agent = system.agent(Tally, "a")
        agent.call(Tally.add, 5).get()
        system.idle(DEADLINE)
        system.group("g", [agent])
        with Told("agent_deleting", "agent_deleted") as told:
            assert agent.delete() is True
        assert told.names() == ["agent_deleting", "agent_deleted"]
        assert told.events("agent_deleted")[0].key == "a"
        assert agent.call(Tally.total).get() == 0


def test_an_unknown_kind_is_deleted_as_it_is_stored(store: Store | Path) -> None:
    """A system that was opened without the class deletes what is stored of an agent."""
    with AgentSystem.open(store, agents=[Pet]) as system:
        system.agent(Pet, "a").call(Pet.eat, "hay").get()
    with AgentSystem.open(store, agents=[]) as system:
        assert system.delete("Pet", "a") is True
        assert system.delete("Pet", "a") is False
        assert list(system.agents.each()) == []
        assert system.state.list(Scope.agent("Pet", "a")) == []
    with AgentSystem.open(store, agents=[Pet]) as system:
        assert system.delete(Pet, "a") is False
        assert system.agent(Pet, "a").call(Pet.eat, "hay").get() == 1


def test_a_store_that_fails_keeps_the_deletion_for_later() -> None:
    """While nothing can be saved the asker is told why; the agent is gone when it can."""
    store, clock = FaultyStore(), VirtualClock()
    saving = Saving(breaker=Breaker(failures=1, reset_after=5.0))
    with (
        Told("breaker_opened", "breaker_closed") as told,
        AgentSystem.open(store.open(), agents=[Pet], clock=clock, saving=saving) as system,
    ):
        pet = system.agent(Pet, "a")
        pet.call(Pet.eat, "hay").get()
        store.fail()
        deleted = pet.delete(block=False)
        told.wait("breaker_opened")
        with pytest.raises(StoreUnavailable):
            deleted.get(timeout=DEADLINE)
        store.mend()
        clock.advance(5.0)
        told.wait("breaker_closed")
        assert pet.call(Pet.count).get(timeout=DEADLINE) == 0


def test_the_new_agent_waits_for_the_deletion() -> None:
    """A message right behind a deletion that is not durable yet finds nothing of the old agent."""
    store = FaultyStore()
    with AgentSystem.open(store.open(), agents=[Pet]) as system:
        pet = system.agent(Pet, "a")
        pet.call(Pet.eat, "hay").get()
        waiting = store.hold()
        deleted = pet.delete(block=False)
        assert waiting.wait(DEADLINE)
        counted = pet.call(Pet.count)
        store.let_go()
        assert deleted.get(timeout=DEADLINE) is True
        assert counted.get(timeout=DEADLINE) == 0


def test_erased_is_erased_everywhere(tmp_path: Path) -> None:
    """After erase=True no file of the store holds a byte of what the agent was told or kept."""
    path = tmp_path / "pets.db"
    chance = Random(7)
    words = [
        f"CANARY{chance.randrange(10**9)}" + "x" * chance.choice([0, 50, 9000]) for _ in range(40)
    ]
    with AgentSystem.open(path, agents=[Pet, Brittle]) as system:
        pet, other = system.agent(Pet, "a"), system.agent(Pet, "b")
        for word in words:
            pet.call(Pet.eat, word).get()
            other.call(Pet.eat, "corn").get()
        system.state.set(Scope.agent("Pet", "a"), "note", words[0])
        pet.pause()
        pet.cast(Pet.eat, words[1])
        assert system.flush(DEADLINE)
        assert holding(tmp_path, b"CANARY") != []
        assert pet.delete(erase=True) is True
        assert holding(tmp_path, b"CANARY") == []
        assert other.call(Pet.count).get() == 40
        assert {e.delta for e in system.journal.list("Pet", "a", limit=1000)[:-1]} == {"{}"}
    assert holding(tmp_path, b"CANARY") == []
    reader = open_reader(path)
    report = examine(reader)
    reader.close()
    assert report.healthy
    assert not any(report.orphans.values())


def holding(folder: Path, word: bytes) -> list[str]:
    """Return the files that hold a word."""
    return [path.name for path in folder.iterdir() if path.is_file() and word in path.read_bytes()]


def test_deletions_race_with_everything(hasty_threads: None, tmp_path: Path) -> None:
    """With writers, askers and deletions at once, each message counts in one life or in none.

    What was told and is durable was handled once at most, and nothing outlives a deletion.
    """
    stop, eaten = threading.Event(), [0, 0]
    with AgentSystem.open(tmp_path / "pets.db", agents=[Pet], sync="process") as system:
        pet = system.agent(Pet, "a")

        def tell(me: int) -> None:
            while not stop.is_set() and eaten[me] < 400:
                pet.cast(Pet.eat, "hay")
                eaten[me] += 1

        threads = [threading.Thread(target=tell, args=(me,)) for me in (0, 1)]
        for thread in threads:
            thread.start()
        lives = 0
        for _ in range(30):
            lives += bool(pet.delete())
        stop.set()
        for thread in threads:
            thread.join()
        assert system.idle(DEADLINE)
        entries = system.journal.list("Pet", "a", limit=100_000)
        assert sum(entry.name == "eat" for entry in entries) <= sum(eaten)
        assert sum(entry.name == "(delete)" for entry in entries) == lives
        last = 0
        for entry in entries:
            assert entry.version == last + 1
            last = 0 if entry.name == "(delete)" else entry.version
        system.delete(Pet, "a")
        assert pet.call(Pet.count).get() == 0
    reader = open_reader(tmp_path / "pets.db")
    assert not any(examine(reader).orphans.values())
    reader.close()


def test_unregistered_agents_are_named() -> None:
    """Deleting what has no class here and is not stored says that there is nothing, by False."""
    with AgentSystem.open("memory://", agents=[Pet]) as system:
        assert system.delete("Ghost", "a") is False
        with pytest.raises(UnknownAgent):
            system._runtime.strangers.take("Ghost", "a", "pause")  # type: ignore[arg-type]


def spoil(path: Path, key: str) -> None:
    """Damage an agent's head so that nothing proves what it was."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        change = "version = 77, sequence = 99, status = 'odd', reason = 'x'"
        connection.execute(f"UPDATE agents SET {change} WHERE key = ?", (key,))  # noqa: S608
        connection.commit()


@pytest.mark.parametrize("known", [True, False], ids=["class", "command line"])
@pytest.mark.parametrize("erase", [False, True])
def test_one_whose_head_is_damaged_is_deleted_as_well(
    tmp_path: Path, *, known: bool, erase: bool
) -> None:
    """What can no longer be loaded can be deleted: all of it goes, nothing of its neighbours."""
    path = tmp_path / "pets.db"
    with AgentSystem.open(path, agents=[Pet]) as system:
        for key in ("rex", "tom"):
            system.agent(Pet, key).call(Pet.eat, "fish").get()
    spoil(path, "rex")
    if known:
        with AgentSystem.open(path, agents=[Pet]) as system:
            rex = system.agent(Pet, "rex")
            with pytest.raises(CorruptState, match="fails its checksum"):
                rex.call(Pet.count).get()
            rex.cast(Pet.eat, "what waits goes with it")
            assert rex.delete(erase=erase)
            assert rex.call(Pet.count).get() == 0
            assert system.state.count(Scope.agent("Pet", "rex")) == 0
    else:
        extra = ("--erase",) if erase else ()
        (done,) = records("agents", "delete", "Pet", "rex", "--store", path, *extra)
        assert done["done"]
    with contextlib.closing(open_reader(str(path))) as reader:
        report = examine(reader)
        assert report.healthy, report
        assert [timer.key for timer in reader.timers()] == ["tom"]
    with AgentSystem.open(path, agents=[Pet]) as system:
        assert system.agent(Pet, "rex").call(Pet.count).get() == 0
        assert system.agent(Pet, "tom").call(Pet.count).get() == 1
