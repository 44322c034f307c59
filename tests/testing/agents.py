"""Agents that the kit is tried on: an order, and the bank that it writes to."""

from __future__ import annotations

import functools
import threading
from typing import ClassVar

from perdure import Agent, Backoff, Durability, Log, Map, RestartPolicy, State

DAY = 86_400.0


class BankState(State):
    """What was charged."""

    total: int = 0


class Bank(Agent[BankState]):
    """Takes money."""

    def charge(self, order: str, amount: int) -> str:
        """Take some."""
        self.state.total += amount
        return f"{order}: {amount}"

    def refuse(self) -> None:
        """Raise."""
        raise RuntimeError("the bank is closed")


class OrderState(State):
    """How an order stands."""

    status: str = "new"
    seen: Log[float] = Log.field()
    parts: Map[str, int] = Map.field()


class Order(Agent[OrderState]):
    """Is placed, paid, or runs out."""

    restarts = RestartPolicy(attempts=3, backoff=Backoff(first=5.0, longest=5.0, jitter=0.0))
    broken: ClassVar[bool] = False
    paid: ClassVar[list[str]] = []

    def place(self) -> str:
        """Have it charged, and run out in three days."""
        self.state.status = "placed"
        self.state.parts["book"] = 1
        self.system.agent(Bank, "main").cast(Bank.charge, self.key, 3)
        self.after(3 * DAY, self.run_out, name="run_out")
        return self.state.status

    def pay(self) -> None:
        """Call the world outside."""
        self.outside("pay", functools.partial(really, self.key))
        self.state.status = "paid"

    async def pay_soon(self) -> str:
        """Await the world outside, which takes money once."""
        said: str = await self.outside("pay", self._take)
        return said

    async def _take(self) -> str:
        if self.key in Order.paid:
            raise ValueError("paid before")
        Order.paid.append(self.key)
        return "paid"

    def pay_later(self) -> None:
        """Do so in a minute."""
        self.after(60.0, self.pay)

    def run_out(self) -> None:
        """Be too late."""
        self.state.status = "late"

    def tick(self, seconds: float) -> None:
        """Note the time, and do so again and again."""
        self.state.seen.append(self.now())
        self.after(seconds, self.tick, seconds)

    def ask(self) -> str:
        """Wait for the bank."""
        return self.system.agent(Bank, "main").call(Bank.charge, self.key, 4).get()

    async def await_bank(self) -> str:
        """Wait for the bank, and let others go on meanwhile."""
        return await self.system.agent(Bank, "main").call(Bank.charge, self.key, 4)

    def status(self) -> str:
        """Tell how it stands."""
        return self.state.status

    def fail(self) -> None:
        """Raise."""
        raise RuntimeError("it is torn")

    def fail_if_broken(self) -> None:
        """Raise while it is broken."""
        if Order.broken:
            raise RuntimeError("it is torn")
        self.state.status = "mended"


class Sheet(Agent[OrderState]):
    """Is saved now and then."""

    durability = Durability.SNAPSHOT

    def write(self, status: str) -> None:
        """Change it."""
        self.state.status = status


class Stuck(Agent[OrderState]):
    """Hangs in a turn until it is let go on."""

    go_on: ClassVar[threading.Event] = threading.Event()
    entered: ClassVar[threading.Event] = threading.Event()

    def hang(self) -> None:
        """Hang."""
        Stuck.entered.set()
        Stuck.go_on.wait(30.0)


class Hasty(Stuck):
    """Gives a turn a second."""

    turn_limit = 1.0
    restarts = RestartPolicy(attempts=1)


def really(_order: str) -> str:
    """Be the world outside, which no test calls."""
    raise AssertionError("the world outside was called")
