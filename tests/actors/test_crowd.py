"""Agents that all wait for replies at once, in a pool that may not grow any more."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from pykka import Future

from perdure import Agent, AgentSystem, Resources, State
from perdure.persistence.errors import PoolExhausted
from tests.kit.deadline import DEADLINE

MOST = 8
MANY = 5 * MOST


class Tally(State):
    n: int = 0


class Limited(Agent[Tally]):
    """What waits for it cannot simply run its turns: they have a time limit."""

    turn_limit = 60.0

    def inc(self) -> int:
        self.state.n += 1
        return self.state.n

    def down(self, steps: int) -> int:
        if steps == 0:
            return 0
        below = self.system.agent(Limited, f"step {steps - 1}")
        return 1 + below.call(Limited.down, steps - 1).get()


class Async(Agent[Tally]):
    async def inc(self) -> int:
        self.state.n += 1
        return self.state.n


class Asker(Agent[Tally]):
    def ask(self, kind: str) -> int:
        if kind == "limited":
            return self.system.agent(Limited, "one").call(Limited.inc).get()
        return self.system.agent(Async, "one").call(Async.inc).get()

    def hi(self) -> str:
        return "hi"


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system whose pool may have few threads."""
    with AgentSystem.open(
        "memory://", agents=[Limited, Async, Asker], resources=Resources(workers=2)
    ) as system:
        system._runtime.dispatcher._most = MOST
        yield system


@pytest.mark.parametrize("kind", ["limited", "async"])
def test_many_may_ask_one(system: AgentSystem, kind: str) -> None:
    """Each of many askers gets its reply or a clear error, and everybody else goes on."""
    asked: list[Future[int]] = [
        system.agent(Asker, f"{number}").call(Asker.ask, kind) for number in range(MANY)
    ]
    assert system.agent(Asker, "other").call(Asker.hi).get(timeout=DEADLINE) == "hi"
    replies: list[int] = []
    for future in asked:
        # One that is refused has asked all the same: an ask is sent at once.
        with suppress(PoolExhausted):
            replies.append(future.get(timeout=DEADLINE))
    assert len(set(replies)) == len(replies)
    assert len(replies) >= (MANY if kind == "limited" else MOST - 1)
    assert system.idle(DEADLINE)


def test_a_long_chain_of_asks_ends(system: AgentSystem) -> None:
    """A chain of more agents than threads comes to its end: those that wait help."""
    top = system.agent(Limited, "top").call(Limited.down, 2 * MOST)
    assert top.get(timeout=DEADLINE) == 2 * MOST
