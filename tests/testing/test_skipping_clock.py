"""A clock that skips: what is due is done at its time, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure import AgentSystem, MemoryStore
from perdure.persistence.errors import Deadlock
from perdure.testing import Kit, SkippingClock, stored_state
from tests.kit.deadline import DEADLINE
from tests.testing.agents import DAY, Bank, Hasty, Order, Stuck


@pytest.fixture
def kit() -> Iterator[Kit]:
    """Give a kit with a system."""
    Order.broken = False
    Stuck.go_on.clear()
    Stuck.entered.clear()
    with Kit() as kit:
        kit.open([Order, Bank, Hasty, Stuck])
        yield kit
        Stuck.go_on.set()


def test_each_tick_comes_at_its_own_time(kit: Kit) -> None:
    """One long step is as many short ones: what a tick sets is due in time, too."""
    order, began = kit.agent(Order, "a"), kit.clock.now()
    order.cast(Order.tick, 10.0)
    kit.clock.advance(1000.0)
    assert stored_state(order)["seen"] == [began + 10.0 * n for n in range(101)]


@given(
    delays=st.lists(st.floats(DAY / 6, 5 * DAY), min_size=1, max_size=5, unique=True),
    steps=st.lists(st.floats(0.0, 4 * DAY), max_size=4),
)
def test_timers_come_when_they_are_due_however_time_is_cut(
    delays: list[float], steps: list[float]
) -> None:
    """The moments at which timers come do not hang on the steps in which time is moved."""
    with Kit() as kit:
        kit.open([Order])
        began = kit.clock.now()
        for number, delay in enumerate(delays):
            kit.agent(Order, str(number)).call(Order.tick, delay).get()
        for step in steps:
            kit.clock.advance(step)
        passed = kit.clock.now() - began
        for number, delay in enumerate(delays):
            seen = stored_state(kit.agent(Order, str(number)))["seen"]
            due = [began]
            while due[-1] + delay <= began + passed:
                due.append(due[-1] + delay)
            assert seen == pytest.approx(due)


def test_time_passes_while_an_agent_waits_for_its_next_attempt(kit: Kit) -> None:
    """Also when a caller hangs on it; and it says how much has passed."""
    Order.broken = True
    order = kit.agent(Order, "a")
    order.cast(Order.fail_if_broken)
    assert kit.clock.run_until_idle() == 15.0
    assert len(kit.system.dead_letters.list()) == 1


def test_an_attempt_is_waited_for_in_a_block_that_skips(kit: Kit) -> None:
    """A reply that hangs on time is there after it has passed; without skip it is a Deadlock."""
    order = kit.agent(Order, "a")
    order.cast(Order.fail)
    with pytest.raises(Deadlock, match="time stands still: Order/a begins again 5 s after"):
        order.call(Order.status).get()
    with kit.clock.skip():
        assert order.call(Order.status).get(timeout=DEADLINE) == "new"
    assert kit.clock.monotonic() == 15.0


def test_a_reply_is_awaited_while_time_is_skipped(kit: Kit) -> None:
    """On an event loop, and through a turn that awaits another agent's next attempt."""
    kit.agent(Bank, "main").cast(Bank.refuse)

    async def ask() -> str:
        with kit.clock.skip():
            return await kit.agent(Order, "a").call(Order.await_bank)

    assert asyncio.run(ask()) == "a: 4"
    assert kit.clock.monotonic() > 0.0


def test_a_clock_may_skip_all_the_time() -> None:
    """So that a test need not say where."""
    with Kit(clock=SkippingClock(skip=True)) as kit:
        order = kit.open([Order]).agent(Order, "a")
        order.cast(Order.fail)
        assert order.call(Order.status).get() == "new"


def test_three_days_are_no_trouble(kit: Kit) -> None:
    """A stored timer of later comes at its moment, with nothing but its turn in between."""
    kit.agent(Order, "a").call(Order.place).get()
    kit.clock.advance(3 * DAY - 1)
    assert stored_state(kit.agent(Order, "a"))["status"] == "placed"
    kit.clock.advance(1)
    assert stored_state(kit.agent(Order, "a"))["status"] == "late"


