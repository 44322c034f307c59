"""An order takes goods from the stock and money from the bank, or gives both back."""

from __future__ import annotations

import functools
from typing import Any

import msgspec

from examples.orders.bank import Refused, bank
from perdure import Agent, Backoff, DeadLetter, Log, Map, RestartPolicy, State

DAY = 86_400.0
PATIENCE = 3 * DAY
"""Seconds after which an order that is not paid has run out."""
OPEN = ("placed", "reserved")


class OrderState(State):
    """How an order stands."""

    status: str = "new"
    why: str = ""
    item: str = ""
    count: int = 0
    cents: int = 0
    receipt: str = ""


class Order(Agent[OrderState]):
    """Is placed, has goods reserved, is paid; or is cancelled, or runs out."""

    def place(self, item: str, count: int, cents: int) -> str:
        """Begin; an order is placed once."""
        if count < 1:
            raise ValueError("an order is for one piece at least")
        if self.state.status != "new":
            return self.state.status
        self.state.status = "placed"
        self.state.item, self.state.count, self.state.cents = item, count, cents
        self.after(PATIENCE, self.run_out, name="patience")
        self.system.agent(Stock, item).cast(Stock.reserve, self.key, count)
        return self.state.status

    def reserved(self) -> None:
        """Have the goods, and so ask for the money."""
        if self.state.status == "placed":
            self.state.status = "reserved"
            self.system.agent(Payments, "till").cast(Payments.pay, self.key, self.state.cents)

    def paid(self, receipt: str) -> None:
        """Have the money; give it back if the order has ended meanwhile."""
        if self.state.status in OPEN:
            self.state.status, self.state.receipt = "paid", receipt
            self.cancel("patience")
        else:
            self.system.agent(Payments, "till").cast(Payments.pay_back, self.key)

    def refuse(self, why: str) -> None:
        """End without goods and money."""
        if self.state.status in OPEN:
            self.state.status, self.state.why = "cancelled", why
            self.cancel("patience")
            self.system.agent(Stock, self.state.item).cast(Stock.release, self.key)

    def run_out(self) -> None:
        """End because nobody paid in time."""
        if self.state.status in OPEN:
            self.state.status, self.state.why = "run out", "not paid in three days"
            self.system.agent(Stock, self.state.item).cast(Stock.release, self.key)

    def status(self) -> tuple[str, str]:
        """Tell how it stands, and why."""
        return self.state.status, self.state.why


class StockState(State):
    """What there is of one item."""

    free: int = 0
    reserved: Map[str, int] = Map.field()


class Stock(Agent[StockState]):
    """The stock of one item: its key."""

    def fill_up(self, count: int) -> int:
        """Get some."""
        self.state.free += count
        return self.state.free

    def reserve(self, order: str, count: int) -> None:
        """Put some aside for an order, or refuse it."""
        if count > self.state.free:
            self.system.agent(Order, order).cast(Order.refuse, "sold out")
        else:
            self.state.free -= count
            self.state.reserved[order] = count
            self.system.agent(Order, order).cast(Order.reserved)

    def release(self, order: str) -> None:
        """Have back what was put aside."""
        self.state.free += self.state.reserved.pop(order, 0)

    def free(self) -> int:
        """Tell how many are to be had."""
        return self.state.free


class PaymentState(State):
    """What was taken and given back."""

    receipts: Map[str, str] = Map.field()
    returned: Log[str] = Log.field()


class Payments(Agent[PaymentState]):
    """Speaks with the bank, which is down at times: five attempts, then the order is refused."""

    restarts = RestartPolicy(attempts=5, backoff=Backoff(first=30.0, longest=600.0))

    def pay(self, order: str, cents: int) -> None:
        """Take the money; the key is the order's, so that a second attempt takes nothing."""
        try:
            receipt = self.outside("bank", functools.partial(bank.take, order, cents))
        except Refused as error:
            self.system.agent(Order, order).cast(Order.refuse, str(error))
            return
        self.state.receipts[order] = receipt
        self.system.agent(Order, order).cast(Order.paid, receipt)

    def pay_back(self, order: str) -> None:
        """Give the money back."""
        if order in self.state.receipts and order not in self.state.returned:
            self.outside("bank back", functools.partial(bank.give_back, order))
            self.state.returned.append(order)

    def on_dead(self, letter: DeadLetter) -> None:
        """Make up for a payment that was given up: the order is refused."""
        if letter.name == "pay":
            (order, _cents), _ = _call_of(letter)
            self.system.agent(Order, order).cast(Order.refuse, "the bank did not answer")


def _call_of(letter: DeadLetter) -> tuple[tuple[str, int], dict[str, object]]:
    """Return the arguments that a dead letter to ``pay`` holds."""
    return msgspec.json.decode(letter.body, type=tuple[tuple[str, int], dict[str, object]])


AGENTS: list[type[Agent[Any]]] = [Order, Stock, Payments]
