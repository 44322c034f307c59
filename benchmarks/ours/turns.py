"""Durable turns: many at once, one at a time, from several callers, in a long conversation."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from perdure import AgentSystem, Retention

from ..workload import (
    AGENTS,
    burner,
    closed_loop,
    key,
    latencies,
    latencies_awaited,
    many_callers,
    open_loop,
    owner,
    percentiles,
    with_size,
)
from ..workload import (
    conversation as hold,
)
from .agents import Desk, RecordedDesk, Talk


def open_turns(
    folder: Path,
    *,
    seconds: float,
    sync: Literal["power", "process"] = "power",
    burning: bool = False,
    keep: int | None = None,
    recorded: bool = False,
) -> dict[str, float]:
    """Ask a thousand desks in turn, not waiting for one answer before the next question.

    The peers keep their whole history, so this does, unless it is to ``keep`` so many commits:
    fewer than are made before the clock starts, so that each turn has an older one trimmed.
    """
    path = folder / "desks.db"
    retention = Retention(commits=keep)
    desk = RecordedDesk if recorded else Desk
    with AgentSystem.open(path, agents=[desk], sync=sync, retention=retention) as system:
        desks = [system.agent(desk, key(number)).proxy() for number in range(AGENTS)]
        with burner(on=burning):
            figures = open_loop(
                lambda number: desks[number % AGENTS].assign(owner(number)), seconds
            )
        opened = sum(answer.get() for answer in [desk.look() for desk in desks])
    # Two thousand turns before the clock starts; see `open_loop`.
    _expect(opened, figures["turns"] + 2_000)
    return figures


def callers(folder: Path, *, callers: float, seconds: float) -> dict[str, float]:
    """Ask from several threads, each waiting for its answers and having its own desks."""
    with AgentSystem.open(folder / "desks.db", agents=[Desk]) as system:
        desks = [system.agent(Desk, key(number)).proxy() for number in range(AGENTS)]
        share = AGENTS // int(callers)

        def turn(caller: int, number: int) -> None:
            desks[caller * share + number % share].assign(owner(number)).get()

        return many_callers(turn, int(callers), seconds)


def lone(folder: Path, *, turns: float) -> dict[str, float]:
    """Ask one question at a time, and time each."""
    with AgentSystem.open(folder / "desks.db", agents=[Desk]) as system:
        desks = [system.agent(Desk, key(number)).proxy() for number in range(AGENTS)]
        return percentiles(
            latencies(lambda number: desks[number % AGENTS].assign(owner(number)).get(), int(turns))
        )


def awaited(folder: Path, *, turns: float) -> dict[str, float]:
    """Await one answer at a time on an event loop, and time each."""
    with AgentSystem.open(folder / "desks.db", agents=[Desk]) as system:
        desks = [system.agent(Desk, key(number)).proxy() for number in range(AGENTS)]

        async def ask(number: int) -> object:
            return await desks[number % AGENTS].assign(owner(number))

        return percentiles(asyncio.run(latencies_awaited(ask, int(turns))))


def conversation(folder: Path, *, turns: float) -> dict[str, float]:
    """Hold a conversation with one agent."""
    with AgentSystem.open(folder / "talk.db", agents=[Talk]) as system:
        talk = system.agent(Talk, "talk").proxy()
        figures = hold(lambda text: talk.say(text).get(), int(turns))
        _expect(talk.length().get(), turns)
    return with_size(figures, folder)


def sequential(folder: Path, *, seconds: float) -> dict[str, float]:
    """Run turns from one caller that waits for each, as the peers' loops do."""
    with AgentSystem.open(folder / "desks.db", agents=[Desk]) as system:
        desks = [system.agent(Desk, key(number)).proxy() for number in range(AGENTS)]
        return closed_loop(
            lambda number: desks[number % AGENTS].assign(owner(number)).get(), seconds
        )


def _expect(found: float, expected: float) -> None:
    """Refuse to give a figure for work that was not done."""
    if found != expected:
        raise ValueError(f"{found:.0f} turns are in the state, {expected:.0f} were answered")
