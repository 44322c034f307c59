"""Counters: whoever adds, nothing is lost, and each sum is given out once."""

from pathlib import Path

import pytest

from perdure import Agent, AgentSystem, MemoryStore, Principal, Right
from perdure.persistence.errors import Denied, StateError
from tests.kit.threads import at_once, hasty
from tests.shared.agents import AGENTS, WORK, Count, Fleeting, Saved, Worker

THREADS = 64
EACH = 20


@pytest.mark.parametrize("place", ["memory", "file"])
def test_threads_outside_lose_nothing(tmp_path: Path, place: str) -> None:
    """64 threads increment one key: every sum from 1 up is given to one of them."""
    store = MemoryStore() if place == "memory" else tmp_path / "store.db"
    given: list[int] = []
    with AgentSystem.open(store, agents=[], sync="process") as system, hasty():

        def count(_number: int) -> None:
            given.extend(system.state.increment(WORK, "n") for _ in range(EACH))

        at_once(THREADS, count)
        assert sorted(given) == list(range(1, THREADS * EACH + 1))
        assert system.state.get(WORK, "n") == THREADS * EACH


@pytest.mark.parametrize("kind", [Worker, Fleeting, Saved])
@pytest.mark.parametrize("method", ["increment", "increment_later"])
def test_agents_lose_nothing(kind: type[Worker], method: str) -> None:
    """64 agents increment one key in sync or async turns: each sum is given out once."""
    with AgentSystem.open("memory://", agents=AGENTS) as system, hasty():
        asked = [
            getattr(system.agent(kind, str(number % 64)).proxy(), method)("n")
            for number in range(64 * 4)
        ]
        given = sorted(future.get(timeout=30) for future in asked)
        assert given == list(range(1, 64 * 4 + 1))
        assert system.state.get(WORK, "n") == 64 * 4


def test_all_at_once_lose_nothing(tmp_path: Path) -> None:
    """Threads that increment, transact and add, and agents of every durability: the sum is exact.

    What an agent counts in its own state, turn by turn, is what it added.
    """
    path = tmp_path / "store.db"
    with AgentSystem.open(path, agents=AGENTS, sync="process") as system, hasty():
        state = system.state

        def work(number: int) -> None:
            kind = AGENTS[number % 3]
            agent = system.agent(kind, str(number))
            for step in range(EACH):
                match (number + step) % 5:
                    case 0:
                        state.increment(WORK, "n")
                    case 1:
                        state.add(WORK, "n")
                    case 2:
                        state.transact(
                            lambda s: s.set(WORK, "n", s.get(WORK, "n", int, default=0) + 1)
                        )
                    case 3:
                        agent.call(Worker.add, "n").get()
                    case 4:
                        agent.call(Worker.increment, "n").get()

        at_once(16, work)
        assert state.get(WORK, "n") == 16 * EACH
        turns = sum(system.agent(AGENTS[n % 3], str(n)).call(Worker.turns).get() for n in range(16))
        assert turns == 16 * EACH * 2 // 5
    with AgentSystem.open(path, agents=AGENTS, sync="process") as system:
        assert system.state.get(WORK, "n") == 16 * EACH


def test_transactions_under_contention_all_get_through(tmp_path: Path) -> None:
    """64 threads read and write one key in transactions: none runs out of attempts."""
    with AgentSystem.open(tmp_path / "s.db", agents=[], sync="process") as system:
        state = system.state

        def work(_number: int) -> None:
            for _ in range(3):
                state.transact(lambda s: s.set(WORK, "n", s.get(WORK, "n", int, default=0) + 1))

        at_once(THREADS, work)
        assert state.get(WORK, "n") == THREADS * 3


def test_additions_meet_without_beginning_again() -> None:
    """add() in a turn is rebased on what another added meanwhile; the turn runs once."""
    runs: list[int] = []

    class Adder(Worker):
        def slow_add(self) -> None:
            runs.append(1)
            self.scopes.add(WORK, "n", 5)
            if len(runs) == 1:
                self.system.agent(Worker, "other").call(Worker.increment, "n", 100).get()

    with AgentSystem.open("memory://", agents=[Adder, Worker]) as system:
        system.agent(Adder, "a").call(Adder.slow_add).get()
        assert system.state.get(WORK, "n") == 105
        assert len(runs) == 1