def test_idle_and_the_clock_say_who_waits_for_whom(kit: Kit) -> None:
    """A turn that waits for a paused agent holds up nobody: it is named, and whom it waits for."""
    kit.agent(Bank, "main").pause()
    waiting = kit.agent(Order, "a").call(Order.ask)
    said = "Order/a waits for a reply from Bank/main, which is paused"
    for ask in (kit.clock.run_until_idle, kit.system.idle, waiting.get):
        with pytest.raises(Deadlock, match=said):
            ask()
    assert not kit.system.idle(timeout=3600.0)
    kit.agent(Bank, "main").resume()
    assert waiting.get() == "a: 4"


def test_what_is_pending_has_a_name(kit: Kit) -> None:
    """Whose timer, whose backoff, which save; and what is housekeeping."""
    kit.agent(Order, "a").call(Order.tick, 7.0).get()
    kit.agent(Order, "b").cast(Order.fail)
    kit.clock.settle()
    kit.store.fail(next=1)
    kit.agent(Order, "d").cast(Order.place)
    kit.clock.settle()  # idle() tells of who waits at once, whatever is still being saved
    with pytest.raises(Deadlock):
        kit.system.idle()
    due = {call.what: round(call.seconds, 3) for call in kit.clock.pending_work()}
    assert due["Order/a: its timer calls tick"] == 7.0
    assert due["Order/b begins again 5 s after it failed (RuntimeError: it is torn)"] == 5.0
    assert any(re.match("saving is tried again after failure 1", what) for what in due)
    routine = {call.what for call in kit.clock.pending() if call.routine}
    assert "the lease on the store is renewed" in routine
    kit.clock.run_until_idle()


def test_a_call_that_is_struck_takes_no_other_along() -> None:
    """Whatever ends one of the calls that are due: it comes again, and the others come."""
    clock, made, strikes = SkippingClock(), list[str](), [KeyboardInterrupt()]

    def struck() -> None:
        if strikes:
            raise strikes.pop()
        made.append("struck")

    clock.call_later(1.0, struck)
    clock.call_later(1.0, lambda: made.append("other"))
    with pytest.raises(KeyboardInterrupt):
        clock.advance(1.0)
    clock.settle()
    assert made == ["struck", "other"]


def test_a_time_limit_is_armed_before_the_agent_is_seen_busy(kit: Kit) -> None:
    """Who sees a turn under way may advance the clock: its limit is in there."""
    hasty = kit.agent(Hasty, "a")
    hasty.cast(Hasty.hang)
    assert Stuck.entered.wait(DEADLINE)
    assert "Hasty/a: the time limit of hang" in [call.what for call in kit.clock.pending_work()]
    kit.clock.advance(1.0, settle=False)
    Stuck.go_on.set()
    kit.clock.run_until_idle()
    assert "turn_timed_out" in [each.name for each in kit.log.signals()]


def test_a_handler_that_hangs_is_named(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock gives it some real time, and then says who it is, and what to do."""
    monkeypatch.setattr("perdure.testing.clock.PATIENCE", 0.2)
    kit.agent(Stuck, "a").cast(Stuck.hang)
    with pytest.raises(Deadlock, match=r"still at work after 0\.2 s: Stuck/a; .*settle=False"):
        kit.clock.advance(1.0)


def test_two_systems_go_by_one_clock() -> None:
    """What one writes is handled before time moves on; its end takes nobody else's calls along."""
    clock = SkippingClock()
    one = AgentSystem.open(MemoryStore(), agents=[Order], clock=clock)
    with AgentSystem.open(MemoryStore(), agents=[Order], clock=clock) as other:
        other.agent(Order, "a").call(Order.tick, 7.0).get()
        one.close()
        clock.advance(7.0)
        assert len(stored_state(other.agent(Order, "a"))["seen"]) == 2
