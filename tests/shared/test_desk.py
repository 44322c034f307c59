"""The desk: a unit ends once, may be used from several threads, and asks for whom it speaks."""

import asyncio
import contextlib
import threading
from collections.abc import Callable

import pytest

from perdure import Agent, AgentSystem, Audit, Boundary, Principal, Right, Scope, ScopedState, State
from perdure.persistence.errors import Denied, Isolated, TransactionEnded
from perdure.persistence.records.shared_tables import SCOPED
from perdure.shared.ledger.unit import Unit
from tests.kit.deadline import DEADLINE
from tests.kit.gates import GATES, Gate, gate
from tests.kit.threads import hasty, together

W = Scope.workflow("w")
ME = Principal.agent("Late", "1")
OWN = Scope.agent("Late", "1")
GUEST = Principal.agent("Guest", "1")


class Nothing(State):
    pass


def fill(scopes: ScopedState, scope: Scope, key: str) -> None:
    """Write a key and fail."""
    scopes.set(scope, key, 1)
    raise KeyError(key)


class Late(Agent[Nothing]):
    """Begins what goes on when its turn is over."""

    boundary = Boundary.SHARED
    over = threading.Event()
    done = threading.Event()

    async def begin(self, work: str, *, fail: bool = False) -> None:
        self.scopes.add(Scope.GLOBAL, "turns")
        self.sink = self.system.artifacts.create("late", scope=self.scopes.own)
        self.task = asyncio.create_task(self._go_on(getattr(self, work)))
        if fail:
            raise RuntimeError("undone")

    async def _go_on(self, work: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(self.over.wait, DEADLINE)
            await asyncio.to_thread(work)
        finally:
            self.done.set()

    def save(self) -> None:
        with self.sink as sink:
            sink.write(b"x")

    def transact(self) -> None:
        own = self.scopes.own
        with contextlib.suppress(KeyError), self.scopes.transaction():
            fill(self.scopes, own, "half")
        with pytest.raises(TypeError):
            self.scopes.transact(lambda state: state.set(own, "a", 1) and int([]))  # type: ignore[call-overload]
        with self.scopes.transaction():
            self.scopes.set(own, "whole", 1)

    async def at_once(self, count: int) -> None:
        calls = (
            asyncio.to_thread(self.scopes.set, self.scopes.own, str(n), n) for n in range(count)
        )
        await asyncio.gather(*calls)

    async def half(self) -> None:
        """Undo a block while a task beside it writes."""
        own, inside, beside = self.scopes.own, asyncio.Event(), asyncio.Event()

        async def writer() -> None:
            await inside.wait()
            self.scopes.set(own, "beside", 1)
            beside.set()

        task = asyncio.create_task(writer())
        with contextlib.suppress(KeyError), self.scopes.transaction():
            self.scopes.set(own, "undone", 1)
            inside.set()
            await beside.wait()
            fill(self.scopes, own, "undone too")
        await task


class Guest(Agent[Nothing]):
    """Has only what it was granted."""

    def read(self, name: str) -> object:
        found = self.scopes.get(W, "k")
        GATES[name].pass_through()
        return found

    def coupons(self) -> int:
        """Read as often as a savepoint that is undone lets it."""
        for number in range(10):
            try:
                with self.scopes.transaction():
                    self.scopes.get(W, "k")
                    fill(self.scopes, self.scopes.own, "k")
            except KeyError:
                continue
            except Denied:
                return number
        return 10

    def spread(self, name: str) -> None:
        for number in range(5):
            self.scopes.set(W, f"a{number}", number)
        self.scopes.set(W, "b", 1)
        GATES[name].pass_through()


@pytest.fixture
def system() -> AgentSystem:
    """Open a system of late and strict agents."""
    Late.over, Late.done = threading.Event(), threading.Event()
    return AgentSystem.open("memory://", agents=[Late, Guest])


def late(system: AgentSystem, work: str, *, fail: bool = False) -> None:
    """Have a turn end, or fail, that leaves ``work`` running."""
    agent = system.agent(Late, "1")
    if fail:
        with pytest.raises(RuntimeError, match="undone"):
            agent.call(Late.begin, work, fail=True).get()
    else:
        agent.call(Late.begin, work).get()


@pytest.mark.parametrize("fail", [False, True])
def test_what_outlives_a_turn_commits_nothing_of_it_again(system: AgentSystem, fail: bool) -> None:  # noqa: FBT001
    """A sink that ends after its turn saves by a unit of its own; the turn counts once or never."""
    with system:
        late(system, "save", fail=fail)
        Late.over.set()
        assert Late.done.wait(DEADLINE)
        assert system.state.get(Scope.GLOBAL, "turns") == (None if fail else 1)
        assert [artifact.name for artifact in system.artifacts.list()] == ["late"]


def test_what_outlives_a_turn_has_transactions_that_work(system: AgentSystem) -> None:
    """After its turn, a block that raises leaves nothing, and one that ends well is kept whole."""
    with system:
        late(system, "transact")
        Late.over.set()
        assert Late.done.wait(DEADLINE)
        assert system.state.list(OWN) == ["whole"]


def test_nothing_commits_for_an_agent_that_was_cut_off(system: AgentSystem) -> None:
    """What an isolated agent's turn has left running saves nothing, by whatever handle."""
    with system:
        late(system, "save")
        system.access.isolate(ME, "test")
        Late.over.set()
        assert Late.done.wait(DEADLINE)
        assert system.artifacts.list() == []


@pytest.mark.parametrize(
    "act",
    [
        lambda s: s.state.acting_as(ME).set(OWN, "k", 1),
        lambda s: s.access.acting_as(ME).grant(Principal.user("u"), OWN, Right.READ),
        lambda s: s.sharing.acting_as(ME).topic("t").publish(1),
        lambda s: s.sessions.acting_as(ME).create("x"),
        lambda s: s.artifacts.acting_as(ME).save("x", b"1"),
        lambda s: s.access.acting_as(ME).revoke(s.access.grants.list()[0]),
        lambda s: s.sessions.acting_as(ME).get("mine").complete(),
        lambda s: s.sharing.acting_as(ME).pipeline("p").put(1),
        lambda s: s.sharing.acting_as(ME).requests("r").send(1),
        lambda s: s.state.acting_as(ME).add(Scope.GLOBAL, "turns"),
    ],
    ids=["scopes", "access", "topic", "session", "artifact", "revoke", "end", "pipeline",
         "request", "add"],
)  # fmt: skip
def test_a_transaction_of_one_who_is_cut_off_ends_with_an_error(
    system: AgentSystem, act: Callable[[AgentSystem], object]
) -> None:
    """No commit of the agent stands behind its isolation, whatever the transaction held before."""
    with system:
        system.sharing.topic("t", owner=ME)
        system.sharing.pipeline("p", ["in"])
        system.sharing.requests("r")
        system.access.acting_as(ME).grant(GUEST, OWN, Right.READ)
        system.sessions.acting_as(ME).create("mine")

        def begun_before() -> None:
            with system.state.acting_as(ME).transaction():
                act(system)
                together(lambda: system.access.isolate(ME, "test"))

        with pytest.raises(Isolated):
            begun_before()
        journal = list(system.journal.list())
        at = [entry.sequence for entry in journal if entry.name == "(isolate)"]
        assert [e for e in journal if e.sequence > at[0] and e.delta not in ("", "{}")] == []


def test_threads_of_one_turn_lose_no_write(system: AgentSystem) -> None:
    """Writes from several threads of a turn all commit with it, also where one makes its unit."""
    with system, hasty():
        for _ in range(20):
            system.agent(Late, "1").call(Late.at_once, 8).get()
            assert system.state.count(OWN) == 8
            system.state.clear(OWN)


def test_a_block_that_is_undone_takes_nothing_of_a_task_beside_it(system: AgentSystem) -> None:
    """What another task of the turn wrote meanwhile stays, and commits with the turn."""
    with system:
        system.agent(Late, "1").call(Late.half).get()
        assert system.state.list(OWN) == ["beside"]


def test_a_unit_refuses_what_comes_after_its_end(system: AgentSystem) -> None:
    """A unit that was committed takes no step, no read, and is not committed again."""
    with system:
        desk = system.state._desk
        place = (SCOPED, ("global", "", "", "k"))
        unit: Unit = desk.begin()
        unit.change(place, lambda _row: ("global", "", "", "k", "1", 1, 0, None), checked=False)
        desk.commit(unit)
        with pytest.raises(TransactionEnded):
            unit.change(place, lambda row: row, checked=False)
        with pytest.raises(TransactionEnded):
            unit.read(place, None)
        with pytest.raises(TransactionEnded):
            desk.commit(unit)
        with pytest.raises(TransactionEnded), unit:
            pass


@pytest.mark.parametrize("reads", [True, False])
def test_a_right_that_is_lost_is_noticed_whatever_the_audit_keeps(reads: bool) -> None:  # noqa: FBT001
    """A turn that read by a right which is revoked before its end is refused."""
    with (
        AgentSystem.open("memory://", agents=[Guest], audit=Audit(reads=reads)) as system,
        gate("read") as held,
    ):
        system.state.set(W, "k", 1234)
        grant = system.access.grant(GUEST, W, Right.READ)
        reply = system.agent(Guest, "1").call(Guest.read, "read")
        _after(held, lambda: system.access.revoke(grant))
        with pytest.raises(Denied):
            reply.get()


def test_savepoints_give_no_use_of_a_right_back(system: AgentSystem) -> None:
    """A right of one use shows one value, however often the part that read it is undone."""
    with system:
        system.state.set(W, "k", 1)
        system.access.grant(GUEST, W, Right.READ, uses=1)
        assert system.agent(Guest, "1").call(Guest.coupons).get() == 1
        assert system.access.grants.list() == []


def test_one_use_pays_for_one_call() -> None:
    """Uses of a revoked grant are not paid for by one use of another."""
    with AgentSystem.open("memory://", agents=[Guest]) as system, gate("spread") as held:
        wide = system.access.grant(GUEST, W, Right.WRITE, keys="a*")
        system.access.grant(GUEST, W, Right.WRITE, uses=1)
        reply = system.agent(Guest, "1").call(Guest.spread, "spread")
        _after(held, lambda: system.access.revoke(wide))
        with pytest.raises(Denied):
            reply.get()
        assert system.state.list(W) == []


def _after(held: Gate, act: Callable[[], object]) -> None:
    """Do something while a handler waits at a gate, and let it go on."""
    held.wait()
    act()
    held.open()
