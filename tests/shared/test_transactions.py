"""Several keys at once, outside and in turns: all or none, and made from what is the newest."""

# ruff: noqa: PT012 - a transaction raises at its end, so the block is what is tested

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import Agent, AgentSystem, Principal, Resources, Scope
from perdure.persistence.errors import Conflict, Denied, LimitExceeded
from perdure.shared.scopes.state import ScopedState
from tests.kit.deadline import DEADLINE
from tests.kit.stores import CountingStore
from tests.kit.threads import at_once, hasty
from tests.shared.agents import WORK, Count, Worker

OTHER = Scope.user("mira")


def test_all_or_none_over_several_scopes() -> None:
    """What a transaction wrote in three scopes is one commit, or nothing if it raises."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        with state.transaction() as also:
            assert also is state
            state.set(WORK, "a", 1)
            state.set(OTHER, "a", 2)
            state.increment(WORK.step("s"), "a")
            assert state.get(OTHER, "a") == 2
        (entry,) = system.journal.list()
        assert entry.delta.count('"a"') == 3
        with pytest.raises(RuntimeError), state.transaction():
            state.set(WORK, "a", 9)
            state.delete(OTHER, "a")
            raise RuntimeError
        assert (state.get(WORK, "a"), state.get(OTHER, "a")) == (1, 2)
        assert len(system.journal.list()) == 1


def test_a_transaction_that_was_overtaken_writes_nothing() -> None:
    """Conflict if what was read, or found absent, was changed by another; also for reads alone."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        state.set(WORK, "read", 1)

        def other(key: str) -> None:
            thread = threading.Thread(target=state.set, args=(WORK, key, 5))
            thread.start()
            thread.join()

        for key in ("read", "absent"):
            with pytest.raises(Conflict, match=f"workflow:w '{key}' was"), state.transaction():
                state.get(WORK, key)
                other(key)
                state.set(WORK, "written", 1)
            assert not state.exists(WORK, "written")
        with pytest.raises(Conflict), state.transaction():
            state.get(WORK, "read")
            other("read")
        with state.transaction():
            state.set(WORK, "read", 7)  # blind: made from nothing
            other("read")
        assert state.get(WORK, "read") == 7


