"""The kit of one test: stand-ins, the world outside, faults, crashes; each is shown to fail."""

from __future__ import annotations

import asyncio
import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from perdure import Agent, State
from perdure.llm.agent import ThinkingAgent
from perdure.persistence.errors import (
    ConfigurationError,
    Deadlock,
    StoreUnavailable,
    SystemClosed,
)
from perdure.testing import (
    FaultyStore,
    Kit,
    LeftBehind,
    ProbeAgent,
    SkippingClock,
    assert_durable,
    assert_exactly_once,
    assert_no_dead_letters,
    assert_restores,
    assert_snapshot,
    stored_state,
)
from tests.kit.deadline import DEADLINE
from tests.testing.agents import DAY, Bank, Order, Sheet, Stuck

AGENTS: list[type[Agent[Any]]] = [Order, Bank, Sheet, Stuck]


@pytest.fixture(params=["memory", "sqlite"])
def kit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kit]:
    """Give a kit with a system, on each store."""
    Order.broken = False
    Order.paid.clear()
    Stuck.go_on.clear()
    Stuck.entered.clear()
    path = tmp_path / "perdure.db" if request.param == "sqlite" else None
    with Kit(FaultyStore(path)) as kit:
        kit.open(AGENTS)
        yield kit
        Stuck.go_on.set()


# Stand-ins.


def test_a_probe_takes_the_place_of_agents(kit: Kit) -> None:
    """It receives what they would; it answers when the test says so; their code does not run."""
    bank, order = kit.probe(Bank), kit.agent(Order, "a")
    order.call(Order.place).get()
    assert bank.expect(Bank.charge, "a", 3).asked is False
    asked = order.call(Order.ask)
    assert bank.expect(Bank.charge).args == ("a", 4)
    bank.expect_nothing(within=DAY)
    bank.reply("fine")
    assert asked.get() == "fine"
    asked = order.call(Order.ask)
    bank.expect(Bank.charge)
    bank.reply(ValueError("no money"))
    with pytest.raises(ValueError, match="no money"):
        asked.get()
    assert stored_state(kit.agent(Bank, "main"))["total"] == 0


def test_what_a_probe_expects_and_does_not_get_is_told(kit: Kit) -> None:
    """Nothing, another message, one that came all the same, a reply that nobody waits for."""
    bank, order = kit.probe(Bank), kit.agent(Order, "a")
    with pytest.raises(AssertionError, match="charge was not received within 5 s; nothing was"):
        bank.expect(Bank.charge, within=5.0)
    order.call(Order.place).get()
    with pytest.raises(
        AssertionError, match=r"nothing was expected, and Bank/main\.charge\('a', 3"
    ):
        bank.expect_nothing()
    with pytest.raises(AssertionError, match=r"charge\('a', 3\) was received, not .*charge with"):
        bank.expect(Bank.charge, "b", 3)
    with pytest.raises(
        AssertionError, match="nobody waits for a reply; received so far: Bank/main"
    ):
        bank.reply("fine")


def test_a_probe_is_an_agent_that_others_write_to(kit: Kit) -> None:
    """Any message may go to it, by its key; a class, or an equal message, is expected."""
    probe = kit.probe(key="p")
    kit.agent(ProbeAgent, "p").tell({"late": 1})
    kit.agent(ProbeAgent, "p").tell([1, 2])
    assert probe.expect(dict).message == {"late": 1}
    probe.expect([1, 2])
    kit.agent(ProbeAgent, "p").tell(7)
    with pytest.raises(AssertionError, match="was received, not 8"):
        probe.expect(8)


def test_a_stub_answers_for_some_methods(kit: Kit) -> None:
    """With a value, an error, or what a callable says; it ends with the kit."""
    stub = kit.stub(Bank, charge="yes")
    order = kit.agent(Order, "a")
    assert order.call(Order.ask).get() == "yes"
    stub.answer(charge=lambda name, amount: f"{name} has {amount}")
    assert order.call(Order.ask).get() == "a has 4"
    stub.answer(charge=ValueError("no money"))
    with pytest.raises(ValueError, match="no money"):
        order.call(Order.ask).get()
    assert [each.args for each in stub.received] == [("a", 4)] * 3
    kit.end()
    assert not hasattr(Bank.charge, "__wrapped__")


def test_a_stub_for_what_is_not_there_is_refused(kit: Kit) -> None:
    """Its class has to have the method, and there has to be an answer."""
    with pytest.raises(ConfigurationError, match="Bank has no method 'refund' to stand in for"):
        kit.stub(Bank, refund=1)
    with pytest.raises(ConfigurationError, match="give answers by method"):
        kit.stub(Bank)


