"""Who sees what when: outside only what is durable, in turns what was appended."""

# ruff: noqa: PT012 - a transaction raises at its end, so the block is what is tested

import asyncio
import threading
from collections.abc import Callable

import pytest

from perdure import Agent, AgentSystem, Limits, MemoryStore, Resources, Scope
from perdure.persistence.errors import StateError, SystemClosed
from perdure.persistence.records.shared_tables import SCOPED
from perdure.persistence.records.tables import Key, Row, Table
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate
from tests.kit.threads import at_once
from tests.shared.agents import AGENTS, WORK, Count, Fleeting, Saved, Worker

EIGHT = (
    Scope.GLOBAL, Scope.user("u"), Scope.agent("Worker", "a"), Scope.workflow("w"),
    Scope.workflow("w").step("s"), Scope.session("s"), Scope.tool("t"), Scope.custom("c", "1"),
)  # fmt: skip


def test_one_key_in_eight_scopes_is_eight_values() -> None:
    """The same key in each kind of scope holds a value of its own."""
    with AgentSystem.open("memory://", agents=[]) as system:
        for number, scope in enumerate(EIGHT):
            system.state.set(scope, "key", number)
        assert [system.state.get(scope, "key") for scope in EIGHT] == list(range(8))
        system.state.delete(EIGHT[3], "key")
        left = [system.state.exists(scope, "key") for scope in EIGHT]
        assert left == [number != 3 for number in range(8)]


def test_outside_nothing_is_seen_before_it_is_durable() -> None:
    """A value on its way to the store is invisible outside, to get, exists, list and count."""
    store = FaultyStore()
    with AgentSystem.open(store.open(), agents=AGENTS) as system:
        state = system.state
        state.set(WORK, "k", "old")
        waiting = store.hold()
        asked = system.agent(Worker, "a").call(Worker.set, "k", "new")
        system.agent(Worker, "a").cast(Worker.set, "other", 1)
        writing = threading.Thread(target=state.set, args=(WORK, "outside", 1))
        writing.start()
        assert waiting.wait(DEADLINE)
        assert state.get(WORK, "k") == "old"
        assert state.list(WORK) == ["k"]
        assert state.count(WORK) == 1
        assert not state.exists(WORK, "outside")
        assert not asked.done()
        store.let_go()
        asked.get(timeout=DEADLINE)
        assert state.get(WORK, "k") == "new"
        writing.join(DEADLINE)
        assert state.get(WORK, "outside") == 1


@pytest.mark.parametrize("kind", [Worker, Fleeting, Saved])
def test_a_turn_sees_what_was_appended_and_its_answer_waits(kind: type[Worker]) -> None:
    """In a turn the newest value is there at once; what it says of it leaves when that is durable.

    So it is for lists as well, whatever the agent's own durability.
    """
    store = FaultyStore()
    with AgentSystem.open(store.open(), agents=AGENTS) as system:
        reader = system.agent(kind, "reader")
        assert reader.call(Worker.get, "k").get() is None
        waiting = store.hold()
        system.agent(Worker, "a").call(Worker.set, "k", "new")
        assert waiting.wait(DEADLINE)
        seen, listed = reader.call(Worker.get, "k"), reader.call(Worker.keys)
        later = reader.call(Worker.turns)
        assert not seen.done()
        store.let_go()
        assert seen.get(timeout=DEADLINE) == "new"
        assert listed.get(timeout=DEADLINE) == ["k"]
        assert later.get(timeout=DEADLINE) == 0


def test_a_transaction_sees_nothing_before_it_is_durable() -> None:
    """In a transaction outside, reading a value on its way waits until it is there."""
    store = FaultyStore()
    seen: list[object] = []
    with AgentSystem.open(store.open(), agents=[Worker]) as system:
        system.state.set(WORK, "k", "old")
        waiting = store.hold()
        asked = system.agent(Worker, "a").call(Worker.set, "k", "new")
        assert waiting.wait(DEADLINE)
        begun = threading.Event()

        def read() -> None:
            with system.state.transaction() as state:
                seen.append(state.list(WORK))
                begun.set()
                seen.append(state.get(WORK, "k"))

        reading = threading.Thread(target=read)
        reading.start()
        assert begun.wait(DEADLINE)
        assert seen == [["k"]]
        store.let_go()
        reading.join(DEADLINE)
        assert seen == [["k"], "new"]
        asked.get(timeout=DEADLINE)


def test_what_a_turn_wrote_it_reads() -> None:
    """Own writes are seen at once by every call, and undone if the handler raises."""

    class Writer(Agent[Count]):
        boundary = Worker.boundary

        def work(self, end: str = "") -> None:
            s = self.scopes
            assert s.get(WORK, "stored") == 1
            assert s.set(WORK, "b", [1]) == 1
            assert s.set(WORK, "b", [2]) == 2
            assert s.get(WORK, "b", list[int]) == [2]
            entry = s.entry(WORK, "b")
            assert entry is not None
            assert (entry.version, entry.sequence) == (2, 0)
            assert s.compare_and_set(WORK, "b", entry, [3])
            assert not s.compare_and_set(WORK, "b", entry, [4])
            assert s.delete(WORK, "stored")
            assert not s.delete(WORK, "stored")
            assert s.set_if_absent(WORK, "a", 0)
            assert not s.set_if_absent(WORK, "a", 1)
            assert s.copy(WORK, "a", WORK, "c")
            assert s.move(WORK, "c", s.own, "c")
            assert s.list(WORK) == ["a", "b"]
            assert s.count(WORK) == 2
            assert s.get(s.own, "c") == 0
            assert s.get_many(WORK, ["a", "b", "zz"]) == {"a": 0, "b": [3]}
            s.set_many(WORK, {"x/1": 1, "x/2": 2})
            assert s.clear(WORK, prefix="x/") == 2
            assert s.list(WORK, prefix="x") == []
            if end:
                raise RuntimeError(end)

    with AgentSystem.open("memory://", agents=[Writer]) as system:
        system.state.set(WORK, "stored", 1)
        agent = system.agent(Writer, "a")
        for _ in range(2):
            with pytest.raises(RuntimeError):
                agent.call(Writer.work, "undone").get()
            assert system.state.list(WORK) == ["stored"]
            assert system.state.list(Scope.agent("Writer", "a")) == []
        agent.call(Writer.work).get()
        assert system.state.get_many(WORK, ["a", "b", "stored"]) == {"a": 0, "b": [3]}
        assert system.state.get(Scope.agent("Writer", "a"), "c") == 0