def test_transact_tries_again_and_gives_up() -> None:
    """transact() runs the function until nobody overtakes it, up to its attempts."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        runs: list[int] = []

        def overtaken(times: int) -> int:
            runs.append(1)
            seen = state.get(WORK, "k", int, default=0)
            if len(runs) <= times:
                thread = threading.Thread(target=state.increment, args=(WORK, "k"))
                thread.start()
                thread.join()
            state.set(WORK, "k", seen + 10)
            return seen

        assert state.transact(lambda _: overtaken(2)) == 2
        assert state.get(WORK, "k") == 12
        runs.clear()
        with pytest.raises(Conflict):
            state.transact(lambda _: overtaken(9), attempts=2)
        assert len(runs) == 2
        assert state.get(WORK, "k") == 14


def test_an_error_from_a_torn_view_is_no_error() -> None:
    """A function that raises because it saw two moments at once is run again."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        with state.transaction():
            state.set(WORK, "a", 1)
            state.set(WORK, "b", 1)
        runs: list[int] = []

        def both() -> int:
            with state.transaction():
                state.set(WORK, "a", 2)
                state.set(WORK, "b", 2)
            return 0

        def look(_: object) -> object:
            runs.append(1)
            a = state.get(WORK, "a")
            if len(runs) == 1:
                thread = threading.Thread(target=both)
                thread.start()
                thread.join()
            if state.get(WORK, "b") != a:
                raise ZeroDivisionError
            return a

        assert state.transact(look) == 2
        assert len(runs) == 2
        with pytest.raises(ZeroDivisionError):
            state.transact(lambda _: 1 // 0)


def test_a_handler_with_a_torn_view_begins_again() -> None:
    """In a turn as well: what raised in a transaction that was overtaken is run again."""
    runs: list[int] = []

    class Looker(Agent[Count]):
        boundary = Worker.boundary

        def look(self) -> object:
            runs.append(1)
            with self.scopes.transaction():
                a = self.scopes.get(WORK, "a")
                if len(runs) == 1:
                    other = self.system.agent(Setter, "s")
                    other.call(Setter.both, 2).get()
                if self.scopes.get(WORK, "b") != a:
                    raise ZeroDivisionError
            return a

    class Setter(Agent[Count]):
        boundary = Worker.boundary

        def both(self, value: int) -> None:
            self.scopes.set_many(WORK, {"a": value, "b": value})

    with AgentSystem.open("memory://", agents=[Looker, Setter]) as system:
        system.agent(Setter, "s").call(Setter.both, 1).get()
        assert system.agent(Looker, "l").call(Looker.look).get() == 2
        assert len(runs) == 2


def test_nested_transactions_are_undone_alone() -> None:
    """An inner transaction that raises is undone, and the outer goes on; outside and in turns."""

    def work(state: ScopedState) -> None:
        with state.transaction():
            state.set(WORK, "outer", 1)
            state.increment(WORK, "n")
            with pytest.raises(RuntimeError), state.transaction():
                state.set(WORK, "inner", 1)
                state.increment(WORK, "n", 100)
                with state.transaction():
                    state.delete(WORK, "outer")
                raise RuntimeError
            assert state.get(WORK, "n") == 1
            state.increment(WORK, "n")

    class Nester(Agent[Count]):
        boundary = Worker.boundary

        def nest(self) -> None:
            work(self.scopes)

    with AgentSystem.open("memory://", agents=[Nester]) as system:
        state = system.state
        for inside in (False, True):
            state.clear(WORK)
            if inside:
                system.agent(Nester, "a").call(Nester.nest).get()
            else:
                work(state)
            assert state.get_many(WORK, ["outer", "n", "inner"]) == {"outer": 1, "n": 2}


def test_what_a_transaction_began_and_left_is_not_lost() -> None:
    """A task begun in a transaction that goes on after its end writes commits of its own."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state

        async def main() -> None:
            go_on = asyncio.Event()

            async def late() -> None:
                await go_on.wait()
                state.set(WORK, "late", 1)

            with state.transaction():
                task = asyncio.create_task(late())
                state.set(WORK, "now", 1)
                await asyncio.sleep(0)
            go_on.set()
            await task

        asyncio.run(main())
        assert state.get_many(WORK, ["late", "now"]) == {"late": 1, "now": 1}


def test_another_principal_has_no_part_in_a_transaction() -> None:
    """In a transaction only handles of its own principal may be used."""
    with AgentSystem.open("memory://", agents=[]) as system:
        mira = system.state.acting_as(Principal.user("mira"))
        with system.state.transaction(), pytest.raises(Denied, match="in the name of system"):
            mira.get(OTHER, "k")
        with mira.transaction(), pytest.raises(Denied, match="in the name of user:mira"):
            system.state.set(WORK, "k", 1)


def test_no_write_skew() -> None:
    """Two transactions that each read what the other writes do not both succeed."""
    with AgentSystem.open("memory://", agents=[]) as system, hasty():
        state = system.state
        for _ in range(20):
            with state.transaction():
                state.set(WORK, "a", 1)
                state.set(WORK, "b", 1)

            def leave(number: int) -> None:
                mine, theirs = ("a", "b") if number == 0 else ("b", "a")

                def step(_: object) -> None:
                    if state.get(WORK, theirs) == 1:
                        state.set(WORK, mine, 0)

                state.transact(step)

            at_once(2, leave)
            assert (state.get(WORK, "a"), state.get(WORK, "b")) in {(0, 1), (1, 0)}


def test_of_many_who_take_one_gets_it() -> None:
    """A key is deleted, moved or set-if-absent by exactly one of many: outside and in turns."""

    class Taker(Agent[Count]):
        boundary = Worker.boundary

        def take(self, how: str) -> bool:
            s, mine = self.scopes, self.scopes.own
            if how == "delete":
                return s.delete(WORK, "k")
            if how == "move":
                return s.move(WORK, "k", mine, "k")
            return s.set_if_absent(WORK, "taken", 1)

    with AgentSystem.open("memory://", agents=[Taker]) as system, hasty():
        state = system.state
        for how in ("delete", "move", "set"):
            state.set(WORK, "k", 1)
            asked = [system.agent(Taker, str(n)).call(Taker.take, how) for n in range(32)]
            won: list[bool] = []

            def take(number: int, how: str = how, won: list[bool] = won) -> None:
                match how:
                    case "delete":
                        won.append(state.delete(WORK, "k"))
                    case "move":
                        won.append(state.move(WORK, "k", OTHER, str(number)))
                    case _:
                        won.append(state.set_if_absent(WORK, "taken", 1))

            at_once(8, take)
            won += [future.get(timeout=DEADLINE) for future in asked]
            assert sum(won) == 1, how


def test_clearing_meets_writers() -> None:
    """clear() outside never raises Conflict, and counts what it deleted."""
    with AgentSystem.open("memory://", agents=[]) as system, hasty():
        state = system.state
        state.set_many(WORK, {f"k{n}": n for n in range(2_500)})
        stop = threading.Event()

        def work(number: int) -> None:
            if number == 0:
                assert state.clear(WORK) >= 2_490
                stop.set()
            while not stop.is_set():
                state.set(WORK, f"k{number}", 0)

        at_once(4, work)
        assert state.count(WORK) <= 3


def test_many_keys_are_looked_up_together() -> None:
    """Keys that are set together cost one look at the store, and get the versions they have."""
    names = [f"k{n}" for n in range(50)]
    store = CountingStore()
    with AgentSystem.open(store, agents=[], resources=Resources(scope_cache=0)) as system:
        state = system.state
        state.set_many(WORK, dict.fromkeys(names[:20], 1))
        state.set(WORK, "k7", 2)
        store.asked.clear()
        state.set_many(WORK, dict.fromkeys(names, 3))
        assert [asked for asked in store.asked if asked[1] == "scoped"] == [("rows", "scoped")]
        entries = [state.entry(WORK, name) for name in names]
    assert [(e.value, e.version) for e in entries if e is not None] == [
        (3, 3 if n == 7 else 2 if n < 20 else 1) for n in range(50)
    ]


class Batcher(Agent[Count]):
    """Set many keys at once, and one of them alone, in any order."""

    boundary = Worker.boundary

    def work(self, steps: list[tuple[str, str, int]]) -> list[object]:
        return list(worked(self.scopes, steps))


def worked(state: ScopedState, steps: list[tuple[str, str, int]]) -> Iterator[object]:
    """Do some steps with keys, and yield what each returns."""
    for what, key, number in steps:
        if what == "many":
            state.set_many(WORK, {f"{key}{n}": n for n in range(number)})
        elif what == "each":  # the same, one by one
            for n in range(number):
                state.set(WORK, f"{key}{n}", n)
        elif what == "set":
            yield state.set(WORK, f"{key}{number}", "one")
        elif what == "delete":
            yield state.delete(WORK, f"{key}{number}")
        else:
            yield state.get(WORK, f"{key}{number}")


KEY_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["many", "set", "delete", "get"]), st.sampled_from("ab"), st.integers(0, 12)
    ),
    max_size=8,
)


@given(before=KEY_STEPS, steps=KEY_STEPS, how=st.sampled_from(["alone", "together", "turn"]))
def test_many_keys_are_as_if_each_was_set(
    before: list[tuple[str, str, int]], steps: list[tuple[str, str, int]], how: str
) -> None:
    """Keys set together are seen and stored as if they were set one by one, wherever that is."""
    found = []
    for verb in ("many", "each"):
        renamed = [(verb if what == "many" else what, key, n) for what, key, n in steps]
        with AgentSystem.open("memory://", agents=[Batcher]) as system:
            state = system.state
            list(worked(state, before))
            if how == "turn":
                told = system.agent(Batcher, "a").call(Batcher.work, renamed).get()
            elif how == "together":
                with state.transaction():
                    told = list(worked(state, renamed))
            else:
                told = list(worked(state, renamed))
            entries = [state.entry(WORK, key) for key in state.each(WORK)]
            found.append((told, [(e.value, e.version) for e in entries if e is not None]))
    assert found[0] == found[1]


def test_a_turn_clears_only_so_many() -> None:
    """More than 10,000 keys are refused in a turn or transaction, and untouched."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        state.set_many(WORK, {f"k{n:05}": 0 for n in range(10_001)})
        with pytest.raises(LimitExceeded, match="10,000"), state.transaction():
            state.clear(WORK)
        assert state.count(WORK) == 10_001
        assert state.clear(WORK, prefix="k0000") == 10
        assert state.clear(WORK) == 9_991


def test_copies_and_moves() -> None:
    """Copies take value and expiry along; what is not there is False; onto itself is no change."""
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state
        state.set(WORK, "a", [1], ttl=1000)
        assert state.copy(WORK, "a", OTHER)
        copied, original = state.entry(OTHER, "a"), state.entry(WORK, "a")
        assert copied is not None
        assert original is not None
        assert (copied.value, copied.expires) == ([1], original.expires)
        assert state.move(OTHER, "a", OTHER, "b")
        assert state.list(OTHER) == ["b"]
        assert state.move(OTHER, "b", OTHER, "b")
        assert state.list(OTHER) == ["b"]
        assert not state.copy(WORK, "none", OTHER)
        assert not state.move(WORK, "none", OTHER)
        assert not state.move(WORK, "none", WORK, "none")


def test_a_key_is_the_same_throughout_a_transaction() -> None:
    """What is made and deleted again while a transaction runs is not seen in between."""
    key = (Scope.GLOBAL, "fleeting")
    with AgentSystem.open("memory://", agents=[]) as system:
        state = system.state

        def aside(call: Callable[[], object]) -> None:
            thread = threading.Thread(target=call)
            thread.start()
            thread.join()

        with state.transaction():
            assert state.get(*key) is None
            aside(lambda: state.set(*key, 1))
            assert state.get(*key) is None
            assert not state.copy(*key, Scope.GLOBAL, "copy")
            aside(lambda: state.delete(*key))
            state.set(Scope.GLOBAL, "seen", state.exists(*key))
        assert state.get(Scope.GLOBAL, "seen") is False
        assert not state.exists(Scope.GLOBAL, "copy")