def test_a_watch_gives_turns_as_they_commit(kit: Kit) -> None:
    """With what they changed and set going; one that is not durable is not there."""
    order = kit.agent(Order, "a")
    watch = kit.watch(order)
    with kit.store.held():
        placing = order.call(Order.place)
        assert watch.turns == []
    assert placing.get() == "placed"
    turn = watch.expect("place", status="placed")
    assert (turn.sends, turn.timers) == (("Bank/main.charge",), ("run_out in 259200 s",))
    assert watch.expect("run_out", within=4 * DAY, status="late").version == 2
    with pytest.raises(
        AssertionError, match="Order/a has not handled pay within 1 s; its turns: n"
    ):
        watch.expect("pay", within=1.0)
    order.cast(Order.fail)
    kit.clock.settle()
    assert [each.name for each in watch.signals] == ["agent_failed", "agent_restarting"]
    order.cast(Order.place)
    with pytest.raises(AssertionError, match="place set status to 'placed', not 'paid'"):
        watch.expect("place", within=DAY, status="paid")


# The world outside.


def test_calls_outside_are_answered_and_recorded(kit: Kit) -> None:
    """What is done once by each turn is exactly once; failed calls do not count."""
    outside, order = kit.outside("pay", "yes"), kit.agent(Order, "a")
    with pytest.raises(AssertionError, match="pay was never called"):
        assert_exactly_once(outside)
    outside.fail(next=2)
    order.cast(Order.pay)
    kit.clock.settle()
    with pytest.raises(AssertionError, match="pay was called, and each call failed"):
        assert_exactly_once(outside)
    kit.clock.run_until_idle()
    assert [call.args for call in outside.effects()] == [("a",)]
    assert_exactly_once(outside)
    assert_durable(order, status="paid")


def test_an_async_call_that_is_refused_has_no_effect(kit: Kit) -> None:
    """The real one is not begun; what it raises is recorded as a call that has failed."""
    outside, order = kit.outside("pay"), kit.agent(Order, "a")
    outside.fail(next=1)
    with pytest.raises(ConnectionError):
        order.call(Order.pay_soon).get()
    assert Order.paid == []
    assert order.call(Order.pay_soon).get() == "paid"
    assert Order.paid == ["a"]
    with pytest.raises(ValueError, match="paid before"):
        order.call(Order.pay_soon).get()
    assert [(call.done, bool(call.error)) for call in outside.calls] == [
        (False, True), (True, False), (False, True),
    ]  # fmt: skip


def test_what_is_done_twice_outside_is_told(kit: Kit) -> None:
    """An answer that is lost has the turn do it again; so has a crash behind the call."""
    outside, order = kit.outside("pay", "yes"), kit.agent(Order, "a")
    outside.lose_answers()
    order.cast(Order.pay)
    kit.clock.run_until_idle()
    with pytest.raises(AssertionError, match=r"pay was done 2 times for Order/a, message \d+"):
        assert_exactly_once(outside)
    with pytest.raises(AssertionError, match="pay was done 2 times for a"):
        assert_exactly_once(outside, by=lambda call: call.args[0])


@pytest.mark.parametrize("calls", [0, -1])
def test_a_number_of_calls_that_is_none_is_refused(kit: Kit, calls: int) -> None:
    """What would never happen, or for ever, is refused where it is said."""
    outside = kit.outside("pay", "yes")
    ways: list[Callable[[], None]] = [
        lambda: outside.fail(next=calls),
        lambda: outside.lose_answers(calls),
        lambda: outside.crash_after(calls),
        lambda: kit.store.fail(next=calls),
    ]
    for said in ways:
        with pytest.raises(ConfigurationError, match=r"-?\d.*: give a number of .*, 1 or more"):
            said()


def test_a_crash_may_strike_behind_a_call_outside(kit: Kit) -> None:
    """It was done, and the turn is not durable: the next life does it again."""
    outside, order = kit.outside("pay", "yes"), kit.agent(Order, "a")
    outside.crash_after(1)
    order.call(Order.pay_later).get()
    kit.clock.advance(60.0)
    assert kit.crashed
    kit.crash()
    kit.clock.run_until_idle()
    assert_durable(kit.agent(Order, "a"), status="paid")
    assert len(outside.effects()) == 2


# Lives.


