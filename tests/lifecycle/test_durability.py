"""The three durability levels, and when a SNAPSHOT agent is saved."""

from pathlib import Path

import pytest

from perdure import AgentSystem, AutoSave, Passivation, Resources, Saving
from perdure.lifecycle.clock import VirtualClock
from perdure.persistence.errors import ConfigurationError
from perdure.persistence.memory.store import MemoryStore
from perdure.persistence.store.store import Store
from perdure.testing import FaultyStore
from tests.kit.children import started
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told
from tests.lifecycle.agents import Broken, Snapshot, Tally, Volatile
from tests.lifecycle.test_durable_status import give_up


class Hasty(Snapshot):
    """Is saved every second, whatever the system says."""

    autosave = AutoSave(every=1.0)


def stored(store: Store, kind: str, key: str = "a") -> int | None:
    """Return the total in the store, None if the agent has never been saved."""
    agent = store.load(kind, key)
    return None if agent is None else int(agent.fields.get("total", ("0", 0))[0])


def test_turn_agents_are_saved_before_their_answer() -> None:
    """TURN: when the caller has the result, the store has the state."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Tally]) as system:
        for number in range(1, 20):
            assert system.agent(Tally, "a").proxy().add(1).get() == number
            assert stored(store, "Tally") == number


def test_volatile_agents_are_never_saved() -> None:
    """VOLATILE: the state lives while the agent does, and the store never sees it."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Volatile]) as system:
        volatile = system.agent(Volatile, "a")
        volatile.proxy().add(1).get()
        assert volatile.proxy().add(1).get() == 2
        assert stored(store, "Volatile") is None
        volatile.restart()
        assert volatile.proxy().total().get() == 0
    assert stored(store, "Volatile") is None


def test_snapshots_are_saved_at_the_interval() -> None:
    """SNAPSHOT: answers come at once, and the changes are saved when the interval is over."""
    store, clock = FaultyStore(), VirtualClock()
    batches = list[list[str]]()
    store.on_commit.append(lambda batch: batches.append([commit.name for commit in batch.commits]))
    auto_save = AutoSave(every=5.0)
    with AgentSystem.open(
        store.open(), agents=[Snapshot], clock=clock, saving=Saving(auto_save=auto_save)
    ) as system:
        snapshot = system.agent(Snapshot, "a")
        for number in range(1, 4):
            assert snapshot.proxy().add(1).get() == number
        clock.advance(4.9)
        assert system.idle(DEADLINE)
        assert stored(store.life, "Snapshot") is None
        clock.advance(0.1)
        assert system.idle(DEADLINE)
        assert stored(store.life, "Snapshot") == 3
        assert batches == [["(save)"]]
        clock.advance(60.0)
        assert system.idle(DEADLINE)
        assert batches == [["(save)"]]  # nothing changed, nothing is written


def test_auto_save_goes_on_after_a_save_that_came_earlier() -> None:
    """A turn that saves everything at once leaves the next change to the next interval."""
    store, clock = MemoryStore(), VirtualClock()
    with AgentSystem.open(store, agents=[Snapshot, Tally], clock=clock) as system:
        snapshot = system.agent(Snapshot, "a")
        for round_ in range(1, 4):
            snapshot.proxy().add(1).get()
            snapshot.proxy().pass_on(1).get()
            assert system.idle(DEADLINE)
            assert stored(store, "Snapshot") == 3 * round_ - 1
            clock.advance(1.0)
            assert system.idle(DEADLINE)
            snapshot.proxy().add(1).get()
            clock.advance(1.0)
            assert system.idle(DEADLINE)
            assert stored(store, "Snapshot") == 3 * round_


def test_a_class_overrides_the_systems_interval() -> None:
    """auto_save of the system is for classes without an autosave of their own."""
    store, clock = MemoryStore(), VirtualClock()
    auto_save = AutoSave(every=100.0)
    with AgentSystem.open(
        store, agents=[Snapshot, Hasty], clock=clock, saving=Saving(auto_save=auto_save)
    ) as system:
        system.agent(Snapshot, "a").proxy().add(1).get()
        system.agent(Hasty, "a").proxy().add(1).get()
        clock.advance(1.0)
        assert system.idle(DEADLINE)
        assert (stored(store, "Hasty"), stored(store, "Snapshot")) == (1, None)
        clock.advance(99.0)
        assert system.idle(DEADLINE)
        assert stored(store, "Snapshot") == 1


def test_an_interval_of_nothing_is_refused() -> None:
    """AutoSave(every=0) would save all the time and cannot be made."""
    with pytest.raises(ConfigurationError, match="every=0"):
        AutoSave(every=0)


@pytest.mark.parametrize("effect", ["pass_on", "set_alarm"])
def test_snapshots_that_send_or_set_timers_are_saved_with_that_turn(effect: str) -> None:
    """A message or timer leaves only together with everything its sender has not saved yet."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Snapshot, Tally], clock=VirtualClock()) as system:
        snapshot = system.agent(Snapshot, "a")
        snapshot.proxy().add(1).get()
        assert stored(store, "Snapshot") is None
        getattr(snapshot.proxy(), effect)(10).get()
        assert stored(store, "Snapshot") == 11
        (entry,) = system.journal.list("Snapshot", "a")
        assert entry.name == effect
        assert system.idle(DEADLINE)
        assert stored(store, "Tally") == (10 if effect == "pass_on" else None)


@pytest.mark.parametrize("step", ["pause", "stop", "restart"])
def test_lifecycle_steps_save(step: str) -> None:
    """After a step everything the agent did before it is in the store."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Snapshot], clock=VirtualClock()) as system:
        snapshot = system.agent(Snapshot, "a")
        snapshot.proxy().add(1).get()
        getattr(snapshot, step)()
        assert system.flush(DEADLINE)
        assert stored(store, "Snapshot") == 1


