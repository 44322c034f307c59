"""Agents that change shared keys in their turns."""

import asyncio

from perdure import Agent, Boundary, Durability, Scope, State

WORK = Scope.workflow("w")


class Count(State):
    turns: int = 0


class Worker(Agent[Count]):
    """Change shared keys in turns, and count its own turns beside them."""

    boundary = Boundary.SHARED

    def increment(self, key: str, by: int = 1) -> int:
        self.state.turns += 1
        return self.scopes.increment(WORK, key, by)

    async def increment_later(self, key: str) -> int:
        self.state.turns += 1
        seen = self.scopes.increment(WORK, key)
        await asyncio.sleep(0)
        return seen

    def add(self, key: str, by: int = 1) -> None:
        self.state.turns += 1
        self.scopes.add(WORK, key, by)

    def set(self, key: str, value: object) -> int:
        self.state.turns += 1
        return self.scopes.set(WORK, key, value)

    def get(self, key: str) -> object:
        return self.scopes.get(WORK, key)

    def keys(self) -> list[str]:
        return list(self.scopes.list(WORK, limit=1000))

    def turns(self) -> int:
        return self.state.turns


class Fleeting(Worker):
    """The same, VOLATILE."""

    durability = Durability.VOLATILE


class Saved(Worker):
    """The same, SNAPSHOT."""

    durability = Durability.SNAPSHOT


AGENTS = [Worker, Fleeting, Saved]
