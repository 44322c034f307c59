"""Hooks against a model: whatever they are and answer, order, results and effects are its."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure import Agent, AgentRef, AgentSystem, Breaker, Durability, Log, State
from perdure.hooks.details import (
    Details,
    ErrorDetails,
    MessageDetails,
    OutcomeDetails,
    StateDetails,
)
from perdure.hooks.hook import OnFailure
from perdure.hooks.results import (
    Cache,
    Cancel,
    Continue,
    Fork,
    Redirect,
    Replace,
    Result,
    Retry,
    Skip,
)
from perdure.persistence.errors import HookCancelled, HookFailed
from tests.kit.deadline import DEADLINE

ANSWERS = {
    "message.before": ["replace", "fork", "cache", "go on", "replace", "cancel", "skip", "redirect",
                       "raise", "lie"],
    "message.after": ["go on", "replace", "fork", "raise", "lie"],
    "error": ["go on", "retry", "skip", "redirect", "raise", "lie"],
    "state.before": ["go on", "replace", "cancel", "raise", "lie"],
}  # fmt: skip
KINDS = [(point, answer) for point, answers in ANSWERS.items() for answer in answers]
NEVER_OPEN = Breaker(failures=1000)


class Total(State):
    total: int = 0
    got: Log[int] = Log.field()


class Worker(Agent[Total]):
    def work(self, number: int) -> int:
        self.state.total += number
        if number % 3 == 2:
            raise ValueError(str(number))
        return self.state.total


class LaterWorker(Worker):
    async def work(self, number: int) -> int:  # type: ignore[override]
        await asyncio.sleep(0)
        return Worker.work(self, number)


class VolatileWorker(Worker):
    durability = Durability.VOLATILE


class Sink(Agent[Total]):
    def work(self, number: int) -> int:
        self.state.got.append(number)
        return 1000 + number

    def seen(self) -> list[int]:
        return list(self.state.got)


WORKERS = [Worker, LaterWorker, VolatileWorker]


@dataclass(frozen=True)
class Planned:
    """A hook as the test makes it up."""

    number: int
    point: str
    answer: str
    amount: int
    priority: int
    scope: str
    """Who is listened to: all, the class, the agent, another agent of the class."""
    on_failure: str
    later: bool
    """It is async."""
    record: bool

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.number}"


@st.composite
def plans(draw: st.DrawFn) -> tuple[Planned, ...]:
    """Make hooks up, of few kinds at a time: so the same kinds meet each other."""
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=2, max_size=6))
    return tuple(
        Planned(
            number, *draw(st.sampled_from(kinds)), draw(st.integers(1, 4)),
            draw(st.sampled_from([0, 1, 100])),
            draw(st.sampled_from(["all", "class", "agent", "all", "class", "agent", "other"])),
            draw(st.sampled_from(["closed", "open"])), draw(st.booleans()), draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 6)))
    )  # fmt: skip


Seen = list[tuple[str, object]]


@dataclass
class Model:
    """What should come of messages to the agent."""

    plan: tuple[Planned, ...]
    total: int = 0
    seen: Seen = field(default_factory=list)
    """Which hook ran, and what it saw."""
    sunk: list[int] = field(default_factory=list)
    kept: dict[str, object] = field(default_factory=dict)

    def chain(self, point: str) -> Iterator[Planned]:
        """Iterate over the hooks of a point in order."""
        mine = [h for h in self.plan if h.point == point and h.scope != "other"]
        return iter(sorted(mine, key=lambda each: (each.priority, each.number)))

    def ask(self, number: int) -> object:
        """Return the reply to a message, or the error's name."""
        for attempt in range(1, 10):
            sends: list[int] = []
            reply = self._turn(number, attempt, sends)
            if reply is not None:
                if reply not in {"HookCancelled", "HookFailed", "ValueError"}:
                    self.sunk += sends
                return reply
        raise AssertionError("no hook retries so often")

    def _turn(self, number: int, attempt: int, sends: list[int]) -> object:
        """Handle a message once; None to begin again."""
        wanted: list[str] = []
        number, decided = self._before(number, sends, wanted)
        if decided is not None:
            if isinstance(decided, Planned):
                sends.append(number)
                return 1000 + number
            return decided
        if number % 3 == 2:
            return self._failed(number, attempt, sends)
        return self._returned(number, sends, wanted)

    def _before(self, number: int, sends: list[int], wanted: list[str]) -> tuple[int, object]:
        """Return the message as it is left, and the reply if there is one: a hook redirects."""
        forks, decided = 0, None
        for hook in self.chain("message.before"):
            self.seen.append((hook.name, number))
            number += hook.amount if hook.answer == "replace" else 0
            forks += hook.answer == "fork"
            if hook.answer == "cache" and hook.name not in self.kept:
                wanted.append(hook.name)
            decided = self._decided(hook)
            if decided is not None:
                break
        sends += [number] * forks
        return number, decided

    def _decided(self, hook: Planned) -> object:
        if hook.answer in {"raise", "lie"} and hook.on_failure == "closed":
            return "HookFailed"
        replies: dict[str, object] = {
            "cancel": "HookCancelled", "skip": hook.amount, "redirect": hook,
            "cache": self.kept.get(hook.name),
        }  # fmt: skip
        return replies.get(hook.answer)

    def _failed(self, number: int, attempt: int, sends: list[int]) -> object:
        for hook in self.chain("error"):
            self.seen.append((hook.name, number))
            if hook.answer == "retry":
                return None if attempt < hook.amount else "ValueError"
            if hook.answer in {"skip", "redirect"}:
                sends.clear()
                if hook.answer == "skip":
                    return hook.amount
                sends.append(number)
                return 1000 + number
        return "ValueError"

    def _returned(self, number: int, sends: list[int], wanted: list[str]) -> object:
        total = self.total + number
        result: object = total
        for hook in self.chain("message.after"):
            self.seen.append((hook.name, result))
            if hook.answer == "replace":
                result = (hook.amount, result)
            elif hook.answer == "fork":
                sends.append(number)
        if number:
            for hook in self.chain("state.before"):
                self.seen.append((hook.name, total))
                if hook.answer == "cancel":
                    return "HookCancelled"
                if hook.answer in {"raise", "lie"} and hook.on_failure == "closed":
                    return "HookFailed"
                if hook.answer == "replace":
                    total += 10 * hook.amount
        self.total = total
        for name in wanted:
            self.kept[name] = result
        return result


