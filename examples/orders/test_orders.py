"""The lifecycle tests of the orders: what an order is, whatever happens to its process and others.

Each test says what must hold. The guide "lifecycle tests for your agents" walks through them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from examples.orders.agents import AGENTS, DAY, OPEN, PATIENCE, Order, Payments, Stock
from examples.orders.bank import Bank, Refused
from perdure import AgentRef, AgentSystem
from perdure.testing import (
    AgentMachine,
    FaultyStore,
    Kit,
    Outside,
    Simulation,
    SkippingClock,
    assert_durable,
    assert_exactly_once,
    assert_no_dead_letters,
    assert_restores,
    assert_snapshot,
    simulate,
    stored_state,
)


@pytest.fixture
def shop(perdure_system: Callable[..., AgentSystem]) -> AgentSystem:
    """Open a shop that has five books."""
    shop = perdure_system(AGENTS)
    shop.agent(Stock, "book").call(Stock.fill_up, 5).get()
    return shop


@pytest.fixture
def bank(perdure_kit: Kit) -> Outside:
    """Stand in for the bank; it says yes."""
    return perdure_kit.outside("bank", lambda order, _cents: f"receipt of {order}")


def place(system: AgentSystem, name: str, count: int = 2) -> AgentRef[Order]:
    """Place an order for some books."""
    order = system.agent(Order, name)
    assert order.call(Order.place, "book", count, 1999 * count).get() == "placed"
    return order


def check_books(system: AgentSystem, total: int) -> None:
    """Hold the invariant: what is free, reserved and sold is what there was."""
    stock = stored_state(system.agent(Stock, "book"))
    assert stock["free"] + sum(stock["reserved"].values()) == total
    for name in stock["reserved"]:
        status = stored_state(system.agent(Order, name))["status"]
        assert status in (*OPEN, "paid"), f"{name} is {status}, and holds books"


def test_an_order_is_paid(shop: AgentSystem, perdure_clock: SkippingClock, bank: Outside) -> None:
    """Goods, money, and the word back to the order, with nobody in between but mail."""
    order = place(shop, "o-1")
    perdure_clock.run_until_idle()
    assert_durable(order, status="paid", receipt="receipt of o-1")
    assert_exactly_once(bank)
    assert_no_dead_letters(shop)
    check_books(shop, 5)
    assert_snapshot(
        order,
        """
        Order/o-1
          status = 'paid'
          why = ''
          item = 'book'
          count = 2
          cents = 3998
          receipt = 'receipt of o-1'
        journal
          1 place {"set":{"status":"placed","item":"book","count":2,"cents":3998}}
          2 reserved {"set":{"status":"reserved"}}
          3 paid {"set":{"status":"paid","receipt":"receipt of o-1"}}
        """,
    )


def test_what_is_sold_out_is_refused(shop: AgentSystem, perdure_clock: SkippingClock) -> None:
    """The sixth book is nobody's; the order says why it was cancelled; the bank is not asked."""
    order = place(shop, "o-1", 6)
    perdure_clock.run_until_idle()
    assert_durable(order, status="cancelled", why="sold out")
    check_books(shop, 5)


def test_an_order_for_nothing_changes_nothing(shop: AgentSystem) -> None:
    """A turn that raises is undone as a whole."""
    order = shop.agent(Order, "o-1")
    with pytest.raises(ValueError, match="one piece at least"):
        order.call(Order.place, "book", 0, 0).get()
    assert_durable(order, status="new")


def test_a_restart_in_the_middle_is_not_seen(
    shop: AgentSystem, perdure_kit: Kit, perdure_clock: SkippingClock
) -> None:
    """An order waits for the bank while the shop is closed, and is paid when it is open again."""
    payments = perdure_kit.probe(Payments)
    place(shop, "o-1")
    payments.expect(Payments.pay, "o-1", 3998)
    shop = perdure_kit.restart()
    order = shop.agent(Order, "o-1")
    assert order.call(Order.status).get() == ("reserved", "")
    assert_restores(order)
    order.cast(Order.paid, "by hand")
    perdure_clock.run_until_idle()
    assert_durable(order, status="paid")


