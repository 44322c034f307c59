"""When a message dies its agent makes up for it, once and durably; attempts are numbered."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Backoff,
    DeadLetter,
    Durability,
    Limits,
    Log,
    MemoryStore,
    RestartPolicy,
    State,
    VirtualClock,
)
from perdure.persistence.errors import ConfigurationError
from tests.kit.deadline import DEADLINE
from tests.kit.gates import Gate

AT_ONCE = Backoff(first=0.0, longest=0.0)


class OrderState(State):
    paid: int = 0
    refunded: int = 0
    story: Log[str] = Log.field()


class Order(Agent[OrderState]):
    """Pays, and pays back what could not be delivered."""

    restarts = RestartPolicy(attempts=3, backoff=AT_ONCE)
    attempts: ClassVar[list[tuple[int, int, bool, str]]] = []
    failures: ClassVar[list[int]] = []
    refunds_fail: ClassVar[int] = 0
    gate: ClassVar[Gate | None] = None

    def pay(self, cents: int) -> None:
        self.state.paid += cents

    def deliver(self, what: str) -> None:
        turn = self.turn
        Order.attempts.append((turn.attempt, turn.attempts, turn.last, turn.message))
        self.state.story.append("never kept")
        raise RuntimeError(f"no {what}")

    def note(self, text: str) -> None:
        self.state.story.append(text)

    def in_a_second(self) -> None:
        self.after(0.0, self.deliver, "alarm", name="alarm")

    def on_failure(self, *_args: object) -> None:
        Order.failures.append(self.turn.attempt)
        if Order.gate is not None and self.turn.last:
            Order.gate.pass_through()

    def on_dead(self, letter: DeadLetter) -> None:
        self.state.refunded += 1
        self.state.story.append(f"refund: {letter.name} {letter.body} {letter.reason}")
        if self.turn.attempt <= Order.refunds_fail:
            raise RuntimeError("the bank is closed")
        self.system.agent(Ledger, "all").cast(Ledger.enter, f"{self.key} {letter.attempts}")

    def story(self) -> tuple[int, list[str]]:
        return self.state.refunded, list(self.state.story)


class SnapshotOrder(Order):
    durability = Durability.SNAPSHOT


class VolatileOrder(Order):
    durability = Durability.VOLATILE


class Ledger(Agent[OrderState]):
    """Writes down what it is told."""

    def enter(self, text: str) -> None:
        self.state.story.append(text)

    def entries(self) -> list[str]:
        return list(self.state.story)


AGENTS = [Order, SnapshotOrder, VolatileOrder, Ledger]


@pytest.fixture(autouse=True)
def counters() -> None:
    """Begin with nothing counted."""
    Order.attempts, Order.failures, Order.refunds_fail = [], [], 0


@pytest.mark.parametrize("kind", [Order, SnapshotOrder, VolatileOrder])
def test_a_message_that_dies_is_made_up_for_once(kind: type[Order]) -> None:
    """on_dead runs when the attempts are used up, before the other mail, as a turn that sends."""
    with AgentSystem.open(MemoryStore(), agents=AGENTS) as system:
        order = system.agent(kind, "o")
        order.call(Order.pay, 500).get()
        order.cast(Order.deliver, "lamp")
        order.cast(Order.note, "behind it")
        assert system.idle(DEADLINE)
        refunds, story = order.call(Order.story).get()
        assert refunds == 1
        assert story == ['refund: deliver [["lamp"],{}] RuntimeError: no lamp', "behind it"]
        assert system.agent(Ledger, "all").call(Ledger.entries).get() == ["o 3"]
        assert [dead.name for dead in system.dead_letters.list()] == ["deliver"]
        assert Order.attempts == [
            (1, 3, False, "deliver"), (2, 3, False, "deliver"), (3, 3, True, "deliver"),
        ]  # fmt: skip
        assert Order.failures == [1, 2, 3]


@pytest.mark.parametrize("fails", [1, 2, 3])
def test_on_dead_is_tried_again_and_dies_without_another(fails: int) -> None:
    """It is a message like any other, but for it there is no on_dead."""
    Order.refunds_fail = fails
    with AgentSystem.open(MemoryStore(), agents=AGENTS) as system:
        order = system.agent(Order, "o")
        order.cast(Order.deliver, "lamp")
        assert system.idle(DEADLINE)
        died = fails == 3
        assert order.call(Order.story).get()[0] == (0 if died else 1)
        assert [dead.name for dead in system.dead_letters.list()] == [
            "deliver", *["on_dead"] * died,
        ]  # fmt: skip
        if died:  # mended by hand
            Order.refunds_fail = 0
            system.dead_letters.requeue(system.dead_letters.list()[1].id)
            assert system.idle(DEADLINE)
            assert order.call(Order.story).get()[0] == 1


@pytest.mark.parametrize("store", ["memory", "sqlite"])
@pytest.mark.parametrize("kind", [Order, SnapshotOrder])
def test_on_dead_survives_the_process(
    store: str, kind: type[Order], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """What was buried and not made up for yet is made up for by the next process, once."""
    path = tmp_path_factory.mktemp("order") / "o.db"
    memory = MemoryStore()

    def opened() -> MemoryStore | Path:
        return memory if store == "memory" else path

    Order.gate = Gate()
    with AgentSystem.open(opened(), agents=AGENTS) as system:
        system.agent(kind, "o").cast(Order.deliver, "lamp")
        Order.gate.wait()
        system._runtime.stop_intake()  # as a close does first: nothing more is begun
        Order.gate.open()
    Order.gate = None
    with AgentSystem.open(opened(), agents=AGENTS) as system:
        order = system.agent(kind, "o")
        assert system.idle(DEADLINE)
        refunds, story = order.call(Order.story).get()
        assert (refunds, len(story)) == (1, 1)
        assert system.agent(Ledger, "all").call(Ledger.entries).get() == ["o 3"]
    with AgentSystem.open(opened(), agents=AGENTS) as system:
        assert system.idle(DEADLINE)
        assert system.agent(kind, "o").call(Order.story).get()[0] == 1


def test_a_timer_that_fails_is_made_up_for() -> None:
    """An alarm is a message, too."""
    with AgentSystem.open(MemoryStore(), agents=AGENTS, clock=(clock := VirtualClock())) as system:
        order = system.agent(Order, "o")
        order.call(Order.in_a_second).get()
        clock.advance(1.0)
        assert system.idle(DEADLINE)
        assert order.call(Order.story).get()[1] == [
            'refund: deliver [["alarm"],{}] RuntimeError: no alarm'
        ]


@pytest.mark.parametrize(
    ("largest", "told"),
    [
        (10_000, ['refund: deliver [["xxxx']),
        (1200, ["refund: deliver  RuntimeError: no xxx"]),
        (1000, ["refund: deliver  "]),
    ],
)
def test_what_is_too_large_to_be_told_is_told_in_part(largest: int, told: list[str]) -> None:
    """A message at the limit, which its dead letter would exceed, is made up for all the same."""
    with AgentSystem.open(
        MemoryStore(), agents=AGENTS, limits=Limits(largest_value=largest)
    ) as system:
        order = system.agent(Order, "o")
        order.cast(Order.deliver, "x" * 950)
        assert system.idle(DEADLINE)
        story = order.call(Order.story).get()[1]
        assert [line[: len(begun)] for line, begun in zip(story, told, strict=True)] == told
        assert len(system.dead_letters.list()[0].body) > 950


def test_what_cannot_be_told_at_all_is_in_the_dead_letters(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where the limit leaves no room for a notice the log says so, and the agent goes on."""
    with AgentSystem.open(MemoryStore(), agents=AGENTS, limits=Limits(largest_value=100)) as system:
        order = system.agent(Order, "o")
        order.cast(Order.deliver, "lamp")
        assert system.idle(DEADLINE)
        assert order.call(Order.story).get() == (0, [])
        assert [dead.name for dead in system.dead_letters.list()] == ["deliver"]
        assert "Order/o is not told of its dead letter" in caplog.text


def test_who_asks_has_one_attempt() -> None:
    """The asker gets the error and decides; nothing is tried again, so there is no dead letter."""
    with AgentSystem.open(MemoryStore(), agents=AGENTS) as system:
        order = system.agent(Order, "o")
        with pytest.raises(RuntimeError, match="no lamp"):
            order.call(Order.deliver, "lamp").get()
        assert Order.attempts == [(1, 1, True, "deliver")]
        assert order.call(Order.story).get() == (0, [])


def test_a_turn_is_known_in_handlers_only() -> None:
    """Outside of them there is none, and the error says so."""
    kept: list[Order] = []

    class Leaky(Order):
        def leak(self) -> None:
            kept.append(self)

    with AgentSystem.open(MemoryStore(), agents=[Leaky]) as system:
        system.agent(Leaky, "o").call(Leaky.leak).get()
        with pytest.raises(
            ConfigurationError, match=r"Leaky/o: self\.turn is there in its own hand"
        ):
            _ = kept[0].turn