@pytest.mark.parametrize("value", ["1", 1.0, True, [1], {"n": 1}, None])
def test_only_integers_can_be_added_to(value: object) -> None:
    """Adding to what is no integer is a StateError with the key, and changes nothing."""
    with AgentSystem.open("memory://", agents=[Worker]) as system:
        system.state.set(WORK, "n", value)
        for add in (system.state.increment, system.state.add):
            with pytest.raises(StateError, match=r"workflow:w 'n'.*no integer"):
                add(WORK, "n")
        with pytest.raises(StateError, match="no integer"):
            system.agent(Worker, "a").call(Worker.add, "n").get()
        assert system.state.get(WORK, "n") == value
        assert system.agent(Worker, "a").call(Worker.turns).get() == 0


@pytest.mark.parametrize("by", [1.5, "1", True, None])
def test_only_integers_can_be_added(by: object) -> None:
    """What is no integer cannot be added."""
    with AgentSystem.open("memory://", agents=[]) as system:
        with pytest.raises(StateError, match="no integer"):
            system.state.increment(WORK, "n", by)  # type: ignore[arg-type]
        assert not system.state.exists(WORK, "n")


def test_sums_stay_within_64_bits() -> None:
    """A sum beyond 64 bits is refused, also one that only comes about when the turn ends."""

    class Adder(Worker):
        def add_beside(self) -> str:
            self.scopes.add(WORK, "n", 2**63)
            self.system.state.set(WORK, "elsewhere", 1)
            return "done"

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.state.set(WORK, "n", 2**64 - 1)
        with pytest.raises(StateError, match="beyond 64 bits"):
            system.state.increment(WORK, "n")
        with pytest.raises(StateError, match="beyond 64 bits"):
            system.agent(Adder, "a").call(Adder.add_beside).get()
        assert not system.state.exists(WORK, "elsewhere")
        system.state.set(WORK, "n", -(2**63))
        with pytest.raises(StateError, match="beyond 64 bits"):
            system.state.add(WORK, "n", -1)


def test_errors_of_additions_do_not_tell_the_value() -> None:
    """Who may only write cannot find out by additions what is stored; errors do not tell it."""
    writer, both = Principal.user("w"), Principal.user("b")
    with AgentSystem.open("memory://", agents=[]) as system:
        system.access.grant(writer, WORK, Right.WRITE)
        system.access.grant(both, WORK, Right.READ | Right.WRITE)
        for value, by in (("hidden-4711", 1), (4711, 2**64), (4711, 1)):
            system.state.set(WORK, "n", value)
            with pytest.raises(Denied):  # whatever is there, and whatever is added
                system.state.acting_as(writer).add(WORK, "n", by)
            if (value, by) != (4711, 1):
                with pytest.raises(StateError) as caught:
                    system.state.acting_as(both).add(WORK, "n", by)
                assert "4711" not in str(caught.value)


def test_a_refused_addition_can_be_caught() -> None:
    """A handler that catches the error of an addition goes on with the rest of its turn."""

    class Catcher(Worker):
        def try_it(self) -> object:
            self.scopes.set(WORK, "text", "t")
            try:
                self.scopes.add(WORK, "text")
            except StateError:
                self.scopes.set(WORK, "caught", 1)
            return self.scopes.get(WORK, "text")

    with AgentSystem.open("memory://", agents=[Catcher]) as system:
        assert system.agent(Catcher, "a").call(Catcher.try_it).get() == "t"
        assert system.state.get(WORK, "caught") == 1
        assert system.state.get(WORK, "text") == "t"


def test_many_additions_in_one_turn_cost_their_number() -> None:
    """Two thousand additions to one key in a turn run each step a few times, not each other's."""

    class Bulk(Agent[Count]):
        boundary = Worker.boundary

        def fill(self) -> int:
            return max([self.scopes.increment(WORK, "n") for _ in range(2_000)])

    with AgentSystem.open("memory://", agents=[Bulk]) as system:
        assert system.agent(Bulk, "a").call(Bulk.fill).get(timeout=5) == 2_000
        entry = system.state.entry(WORK, "n")
        assert entry is not None
        assert entry.version == 2_000