@pytest.mark.parametrize("commits", range(7))
def test_a_crash_anywhere_is_not_seen(
    shop: AgentSystem, perdure_kit: Kit, perdure_store: FaultyStore, bank: Outside, commits: int
) -> None:
    """The process dies behind each commit of an order in turn; the next one finishes it."""
    last = perdure_store.commits + commits

    def strike(_batch: object) -> None:
        if perdure_store.commits > last:
            perdure_kit.strike_dead()

    perdure_store.on_commit.append(strike)
    shop.agent(Order, "o-1").cast(Order.place, "book", 2, 3998)
    perdure_kit.clock.run_until_idle()
    perdure_store.on_commit.remove(strike)
    shop = perdure_kit.crash()
    shop.agent(Order, "o-1").call(Order.place, "book", 2, 3998).get()  # the customer asks again
    perdure_kit.clock.run_until_idle()
    assert_durable(shop.agent(Order, "o-1"), status="paid")
    assert {call.args for call in bank.effects()} == {("o-1", 3998)}
    check_books(shop, 5)


@simulate(agents=AGENTS, seeds=1, crash="everywhere")
def test_a_crash_anywhere_in_any_order_of_events_is_not_seen(sim: Simulation) -> None:
    """Between two lines or two commits, with threads in an order that the seed decides."""
    real = Bank()
    sim.outside("bank", real.take)
    filled, placed = list[int](), list[str]()

    @sim.always
    def what_was_answered_holds(system: AgentSystem) -> None:
        if filled:
            check_books(system, 5)
        for name in placed:
            assert_durable(system.agent(Order, name), status="paid")
            assert real.taken[name] == 1999

    filled.append(sim.agent(Stock, "book").call(Stock.fill_up, 5).get())
    for name in ("o-1", "o-2"):
        sim.agent(Order, name).call(Order.place, "book", 1, 1999).get()
        placed.append(name)


def test_a_crash_behind_the_bank_takes_the_money_once(
    shop: AgentSystem, perdure_kit: Kit, perdure_clock: SkippingClock
) -> None:
    """The bank was asked twice, with the same key: that is all that a second attempt may do."""
    real = Bank()
    asked = perdure_kit.outside("bank", real.take)
    asked.fail(ConnectionError("no answer"), next=1)
    place(shop, "o-1")
    perdure_clock.settle()
    asked.crash_after(1)  # at the second attempt
    perdure_clock.run_until_idle()
    assert perdure_kit.crashed
    shop = perdure_kit.crash()
    perdure_clock.run_until_idle()
    assert_durable(shop.agent(Order, "o-1"), status="paid")
    assert len(asked.effects()) == 2
    assert real.taken == {"o-1": 3998}


def test_an_outage_of_the_store_loses_nothing(
    shop: AgentSystem, perdure_store: FaultyStore, perdure_clock: SkippingClock, bank: Outside
) -> None:
    """While nothing can be saved orders wait, and the bank is asked once they go on."""
    perdure_store.fail()
    order = shop.agent(Order, "o-1")
    order.cast(Order.place, "book", 2, 3998)
    perdure_clock.advance(600.0)
    assert_durable(order, status="new")
    perdure_store.mend()
    perdure_clock.run_until_idle()
    assert_durable(order, status="paid")
    assert_exactly_once(bank)
    check_books(shop, 5)


def test_a_store_that_fails_by_chance_loses_nothing(
    shop: AgentSystem, perdure_store: FaultyStore, perdure_clock: SkippingClock, bank: Outside
) -> None:
    """A third of all attempts to save fail; every order is paid in the end."""
    perdure_store.fail_at_random(0.3, seed=7)
    for number in range(5):
        shop.agent(Order, f"o-{number}").cast(Order.place, "book", 1, 1999)
    perdure_clock.run_until_idle()
    perdure_store.mend()
    for number in range(5):
        assert_durable(shop.agent(Order, f"o-{number}"), status="paid")
    assert_exactly_once(bank, by=lambda call: call.args[0])
    check_books(shop, 5)


def test_a_bank_that_is_down_is_asked_again(
    shop: AgentSystem, perdure_clock: SkippingClock, bank: Outside
) -> None:
    """Four times in vain, and then the order is paid: once."""
    bank.fail(ConnectionError("no answer"), next=4)
    order = place(shop, "o-1")
    assert perdure_clock.run_until_idle() > 30.0
    assert_durable(order, status="paid")
    assert_exactly_once(bank)
    assert_no_dead_letters(shop)


def test_a_bank_that_stays_down_ends_the_order(
    shop: AgentSystem, perdure_clock: SkippingClock, bank: Outside
) -> None:
    """After five attempts the payment is a dead letter, and what was reserved is free again."""
    bank.fail(ConnectionError("no answer"))
    order = place(shop, "o-1")
    perdure_clock.run_until_idle()
    assert_durable(order, status="cancelled", why="the bank did not answer")
    (letter,) = shop.dead_letters.list()
    assert (letter.name, letter.attempts) == ("pay", 5)
    assert stored_state(shop.agent(Stock, "book"))["free"] == 5