def test_passivation_and_close_save() -> None:
    """An idle agent is saved before it leaves memory, and all are when the system closes."""
    store, clock = MemoryStore(), VirtualClock()
    passivation = Passivation(idle=5.0)
    with (
        Told() as told,
        AgentSystem.open(
            store, agents=[Snapshot], clock=clock, resources=Resources(passivation=passivation),
            saving=Saving(auto_save=AutoSave(every=3600.0)),
        ) as system,
    ):  # fmt: skip
        system.agent(Snapshot, "a").proxy().add(1).get()
        assert system.idle(DEADLINE)
        clock.advance(10.0)
        told.wait("agent_passivated")
        assert system.flush(DEADLINE)
        assert stored(store, "Snapshot") == 1
        system.agent(Snapshot, "b").proxy().add(2).get()
        assert stored(store, "Snapshot", "b") is None
    assert stored(store, "Snapshot", "b") == 2


def test_a_failure_keeps_what_earlier_turns_did() -> None:
    """A SNAPSHOT agent that fails begins again with its unsaved turns, and their mail is done."""
    store, clock = MemoryStore(), VirtualClock()
    with Told() as told, AgentSystem.open(store, agents=[Snapshot], clock=clock) as system:
        snapshot = system.agent(Snapshot, "a")
        for number in (1, 2):
            snapshot.cast(Snapshot.add, number)
        snapshot.cast(Snapshot.fail)
        for attempt in range(1, 4):
            told.wait("agent_restarting", attempt)
            assert system.flush(DEADLINE)
            clock.advance(1.0)
        assert snapshot.proxy().steps().get(timeout=DEADLINE) == ["add 1", "add 2"]
        with pytest.raises(Broken):
            snapshot.proxy().fail().get(timeout=DEADLINE)
        assert snapshot.proxy().total().get() == 3
        assert store.mail("Snapshot", "a") == []


def test_quarantine_keeps_what_earlier_turns_did() -> None:
    """A SNAPSHOT agent that is given up is saved as its last good turn left it."""
    store, clock = MemoryStore(), VirtualClock()
    with Told() as told, AgentSystem.open(store, agents=[Snapshot], clock=clock) as system:
        snapshot = system.agent(Snapshot, "a")
        snapshot.cast(Snapshot.add, 5)
        give_up(system, told, Snapshot, "a")
        assert system.flush(DEADLINE)
        assert stored(store, "Snapshot") == 5
        snapshot.restart()
        assert snapshot.proxy().steps().get(timeout=DEADLINE) == ["add 5"]


CRASH = """
import sys
from perdure import AgentSystem, AutoSave, Saving
from tests.lifecycle.agents import Relay, Snapshot
system = AgentSystem.open(
    sys.argv[1], agents=[Relay, Snapshot], saving=Saving(auto_save=AutoSave(every=3600.0))
)
for key in ("told", "sent"):
    snapshot = system.agent(Snapshot, key)
    snapshot.cast(Snapshot.add, 1)
    snapshot.proxy().total().get()
    snapshot.restart()                      # saves
for number in (2, 3):
    system.agent(Snapshot, "told").cast(Snapshot.add, number)
    system.agent(Relay, "r").proxy().pass_on("sent", number).get()
for key in ("told", "sent"):
    assert system.agent(Snapshot, key).proxy().total().get() == 6
system.flush()
print("now", flush=True)
sys.stdin.read()
"""


def test_mail_of_unsaved_turns_comes_again_after_a_crash(tmp_path: Path) -> None:
    """What agents sent a SNAPSHOT agent comes again after SIGKILL; what it was told is lost."""
    path = tmp_path / "a.db"
    with started("-c", CRASH, path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"now\n"
    with AgentSystem.open(path, agents=[Snapshot]) as system:
        assert system.idle(DEADLINE)
        steps = system.agent(Snapshot, "sent").proxy().steps().get(timeout=DEADLINE)
        assert steps == ["add 1", "add 2", "add 3"]
        steps = system.agent(Snapshot, "told").proxy().steps().get(timeout=DEADLINE)
        assert steps == ["add 1"]


@pytest.mark.parametrize("before", [True, False])
def test_mail_of_a_paused_snapshot_agent_waits_in_the_store(
    before: bool,  # noqa: FBT001 - a parameter
) -> None:
    """What a SNAPSHOT agent was told before or while it is paused is there after a reopening."""
    store = MemoryStore()
    system = AgentSystem.open(store, agents=[Snapshot])
    snapshot = system.agent(Snapshot, "a")
    if before:
        snapshot.pause()
    for number in range(1, 50):
        snapshot.cast(Snapshot.add, number)
    if not before:
        snapshot.pause()
    assert system.close()
    with AgentSystem.open(store, agents=[Snapshot]) as again:
        snapshot = again.agent(Snapshot, "a")
        snapshot.resume()
        assert again.idle(DEADLINE)
        assert snapshot.proxy().total().get(timeout=DEADLINE) == sum(range(1, 50))


def test_closing_stores_what_a_snapshot_agent_has_not_handled() -> None:
    """Each message from outside is handled before closing, or after the next opening."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Snapshot]) as system:
        for number in range(1, 500):
            system.agent(Snapshot, str(number % 7)).cast(Snapshot.add, number)
    with AgentSystem.open(store, agents=[Snapshot]) as system:
        assert system.idle(DEADLINE)
        totals = [system.agent(Snapshot, str(n)).proxy().total() for n in range(7)]
        assert sum(total.get(timeout=DEADLINE) for total in totals) == sum(range(1, 500))
