"""What is wrong about a hook is said where it is given, with the hook's name, and harms nothing."""

import asyncio
import dataclasses
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest

from perdure import (
    Agent,
    AgentSystem,
    Cache,
    Cancel,
    ErrorDetails,
    Fork,
    MessageDetails,
    OutcomeDetails,
    Redirect,
    Replace,
    Retry,
    SaveDetails,
    State,
)
from perdure.actors.cell.hooked import MOST_PASSED
from perdure.persistence.errors import ConfigurationError, HookFailed
from tests.kit.deadline import DEADLINE


class Total(State):
    total: int = 0


class Adder(Agent[Total]):
    record = True

    def add(self, number: int) -> int:
        self.state.total += number
        if number < 0:
            raise ValueError("below 0")
        return self.state.total


@dataclasses.dataclass(frozen=True)
class Name:
    kind: Any
    key: Any


def nothing(_details: object) -> None:
    """Let everything go on."""


def alone() -> None:
    """Take no details."""


WRONG: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a reason that is no text": (lambda _: Cancel(None), "give the reason as a text"),  # type: ignore[arg-type]
    "an agent as a text": (lambda _: Redirect("Adder/b"), "give an agent, as"),  # type: ignore[arg-type]
    "a copy for nobody": (lambda _: Fork(5), "give an agent, as"),  # type: ignore[arg-type]
    "an agent without a key": (lambda _: Fork(Name("Adder", "")), "give an agent, as"),
    "a key of a cache that is no text": (lambda _: Cache(1, ["k"]), "give the key as a text"),  # type: ignore[arg-type]
    "a wait without an end": (lambda _: Retry(math.inf), "give a delay"),
    "a wait that is no number": (lambda _: Retry(math.nan), "give a delay"),
    "a message that is none": (lambda _: Replace(3), r"takes \(args, kwargs\), not 3"),
    "itself": (lambda d: Redirect(Name(d.kind, d.key)), "redirects Adder/a at add to itself"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_answer_fails_the_hook_by_name_and_the_turn_is_replayed_so(what: str) -> None:
    """Who asks gets HookFailed that names the hook; the agent goes on; a replay says the same."""
    answer, told = WRONG[what]

    def wrong(
        details: MessageDetails,
    ) -> Cancel | Redirect | Fork | Cache | Replace | None:
        return answer(details) if details.args == (1,) else None

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", wrong, name="wrong")
        adder = system.agent(Adder, "a")
        with pytest.raises(HookFailed, match=f"hook wrong .*{told}"):
            adder.call(Adder.add, 1).get(timeout=DEADLINE)
        assert adder.call(Adder.add, 2).get(timeout=DEADLINE) == 2
        system.idle(DEADLINE)
        report = system.replay.batch().report()
        assert report.counts == {"failed": 1, "same": 1}, report.text()


def test_an_error_is_not_passed_on_to_the_agent_that_raised_it() -> None:
    """A hook at errors that redirects to the same agent fails; nothing goes round and round."""

    def back(details: ErrorDetails) -> Redirect:
        return Redirect(Name(details.kind, details.key))

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("error", back, name="back")
        with pytest.raises(HookFailed, match="hook back redirects Adder/a at add to itself"):
            system.agent(Adder, "a").call(Adder.add, -1).get(timeout=DEADLINE)


def test_an_answer_that_no_longer_fits_says_so_in_a_replay() -> None:
    """A replay under a class that takes other arguments names the hook whose answer it was."""

    def spell(_details: MessageDetails) -> Replace:
        return Replace(((5,), {}))

    class Other(Agent[Total]):
        kind = "Adder"

        def add(self, number: str) -> int:
            return len(number)

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", spell, name="spell")
        assert system.agent(Adder, "a").call(Adder.add, 1).get(timeout=DEADLINE) == 5
        system.idle(DEADLINE)
        (replay,) = system.replay.batch(agents=[Other]).report().replays
        assert replay.outcome == "error"
        assert "what the hook spell answered in Adder/a.add (1.1) does not fit" in replay.error


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"function": 5}, "give a function that is called with details"),
        ({"name": 5}, "a name that is a text"),
        ({"function": alone}, "called with the details alone, which does not fit"),
        ({"nosuch": 1}, "a hook has no option nosuch; it has on, priority, budget"),
        ({"on": ["add"]}, "give a name, or a tuple of names"),
        ({"agents": "Order"}, "no agent class of kind 'Order' is here"),
        ({"agents": Adder, "on": "ad"}, "on='ad', and Adder has no such method"),
    ],
)
def test_a_hook_that_could_never_run_is_refused(given: dict[str, Any], told: str) -> None:
    """What cannot be called, or has nobody to listen to, is refused when it is registered."""
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        with pytest.raises(ConfigurationError, match=told):
            system.hooks.on("message.before", **{"function": nothing, **given})
        assert not system.hooks.list()