def test_what_is_not_durable_is_gone_with_a_crash(kit: Kit) -> None:
    """The caller is told; what was durable is there; timers and mail as well."""
    order = kit.agent(Order, "a")
    order.call(Order.place).get()
    with kit.store.held() as held:
        paid = kit.agent(Bank, "other").call(Bank.charge, "a", 5)
        assert held.wait(DEADLINE)
        kit.crash()
    with pytest.raises(SystemClosed, match="killed by the test"):
        paid.get(timeout=DEADLINE)
    kit.clock.run_until_idle()
    assert_durable(kit.agent(Order, "a"), status="placed")
    assert stored_state(kit.agent(Bank, "main"))["total"] == 3
    assert stored_state(kit.agent(Bank, "other"))["total"] == 0
    kit.clock.advance(3 * DAY)
    assert_durable(kit.agent(Order, "a"), status="late")


def test_threads_of_a_dead_life_reach_nothing(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler that hung through the crash goes on: none of what it does is kept or sent."""
    done = threading.Event()
    hang = Stuck.hang

    def hang_and_send(self: Stuck) -> None:
        hang(self)
        self.state.status = "of a dead life"
        self.system.agent(Bank, "main").cast(Bank.charge, "dead", 100)
        done.set()

    monkeypatch.setattr("perdure.testing.faults.crash.THREADS_SECONDS", 0.1)
    monkeypatch.setattr(Stuck, "hang", hang_and_send)
    kit.agent(Stuck, "a").call(Stuck.hang)
    assert Stuck.entered.wait(DEADLINE)
    kit.crash()
    Stuck.go_on.set()
    assert done.wait(DEADLINE)
    kit.clock.run_until_idle()
    assert stored_state(kit.agent(Stuck, "a"))["status"] == "new"
    assert stored_state(kit.agent(Bank, "main"))["total"] == 0


def test_a_restart_keeps_what_was_said(kit: Kit) -> None:
    """An orderly end and another beginning, maybe with other classes."""
    kit.agent(Order, "a").call(Order.place).get()
    kit.restart()
    order = kit.agent(Order, "a")
    assert order.call(Order.status).get() == "placed"
    assert_restores(order)


def test_a_process_is_killed_for_real(kit: Kit) -> None:
    """By SIGKILL, and it is waited for."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    kit.kill(child)
    assert child.returncode == -9


def work() -> str:
    """Compute for a good while."""
    return hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000).hex()


class Computing(Agent[State]):
    """Have threads compute, within a time limit."""

    async def by_asyncio(self) -> str:
        async with asyncio.timeout(60.0):
            return await asyncio.to_thread(work)

    async def by_anyio(self) -> str:
        async with asyncio.timeout(60.0):
            return await anyio.to_thread.run_sync(work)


@pytest.mark.parametrize("method", [Computing.by_asyncio, Computing.by_anyio])
def test_no_time_passes_while_a_thread_computes(method: Callable[..., Any]) -> None:
    """Whoever waits for a thread does not sleep, and is not told that time is up."""
    with Kit() as kit:
        kit.open([Computing])
        answer = kit.agent(Computing, "a").call(method)
        assert kit.clock.run_until_idle() == 0
        assert answer.get() == work()


