"""Turns in which hooks intervened, and turns whose state is in no store, replayed."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    Cancel,
    Durability,
    Fork,
    MemoryStore,
    Point,
    Redirect,
    Replace,
    Scope,
    Skip,
    State,
    hook,
)
from perdure.hooks import points
from perdure.hooks.details import ErrorDetails, MessageDetails, OutcomeDetails, StateDetails
from perdure.persistence.errors import HookCancelled, HookFailed, StateUnknown
from tests.kit.deadline import DEADLINE


class DeskState(State):
    total: int = 0
    seen: int = 0


@dataclasses.dataclass(frozen=True)
class Price:
    amount: int


PRICE: Point[Price] = Point.custom("desk.price", Price, replaces=True)


class Desk(Agent[DeskState]):
    record = True

    def pay(self, amount: int) -> int:
        if amount == 13:
            raise ValueError("13 is not taken")
        self.state.total += amount
        return self.state.total

    def price(self, amount: int) -> int:
        system: Any = self.system
        first, second = (system.hooks.run(PRICE, Price(amount)) for _ in range(2))
        self.state.total = _amount(first) * 1000 + _amount(second)
        return self.state.total

    @hook(points.MESSAGE_BEFORE)
    def count(self, details: object) -> None:
        self.state.seen += 1


def _amount(price: object) -> int:
    return msgspec.convert(price, Price, from_attributes=True).amount


def before(details: MessageDetails) -> Replace | Skip | Cancel | Redirect | Fork | None:
    """Answer by the amount."""
    amount = details.args[0]
    assert isinstance(amount, int)
    other = _Name("Desk", "other")
    answers: dict[int, Replace | Skip | Cancel | Redirect | Fork] = {
        1: Replace(((100,), {})), 2: Skip(7), 3: Cancel("not today"), 4: Redirect(other),
        5: Fork(other),
    }  # fmt: skip
    if amount == 6:
        raise RuntimeError("the hook is broken")
    return answers.get(amount) if details.key == "a" else None


@dataclasses.dataclass(frozen=True)
class _Name:
    kind: str
    key: str


def after(details: OutcomeDetails) -> Replace | None:
    """Give another result."""
    return Replace(-1) if details.result == 150_000 else None


def changed(details: StateDetails) -> Replace | Cancel | None:
    """Give another total, or refuse it."""
    total = details.new.get("total", 0)
    assert isinstance(total, int)
    if total > 1_000_000:
        return Cancel("too much")
    return Replace({"total": 50_000}) if total == 60_105 else None


def failed(details: ErrorDetails) -> Skip | None:
    """Give a result instead of the error."""
    return Skip("as if nothing was")


def test_answers_of_the_systems_hooks_are_played_as_they_were_recorded() -> None:
    """Whatever hooks of the system made of a message, result, change or error, so does a replay."""
    with AgentSystem.open(MemoryStore(), agents=[Desk]) as system:
        system.hooks.on(points.MESSAGE_BEFORE, before, agents=Desk, on="pay")
        system.hooks.on(points.MESSAGE_AFTER, after, agents=Desk)
        system.hooks.on(points.STATE_BEFORE, changed, agents=Desk)
        system.hooks.on(points.ERROR, failed, agents=Desk)
        desk = system.agent(Desk, "a")
        ends: list[object] = []
        for amount in (1, 2, 3, 4, 5, 6, 13, 60_000, 100_000, 2_000_000):
            try:
                ends.append(desk.call(Desk.pay, amount).get())
            except (HookCancelled, HookFailed) as error:
                ends.append(str(error))
        assert ends[:2] == [100, 7]
        system.idle()
        records = list(system.hooks.history.each(point="turn"))
        assert len(records) == 12
        replays = [system.replay.turn(record.id) for record in records]
        assert [replay.findings for replay in replays] == [[]] * len(replays)
        assert [replay.outcome for replay in replays].count("failed") == 3
        results = [replay.replayed["result"] for replay in replays]
        assert {100, 7, -1, "as if nothing was"} <= set(results)


@pytest.mark.parametrize("point", ["message.before", "message.after", "state.before"])
def test_what_a_hook_of_the_system_asks_is_no_part_of_the_turn(point: str) -> None:
    """A turn in which a hook of the system has asked, sent and called is replayed without that."""

    def works(_details: object) -> None:
        other = system.agent(Desk, "other")
        assert other.call(Desk.pay, 1).get(timeout=DEADLINE) > 0
        other.cast(Desk.pay, 1)
        system.state.increment(Scope.GLOBAL, "asked")
        assert system.hooks.call_tool("three", lambda: 3) == 3

    with AgentSystem.open(MemoryStore(), agents=[Desk]) as system:
        desk = system.agent(Desk, "a")
        system.hooks.on(point, works, agents=desk, name="works")
        assert desk.call(Desk.pay, 5).get(timeout=DEADLINE) == 5
        system.idle(DEADLINE)
        assert system.hooks.get("works").failures == 0
        report = system.replay.batch().report()
        assert report.counts == {"same": 3}, report.text()


def test_hooks_at_a_programs_own_point_answer_at_their_time() -> None:
    """A hook that is asked several times in a turn gives each of its answers at its own time."""
    prices = iter((Price(5), None))

    def dear(details: Price) -> Replace | None:
        found = next(prices)
        return None if found is None else Replace(found)

    with AgentSystem.open(MemoryStore(), agents=[Desk]) as system:
        system.hooks.on(PRICE, dear)
        assert system.agent(Desk, "a").call(Desk.price, 9).get() == 5009
        (turn,) = [record.id for record in system.hooks.history.each(point="turn")]
        assert system.replay.turn(turn).findings == []


@pytest.mark.parametrize("durability", [Durability.VOLATILE, Durability.SNAPSHOT])
def test_a_turn_whose_state_is_in_no_store_is_refused(durability: Durability) -> None:
    """A turn of an agent that was not saved before it is refused with the reason."""

    class Loose(Agent[DeskState]):
        def pay(self, amount: int) -> None:
            self.state.total += amount

    Loose.durability = durability
    with AgentSystem.open(MemoryStore(), agents=[Loose]) as system:
        loose = system.agent(Loose, "a")
        loose.call(Loose.pay, 1).get()
        system.hooks.record(loose)
        loose.call(Loose.pay, 2).get()
        loose.call(Loose.pay, 3).get()
        system.idle()
        first, second = [record.id for record in system.hooks.history.each(point="turn")]
        with pytest.raises(StateUnknown, match="is in no store, because"):
            system.replay.turn(first)
        if durability is Durability.SNAPSHOT:  # the recorded turn before was committed
            assert system.replay.turn(second).findings == []
