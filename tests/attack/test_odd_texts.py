"""Texts that no store takes, and identities that look alike: nothing stops, nobody is confused."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import pytest

from perdure import Agent, AgentSystem, Principal, RestartPolicy, Scope, State
from perdure.persistence.errors import (
    ConfigurationError,
    Denied,
    ScopeError,
    told,
)
from tests.kit.deadline import DEADLINE


class Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError("no")


class CountState(State):
    count: int = 0


class Odd(Agent[CountState]):
    restarts = RestartPolicy(attempts=1)
    heard: ClassVar[list[Principal]] = []
    told = threading.Event()

    def surrogate(self) -> None:
        raise ValueError("rapport-\udce9.txt: not a csv")

    def unprintable(self) -> None:
        raise Unprintable

    def grouped(self) -> None:
        raise ExceptionGroup("half a \ud800", [ValueError("x" * 100_000)])

    def add(self) -> int:
        self.state.count += 1
        return self.state.count

    def timer(self, name: str) -> None:
        self.after(100, "add", name=name)

    async def in_a_pool(self, scope: str) -> object:
        with ThreadPoolExecutor(1) as pool:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(pool, self.scopes.get, Scope.parse(scope), "k")

    def call_back(self) -> int:
        future = self.system.agent(Odd, "b").call(Odd.add)
        future.add_callback(self._heard)
        return future.get()

    def _heard(self) -> None:
        Odd.heard.append(self.system.state._desk.standing().principal)
        Odd.told.set()

    def pry(self) -> object:
        return self.system.dead_letters.list()  # type: ignore[attr-defined]

    def bind(self) -> None:
        self.system.state.register("*", int)


@pytest.mark.parametrize("method", ["surrogate", "unprintable", "grouped"])
@pytest.mark.parametrize("store", ["memory://", "sqlite"])
def test_an_error_without_a_storable_text_is_buried_all_the_same(
    method: str, store: str, tmp_path: object
) -> None:
    """Whatever its exception is made of, a poison message goes to the dead letters."""
    place = store if store != "sqlite" else f"{tmp_path}/store.db"
    with AgentSystem.open(place, agents=[Odd]) as system:
        getattr(system.agent(Odd, "a").proxy(), method).defer()
        assert system.idle(DEADLINE)
        assert [letter.name for letter in system.dead_letters.list()] == [method]
        assert system.agent(Odd, "other").call(Odd.add).get(timeout=DEADLINE) == 1


@pytest.mark.parametrize("name", ["a\ud800", "", "e\u0301"])
def test_a_timer_with_an_impossible_name_is_refused(name: str) -> None:
    """A name that could not be stored fails in the handler, not in the store."""
    with AgentSystem.open("memory://", agents=[Odd]) as system:
        with pytest.raises(ConfigurationError, match="timer name"):
            system.agent(Odd, "a").call(Odd.timer, name).get()
        assert system.agent(Odd, "a").call(Odd.add).get(timeout=DEADLINE) == 1


def test_one_name_is_one_agent_and_one_principal() -> None:
    """A key that looks like another one is refused, so a principal stands for one agent."""
    with (
        AgentSystem.open("memory://", agents=[Odd]) as system,
        pytest.raises(ConfigurationError, match="NFC"),
    ):
        system.agent(Odd, "cafe\u0301")
    with pytest.raises(ScopeError, match="NFC"):
        Principal.agent("Odd", "cafe\u0301")
    longest = "x" * 1024
    assert Principal.parse(str(Principal.agent("Odd", longest))).part == longest
    assert Scope.agent("Odd", "a\tb").part == "a\tb"


def test_an_agents_own_handle_is_the_agents_everywhere() -> None:
    """Where Python loses the context, ``self.scopes`` still acts as its agent."""
    with AgentSystem.open("memory://", agents=[Odd]) as system:
        system.state.set(Scope.GLOBAL, "k", "secret")
        with pytest.raises(Denied):
            system.agent(Odd, "a").call(Odd.in_a_pool, "global").get()
        assert system.agent(Odd, "a").call(Odd.in_a_pool, "agent:Odd/a").get() is None


def test_a_callback_runs_as_whoever_added_it() -> None:
    """The answering turn lends its name to nobody."""
    Odd.heard.clear()
    with AgentSystem.open("memory://", agents=[Odd]) as system:
        assert system.agent(Odd, "a").call(Odd.call_back).get() == 1
        assert Odd.told.wait(DEADLINE)
        assert Odd.heard == [Principal.agent("Odd", "a")]


def test_handlers_leave_alone_what_is_everybodys() -> None:
    """Dead letters and types of keys are the program's business."""
    with AgentSystem.open("memory://", agents=[Odd]) as system:
        for method in (Odd.pry, Odd.bind):
            with pytest.raises(Denied):
                system.agent(Odd, "a").call(method).get()


def test_no_handle_leads_to_the_types_of_everybodys_keys() -> None:
    """A handle of a user, or of an agent, has no table of types beside the call that refuses."""
    with AgentSystem.open("memory://", agents=[Odd]) as system:
        hers = system.state.acting_as(Principal.user("mira"))
        with pytest.raises(Denied, match="user:mira may not register types"):
            hers.register("pin", str)
        for handle in (hers, system.state):
            assert [name for name in dir(handle) if "schema" in name and name[0] != "_"] == []
        system.state.set(Scope.user("tom"), "pin", 5)


def test_a_long_text_is_cut() -> None:
    """What is kept of an error has a bound."""
    assert len(told(ValueError("x" * 10**6))) < 5000