def test_a_hook_that_takes_too_long_says_how_long_it_had() -> None:
    """The error of an async hook over its budget names that; one of its own stays as it is."""

    async def slow(details: MessageDetails) -> None:
        if details.args == (1,):
            await asyncio.get_running_loop().create_future()
        raise TimeoutError("the scanner is slow")

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", slow, budget=0.05)
        for number, told in (
            (1, "it took longer than its budget of 0.05 s"),
            (2, "scanner is slow"),
        ):
            with pytest.raises(HookFailed, match=told):
                system.agent(Adder, "a").call(Adder.add, number).get(timeout=DEADLINE)


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("point", ["message.before", "error"])
def test_agents_that_redirect_to_each_other_are_stopped(*, asked: bool, point: str) -> None:
    """A message that goes round is handed on so often and no more; the error names its way."""

    def to_the_other(details: MessageDetails | ErrorDetails) -> Redirect | None:
        other = "b" if details.key == "a" else "a"
        return Redirect(Name(details.kind, other)) if details.args == (-1,) else None

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on(point, to_the_other, name="round")
        adder = system.agent(Adder, "a")
        way = "Adder/a -> Adder/b -> Adder/a"
        if asked:
            with pytest.raises(HookFailed, match=f"hook round redirects .* {way}"):
                adder.call(Adder.add, -1).get(timeout=DEADLINE)
        else:
            adder.cast(Adder.add, -1)
            assert system.idle(DEADLINE)
            (dead,) = system.dead_letters.list()
            assert way in dead.reason
        assert adder.call(Adder.add, 2).get(timeout=DEADLINE) == 2
        system.idle(DEADLINE)
        counts = system.replay.batch().report().counts
        assert set(counts) == {"failed", "same"}, counts


def test_copies_that_go_round_are_stopped() -> None:
    """Agents whose hooks fork each message to each other send so many copies and no more."""

    def to_the_other(details: MessageDetails) -> Fork:
        return Fork(Name(details.kind, "b" if details.key == "a" else "a"))

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", to_the_other, name="round")
        system.agent(Adder, "a").cast(Adder.add, 1)
        assert system.idle(DEADLINE)
        (dead,) = system.dead_letters.list()
        assert f"was handed on {MOST_PASSED} times" in dead.reason


@pytest.mark.parametrize("how", ["plain", "async"])
def test_a_hook_that_would_end_the_process_has_failed(how: str) -> None:
    """SystemExit of a hook is its failure: counted, told to who asks, and the system goes on."""

    def leave(details: MessageDetails) -> None:
        if details.args == (1,):
            sys.exit("enough")

    def leave_behind(_details: SaveDetails) -> None:
        sys.exit()

    async def leave_soon(details: MessageDetails) -> None:
        leave(details)

    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.before", leave if how == "plain" else leave_soon, name="leave")
        system.hooks.on("save.after", leave_behind, name="behind")
        adder = system.agent(Adder, "a")
        with pytest.raises(HookFailed, match=r"hook leave .* SystemExit: enough"):
            adder.call(Adder.add, 1).get(timeout=DEADLINE)
        assert adder.call(Adder.add, 2).get(timeout=DEADLINE) == 2
        assert system.idle(DEADLINE)
        failures = {each.name: each.failures for each in system.hooks.list()}
        assert failures == {"leave": 1, "behind": 1}


@pytest.mark.parametrize("how", ["plain", "async"])
@pytest.mark.parametrize(
    "error", [asyncio.CancelledError("gone"), BaseExceptionGroup("both", [SystemExit(1)])]
)
def test_a_hook_that_was_cancelled_has_failed(how: str, error: BaseException) -> None:
    """What it waited for was cancelled: its failure, which ends neither turn, queue nor system."""

    def broken(_details: OutcomeDetails) -> None:
        raise error

    async def broken_soon(_details: OutcomeDetails) -> None:
        raise error

    hook = broken if how == "plain" else broken_soon
    with AgentSystem.open("memory://", agents=[Adder]) as system:
        system.hooks.on("message.after", hook, name="now")
        system.hooks.on("message.after", hook, name="later", deferred=True)
        adder = system.agent(Adder, "a")
        assert adder.call(Adder.add, 1).get(timeout=DEADLINE) == 1
        assert system.idle(DEADLINE)
        failures = {each.name: each.failures for each in system.hooks.list()}
        assert failures == {"now": 1, "later": 1}
        (waiting,) = system.hooks.deferred.list()
        assert waiting.reason == "it has failed 1 of 5 times"