def test_a_refusal_is_not_tried_again(
    shop: AgentSystem, perdure_clock: SkippingClock, bank: Outside
) -> None:
    """What the bank does not want, it is asked for once."""
    bank.answer(Refused("more than the card allows"))
    order = place(shop, "o-1")
    perdure_clock.run_until_idle()
    assert_durable(order, status="cancelled", why="more than the card allows")
    assert len(bank.calls) == 1


@pytest.mark.usefixtures("bank")
def test_a_poison_message_holds_up_nobody(
    shop: AgentSystem, perdure_kit: Kit, perdure_clock: SkippingClock
) -> None:
    """A message that no attempt can handle is given up, and the orders behind it are paid."""
    perdure_kit.stub(Stock, release=RuntimeError("a shelf has fallen over"))
    shop.agent(Stock, "book").cast(Stock.release, "o-0")
    order = place(shop, "o-1")
    perdure_clock.run_until_idle()
    assert_durable(order, status="paid")
    assert [letter.name for letter in shop.dead_letters.list()] == ["release"]


def test_an_order_runs_out_after_three_days(
    shop: AgentSystem, perdure_kit: Kit, perdure_clock: SkippingClock
) -> None:
    """Also if the shop crashes meanwhile; not a second early; the books are free again."""
    perdure_kit.probe(Payments)  # nobody answers
    place(shop, "o-1")
    perdure_clock.advance(DAY)
    shop = perdure_kit.crash()
    order = shop.agent(Order, "o-1")
    perdure_clock.advance(PATIENCE - DAY - 1)
    assert_durable(order, status="reserved")
    perdure_clock.advance(1)
    assert_durable(order, status="run out", why="not paid in three days")
    assert stored_state(shop.agent(Stock, "book"))["free"] == 5


def test_money_that_comes_too_late_is_given_back(
    shop: AgentSystem, perdure_kit: Kit, perdure_clock: SkippingClock, bank: Outside
) -> None:
    """The payment is under way while the order runs out: what was taken is returned, once."""
    back = perdure_kit.outside("bank back", None)
    payments = shop.agent(Payments, "till")
    payments.pause()
    order = place(shop, "o-1")
    perdure_clock.advance(PATIENCE)
    assert_durable(order, status="run out")
    payments.resume()
    perdure_clock.run_until_idle()
    assert [call.args for call in back.effects()] == [("o-1",)]
    assert_exactly_once(bank)
    check_books(shop, 5)


def test_goods_that_come_too_late_go_back(
    shop: AgentSystem, perdure_clock: SkippingClock, bank: Outside
) -> None:
    """The stock is away for three days: what it then reserves for an order is released."""
    stock = shop.agent(Stock, "book")
    stock.pause()
    order = place(shop, "o-1")
    perdure_clock.advance(PATIENCE)
    stock.resume()
    perdure_clock.run_until_idle()
    assert_durable(order, status="run out")
    assert stored_state(stock)["free"] == 5
    assert bank.calls == []


class Shop(AgentMachine):
    """Orders, by a model: what is sold and what is there, whatever happens in between."""

    agents = AGENTS

    def prepare(self) -> None:
        """Let the bank say yes, and begin with nothing."""
        self.kit.outside("bank", lambda order, _cents: f"receipt of {order}")
        self.there = 0
        self.status: dict[str, str] = {}

    @rule(count=st.integers(1, 5))
    def fill_up(self, count: int) -> None:
        """Get books."""
        self.there += count
        self.agent(Stock, "book").cast(Stock.fill_up, count)
        self.kit.clock.run_until_idle()

    @rule(name=st.sampled_from(["a", "b", "c"]), count=st.integers(1, 4))
    def place(self, name: str, count: int) -> None:
        """Order some: it is paid if there are as many, and cancelled if not."""
        self.agent(Order, name).cast(Order.place, "book", count, 1999)
        self.kit.clock.run_until_idle()
        if name not in self.status:
            sold = count <= self.there
            self.status[name] = "paid" if sold else "cancelled"
            self.there -= count if sold else 0

    @invariant()
    def as_the_model_says(self) -> None:
        """Compare what is durable with the model."""
        for name, status in self.status.items():
            assert_durable(self.agent(Order, name), status=status)
        assert stored_state(self.agent(Stock, "book"))["free"] == self.there


TestShop = Shop.TestCase
TestShop.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
