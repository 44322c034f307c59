"""Replayed turns that call tools and the outside again, at once, or not to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import msgspec
import pytest

from perdure import (
    Agent,
    AgentSystem,
    CallDetails,
    CallErrorDetails,
    Cancel,
    ErrorDetails,
    MemoryStore,
    Replace,
    Retry,
    Skip,
    State,
)
from perdure.persistence.errors import HookCancelled

Handler = Callable[..., Any]
CITIES = ("Lima", "Rome", "Oslo", "Bern")
SUFFIXES = count()


class Seen(State):
    found: list[str] = msgspec.field(default_factory=list)


class Traveller(Agent[Seen]):
    record = True

    def one(self, city: str) -> str:
        self.state.found = [*self.state.found, _hooks(self).call_tool("flaky", _flaky, city=city)]
        return self.state.found[-1]

    async def one_later(self, city: str) -> str:
        found: str = await _hooks(self).call_model("flaky", _flaky_later, city=city)
        self.state.found = [*self.state.found, found]
        return found

    async def tools_at_once(self) -> list[str]:
        """Call one tool for all cities at once; the last call ends first."""
        gates = _Gates()
        tool = gates.wrap(_flaky_later)
        calls = (_hooks(self).call_tool("flaky", tool, city=city) for city in CITIES)
        self.state.found = [str(each) for each in await asyncio.gather(*calls)]
        return self.state.found

    async def outside_at_once(self) -> list[str]:
        """Call outside for all cities at once; the last call ends first."""
        gates = _Gates()
        ask = gates.wrap(_flaky_later)
        calls = (self.outside("flaky", lambda city=city: ask(city=city)) for city in CITIES)  # type: ignore[misc]
        self.state.found = [str(each) for each in await asyncio.gather(*calls)]
        return self.state.found

    async def leaves(self) -> str:
        """Begin a call that never ends, and leave it."""
        task = asyncio.ensure_future(self.outside("slow", _never))
        await asyncio.sleep(0)
        task.cancel()
        try:
            return await task
        except asyncio.CancelledError:
            return "left"

    def fails(self) -> None:
        raise ValueError("never goes well")


class _Gates:
    """Let calls end in the order opposite to that in which they began."""

    def __init__(self) -> None:
        self.ended = {city: asyncio.Event() for city in CITIES}

    def wrap(self, call: Callable[..., Any]) -> Any:  # noqa: ANN401 - an async tool
        async def gated(city: str) -> str:
            follower = CITIES.index(city.title()) + 1
            if follower < len(CITIES):
                await self.ended[CITIES[follower]].wait()
            found: str = await call(city=city)
            self.ended[city.title()].set()
            return found

        return gated


def _hooks(agent: Agent[Any]) -> Any:  # noqa: ANN401 - Hooks
    system: Any = agent.system
    return system.hooks


def _flaky(city: str) -> str:
    if city == "Atlantis":
        raise TimeoutError(city)
    if city == "Paris" and next(SUFFIXES) % 3 != 2:
        raise TimeoutError(city)
    return f"{city} {next(SUFFIXES)}"


async def _flaky_later(city: str) -> str:
    return _flaky(city)


async def _never() -> str:
    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return await future


def _before(details: CallDetails) -> Replace | Skip | Cancel | None:
    answers: dict[object, Replace | Skip | Cancel] = {
        "Rome": Replace({"city": "ROME"}), "Quito": Skip("skipped"), "Ur": Cancel("long gone"),
    }  # fmt: skip
    return answers.get(details.args["city"])


def _after(details: CallDetails) -> Replace | None:
    return Replace(f"{details.result}!") if "Oslo" in str(details.result) else None


def _error(details: CallErrorDetails) -> Retry | Skip | None:
    if details.args["city"] == "Paris":
        return Retry(attempts=4)
    return Retry(attempts=2) if details.attempt < 2 else Skip("unknown")


@pytest.fixture
def system() -> Iterator[AgentSystem]:
    """Give a system with hooks at all calls of tools and models."""
    with AgentSystem.open(MemoryStore(), agents=[Traveller]) as opened:
        for work in ("tool_call", "model_call"):
            opened.hooks.on(f"{work}.before", _before, name=f"{work} before")
            opened.hooks.on(f"{work}.after", _after, name=f"{work} after")
            opened.hooks.on(f"{work}.error", _error, name=f"{work} error")
        yield opened


def _is_the_same(system: AgentSystem) -> None:
    system.idle()
    report = system.replay.batch().report()
    assert report.same, report.text()
    assert not any(replay.missing for replay in report.replays)


@pytest.mark.parametrize("handler", [Traveller.one, Traveller.one_later])
def test_whatever_hooks_make_of_a_call_a_replay_makes_again(
    system: AgentSystem, handler: Handler
) -> None:
    """Each answer at a call, also one that has it made again, comes out of a replay as it did."""
    traveller = system.agent(Traveller, "a")
    for city in ("Lima", "Rome", "Quito", "Oslo", "Paris", "Atlantis"):
        traveller.call(handler, city).get()
    with pytest.raises(HookCancelled):
        traveller.call(handler, "Ur").get()
    _is_the_same(system)


@pytest.mark.parametrize("handler", [Traveller.tools_at_once, Traveller.outside_at_once])
def test_calls_made_at_once_get_what_each_of_them_got(
    system: AgentSystem, handler: Handler
) -> None:
    """Calls of one name that end in another order than they began get their own answers again."""
    found = system.agent(Traveller, "a").call(handler).get()
    assert [each.split()[0].title() for each in found] == list(CITIES)
    assert found != sorted(found, key=lambda each: int(each.split()[1].strip("!")))
    _is_the_same(system)


def test_a_call_that_was_left_is_left_in_its_replay(system: AgentSystem) -> None:
    """A call that had not ended when its handler went on does not end in the replay either."""
    assert system.agent(Traveller, "a").call(Traveller.leaves).get() == "left"
    _is_the_same(system)


def test_a_handler_that_was_tried_again_to_no_avail_fails_as_it_did(system: AgentSystem) -> None:
    """The last attempt of a message that a hook has handled again is replayed as it ended."""

    def again(_details: ErrorDetails) -> Retry:
        return Retry(attempts=2)

    system.hooks.on("error", again)
    with pytest.raises(ValueError, match="never goes well"):
        system.agent(Traveller, "a").call(Traveller.fails).get()
    _is_the_same(system)
