"""What is in memory: descriptions of it, passivation, and how much an idle agent takes."""

import asyncio
import gc
import threading
import tracemalloc
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import (
    Agent,
    AgentSystem,
    Durability,
    MemoryStore,
    Passivation,
    Resources,
    State,
    VirtualClock,
    signals,
)
from perdure.actors.cell.cell import AgentCell
from perdure.lifecycle.signals import AgentEvent
from perdure.persistence.errors import ConfigurationError
from tests.actors.agents import Clerk
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate


class Guest(Clerk):
    """Be asked to leave."""

    gate = Gate()
    left = 0

    def on_passivate(self) -> None:
        Guest.left += 1
        self.state.notes.append("left")

    def stand(self) -> None:
        self.gate.pass_through()


class Resident(Clerk):
    durability = Durability.VOLATILE


@pytest.fixture
def clock() -> VirtualClock:
    """Make a clock that only the test moves."""
    return VirtualClock()


@pytest.fixture
def system(clock: VirtualClock) -> Iterator[AgentSystem]:
    """Open a system that puts agents to rest after ten seconds."""
    Guest.gate, Guest.left = Gate(), 0
    rest = Passivation(idle=10.0, limit=None)
    with AgentSystem.open(
        "memory://",
        agents=[Clerk, Guest, Resident],
        clock=clock,
        resources=Resources(passivation=rest),
    ) as opened:
        yield opened
        Guest.gate.open()


def pass_seconds(system: AgentSystem, clock: VirtualClock, seconds: int) -> None:
    """Let time pass second by second, and what it brings happen."""
    for _ in range(seconds):
        clock.advance(1.0)
        assert system.idle(DEADLINE)


def test_idle_agents_leave_memory_and_come_back(system: AgentSystem, clock: VirtualClock) -> None:
    """An agent nobody talks to leaves memory, with on_passivate as a turn, and nothing is lost."""
    guest = system.agent(Guest, "a")
    guest.call(Guest.add, 3).get()
    busy = system.agent(Clerk, "busy")
    for _ in range(15):
        busy.call(Clerk.add).get()
        pass_seconds(system, clock, 1)
    assert system.statistics().live == 1
    assert guest.describe().live is False
    assert Guest.left == 1
    read = guest.call(Guest.read).get()
    assert (read["count"], read["notes"]) == (3, ["left"])


def test_volatile_agents_stay(system: AgentSystem, clock: VirtualClock) -> None:
    """An agent that exists in memory only is never put to rest."""
    resident = system.agent(Resident, "a")
    resident.call(Clerk.add, 3).get()
    pass_seconds(system, clock, 30)
    assert resident.call(Clerk.add, 0).get() == 3


def test_a_busy_agent_stays(system: AgentSystem, clock: VirtualClock) -> None:
    """An agent in the middle of a turn is not idle, however long the turn takes."""
    guest = system.agent(Guest, "a")
    standing = guest.call(Guest.stand)
    Guest.gate.wait()
    for _ in range(30):
        clock.advance(1.0)
    assert guest.describe().busy is True
    Guest.gate.open()
    standing.get(timeout=DEADLINE)
    assert Guest.left == 0


def test_live_memory_is_bounded_by_the_limit() -> None:
    """However many agents are used, as many as the limit are in memory, and the one that comes."""
    store = MemoryStore()
    with AgentSystem.open(
        store, agents=[Clerk], resources=Resources(passivation=Passivation(idle=None, limit=100))
    ) as system:
        most = 0
        for number in range(3000):
            system.agent(Clerk, str(number)).call(Clerk.add).get()
            most = max(most, len(system._runtime.cells))
        assert most <= 101
        assert len(system._runtime.cells) == 100
        for number in range(0, 3000, 100):
            assert system.agent(Clerk, str(number)).call(Clerk.add).get() == 2


@given(
    st.integers(1, 12),
    st.lists(st.tuples(st.sampled_from([Clerk, Resident]), st.integers(0, 15)), max_size=60),
)
@settings(max_examples=60)
def test_every_new_agent_is_served_and_the_limit_kept_where_it_can_be(
    limit: int, asked: list[tuple[type[Clerk], int]]
) -> None:
    """Agents that may not rest fill the limit; others go on, and go one by one as they come."""
    rest = Passivation(idle=None, limit=limit)
    expected: Counter[tuple[type[Clerk], int]] = Counter()
    clock = VirtualClock()
    with AgentSystem.open(
        "memory://", agents=[Clerk, Resident], clock=clock, resources=Resources(passivation=rest)
    ) as system:
        for kind, key in asked:
            expected[kind, key] += 1
            reply = system.agent(kind, str(key)).call(Clerk.add)
            assert reply.get(timeout=DEADLINE) == expected[kind, key]
            pinned = sum(known is Resident for known, _ in expected)
            # One comes before another goes; beside those that stay there may be one in its turn.
            assert system.statistics().cells <= max(limit, pinned + 1) + 1
        clock.advance(1.0)
        assert system.idle(DEADLINE)
        clock.advance(1.0)
        assert system.idle(DEADLINE)
        pinned = sum(known is Resident for known, _ in expected)
        assert system.statistics().cells == min(max(limit, pinned), len(expected))


