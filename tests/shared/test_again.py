"""A turn that was overtaken begins again: as if it had not been there, and not for ever."""

import asyncio
import threading
from typing import Any

import pytest

from perdure import Agent, AgentSystem, RestartPolicy
from perdure.persistence.errors import Conflict
from tests.kit.deadline import DEADLINE
from tests.shared.agents import WORK, Count, Worker


class Rival(Agent[Count]):
    """Be overtaken as often as ``wins`` says, by an agent that is asked in the middle."""

    boundary = Worker.boundary
    restarts = RestartPolicy(attempts=1)
    wins = 1
    runs: list[Any] = []  # noqa: RUF012 - reset by each test
    done = threading.Event()

    def step(self, box: list[int], *, name: str = "n") -> list[object]:
        """Change the argument in place, send, count, and add to what another adds to meanwhile."""
        type(self).runs.append(list(box))
        box.append(99)
        self.state.turns += 1
        before = self.scopes.get(WORK, name, int, default=0)
        self.system.agent(Worker, "sink").cast(Worker.increment, "sent")
        if len(type(self).runs) <= type(self).wins:
            self.system.agent(Worker, "other").call(Worker.increment, name, 10).get()
        self.scopes.set(WORK, name, before + 1)
        return [before, self.state.turns]

    async def later(self, box: dict[str, int]) -> int:
        type(self).runs.append(dict(box))
        box["x"] = 9
        before = self.scopes.get(WORK, "n", int, default=0)
        await asyncio.sleep(0)
        if len(type(self).runs) <= type(self).wins:
            await self.system.agent(Worker, "other").call(Worker.increment, "n", 10)
        self.scopes.set(WORK, "n", before + 1)
        return before

    def remind(self) -> None:
        self.after(0.0, "tick", [1])

    def tick(self, box: list[int]) -> None:
        self.step(box)
        self.done.set()


class Starter(Rival):
    """The same in on_start."""

    def on_start(self) -> None:
        self.step([1])


@pytest.fixture(autouse=True)
def fresh() -> None:
    """Begin with no runs."""
    for kind in (Rival, Starter):
        kind.wins, kind.runs = 1, []
    Rival.done.clear()


def test_everything_is_undone_and_done_once() -> None:
    """State, messages and changed arguments are as before; the second run counts alone."""
    with AgentSystem.open("memory://", agents=[Rival, Worker]) as system:
        answer = system.agent(Rival, "a").call(Rival.step, [1]).get()
        assert answer == [10, 1]
        assert Rival.runs == [[1], [1]]
        assert system.idle(DEADLINE)
        assert system.state.get(WORK, "n") == 11
        assert system.state.get(WORK, "sent") == 1
        assert len(system.journal.list("Rival")) == 1


def test_async_handlers_begin_again() -> None:
    """A coroutine as well, with its arguments as they came."""
    Rival.wins = 2
    with AgentSystem.open("memory://", agents=[Rival, Worker]) as system:
        assert system.agent(Rival, "a").call(Rival.later, {"x": 1}).get() == 20
        assert Rival.runs == [{"x": 1}] * 3
        assert system.state.get(WORK, "n") == 21


def test_told_messages_and_timers_begin_again() -> None:
    """A message without an asker, and a timer's, lose no attempt: with one attempt they succeed."""
    Rival.wins = 3
    with AgentSystem.open("memory://", agents=[Rival, Worker]) as system:
        system.agent(Rival, "a").cast(Rival.step, [7])
        assert system.idle(DEADLINE)
        assert Rival.runs == [[7]] * 4
        assert system.state.get(WORK, "n") == 31
        Rival.runs, Rival.wins = [], 1
        system.agent(Rival, "a").call(Rival.remind).get()
        assert Rival.done.wait(DEADLINE)
        assert system.idle(DEADLINE)
        assert Rival.runs == [[1]] * 2
        assert system.dead_letters.list() == []


def test_starting_begins_again() -> None:
    """on_start as well, before the first message."""
    with AgentSystem.open("memory://", agents=[Starter, Worker]) as system:
        assert system.agent(Starter, "a").call(Starter.step, [5]).get() == [11, 2]
        assert Starter.runs == [[1], [1], [5]]


def test_nobody_begins_again_for_ever() -> None:
    """A turn that makes another overtake it each time ends in Conflict, and leaves nothing."""
    Rival.wins = 10**9
    with AgentSystem.open("memory://", agents=[Rival, Worker]) as system:
        asked = system.agent(Rival, "a").call(Rival.step, [1])
        with pytest.raises(Conflict, match="changed by another"):
            asked.get(timeout=DEADLINE * 5)
        assert system.idle(DEADLINE)
        assert system.state.get(WORK, "sent") is None
        Rival.wins = 0
        assert system.agent(Rival, "a").call(Rival.step, [1]).get()[1] == 1


class Handle:
    """Something that cannot be copied."""


def test_what_cannot_be_copied_is_not_repeated() -> None:
    """An argument that might have been changed for good makes an overtaken ask fail."""

    class Taker(Rival):
        def take(self, handle: object) -> None:
            self.step([1])

    Taker.wins, Taker.runs = 1, []
    with AgentSystem.open("memory://", agents=[Taker, Worker]) as system:
        with pytest.raises(Conflict):
            system.agent(Taker, "a").call(Taker.take, Handle()).get()
        assert system.state.get(WORK, "n") == 10
        system.agent(Taker, "a").call(Taker.take, Handle()).get()


def test_a_turn_that_no_longer_wants_anything_holds_up_nobody() -> None:
    """What was reserved for an overtaken turn is free when it ends without a change."""

    class Quitter(Agent[Count]):
        boundary = Worker.boundary
        runs = 0

        def work(self) -> None:
            Quitter.runs += 1
            if Quitter.runs > 6:
                return
            self.scopes.get(WORK, "n")
            self.system.agent(Worker, "w").call(Worker.increment, "n").get()
            self.scopes.set(WORK, "n", 0)

    with AgentSystem.open("memory://", agents=[Quitter, Worker]) as system:
        system.agent(Quitter, "a").call(Quitter.work).get()
        assert system._runtime.ledger._line == []
