"""The chat service on agents: one for each user."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from perdure import Agent, AgentSystem, Log, Map, State

from ..chat import answer, build, fact, load


class Line(msgspec.Struct, frozen=True):
    """What somebody said."""

    role: str
    text: str


class Conversation(State):
    """A conversation and what is known of its user."""

    turns: int = 0
    words: int = 0
    history: Log[Line] = Log.field()
    facts: Map[str, str] = Map.field()


class Assistant(Agent[Conversation]):
    """Answers one user."""

    async def say(self, text: str) -> tuple[str, int]:
        """Answer; an ``async def``, as a model that is far away needs."""
        if (found := fact(text)) is not None:
            self.state.facts[found[0]] = found[1]
        reply = answer(text)
        self.state.history.extend([Line("user", text), Line("assistant", reply)])
        self.state.turns += 1
        self.state.words += len(reply.split())
        return reply, self.state.turns

    def last(self, count: int) -> list[tuple[str, str]]:
        """Return the last lines."""
        return [(line.role, line.text) for line in self.state.history[-count:]]


class AgentChat:
    """Keep conversations in agents."""

    def __init__(self, system: AgentSystem) -> None:
        """Keep them in ``system``."""
        self._system = system

    async def say(self, user: str, text: str) -> tuple[str, int]:
        """Have the user's assistant answer."""
        return await self._system.agent(Assistant, user).call(Assistant.say, text)

    async def last(self, user: str, count: int) -> list[tuple[str, str]]:
        """Ask the user's assistant for the last lines."""
        return await self._system.agent(Assistant, user).call(Assistant.last, count)


def serve(folder: Path, *, callers: float, seconds: float) -> dict[str, float]:
    """Load the service."""
    with AgentSystem.open(folder / "chat.db", agents=[Assistant]) as system:
        app = build(AgentChat(system))
        return asyncio.run(load(app, callers=callers, seconds=seconds))