def test_no_time_passes_while_a_model_answers() -> None:
    """A model that is a plain function runs in a thread as well."""

    def answer(_messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
        return ModelResponse(parts=[TextPart(work())])

    thinker = ThinkingAgent.define("Thinker", model=FunctionModel(answer))
    with Kit() as kit:
        kit.open([thinker])
        said = kit.agent(thinker, "a").call(thinker.think, "go")
        assert kit.clock.run_until_idle() == 0
        assert said.get() == work()


# Faults of the store.


def test_a_store_that_fails_comes_back(kit: Kit) -> None:
    """After some attempts, or when the test mends it; nothing is lost, and the caller waits."""
    kit.store.fail(next=2)
    placing = kit.agent(Order, "a").call(Order.place)
    with pytest.raises(Deadlock, match="saving is tried again after a backoff"):
        placing.get()
    with kit.clock.skip():
        assert placing.get() == "placed"
    kit.store.fill()
    kit.agent(Order, "b").cast(Order.place)
    with pytest.raises(AssertionError, match="status is stored as"):
        assert_durable(kit.agent(Order, "b"), status="placed")
    kit.clock.advance(120.0)
    assert "breaker_opened" in [each.name for each in kit.log.signals()]
    kit.store.mend()
    kit.clock.run_until_idle()
    assert_durable(kit.agent(Order, "b"), status="placed")


def test_what_is_durable_may_not_be_known_to_be(kit: Kit) -> None:
    """A save whose answer is lost is tried again, and counts once."""
    kit.store.fail(next=1, lost=True)
    order = kit.agent(Order, "a")
    with kit.clock.skip():
        assert order.call(Order.place).get() == "placed"
    assert [entry.name for entry in kit.system.journal.list("Order", "a")] == ["place"]
    assert_durable(order, status="placed")


def test_reads_may_fail(kit: Kit) -> None:
    """Who asks is told, who casts waits; all reads or some, so many times or until it is mended."""
    order = kit.agent(Order, "a")
    order.call(Order.place).get()
    kit.restart()
    order = kit.agent(Order, "a")
    kit.store.fail_reads("load", next=2)
    with pytest.raises(StoreUnavailable, match="cannot be read, as the test says"):
        order.call(Order.status).get()
    order.cast(Order.place)
    assert kit.clock.run_until_idle() > 0
    assert order.call(Order.status).get() == "placed"
    kit.store.fail_reads()
    with pytest.raises(StoreUnavailable):
        kit.agent(Order, "b").call(Order.status).get()
    kit.store.mend()
    assert kit.agent(Order, "b").call(Order.status).get() == "new"
    with pytest.raises(ConfigurationError, match="'commit' is no read of a store; there are agen"):
        kit.store.fail_reads("commit")


def test_a_damaged_read_is_made_good(kit: Kit) -> None:
    """A field whose checksum does not fit is read from the journal; others see nothing of it."""
    order = kit.agent(Order, "a")
    order.call(Order.place).get()
    kit.restart()
    order = kit.agent(Order, "a")
    kit.store.damage(order, "status")
    with kit.clock.skip():
        assert order.call(Order.status).get() == "placed"
    assert "snapshot_quarantined" in [each.name for each in kit.log.signals("Order/a")]
    with pytest.raises(ConfigurationError, match=r"'state' is no field of .*; there are status"):
        kit.store.damage(order, "state")


@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_damaged_read_may_be_one_of_many(tmp_path: Path, where: str) -> None:
    """An agent that is read with others is damaged once as well, as soon as the field is there."""
    with Kit(FaultyStore(None if where == "memory" else tmp_path / "store.db")) as kit:
        order = kit.open([Order, Bank]).agent(Order, "a")
        order.call(Order.tick, DAY).get()
        kit.store.damage(order, "status")
        kit.store.life.load_many("Order", ["a"])
        order.call(Order.place).get()
        first, again = (kit.store.life.load_many("Order", ["a"])[0] for _ in range(2))
    assert first.fields["status"] != again.fields["status"]


def test_each_call_of_the_store_can_be_met(kit: Kit) -> None:
    """By its name, before it is made; what is raised there is what has become of it."""
    met: list[str] = []

    def meet(name: str) -> None:
        met.append(name)
        if name == "acquire":
            raise StoreUnavailable("not today")

    kit.store.on_call.append(meet)
    kit.agent(Order, "a").call(Order.place).get()
    assert "commit" in met
    with pytest.raises(StoreUnavailable, match="not today"):
        kit.crash()
    kit.store.on_call.remove(meet)
    kit.crash()


def test_faults_by_a_seed_are_the_same_each_time() -> None:
    """One seed, one run of failures."""

    def failures(seed: int) -> list[bool]:
        with Kit() as kit:
            kit.open([Bank])
            kit.store.fail_at_random(0.3, seed=seed)
            found = []
            for _ in range(20):
                before = kit.store.failures
                with kit.clock.skip():
                    kit.agent(Bank, "a").call(Bank.charge, "a", 1).get()
                found.append(kit.store.failures > before)
            return found

    assert failures(1) == failures(1)
    assert True in failures(1)
    assert False in failures(1)


def test_a_lost_lease_ends_the_system(kit: Kit) -> None:
    """Another owner has taken over: the next life is told nothing of it, and goes on."""
    kit.agent(Order, "a").call(Order.place).get()
    kit.store.lose_lease()
    kit.outside("pay", "yes")
    lost = kit.agent(Order, "a").call(Order.pay)
    with pytest.raises(Exception, match=r"taken over|another owner|fenc|lease"):
        lost.get(timeout=DEADLINE)
    kit.crash()
    assert_durable(kit.agent(Order, "a"), status="placed")


# What is asserted.


def test_what_is_not_durable_is_told() -> None:
    """The stored value, and the one in memory where that is another."""
    with Kit() as kit:
        kit.open(AGENTS)
        sheet = kit.agent(Sheet, "a")
        sheet.call(Sheet.write, "draft").get()
        with pytest.raises(
            AssertionError, match="stored as 'new', not 'draft'; in memory it is 'd"
        ):
            assert_durable(sheet, status="draft")
        with pytest.raises(AssertionError, match=r"would not come back as it is:\n(.|\n)*draft"):
            assert_restores(sheet)
        with pytest.raises(ConfigurationError, match="has no field 'stauts'; it has status, seen"):
            assert_durable(sheet, stauts="draft")
        kit.restart()
        assert_durable(kit.agent(Sheet, "a"), status="draft", seen=[], parts={})


def test_dead_letters_are_told() -> None:
    """Whose they are, and why they were given up."""
    with Kit() as kit:
        kit.open([Order])
        assert_no_dead_letters(kit.system)
        kit.agent(Order, "a").cast(Order.fail)
        kit.clock.run_until_idle()
        with pytest.raises(AssertionError, match=r"given up: Order/a\.fail \(.*it is torn"):
            assert_no_dead_letters(kit.system)


def test_a_snapshot_in_a_test_is_compared_line_by_line() -> None:
    """State and journal, without times and ids."""
    with Kit() as kit:
        kit.open(AGENTS)
        order = kit.agent(Order, "a")
        order.call(Order.place).get()
        wanted = """
            Order/a
              status = 'placed'
              seen = []
              parts
                book: 1
            journal
              1 place {"set":{"status":"placed"},"put":{"parts":[["book",1]]}}
        """
        assert_snapshot(order, wanted)
        with pytest.raises(AssertionError, match=r"- *status = 'paid'\n *\+ *status = 'placed'"):
            assert_snapshot(order, wanted.replace("'placed'", "'paid'"))


def test_a_copy_of_a_real_store_is_opened(tmp_path: Path) -> None:
    """Its agents go on in the copy; the store itself is left as it was."""
    with Kit(FaultyStore(tmp_path / "real.db")) as kit:
        kit.open([Order, Bank]).agent(Order, "a").call(Order.place).get()
    before = (tmp_path / "real.db").read_bytes()
    told = list[str]()
    with Kit() as kit:
        kit.store.on_call.append(told.append)
        order = kit.open_backup(tmp_path / "real.db", [Order, Bank]).agent(Order, "a")
        kit.clock.advance(4 * DAY)
        assert_durable(order, status="late")
    assert "load" in told
    assert (tmp_path / "real.db").read_bytes() == before


def test_the_newest_of_some_backups_is_opened(tmp_path: Path) -> None:
    """Its time is that of its newest commit, so that what was due behind it is due still."""
    with Kit(FaultyStore(tmp_path / "real.db"), clock=SkippingClock(2e9)) as kit:
        system = kit.open([Order, Bank])
        system.agent(Order, "a").call(Order.place).get()
        made = system.backup.create(tmp_path / "backups")
        system.agent(Order, "b").call(Order.place).get()
    for path in (tmp_path / "backups", tmp_path / "backups" / f"{made.name}.backup"):
        with Kit() as kit:
            order = kit.open_backup(path, [Order, Bank]).agent(Order, "a")
            assert kit.clock.now() == 2e9
            kit.clock.advance(3 * DAY - 1)
            assert_durable(order, status="placed")
            kit.clock.advance(1)
            assert_durable(order, status="late")
            assert stored_state(kit.agent(Order, "b"))["status"] == "new"
    with Kit() as kit, pytest.raises(ConfigurationError, match="is not there; give the file of a"):
        kit.open_backup(tmp_path / "none.db", [Order])


# What is left behind.


def test_a_reply_that_nobody_gave_is_named() -> None:
    """Whose it is, what was asked, and why there is none."""

    def leave() -> None:
        with Kit() as kit:
            kit.open([Order])
            kit.agent(Order, "a").pause()
            kit.agent(Order, "a").call(Order.status)

    with pytest.raises(LeftBehind, match=r"a reply that nobody gave: Order/a\.status: is paused"):
        leave()


def test_a_failure_in_the_block_tells_what_has_happened() -> None:
    """As a note to the error, in unittest as well; what was left is not told beside it."""

    def fail() -> None:
        with Kit() as kit:
            kit.open([Order, Bank]).agent(Order, "a").call(Order.place).get()
            kit.agent(Order, "a").pause()
            kit.agent(Order, "a").call(Order.status)
            raise AssertionError("it is otherwise")

    with pytest.raises(AssertionError, match="it is otherwise") as found:
        fail()
    (note,) = found.value.__notes__
    assert 'place          {"set":{"status":"placed"}' in note
    assert "agent_paused" in note