def test_values_are_fresh_each_time() -> None:
    """What was read can be changed in place without changing what is stored or cached."""
    with AgentSystem.open("memory://", agents=[]) as system:
        given = {"list": [1]}
        system.state.set(WORK, "k", given)
        given["list"].append(2)
        first = system.state.get(WORK, "k", dict[str, list[int]])
        assert first == {"list": [1]}
        first["list"].append(3)
        assert system.state.get(WORK, "k") == {"list": [1]}


@pytest.mark.parametrize("bad", [float("nan"), {1: 2}, (1,), {1, 2}, "\ud800", object()])
def test_what_cannot_be_stored_exactly_is_refused(bad: object) -> None:
    """A value that would come back as another is a StateError, and nothing is written."""
    with AgentSystem.open("memory://", agents=[]) as system:
        with pytest.raises(StateError, match="workflow:w 'k'"):
            system.state.set(WORK, "k", bad)
        assert not system.state.exists(WORK, "k")


def test_sizes_are_limited() -> None:
    """A value above largest_value is refused with its key, in a transaction as a whole."""
    with AgentSystem.open("memory://", agents=[], limits=Limits(largest_value=100)) as system:
        system.state.set(WORK, "k", "x" * 98)
        with pytest.raises(StateError, match="limit of 100"), system.state.transaction():
            system.state.set(WORK, "other", 1)
            system.state.set(WORK, "k", "x" * 99)
        assert system.state.list(WORK) == ["k"]


def test_a_late_load_never_hides_a_commit() -> None:
    """A row that is committed while somebody loads the one before is what everybody reads then."""
    loading, go_on = threading.Event(), threading.Event()

    class Slow(MemoryStore):
        slow = False

        def row(self, table: Table, key: Key) -> Row | None:
            row = super().row(table, key)
            if self.slow and table is SCOPED:
                self.slow = False
                loading.set()
                assert go_on.wait(DEADLINE)
            return row

    store = Slow()
    with AgentSystem.open(store, agents=[], resources=Resources(scope_cache=0)) as system:
        system.state.set(WORK, "k", "old")
        system.state.set(WORK, "another", 1)  # drives it out of the cache
        system.state.set(WORK, "a third", 1)
        store.slow = True
        seen: list[object] = []
        reader = threading.Thread(target=lambda: seen.append(system.state.get(WORK, "k")))
        reader.start()
        assert loading.wait(DEADLINE)
        system.state.set(WORK, "k", "new")
        go_on.set()
        reader.join(DEADLINE)
        assert seen == ["old"]
        assert system.state.get(WORK, "k") == "new"


def test_reads_race_with_writes_and_evictions() -> None:
    """With hardly any cache, readers of a rising value never see it fall."""
    with AgentSystem.open("memory://", agents=[], resources=Resources(scope_cache=4_000)) as system:
        state = system.state
        for key in "abcdefgh":
            state.set(WORK, key, 0)
        done = threading.Event()

        def work(number: int) -> None:
            if number < 4:
                try:
                    for _ in range(40):
                        state.increment(WORK, "abcdefgh"[number])
                finally:
                    done.set()
                return
            last = dict.fromkeys("abcdefgh", 0)
            while not done.is_set():
                for key, before in last.items():
                    now = state.get(WORK, key, int)
                    assert now is not None
                    assert now >= before
                    last[key] = now

        at_once(8, work)


def test_a_closed_system_shares_nothing() -> None:
    """After close() every call raises SystemClosed, whatever is cached."""
    with AgentSystem.open("memory://", agents=[]) as system:
        system.state.set(WORK, "k", 1)
        assert system.state.get(WORK, "k") == 1
    calls: list[Callable[[], object]] = [
        lambda: system.state.get(WORK, "k"),
        lambda: system.state.set(WORK, "k", 2),
        lambda: system.state.list(WORK),
        lambda: system.state.transact(lambda s: s.get(WORK, "k")),
    ]
    for call in calls:
        with pytest.raises(SystemClosed):
            call()


def test_what_a_handler_began_and_left_is_a_call_of_its_own() -> None:
    """A task that outlives its turn writes commits of its own, in the name of the agent."""
    gate = Gate()
    written = threading.Event()

    class Leaver(Agent[Count]):
        boundary = Worker.boundary

        async def leave(self) -> None:
            async def late() -> None:
                await asyncio.to_thread(gate.pass_through)
                self.scopes.set(WORK, "late", 1)
                written.set()

            self.task = asyncio.ensure_future(late())

    with AgentSystem.open("memory://", agents=[Leaver]) as system:
        system.agent(Leaver, "a").call(Leaver.leave).get()
        gate.wait()
        gate.open()
        assert written.wait(DEADLINE)
        assert system.state.get(WORK, "late") == 1
