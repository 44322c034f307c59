"""A desk as its first release declares it, and one who fills a store with such."""

from __future__ import annotations

import sys

from perdure import Agent, AgentSystem, Log, Map, State


class DeskState(State):
    open: int = 0
    lines: Log[str] = Log.field()
    owners: Map[str, int] = Map.field()


class Desk(Agent[DeskState]):
    def assign(self, ticket: str, owner: str) -> int:
        self.state.open += 1
        self.state.lines.append(ticket)
        self.state.owners[owner] = self.state.owners.get(owner, 0) + 1
        return self.state.open


def fill(store: str, count: int) -> None:
    """Make so many desks, each with a line and an owner."""
    with AgentSystem.open(store, agents=[Desk], sync="process") as system:
        for number in range(count):
            system.agent(Desk, f"{number:05}").cast(Desk.assign, f"T-{number}", "mira")
        assert system.idle(60)


if __name__ == "__main__":
    fill(sys.argv[1], int(sys.argv[2]))
