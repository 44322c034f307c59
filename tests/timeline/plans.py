"""Agents that do what a plan says; the plan is the recording of what causes what."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

import msgspec

from perdure import Agent, Durability, RestartPolicy, Scope, State
from perdure.persistence.errors import Denied

KEYS = ("a", "b", "c", "d")


class Step(msgspec.Struct):
    """Have an agent do something, which its turn is then the cause of."""

    how: str
    """tell, ask, later, thread or task."""
    to: str
    key: str
    label: str
    steps: list[Step] = []
    fails: bool = False
    """Whether it looks where it may not, and is undone."""


class Trail(State):
    last: str = ""


class Doer(Agent[Trail]):
    def act(self, step: Step) -> str:
        self.state.last = step.label
        if step.fails:
            self.system.state.get(Scope.agent("Vault", "v"), step.label)
        for each in step.steps:
            self._do(each)
        return step.label

    def _do(self, step: Step) -> None:
        target = self.system.agent(BY_NAME[step.to], step.key)
        if step.how == "ask":
            with contextlib.suppress(Denied):
                assert target.proxy().act(step).get() == step.label
        elif step.how == "later":
            self.after(0.001, "pass_on", step, name=step.label)
        elif step.how == "thread":
            thread = threading.Thread(target=self.system.carry(target.cast), args=(Doer.act, step))
            thread.start()
            thread.join()
        else:
            target.proxy().act.defer(step)

    def pass_on(self, step: Step) -> None:
        self.act(step)


class Culprit(Doer):
    """One whose turns are undone: what it is told is a dead letter at once."""

    restarts = RestartPolicy(attempts=1)


class Dreamer(Doer):
    """One whose handlers are coroutines."""

    async def act(self, step: Step) -> str:  # type: ignore[override]
        self.state.last = step.label
        tasks = []
        for each in step.steps:
            if each.how == "task":
                tasks.append(asyncio.create_task(self._send(each)))
            elif each.how == "ask":
                target = self.system.agent(BY_NAME[each.to], each.key)
                with contextlib.suppress(Denied):
                    assert await target.proxy().act(each) == each.label
            else:
                self._do(each)
        await asyncio.gather(*tasks)
        return step.label

    async def pass_on(self, step: Step) -> None:  # type: ignore[override]
        await self.act(step)

    async def _send(self, step: Step) -> None:
        await asyncio.sleep(0)
        self.system.agent(BY_NAME[step.to], step.key).proxy().act.defer(step)


class Ghost(Doer):
    """One that leaves no commits: what it was told leads to what it sends."""

    durability = Durability.VOLATILE


KINDS: list[type[Agent[Any]]] = [Doer, Dreamer, Ghost, Culprit]
BY_NAME: dict[str, Any] = {kind.__name__: kind for kind in KINDS}


def plan(randomness: random.Random, label: str, depth: int) -> Step:
    """Make a plan at random."""
    to = randomness.choice(["Doer", "Doer", "Dreamer", "Ghost"])
    ways = ["tell", "tell", "ask", "thread"]
    if to == "Dreamer":
        ways.append("task")
    count = 0 if depth == 0 else randomness.randint(0, 3)
    steps = []
    for number in range(count):
        step = plan(randomness, f"{label}.{number}", depth - 1)
        step.how = randomness.choice(ways)
        if step.how == "ask":
            step.key = f"{step.label}"  # its own agent: asks in a circle are refused
        steps.append(step)
    if to != "Ghost" and depth and randomness.random() < 0.5:
        step = plan(randomness, f"{label}.later", depth - 1)
        # A timer calls its own agent.
        step.how, step.to = "later", to
        steps.append(step)
    return Step("ask", to, randomness.choice(KEYS), label, steps)


def with_culprits(randomness: random.Random, step: Step) -> dict[str, str]:
    """Add steps that are undone below others; give each of their labels with that of its cause."""
    return dict(_culprits(randomness, step, ""))


def _culprits(randomness: random.Random, step: Step, above: str) -> Iterator[tuple[str, str]]:
    here = step.label if step.to != "Ghost" else above
    for each in list(step.steps):
        yield from _culprits(randomness, each, here)
    if step.to == "Doer":
        label, how = f"{step.label}.no", randomness.choice(["tell", "ask", "thread"])
        step.steps.append(Step(how, "Culprit", label, label, fails=True))
        yield label, here


def causes(step: Step, above: str = "") -> Iterator[tuple[str, str]]:
    """Give each label that is seen in the journal with that of its cause; "" for the edge."""
    seen = step.to != "Ghost"
    if seen:
        yield step.label, above
    for each in step.steps:
        yield from causes(each, step.label if seen else above)
