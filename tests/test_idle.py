"""idle() with a clock that stands still: it says what it waits for, and does not wait for it."""

from __future__ import annotations

import re
import threading
from typing import Any

import pytest

from perdure import Agent, AgentSystem, Backoff, Breaker, RestartPolicy, Saving, State, VirtualClock
from perdure.actors.pool.mailbox import Mailbox
from perdure.persistence.errors import Deadlock
from perdure.testing import FaultyStore
from tests.kit.deadline import DEADLINE
from tests.kit.signals import Told

NEVER = 3600.0
"""Seconds nobody waits for in these tests."""


class Tries(State):
    """A number."""

    made: int = 0


class Climber(Agent[Tries]):
    """Fails twice."""

    restarts = RestartPolicy(attempts=3, backoff=Backoff(first=5.0, longest=5.0, jitter=0.0))
    falls = 0

    def climb(self) -> None:
        """Fall, and get up there in the end."""
        if Climber.falls < 2:
            Climber.falls += 1
            raise RuntimeError("slipped")
        self.state.made += 1

    def made(self) -> int:
        """Return how often it was there."""
        return self.state.made


@pytest.fixture(autouse=True)
def falls() -> None:
    """Begin with none."""
    Climber.falls = 0


def test_idle_says_whose_backoff_it_waits_for() -> None:
    """Without a timeout it raises at once, with one it returns False at once; advance() helps."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Climber], clock=clock) as system:
        climber = system.agent(Climber, "anna")
        climber.cast(Climber.climb)
        with pytest.raises(
            Deadlock,
            match=r"would wait for ever.*Climber/anna begins again 5 s after it failed"
            r" \(RuntimeError: slipped\); call clock\.advance\(seconds\), or give",
        ):
            system.idle()
        rounds = 0
        while not system.idle(timeout=NEVER):
            clock.advance(5.0)
            rounds += 1
        assert rounds == 2
        assert climber.call(Climber.made).get() == 1


def test_idle_says_which_attempt_to_save_it_waits_for() -> None:
    """First for a backoff, then for the breaker, each with the cause."""
    clock, store = VirtualClock(), FaultyStore()
    with (
        Told() as told,
        AgentSystem.open(
            store.open(), agents=[Climber], clock=clock,
            saving=Saving(
                backoff=Backoff(first=1.0, jitter=0.0),
                breaker=Breaker(failures=2, reset_after=30.0),
            ),
        ) as system,
    ):  # fmt: skip
        Climber.falls = 2
        store.fail()
        system.agent(Climber, "a").cast(Climber.climb)
        with pytest.raises(Deadlock, match=r"saving is tried again after a backoff .*down"):
            system.idle()
        told.wait("save_failed")
        clock.advance(1.0)
        told.wait("breaker_opened")
        with pytest.raises(Deadlock, match=r"the breaker is open for 30 s .*down"):
            system.idle()
        assert not system.idle(timeout=NEVER)
        store.mend()
        clock.advance(30.0)
        assert system.idle()


def test_idle_says_who_cannot_be_read() -> None:
    """An agent that waits to be read again does nothing else meanwhile."""
    clock, store = VirtualClock(), FaultyStore()
    store.fail_reads("load")
    Climber.falls = 2
    with AgentSystem.open(store.open(), agents=[Climber], clock=clock) as system:
        system.agent(Climber, "a").cast(Climber.climb)
        with pytest.raises(Deadlock, match=r"Climber/a is read again after a second \(.*be read"):
            system.idle()
        store.mend()
        clock.advance(1.0)
        assert system.idle()


def test_idle_sees_that_what_it_waits_for_has_begun_to_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An agent that is busy when idle() comes to it, and cannot be read then, holds up nobody."""
    waited = threading.Event()
    wait = Mailbox._wait

    def told(*args: Any) -> bool:  # noqa: ANN401 - as the method has it
        waited.set()
        return wait(*args)

    def meet(name: str) -> None:
        if name == "load":  # as is found out while somebody waits
            assert waited.wait(DEADLINE)

    store = FaultyStore()
    store.on_call.append(meet)
    store.fail_reads("load")
    monkeypatch.setattr(Mailbox, "_wait", told)
    with AgentSystem.open(store.open(), agents=[Climber], clock=VirtualClock()) as system:
        system.agent(Climber, "a").cast(Climber.climb)
        with pytest.raises(Deadlock, match="read again after a second"):
            system.idle()


def test_idle_waits_for_what_goes_on_by_itself() -> None:
    """A save under way, beside a backoff: only when that is done nothing is left but time."""
    clock, store = VirtualClock(), FaultyStore()
    with AgentSystem.open(store.open(), agents=[Climber], clock=clock) as system:
        found: list[str] = []

        def wait() -> None:
            try:
                system.idle()
            except Deadlock as error:
                found.append(str(error))

        with store.held() as waiting:
            system.agent(Climber, "a").cast(Climber.climb)
            assert waiting.wait(DEADLINE)
            waiter = threading.Thread(target=wait)
            waiter.start()
        waiter.join(DEADLINE)
        assert len(found) == 1
        assert re.search("Climber/a begins again", found[0])


class Leaning(Agent[Tries]):
    """Waits for a climber."""

    def ask(self) -> int:
        """Ask, and wait."""
        return self.system.agent(Climber, "anna").call(Climber.made).get()

    async def ask_and_await(self) -> int:
        """Ask, and let others go on meanwhile."""
        return await self.system.agent(Climber, "anna").call(Climber.made)


@pytest.mark.parametrize("method", [Leaning.ask, Leaning.ask_and_await])
def test_idle_does_not_wait_for_a_turn_that_waits_for_time(method: Any) -> None:  # noqa: ANN401
    """A turn whose reply comes after a backoff, or from a paused agent, is held up as that is."""
    clock = VirtualClock()
    with AgentSystem.open("memory://", agents=[Climber, Leaning], clock=clock) as system:
        climber = system.agent(Climber, "anna")
        climber.cast(Climber.climb)
        with pytest.raises(Deadlock, match="Climber/anna begins again 5 s"):
            system.idle()
        reply = system.agent(Leaning, "a").call(method)
        with pytest.raises(Deadlock, match="Climber/anna begins again 5 s"):
            system.idle()
        clock.advance(5.0)
        assert not system.idle(timeout=NEVER)  # it falls twice
        clock.advance(5.0)
        assert system.idle()
        assert reply.get() == 1
        climber.pause()
        reply = system.agent(Leaning, "a").call(method)
        with pytest.raises(Deadlock, match="Leaning/a waits for a reply from Climber/anna, which"):
            system.idle()
        climber.resume()
        assert reply.get() == 1