def answer_of(hook: Planned, details: object, sink: AgentRef[Sink]) -> Result | None:
    """Return what a hook answers."""
    if hook.answer == "raise":
        raise RuntimeError("raised")
    if hook.answer == "lie":
        return 5  # type: ignore[return-value]
    if hook.answer == "replace":
        if isinstance(details, StateDetails):
            return Replace({"total": details.new["total"] + 10 * hook.amount})  # type: ignore[operator]
        if isinstance(details, OutcomeDetails):
            return Replace((hook.amount, details.result))
        assert isinstance(details, MessageDetails)
        return Replace(((details.args[0] + hook.amount,), {}))  # type: ignore[operator]
    answers: dict[str, Result | None] = {
        "go on": Continue() if hook.amount > 2 else None, "cancel": Cancel("never"),
        "skip": Skip(hook.amount), "redirect": Redirect(sink), "fork": Fork(sink),
        "cache": Cache(1000, "key"), "retry": Retry(attempts=hook.amount),
    }  # fmt: skip
    return answers[hook.answer]


TAKEN: dict[str, Any] = {
    "message.before": Replace | Cancel | Skip | Redirect | Fork | Cache | None,
    "message.after": Replace | Fork | None,
    "error": Retry | Skip | Redirect | None,
    "state.before": Replace | Cancel | None,
}


def made(hook: Planned, seen: Seen, sink: AgentRef[Sink]) -> Callable[[Details], object]:
    """Return the function of a hook."""

    def run(details: Details) -> Result | None:
        if details.kind == "Sink":
            return None
        if isinstance(details, StateDetails):
            what: object = details.new["total"]
        elif isinstance(details, OutcomeDetails):
            what = details.result
        else:
            assert isinstance(details, MessageDetails | ErrorDetails)
            what = details.args[0]
        seen.append((hook.name, what))
        return answer_of(hook, details, sink)

    async def run_later(details: Details) -> Result | None:
        await asyncio.sleep(0)
        return run(details)

    function: Callable[[Details], object] = run_later if hook.later else run
    function.__annotations__ = {"return": TAKEN[hook.point]}
    return function


def whose(hook: Planned, system: AgentSystem, worker: type[Worker]) -> Any:  # noqa: ANN401
    """Return who is listened to."""
    of: dict[str, Any] = {
        "all": None, "class": worker, "agent": system.agent(worker, "a"),
        "other": system.agent(worker, "b"),
    }  # fmt: skip
    return of[hook.scope]


@settings(deadline=None, max_examples=500)
@given(plans(), st.lists(st.integers(0, 9), min_size=1, max_size=4), st.sampled_from(WORKERS))
def test_hooks_do_what_the_model_does(
    plan: tuple[Planned, ...], numbers: list[int], worker: type[Worker]
) -> None:
    """Same hooks in the same order with the same sights, same replies, state, forks and history."""
    model, seen = Model(plan), Seen()
    with AgentSystem.open("memory://", agents=[*WORKERS, Sink]) as system:
        agent, sink = system.agent(worker, "a"), system.agent(Sink, "s")
        for hook in plan:
            system.hooks.on(
                hook.point, made(hook, seen, sink), agents=whose(hook, system, worker),
                name=hook.name, priority=hook.priority, on_failure=OnFailure(hook.on_failure),
                breaker=NEVER_OPEN, record=hook.record,
            )  # fmt: skip
        for number in numbers:
            try:
                reply: object = agent.call(Worker.work, number).get(timeout=DEADLINE)
            except (HookCancelled, HookFailed, ValueError) as error:
                reply = type(error).__name__
            assert reply == model.ask(number)
        assert seen == model.seen
        assert system.idle(DEADLINE)
        got = sink.call(Sink.seen).get(timeout=DEADLINE)
        assert sorted(got) == sorted(model.sunk)
        recorded = [hook.name for hook in plan if hook.record]
        ran = [run.hook for run in system.hooks.history.each(kind=worker.__name__)]
        assert ran == [name for name, _ in seen if name in recorded]
        for hook in plan:
            statistics = system.hooks.get(hook.name)
            here = sum(name == hook.name for name, _ in seen)
            assert statistics.failures == here * (hook.answer in {"raise", "lie"})