def test_no_event_loop_is_held_while_room_is_made() -> None:
    """A coroutine that talks to a new agent puts nobody to rest itself: that may take long."""
    places: set[str] = set()

    def left(_sender: object, event: AgentEvent) -> None:
        places.add(threading.current_thread().name)

    async def talk(system: AgentSystem) -> None:
        for key in range(50):
            await system.agent(Clerk, str(key)).call(Clerk.add)

    rest = Passivation(idle=None, limit=5)
    with AgentSystem.open(
        MemoryStore(), agents=[Clerk], resources=Resources(passivation=rest)
    ) as system:
        with signals.agent_passivated.connected_to(left):
            asyncio.run(talk(system))
            assert system.idle(DEADLINE)
        assert places
        assert all(name.startswith("perdure-worker") for name in places)


@pytest.mark.parametrize("bad", [{"idle": 0.0}, {"limit": 0}])
def test_limits_that_make_no_sense_are_refused(bad: dict[str, float]) -> None:
    """Passivation needs limits above nothing."""
    with pytest.raises(ConfigurationError):
        Passivation(**bad)  # type: ignore[arg-type]


def test_a_description_says_how_an_agent_stands(system: AgentSystem) -> None:
    """describe() tells status, version, mail and holds, without waking anybody."""
    guest = system.agent(Guest, "a")
    fresh = guest.describe()
    assert (fresh.kind, fresh.key, fresh.status, fresh.version) == ("Guest", "a", "active", 0)
    assert (fresh.live, fresh.busy, fresh.waiting, fresh.holds) == (False, False, 0, ())
    assert system.statistics().cells == 0
    guest.call(Guest.add).get()
    assert (guest.describe().version, guest.describe().live) == (1, True)
    guest.pause()
    guest.cast(Guest.add)
    guest.cast(Guest.add)
    assert system.idle(DEADLINE)
    paused = guest.describe()
    assert (paused.status, paused.version, paused.waiting) == ("paused", 2, 2)
    assert paused.holds == ("paused",)
    guest.resume()
    guest.stop()
    stopped = guest.describe()
    assert (stopped.status, stopped.version, stopped.live) == ("stopped", 6, False)


def test_a_description_of_a_dormant_agent_comes_from_the_store() -> None:
    """After a restart describe() tells what is stored, mail included."""
    store = MemoryStore()
    with AgentSystem.open(store, agents=[Clerk]) as system:
        clerk = system.agent(Clerk, "a")
        clerk.call(Clerk.add).get()
        clerk.pause()
        clerk.cast(Clerk.add)
    with AgentSystem.open(store, agents=[Clerk]) as system:
        assert system.idle(DEADLINE)
        described = system.agent(Clerk, "a").describe()
        assert (described.status, described.version, described.waiting) == ("paused", 2, 1)


class SmallState(State):
    count: int = 0


class Small(Agent[SmallState]):
    """The smallest agent worth having."""

    def add(self) -> int:
        self.state.count += 1
        return self.state.count


def test_an_idle_agent_takes_less_than_four_kibibytes() -> None:
    """A live idle agent costs at most 4 KiB of memory, store aside."""
    number = 2000

    class Nowhere(MemoryStore):
        def commit(self, batch: object) -> None:
            """Keep nothing: what is measured is the agents."""

    with AgentSystem.open(Nowhere(), agents=[Small]) as system:
        for key in range(50):
            system.agent(Small, f"warm-{key}").call(Small.add).get()
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for key in range(number):
                system.agent(Small, str(key)).cast(Small.add)
            assert system.idle(60)
            gc.collect()
            each = (tracemalloc.get_traced_memory()[0] - before) / number
        finally:
            tracemalloc.stop()
        assert system.statistics().live == number + 50
    assert each < 4096, f"{each:.0f} bytes"


def test_what_leaves_memory_leaves_nothing_to_the_collector() -> None:
    """A passivated agent is freed at once: no cycle waits for the garbage collector."""
    gc.collect()
    found = gc.isenabled()
    gc.disable()
    try:
        limit = Passivation(limit=10)
        with AgentSystem.open(
            "memory://", agents=[Small], resources=Resources(passivation=limit)
        ) as system:
            for key in range(100):
                system.agent(Small, str(key)).call(Small.add).get()
            assert system.idle(60)
            gone = 100 - system.statistics().cells
            home = system._runtime
            left = sum(
                isinstance(thing, AgentCell) and thing.home is home for thing in gc.get_objects()
            )
        assert gone > 50
        assert left == 100 - gone
    finally:
        if found:
            gc.enable()
